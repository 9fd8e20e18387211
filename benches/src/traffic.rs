//! The records of the made-up operator: what a bastion, its hosts, two web tiers and a cloud account write on a busy day.
//!
//! | source | share | what |
//! |---|---:|---|
//! | nginx | 48 % | JSON access log: pages, requests that the application audits, health checks |
//! | webaudit | 30 % | the CRM's audit record of a request, with the nginx line's request id |
//! | linux | 12 % | sshd, sudo and cron of 500 hosts, RFC 3164 |
//! | jumpserver | 8 % | sessions (opened, ended) and the commands typed in them |
//! | actiontrail | 2 % | calls of the cloud's API |
//!
//! Sessions hang together: the bastion opens one, a second later the host logs the logon from the bastion's address.
//! One activity in 4,000 is a violation (a destructive command, a logon past the bastion). The same seed gives the same
//! records.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::Millis;

use crate::world::{self, ADMINS, AGENTS, BACKUP, BASTION, HOSTS};

const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36";
/// Sessions that are open at a time.
const SESSIONS: usize = 600;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A record as its source wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// When it was written, which is when it is received.
    pub at: Millis,
    /// Its place among those of the same moment.
    number: u64,
    /// `nginx`, `webaudit`, `linux`, `jumpserver`, `actiontrail`.
    pub source: &'static str,
    /// The line.
    pub text: String,
}

struct Session {
    id: String,
    person: usize,
    host: usize,
    opened: Millis,
    commands: u32,
}

/// The records, in order, without end.
pub struct Traffic {
    dice: Dice,
    /// Microseconds between two records.
    step_us: u64,
    now_us: u64,
    written: u64,
    waiting: BinaryHeap<Reverse<Line>>,
    sessions: Vec<Session>,
}

impl Traffic {
    /// The records from `start` on, so many a second on average.
    ///
    /// # Panics
    /// `per_second` is 0.
    pub fn new(seed: u64, start: Millis, per_second: u64) -> Traffic {
        Traffic {
            dice: Dice(seed),
            step_us: 1_000_000 / per_second,
            now_us: start.0.unsigned_abs() * 1000,
            written: 0,
            waiting: BinaryHeap::new(),
            sessions: Vec::new(),
        }
    }

    fn now(&self) -> Millis {
        Millis((self.now_us / 1000).cast_signed())
    }

    fn write(&mut self, at: Millis, source: &'static str, text: String) {
        let number = self.written;
        self.written += 1;
        self.now_us += self.step_us;
        self.waiting.push(Reverse(Line {
            at,
            number,
            source,
            text,
        }));
    }

    /// Something happens: one record or a few.
    fn act(&mut self) {
        match self.dice.below(4_000) {
            0 => self.violate(),
            1..2_000 => self.handle(),
            2_000..3_200 => self.page(),
            3_200..3_260 => self.cron(),
            3_260..3_320 => self.backup(),
            3_320..3_330 => self.fail(),
            3_330..3_480 => self.cloud(),
            _ => self.bastion(),
        }
    }

    /// An agent handles a customer's record: the web server's line and the application's.
    fn handle(&mut self) {
        let agent = ADMINS + self.dice.below(AGENTS);
        let (now, id) = (self.now(), self.dice.hex(32));
        let action = ["view", "view", "query", "update"][self.dice.below(4)];
        let object = 100_000 + self.dice.below(900_000);
        let method = if action == "update" { "POST" } else { "GET" };
        let (login, address, employee) = (world::login(agent), world::desk(agent), world::employee(agent));
        let audit = format!(
            r#"{{"event_id": "{}", "time": "{}", "system": "crm", "module": "customer", "actor": {{"account": "{login}", "employee_id": "{employee}", "name": "员工{agent:04}", "dept": "service"}}, "session_id": "s-{employee}", "request_id": "{id}", "source": {{"ip": "{address}", "user_agent": "{BROWSER}"}}, "action": "{action}", "object": {{"type": "customer", "id": "{object}", "count": 1, "level": "L3", "personal": "general"}}, "result": "success", "ticket": {{"type": "case", "id": "CS-{:06}", "assignee": "{employee}", "state": "open"}}, "masked": true}}"#,
            self.dice.uuid(),
            world::rfc3339(now),
            self.dice.below(1_000_000),
        );
        self.write(now, "webaudit", audit);
        let uri = format!("/customer/{action}?id={object}");
        self.access(now.plus_ms(40), &address, &login, method, &uri, &id);
    }

