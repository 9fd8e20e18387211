//! OpenSSH's server: `sshd`, and `sshd-session`, `sshd-auth` since 9.8.

use std::borrow::Cow;

use super::DETAIL;
use super::line::{Line, Peer, last_from, quoted};
use crate::builder::EventBuilder;
use crate::class;
use crate::seek;
use model::Event;

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const RESET: u8 = 3;
const FAIL: u8 = 4;
const REFUSE: u8 = 5;
const LISTEN: u8 = 7;
const OTHER: u8 = 99;

pub(super) fn event<'a>(line: &Line<'_, 'a>) -> Option<Event<'a>> {
    let text = line
        .message
        .strip_suffix("[preauth]")
        .unwrap_or(line.message)
        .trim_end();
    let text = &*names_decoded(text);
    attempt(line, text)
        .or_else(|| connection(line, text))
        .map(EventBuilder::finish)
}

/// sshd writes the bytes of a name beyond ASCII as `\347` (and some lines as `\\347`): put together again where they are
/// text. No ASCII comes of it, so a name gains nothing by which it could imitate the rest of a line.
fn names_decoded(text: &str) -> Cow<'_, str> {
    if !seek::has(text, b'\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = match after {
            [b'\\', digits @ ..] => digits,
            digits => digits,
        };
        match (first, digits) {
            (b'\\', [high @ b'2'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', after @ ..]) => {
                bytes.push((high - b'0') * 64 + (middle - b'0') * 8 + (low - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Lines of an attempt to log on.
fn attempt<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    let (outcome, rest) = seek::cut(text, b' ')?;
    match outcome {
        "Accepted" if !rest.starts_with("key ") && !rest.starts_with("certificate ") => accepted(line, rest),
        "Failed" => failed(line, rest),
        "Invalid" | "Illegal" => {
            let rest = rest.strip_prefix("user ").or_else(|| (rest == "user").then_some(""))?;
            let (user, peer, _) = last_from(rest, true).or_else(|| last_from(rest.trim_start(), true))?;
            Some(failure(line, user, Some(peer), "invalid user"))
        }
        "input_userauth_request:" => Some(failure(line, rest.strip_prefix("invalid user ")?, None, "invalid user")),
        "error:" => {
            if let Some(rest) = rest.strip_prefix("PAM: ") {
                let (reason, rest) = seek::split_once(rest, " for ")?;
                let (user, peer, _) = last_from(rest, true)?;
                return Some(failure(line, known(user).0, Some(peer), reason));
            }
            let rest = rest.strip_prefix("maximum authentication attempts exceeded for ")?;
            let (user, peer, _) = last_from(rest, true)?;
            Some(failure(
                line,
                known(user).0,
                Some(peer),
                "maximum authentication attempts exceeded",
            ))
        }
        "PAM" => {
            let (count, rest) = seek::cut(rest, b' ')?;
            let count = count.parse::<u32>().ok()?;
            let rest = rest.strip_prefix("more authentication failure")?;
            let fields = super::pam::fields(rest);
            let host = Peer::read(fields.rhost, true).map(|(peer, _)| peer);
            let mut b = failure(line, fields.user, host, "more authentication failures");
            b.set("count", count);
            Some(b)
        }
        "User" => {
            let (who, reason) = seek::split_once(rest, " not allowed because ")?;
            let (user, peer) = last_from(who, true).map_or((who, None), |(user, peer, _)| (user, Some(peer)));
            Some(failure(line, user, peer, &format!("not allowed because {reason}")))
        }
        _ => None,
    }
}

fn accepted<'a>(line: &Line<'_, 'a>, rest: &str) -> Option<EventBuilder<'a>> {
    let (method, rest) = seek::split_once(rest, " for ")?;
    // What follows the protocol is the key's affair, and may hold a certificate's own words.
    let (who, key) = rest
        .split_once(" ssh2: ")
        .map_or((rest, None), |(who, key)| (who, Some(key)));
    let (user, peer, _) = last_from(who, true)?;
    let mut b = line.authentication(1, true, user);
    session(line, &mut b, method);
    peer.put(&mut b);
    if let Some(key) = key {
        let mut words = key.split(' ');
        b.set_some("unmapped.key_type", words.next());
        b.set_some("user.credential_uid", words.next().filter(|w| seek::has(w, b':')));
        if let Some((_, id)) = seek::split_once(key, " ID ") {
            b.unmapped("certificate", id);
        }
    }
    Some(b)
}

fn failed<'a>(line: &Line<'_, 'a>, rest: &str) -> Option<EventBuilder<'a>> {
    let (method, rest) = seek::split_once(rest, " for ")?;
    if seek::has(method, b' ') {
        return None;
    }
    let (user, peer, _) = last_from(rest, true)?;
    let (user, is_known) = known(user);
    let reason = if is_known {
        format!("failed {method}")
    } else {
        format!("failed {method}, invalid user")
    };
    let mut b = line.authentication(1, false, user);
    session(line, &mut b, method);
    peer.put(&mut b);
    b.set("status_detail", reason);
    // `none` is how a client asks which methods there are.
    if method == "none" {
        b.label(DETAIL);
    }
    Some(b)
}

/// Another line of a failed attempt.
fn failure<'a>(line: &Line<'_, 'a>, user: &str, peer: Option<Peer<'_>>, reason: &str) -> EventBuilder<'a> {
    let mut b = line.detail(1, false, user);
    b.set("is_remote", true).set("status_detail", reason);
    if let Some(peer) = peer {
        peer.put(&mut b);
    }
    b
}

fn session<'a>(line: &Line<'_, 'a>, b: &mut EventBuilder<'a>, method: &str) {
    b.set("is_remote", true)
        .set("logon_type_id", 3)
        .word("logon_type", "Network");
    b.set("auth_protocol_id", 99).set("auth_protocol", method);
    if let Some(uid) = line.process_uid() {
        b.set("session.uid", uid);
    }
}

/// A name without `invalid user `, and whether the host knows it.
fn known(user: &str) -> (&str, bool) {
    for prefix in ["invalid user ", "illegal user "] {
        if let Some(user) = user.strip_prefix(prefix) {
            return (user, false);
        }
    }
    // The name is empty.
    if matches!(user, "invalid user" | "illegal user") {
        ("", false)
    } else {
        (user, true)
    }
}

/// Lines of a connection.
fn connection<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    let text = text
        .strip_prefix("error: ")
        .or_else(|| text.strip_prefix("fatal: "))
        .unwrap_or(text);
    let after = |prefix: &str| text.strip_prefix(prefix);
    if let Some(rest) = after("Starting session: ") {
        let (what, rest) = seek::split_once(rest, " for ")?;
        let (user, peer, rest) = last_from(rest, false)?;
        let mut b = ssh(line, OPEN, Some(peer))?;
        let (what, terminal) = seek::split_once(what, " on ").unwrap_or((what, ""));
        b.set("actor.user.name", user)
            .set("actor.session.terminal", terminal)
            .set("actor.session.is_remote", true);
        b.unmapped("session", what);
        b.set_some("unmapped.channel", seek::trim(rest).strip_prefix("id "));
        return Some(b);
    }
    if let Some(rest) = after("Close session: user ") {
        let (user, peer, rest) = last_from(rest, false)?;
        let mut b = ssh(line, CLOSE, Some(peer))?;
        b.set("actor.user.name", user).label(DETAIL);
        b.set_some("unmapped.channel", seek::trim(rest).strip_prefix("id "));
        return Some(b);
    }
    if let Some(reason) = after("Disconnecting: ") {
        let mut b = ssh(line, REFUSE, None)?;
        b.success(false).set("status_detail", reason);
        b.set_some(
            "actor.user.name",
            seek::split_once(reason, " failures for ").map(|(_, user)| user),
        );
        return Some(b);
    }
    if let Some(rest) = after("Received disconnect from ") {
        let (peer, rest) = Peer::read(rest, true)?;
        return closed(line, CLOSE, "", peer, rest.trim_start_matches([':', ' ']));
    }
    for (prefix, activity) in [
        ("Disconnected from ", CLOSE),
        ("Connection closed by ", CLOSE),
        ("Connection reset by ", RESET),
        ("Disconnecting ", REFUSE),
    ] {
        let Some(rest) = after(prefix) else { continue };
        if let Some((peer, rest)) = Peer::read(rest, false) {
            return closed(line, activity, "", peer, rest.trim_start_matches([':', ' ']));
        }
        // `user U IP port N`: the name is the client's choice, the peer stands last.
        let kinds = ["user ", "authenticating user ", "invalid user "];
        let rest = kinds.iter().find_map(|k| rest.strip_prefix(k))?;
        let at = seek::find_last(rest, " port ")?;
        let host = rest[..at].rfind(' ').map_or(0, |i| i + 1);
        let (peer, after) = Peer::read(&rest[host..], true)?;
        return closed(
            line,
            activity,
            rest[..host].trim(),
            peer,
            after.trim_start_matches([':', ' ']),
        );
    }
    if let Some(rest) = after("Connection from ") {
        let (peer, rest) = Peer::read(rest, true)?;
        let mut b = ssh(line, OTHER, Some(peer))?;
        b.word("activity_name", "Connection from").label(DETAIL);
        if let Some((here, _)) = rest.strip_prefix(" on ").and_then(|r| Peer::read(r, false)) {
            b.ip("dst_endpoint.ip", here.host);
            b.set_some("dst_endpoint.port", here.port.and_then(|p| p.parse::<u16>().ok()));
        }
        return Some(b);
    }
    if let Some(rest) = after("Postponed ") {
        let (method, rest) = seek::split_once(rest, " for ")?;
        let (user, peer, _) = last_from(rest, true)?;
        let mut b = ssh(line, OTHER, Some(peer))?;
        b.word("activity_name", "Postponed")
            .set("actor.user.name", known(user).0)
            .set("unmapped.method", method);
        b.label(DETAIL);
        return Some(b);
    }
    if after("Accepted key ").is_some()
        || after("Accepted certificate ").is_some()
        || after("User child is on ").is_some()
    {
        let mut b = ssh(line, OTHER, None)?;
        b.word("activity_name", "Detail").label(DETAIL);
        return Some(b);
    }
    if let Some(rest) = after("Server listening on ") {
        let (here, _) = Peer::read(rest, false)?;
        let mut b = ssh(line, LISTEN, None)?;
        b.ip("dst_endpoint.ip", here.host);
        b.set_some("dst_endpoint.port", here.port.and_then(|p| p.parse::<u16>().ok()));
        return Some(b);
    }
    broken(line, text)
}

