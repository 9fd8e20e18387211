//! Linux hosts: sshd, sudo, cron, account tools, as rsyslog sends them (RFC 3164).

use model::Millis;

use super::people::{BACKUP_SERVER, DATABASES, Host, every_host};
use super::tape::{Day, HOUR, MINUTE, SECOND, Tape, text};

/// A logon that has not ended.
pub(super) struct Logon {
    pid: i64,
    port: i64,
    from: String,
    account: String,
}

/// Facility authpriv, severity info.
const AUTHPRIV_INFO: u8 = 86;
/// Facility authpriv, severity notice.
const AUTHPRIV_NOTICE: u8 = 85;
/// Facility cron, severity info.
const CRON_INFO: u8 = 78;

/// A syslog line of a host.
fn log(tape: &mut Tape, at: Millis, pri: u8, host: &Host, message: &str) {
    let line = format!("<{pri}>{} {} {message}", text(at, "%b %e %H:%M:%S"), host.name);
    tape.write(at, "linux", line);
}

/// sshd accepts an account from an address.
pub(super) fn accepted(tape: &mut Tape, at: Millis, host: &Host, method: &str, account: &str, from: &str) -> Logon {
    let (pid, port) = (tape.between(2_000, 60_000), tape.between(30_000, 60_000));
    let key = if method == "publickey" {
        format!(": ED25519 SHA256:{}", tape.hex(43))
    } else {
        String::new()
    };
    let line = format!("sshd[{pid}]: Accepted {method} for {account} from {from} port {port} ssh2{key}");
    log(tape, at, AUTHPRIV_INFO, host, &line);
    let uid = uid(account);
    let line = format!("sshd[{pid}]: pam_unix(sshd:session): session opened for user {account}(uid={uid}) by (uid=0)");
    log(tape, at + 40, AUTHPRIV_INFO, host, &line);
    Logon {
        pid,
        port,
        from: from.to_owned(),
        account: account.to_owned(),
    }
}

/// The logon ends.
pub(super) fn left(tape: &mut Tape, at: Millis, host: &Host, logon: &Logon) {
    let Logon {
        pid,
        port,
        from,
        account,
    } = logon;
    let line = format!("sshd[{}]: Disconnected from user {account} {from} port {port}", pid + 1);
    log(tape, at, AUTHPRIV_INFO, host, &line);
    let line = format!("sshd[{pid}]: pam_unix(sshd:session): session closed for user {account}");
    log(tape, at + 30, AUTHPRIV_INFO, host, &line);
}

/// A command as root, for a person logged on under the own name.
pub(super) fn sudo(tape: &mut Tape, at: Millis, host: &Host, account: &str, command: &str) {
    let line = format!("sudo: {account:>8} : TTY=pts/0 ; PWD=/home/{account} ; USER=root ; COMMAND={command}");
    log(tape, at, AUTHPRIV_NOTICE, host, &line);
    let uid = uid(account);
    let line = format!("sudo: pam_unix(sudo:session): session opened for user root(uid=0) by {account}(uid={uid})");
    log(tape, at + 20, AUTHPRIV_INFO, host, &line);
    let line = "sudo: pam_unix(sudo:session): session closed for user root";
    log(tape, at + 400, AUTHPRIV_INFO, host, line);
}

/// A local account is made.
pub(super) fn useradd(tape: &mut Tape, at: Millis, host: &Host, account: &str, shell: &str) {
    let (pid, uid) = (tape.between(2_000, 60_000), tape.between(900, 990));
    let group = format!("useradd[{pid}]: new group: name={account}, GID={uid}");
    log(tape, at, AUTHPRIV_INFO, host, &group);
    let user = format!(
        "useradd[{pid}]: new user: name={account}, UID={uid}, GID={uid}, home=/home/{account}, shell={shell}, from=/dev/pts/0"
    );
    log(tape, at + 30, AUTHPRIV_INFO, host, &user);
}

/// What the machines do by themselves.
pub(super) fn background(tape: &mut Tape, day: Day, start: Millis) {
    for host in every_host() {
        for hour in 0..24 {
            let at = day.at(hour, 17) + tape.between(0, 3 * SECOND);
            if at >= start {
                cron(tape, at, host, "cd / && run-parts --report /etc/cron.hourly");
            }
        }
        let at = day.at(3, 10) + tape.between(0, 20 * MINUTE);
        if at >= start {
            cron(tape, at, host, "/usr/lib/sysstat/sa2 -A");
        }
    }
    for host in DATABASES {
        for hour in 0..24 {
            let at = day.at(hour, 0) + tape.between(5 * MINUTE, HOUR - 5 * MINUTE);
            if at >= start {
                let logon = accepted(tape, at, host, "publickey", "backup", BACKUP_SERVER);
                let end = at + tape.between(20 * SECOND, 4 * MINUTE);
                left(tape, end, host, &logon);
            }
        }
    }
}

fn cron(tape: &mut Tape, at: Millis, host: &Host, command: &str) {
    let pid = tape.between(2_000, 60_000);
    let open = format!("CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)");
    log(tape, at, AUTHPRIV_INFO, host, &open);
    log(
        tape,
        at + 10,
        CRON_INFO,
        host,
        &format!("CRON[{}]: (root) CMD ({command})", pid + 1),
    );
    let close = format!("CRON[{pid}]: pam_unix(cron:session): session closed for user root");
    log(tape, at + 900, AUTHPRIV_INFO, host, &close);
}

/// An account's number: the same on every host.
fn uid(account: &str) -> u32 {
    match account {
        "root" => 0,
        "backup" => 34,
        "postgres" => 110,
        other => 1_000 + other.bytes().map(u32::from).sum::<u32>() % 900,
    }
}