    fn page(&mut self) {
        let agent = ADMINS + self.dice.below(AGENTS);
        let (now, id) = (self.now(), self.dice.hex(32));
        if self.dice.below(5) == 0 {
            return self.access(now, "10.20.255.5", "", "GET", "/healthz", &id);
        }
        let uri = [
            "/",
            "/dashboard",
            "/static/app.js",
            "/static/app.css",
            "/help",
            "/notices",
        ][self.dice.below(6)];
        self.access(now, &world::desk(agent), &world::login(agent), "GET", uri, &id);
    }

    fn access(&mut self, at: Millis, address: &str, user: &str, method: &str, uri: &str, id: &str) {
        let text = format!(
            r#"{{"time": "{}", "remote_addr": "{address}", "xff": "", "user": "{user}", "method": "{method}", "uri": "{uri}", "status": 200, "bytes": {}, "rt": 0.{:03}, "ua": "{BROWSER}", "ref": "", "host": "crm.internal", "req_id": "{id}", "scheme": "https"}}"#,
            seconds(at),
            200 + self.dice.below(24_000),
            4 + self.dice.below(240),
        );
        self.write(at, "nginx", text);
    }

    /// A line of a host's syslog.
    fn log(&mut self, at: Millis, pri: u8, host: usize, message: &str) {
        self.write(at, "linux", syslog(at, pri, host, message));
    }

    fn cron(&mut self) {
        let (now, host, pid) = (self.now(), self.dice.below(HOSTS), self.dice.pid());
        let session = format!("CRON[{pid}]: pam_unix(cron:session): session");
        self.log(
            now,
            86,
            host,
            &format!("{session} opened for user root(uid=0) by (uid=0)"),
        );
        let command = format!(
            "CRON[{}]: (root) CMD (cd / && run-parts --report /etc/cron.hourly)",
            pid + 1
        );
        self.log(now.plus_ms(10), 78, host, &command);
        self.log(now.plus_ms(900), 86, host, &format!("{session} closed for user root"));
    }

    fn backup(&mut self) {
        let (now, host) = (self.now(), self.dice.below(HOSTS));
        self.logon(now, host, "publickey", "backup", BACKUP);
    }

    fn logon(&mut self, at: Millis, host: usize, method: &str, account: &str, from: &str) {
        let (pid, port) = (self.dice.pid(), 30_000 + self.dice.below(30_000));
        let key = if method == "publickey" {
            format!(": ED25519 SHA256:{}", self.dice.hex(43))
        } else {
            String::new()
        };
        let accepted = format!("sshd[{pid}]: Accepted {method} for {account} from {from} port {port} ssh2{key}");
        self.log(at, 86, host, &accepted);
        let opened =
            format!("sshd[{pid}]: pam_unix(sshd:session): session opened for user {account}(uid=1001) by (uid=0)");
        self.log(at.plus_ms(40), 86, host, &opened);
    }

    /// Somebody mistypes a password.
    fn fail(&mut self) {
        let (now, host, person) = (self.now(), self.dice.below(HOSTS), self.dice.below(ADMINS));
        let line = format!(
            "sshd[{}]: Failed password for {} from {BASTION} port {} ssh2",
            self.dice.pid(),
            world::login(person),
            30_000 + self.dice.below(30_000)
        );
        self.log(now, 86, host, &line);
    }

