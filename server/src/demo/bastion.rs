//! The bastion, a JumpServer, and the sessions through it to the hosts.

use model::Millis;
use serde_json::{Value, json};

use super::hosts::{self, Logon};
use super::people::{ADMINS, BASTIONS, DATABASES, DBAS, DEVELOPERS, Host, LAB, Person, WEB_HOSTS};
use super::tape::{Day, MINUTE, SECOND, Tape, python_json, text};

const TIME: &str = "%Y/%m/%d %H:%M:%S %z";
const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36";
const ORGANISATION: &str = "00000000-0000-0000-0000-000000000002";

/// `risk_level` of a command.
#[derive(Clone, Copy)]
pub(super) enum Risk {
    /// Let through.
    Accept,
    /// Let through, with a warning.
    Warning,
    /// Stopped.
    Reject,
}

/// A session that is open.
pub(super) struct Session {
    id: String,
    person: &'static Person,
    host: &'static Host,
    account: String,
    opened: Millis,
    commands: u32,
    // A part of the record that a later save repeats.
    ids: [String; 3],
    logon: Logon,
}

fn log(tape: &mut Tape, at: Millis, category: &str, record: &Value) {
    tape.write(
        at,
        "jumpserver",
        format!("<14>jumpserver: {category} - {}", python_json(record)),
    );
}

fn choice(value: impl Into<Value>, label: &str) -> Value {
    json!({"label": label, "value": value.into()})
}

/// A person logs in at the bastion's portal; `reason` is why it failed.
pub(super) fn login(tape: &mut Tape, at: Millis, person: &Person, reason: Option<&str>) {
    login_from(tape, at, person, &person.address(), reason);
}

/// The same, from any address.
pub(super) fn login_from(tape: &mut Tape, at: Millis, person: &Person, address: &str, reason: Option<&str>) {
    let id = tape.uuid();
    let (status, mfa, username) = match reason {
        None => (choice(true, "成功"), choice(1, "启用"), person.display()),
        Some(_) => (choice(false, "失败"), choice(2, "-"), person.login.to_owned()),
    };
    let record = json!({
        "backend": "Password", "backend_display": "密码", "city": "局域网", "datetime": text(at, TIME), "id": id,
        "ip": address, "mfa": mfa, "reason": reason.unwrap_or(""), "reason_display": reason.unwrap_or(""),
        "status": status, "type": choice("W", "Web"), "user_agent": BROWSER, "username": username,
    });
    log(tape, at, "login_log", &record);
}

/// A person opens a session: the bastion logs it, and a second later the host the logon from the bastion.
pub(super) fn open(
    tape: &mut Tape,
    at: Millis,
    person: &'static Person,
    host: &'static Host,
    account: &str,
) -> Session {
    let bastion = *tape.pick(BASTIONS);
    let method = if account == "postgres" { "publickey" } else { "password" };
    let (id, ids) = (tape.uuid(), [tape.uuid(), tape.uuid(), tape.uuid()]);
    let logon = hosts::accepted(tape, at + 1_200, host, method, account, bastion);
    let session = Session {
        id,
        person,
        host,
        account: account.to_owned(),
        opened: at,
        commands: 0,
        ids,
        logon,
    };
    session.save(tape, at, None);
    session
}

impl Session {
    /// A command is typed.
    pub(super) fn command(&mut self, tape: &mut Tape, at: Millis, input: &str, risk: Risk) {
        self.commands += 1;
        let risk = match risk {
            Risk::Accept => choice(0, "接受"),
            Risk::Warning => choice(4, "告警"),
            Risk::Reject => choice(5, "拒绝"),
        };
        let record = json!({
            "account": self.account(), "asset": self.asset(), "id": tape.uuid(), "input": input, "org_id": ORGANISATION,
            "output": "", "remote_addr": self.person.address(), "risk_level": risk, "session": self.id,
            "timestamp": at.0.div_euclid(1_000), "timestamp_display": text(at, TIME), "user": self.person.display(),
        });
        log(tape, at, "session_command_log", &record);
    }

    /// A command as root: typed here, and logged by the host's sudo. `command` is the program's full path and arguments.
    pub(super) fn sudo(&mut self, tape: &mut Tape, at: Millis, command: &str) {
        let (path, arguments) = command.split_once(' ').unwrap_or((command, ""));
        let program = path.rsplit('/').next().unwrap_or(path);
        self.command(tape, at, format!("sudo {program} {arguments}").trim_end(), Risk::Accept);
        hosts::sudo(tape, at + 500, self.host, &self.account, command);
    }

    /// The host makes an account, in this session.
    pub(super) fn useradd(&mut self, tape: &mut Tape, at: Millis, account: &str, shell: &str) {
        let kind = if shell.ends_with("nologin") { "-r" } else { "-m" };
        self.sudo(tape, at, &format!("/usr/sbin/useradd {kind} -s {shell} {account}"));
        hosts::useradd(tape, at + 700, self.host, account, shell);
    }

    /// A file goes through the bastion: `upload` or `download`.
    pub(super) fn transfer(&self, tape: &mut Tape, at: Millis, operate: &str, filename: &str) {
        let record = json!({
            "account": self.account(), "asset": self.asset(), "date_start": text(at, TIME), "filename": filename,
            "has_file": false, "id": tape.uuid(), "is_success": true, "operate": choice(operate, operate),
            "org_id": ORGANISATION, "remote_addr": self.person.address(), "session": self.id,
            "user": self.person.display(),
        });
        log(tape, at, "ftp_log", &record);
    }