fn closed<'a>(line: &Line<'_, 'a>, activity: u8, user: &str, peer: Peer<'_>, reason: &str) -> Option<EventBuilder<'a>> {
    let mut b = ssh(line, activity, Some(peer))?;
    b.set("actor.user.name", user).set("status_detail", reason);
    if activity == REFUSE {
        b.success(false);
    }
    Some(b)
}

/// Clients that speak no SSH, names that do not resolve: scanners.
fn broken<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    let peer = if let Some(rest) = text.strip_prefix("reverse mapping checking getaddrinfo for ") {
        let (name, rest) = seek::cut(rest, b' ')?;
        let (ip, _) = rest.strip_prefix('[')?.split_once(']')?;
        let mut b = ssh(line, FAIL, Some(Peer { host: ip, port: None }))?;
        b.set("src_endpoint.hostname", name).label(DETAIL).success(false);
        return Some(b);
    } else if let Some(rest) = text.strip_prefix("Address ") {
        let (peer, rest) = Peer::read(rest, false)?;
        let name = rest.strip_prefix(" maps to ")?.split([',', ' ']).next();
        let mut b = ssh(line, FAIL, Some(peer))?;
        b.set_some("src_endpoint.hostname", name).label(DETAIL).success(false);
        return Some(b);
    } else if let Some(rest) = text.strip_prefix("Unable to negotiate with ") {
        Some(Peer::read(rest, false)?.0)
    } else if let Some(rest) = text.strip_prefix("Bad protocol version identification ") {
        quoted(rest)
            .and_then(|_| last_from(rest, false))
            .map(|(_, peer, _)| peer)
    } else if text.starts_with("Did not receive identification string") || text.starts_with("banner exchange: ") {
        last_from(text, false).map(|(_, peer, _)| peer)
    } else if seek::contains(text, "kex_exchange_identification: ") || seek::contains(text, "ssh_dispatch_run_fatal: ")
    {
        last_from(text, false).map(|(_, peer, _)| peer)
    } else {
        return None;
    };
    let mut b = ssh(line, FAIL, peer)?;
    b.success(false).set("status_detail", text);
    Some(b)
}

/// An SSH Activity; `None` where the line names neither end.
fn ssh<'a>(line: &Line<'_, 'a>, activity: u8, peer: Option<Peer<'_>>) -> Option<EventBuilder<'a>> {
    if line.host().is_none() && peer.is_none() {
        return None;
    }
    let mut b = line.event(&class::SSH_ACTIVITY, activity);
    if let Some(host) = line.host() {
        b.host("dst_endpoint", host);
    }
    if let Some(peer) = peer {
        peer.put(&mut b);
    }
    // What is other is a step on the way, and no success yet.
    if !matches!(activity, FAIL | REFUSE | OTHER) {
        b.success(true);
    }
    line.acting_process(&mut b);
    Some(b)
}