    fn cloud(&mut self) {
        let now = self.now();
        let person = self.dice.below(ADMINS);
        let (name, service) = [
            ("DescribeInstances", "Ecs"),
            ("DescribeDisks", "Ecs"),
            ("DescribeDBInstances", "Rds"),
            ("DescribeLoadBalancers", "Slb"),
        ][self.dice.below(4)];
        let utc = jiff::Timestamp::from_second(now.0.div_euclid(1000)).unwrap_or_default();
        let text = format!(
            r#"{{"eventId": "{}", "eventVersion": "1", "eventTime": "{utc}", "eventType": "ApiCall", "eventName": "{name}", "eventRW": "Read", "serviceName": "{service}", "eventSource": "{}.aliyuncs.com", "acsRegion": "cn-hangzhou", "requestId": "{}", "apiVersion": "2014-05-26", "userIdentity": {{"type": "ram-user", "accountId": "1111222233334444", "principalId": "29{person:015}", "userName": "{}"}}, "sourceIpAddress": "{}", "userAgent": "AlibabaCloud Console", "requestParameters": {{"RegionId": "cn-hangzhou", "PageSize": 50}}, "errorCode": "", "errorMessage": ""}}"#,
            self.dice.uuid().to_uppercase(),
            service.to_lowercase(),
            self.dice.uuid().to_uppercase(),
            world::login(person),
            world::desk(person),
        );
        self.write(now, "actiontrail", text);
    }

    /// A session opens, goes on, or ends.
    fn bastion(&mut self) {
        if self.sessions.len() < SESSIONS {
            return self.open();
        }
        let which = self.dice.below(self.sessions.len());
        match self.dice.below(16) {
            0 => self.close(which),
            1..4 => self.sudo(which),
            _ => {
                let input = [
                    "uptime",
                    "df -h",
                    "free -m",
                    "top -b -n1",
                    "ls -l /srv/release",
                    "ss -lnt",
                    "tail -n 50 /var/log/nginx/access.log",
                    "psql -c \\\"select pid, state, wait_event from pg_stat_activity\\\"",
                ][self.dice.below(8)];
                self.command(which, input);
            }
        }
    }

    fn open(&mut self) {
        let person = self.dice.below(ADMINS);
        // Those that the person has a request for.
        let host = self.dice.below(HOSTS / 10) * 10 + person % 10;
        let (now, id) = (self.now(), self.dice.uuid());
        let session = Session {
            id,
            person,
            host,
            opened: now,
            commands: 0,
        };
        self.save(&session, now, None);
        self.sessions.push(session);
        self.logon(now.plus_ms(1_200), host, "password", &world::login(person), BASTION);
    }

    fn close(&mut self, which: usize) {
        let session = self.sessions.swap_remove(which);
        let (now, pid, login) = (self.now(), self.dice.pid(), world::login(session.person));
        let line = format!("sshd[{pid}]: Disconnected from user {login} {BASTION} port 41880");
        self.log(now, 86, session.host, &line);
        let line = format!("sshd[{pid}]: pam_unix(sshd:session): session closed for user {login}");
        self.log(now.plus_ms(30), 86, session.host, &line);
        self.save(&session, now.plus_ms(1_000), Some(now));
    }

    fn sudo(&mut self, which: usize) {
        self.command(which, "sudo systemctl status nginx");
        let session = &self.sessions[which];
        let (host, login, now) = (session.host, world::login(session.person), self.now());
        let line = format!(
            "sudo: {login:>8} : TTY=pts/0 ; PWD=/home/{login} ; USER=root ; COMMAND=/usr/bin/systemctl status nginx"
        );
        self.log(now.plus_ms(500), 85, host, &line);
        let line = format!("sudo: pam_unix(sudo:session): session opened for user root(uid=0) by {login}(uid=1001)");
        self.log(now.plus_ms(520), 86, host, &line);
        self.log(
            now.plus_ms(900),
            86,
            host,
            "sudo: pam_unix(sudo:session): session closed for user root",
        );
    }