    /// The session ends.
    pub(super) fn close(self, tape: &mut Tape, at: Millis) {
        hosts::left(tape, at, self.host, &self.logon);
        self.save(tape, at + SECOND, Some(at));
    }

    fn account(&self) -> String {
        format!("{0}({0})", self.account)
    }

    fn asset(&self) -> String {
        format!("{}({})", self.host.name, self.host.address)
    }

    /// The bastion logs a session each time that it is saved: here at its opening and at its end.
    fn save(&self, tape: &mut Tape, at: Millis, end: Option<Millis>) {
        let seconds = end.map_or(0, |e| (e - self.opened) / 1_000);
        let record = json!({
            "account": self.account(), "account_id": self.ids[0], "asset": self.asset(), "asset_id": self.ids[1],
            "can_join": end.is_none(), "can_replay": end.is_some(), "can_terminate": end.is_none(),
            "command_amount": self.commands, "comment": null, "date_end": end.map(|e| text(e, TIME)),
            "date_start": text(self.opened, TIME),
            "duration": format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
            "error_reason": choice("", ""), "has_command": self.commands > 0, "has_replay": end.is_some(),
            "id": self.id, "is_finished": end.is_some(), "is_locked": false, "is_success": true, "login_from": "WT",
            "org_id": ORGANISATION, "protocol": "ssh", "remote_addr": self.person.address(), "replay_size": seconds * 310,
            "terminal": "4be1b9de-7d0c-4d7b-9d3e-0d9b0a6f1c55", "terminal_display": "koko-nq-1",
            "type": choice("normal", "普通"), "user": self.person.display(), "user_id": self.ids[2],
        });
        log(tape, at, "host_session_log", &record);
    }
}

/// An administrator of the bastion switches an account off.
pub(super) fn disable(tape: &mut Tape, at: Millis, by: &Person, leaver: &Person) {
    let record = json!({
        "action": choice("update", "更新"), "datetime": text(at, TIME),
        "diff": [{"after": "False", "before": "True", "field": "Is active"}],
        "id": tape.uuid(), "org_id": ORGANISATION, "remote_addr": by.address(), "resource": leaver.display(),
        "resource_type": "User", "user": by.display(),
    });
    log(tape, at, "operation_log", &record);
}

/// A day of the people who use the bastion. On other than working days nobody does.
pub(super) fn ordinary_day(tape: &mut Tape, day: Day, start: Millis) {
    if !day.is_working() {
        return;
    }
    for person in ADMINS.iter().chain(DBAS).chain(DEVELOPERS) {
        let at = day.at(9, 1) + tape.between(0, 14 * MINUTE);
        if at >= start {
            if tape.between(0, 5) == 0 {
                login(tape, at + -25 * SECOND, person, Some("password_failed"));
            }
            login(tape, at, person, None);
        }
        for _ in 0..tape.between(2, 5) {
            let at = tape.office_time(day, 16);
            if at >= start {
                ordinary_session(tape, at, person);
            }
        }
    }
    let (by, at) = (day.turn(ADMINS), day.at(11, 0) + tape.between(0, 40 * MINUTE));
    if at >= start {
        let record = json!({
            "change_by": by.display(), "datetime": text(at, TIME), "id": tape.uuid(), "remote_addr": by.address(),
            "user": by.display(),
        });
        log(tape, at, "password_change_log", &record);
    }
}

fn ordinary_session(tape: &mut Tape, at: Millis, person: &'static Person) {
    const LOOK: &[&str] = &[
        "uptime",
        "df -h",
        "free -m",
        "top -b -n1",
        "ls -l",
        "ss -lnt",
        "date",
        "hostname -f",
    ];
    const WEB: &[&str] = &[
        "tail -n 50 /var/log/nginx/access.log",
        "curl -sI http://127.0.0.1/healthz",
        "nginx -t",
    ];
    const ROOT: &[&str] = &[
        "/usr/bin/systemctl status nginx",
        "/usr/bin/journalctl -u nginx -n 100 --no-pager",
        "/usr/bin/ss -lntp",
        "/usr/sbin/nginx -T",
    ];
    const SQL: &[&str] = &[
        "psql -c \"select pid, state, wait_event from pg_stat_activity\"",
        "psql -c \"select relname, n_dead_tup from pg_stat_user_tables order by 2 desc limit 10\"",
        "psql -l",
        "du -sh /data/pg/base",
        "pg_isready",
    ];
    let (host, account, own): (&'static Host, &str, &[&str]) = match person.role {
        "dba" => (tape.pick(DATABASES), "postgres", SQL),
        "developer" => (&LAB, person.login, &["git status", "make test", "ls build"]),
        _ => (tape.pick(WEB_HOSTS), person.login, WEB),
    };
    let mut session = open(tape, at, person, host, account);
    let mut now = at + 8 * SECOND;
    for _ in 0..tape.between(3, 9) {
        now = now + tape.between(6 * SECOND, 3 * MINUTE);
        if person.role == "os_admin" && tape.between(0, 4) == 0 {
            let command = *tape.pick(ROOT);
            session.sudo(tape, now, command);
        } else {
            let list = if tape.between(0, 2) == 0 { own } else { LOOK };
            let input = *tape.pick(list);
            session.command(tape, now, input, Risk::Accept);
        }
    }
    if person.role == "developer" && tape.between(0, 3) == 0 {
        now = now + 30 * SECOND;
        session.transfer(tape, now, "download", "/home/build/report/junit.xml");
    }
    let end = now + tape.between(20 * SECOND, 6 * MINUTE);
    session.close(tape, end);
}