    fn command(&mut self, which: usize, input: &str) {
        let (now, id) = (self.now(), self.dice.uuid());
        let session = &mut self.sessions[which];
        session.commands += 1;
        let (login, person, host) = (world::login(session.person), session.person, session.host);
        let text = format!(
            r#"<14>jumpserver: session_command_log - {{"account": "{login}({login})", "asset": "{}({})", "id": "{id}", "input": "{input}", "org_id": "00000000-0000-0000-0000-000000000002", "output": "", "remote_addr": "{}", "risk_level": {{"label": "接受", "value": 0}}, "session": "{}", "timestamp": {}, "timestamp_display": "{}", "user": "员工{person:04}({login})"}}"#,
            world::host(host),
            world::address(host),
            world::desk(person),
            session.id,
            now.0.div_euclid(1000),
            slashes(now),
        );
        self.write(now, "jumpserver", text);
    }

    /// The bastion logs a session each time that it saves it: at its opening and at its end.
    fn save(&mut self, session: &Session, at: Millis, end: Option<Millis>) {
        let Session {
            id,
            person,
            host,
            opened,
            commands,
        } = session;
        let s = end.map_or(0, |e| (e - *opened) / 1000);
        let date_end = end.map_or("null".to_owned(), |e| format!("\"{}\"", slashes(e)));
        let (ended, login) = (end.is_some(), world::login(*person));
        let text = format!(
            r#"<14>jumpserver: host_session_log - {{"account": "{login}({login})", "account_id": "05099428-889c-4075-82a1-bc25db0bad06", "asset": "{}({})", "asset_id": "94969ac9-a4d4-4a81-8e87-a1c8e3804fe2", "can_join": {}, "can_replay": {ended}, "can_terminate": true, "command_amount": {commands}, "comment": null, "date_end": {date_end}, "date_start": "{}", "duration": "{}:{:02}:{:02}", "error_reason": {{"label": "", "value": ""}}, "has_command": {}, "has_replay": {ended}, "id": "{id}", "is_finished": {ended}, "is_locked": false, "is_success": true, "login_from": "WT", "org_id": "00000000-0000-0000-0000-000000000002", "protocol": "ssh", "remote_addr": "{}", "replay_size": 0, "terminal": "e0b2294e-1041-4155-912a-de48990d8741", "terminal_display": "koko-01", "type": {{"label": "普通", "value": "normal"}}, "user": "员工{person:04}({login})", "user_id": "d082988a-27f0-4ae3-b61a-4fc37ca9d8d6"}}"#,
            world::host(*host),
            world::address(*host),
            !ended,
            slashes(*opened),
            s / 3600,
            s / 60 % 60,
            s % 60,
            *commands > 0,
            world::desk(*person),
        );
        self.write(at, "jumpserver", text);
    }

    fn violate(&mut self) {
        let (now, host, person) = (self.now(), self.dice.below(HOSTS), self.dice.below(ADMINS));
        if self.dice.below(2) == 0 || self.sessions.is_empty() {
            let from = world::desk(person);
            return self.logon(now, host, "password", &world::login(person), &from);
        }
        let which = self.dice.below(self.sessions.len());
        self.command(which, "rm -rf /srv/data/archive");
    }
}

impl Iterator for Traffic {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        // What happens later may write before a record that waits.
        while self.waiting.peek().is_none_or(|Reverse(line)| line.at >= self.now()) {
            self.act();
        }
        self.waiting.pop().map(|Reverse(line)| line)
    }
}

/// A violation that is told at once: a logon past the bastion, by an account that no other line names.
pub fn logon_past_bastion(at: Millis, number: usize) -> String {
    let host = number % HOSTS;
    let message = format!(
        "sshd[{}]: Accepted password for {} from {} port {} ssh2",
        2_000 + number % 50_000,
        probe(number),
        world::desk(number % ADMINS),
        30_000 + number % 30_000
    );
    syslog(at, 86, host, &message)
}

/// A request that can be searched for: its URL names `probe` and its own number.
pub fn request_to_find(at: Millis, number: usize) -> String {
    format!(
        r#"{{"time": "{}", "remote_addr": "10.8.7.7", "xff": "", "user": "", "method": "GET", "uri": "/probe/{}", "status": 200, "bytes": 2, "rt": 0.004, "ua": "probe/1", "ref": "", "host": "crm.internal", "req_id": "{:032x}", "scheme": "https"}}"#,
        seconds(at),
        probe(number),
        at.0.unsigned_abs() * 1_000_000 + number as u64,
    )
}

/// The word that stands for a number in these two.
pub fn probe(number: usize) -> String {
    format!("mk{number:06}")
}

fn syslog(at: Millis, pri: u8, host: usize, message: &str) -> String {
    let t = world::local(at);
    let month = MONTHS[usize::from(t.month().unsigned_abs()) - 1];
    format!(
        "<{pri}>{month} {:>2} {:02}:{:02}:{:02} {} {message}",
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        world::host(host)
    )
}

/// `2026-03-02T09:33:18+08:00`
fn seconds(at: Millis) -> String {
    let mut text = world::rfc3339(at);
    text.replace_range(19..23, "");
    text
}

/// `2026/03/02 09:29:07 +0800`
fn slashes(at: Millis) -> String {
    let t = world::local(at);
    format!(
        "{:04}/{:02}/{:02} {:02}:{:02}:{:02} +0800",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    fn pid(&mut self) -> usize {
        2_000 + self.below(58_000)
    }

    fn hex(&mut self, digits: usize) -> String {
        let mut out = String::with_capacity(digits + 16);
        while out.len() < digits {
            out.push_str(&format!("{:016x}", self.roll()));
        }
        out.truncate(digits);
        out
    }

    fn uuid(&mut self) -> String {
        let h = self.hex(32);
        format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const START: Millis = Millis(1_772_415_000_000);

    #[test]
    fn the_same_seed_gives_the_same_records_in_order() {
        let one: Vec<Line> = Traffic::new(7, START, 2_000).take(20_000).collect();
        let two: Vec<Line> = Traffic::new(7, START, 2_000).take(20_000).collect();
        assert_eq!(one, two);
        assert!(one.is_sorted_by_key(|l| l.at));
    }

    #[test]
    fn the_pace_and_the_shares_are_as_promised() {
        let lines: Vec<Line> = Traffic::new(7, START, 2_000).take(100_000).collect();
        let took_ms = lines[lines.len() - 1].at - START;
        assert!((49_000..51_000).contains(&took_ms), "{took_ms}");
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        for line in &lines {
            *shares.entry(line.source).or_default() += 100.0 / lines.len() as f64;
        }
        let promised = [
            ("nginx", 48.0),
            ("webaudit", 30.0),
            ("linux", 12.0),
            ("jumpserver", 8.0),
            ("actiontrail", 2.0),
        ];
        for (source, share) in promised {
            assert!((shares[source] - share).abs() < 1.0, "{source}: {shares:?}");
        }
    }

    #[test]
    fn no_record_is_quarantined_or_a_duplicate() {
        let normalizer = ingest::Normalizer::default();
        let mut seen = std::collections::HashSet::new();
        for (n, line) in (0..).zip(Traffic::new(7, START, 2_000).take(20_000)) {
            let record = crate::input::record(&line, n);
            let normalized = normalizer.normalize_plain(&record);
            assert_eq!(normalized.quarantined.map(|q| q.0), None, "{}", line.text);
            assert_ne!(normalized.format, "unknown", "{}", line.text);
            assert!(
                normalized.dedup(&record).is_none_or(|k| seen.insert(k)),
                "{}",
                line.text
            );
        }
    }
}
