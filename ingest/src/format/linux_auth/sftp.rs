//! internal-sftp and sftp-server at log level VERBOSE: files that came and went.

use super::DETAIL;
use super::line::{Line, Peer, quoted};
use crate::builder::EventBuilder;
use crate::class;
use crate::format::host;
use crate::seek;
use model::Event;

const UPLOAD: u8 = 1;
const DOWNLOAD: u8 = 2;
const DELETE: u8 = 4;
const RENAME: u8 = 5;
const OPEN: u8 = 14;
const OTHER: u8 = 99;

pub(super) fn event<'a>(line: &Line<'_, 'a>) -> Option<Event<'a>> {
    let text = line.message;
    for (prefix, activity) in [
        ("session opened for local user ", 1),
        ("session closed for local user ", 2),
    ] {
        if let Some(rest) = text.strip_prefix(prefix) {
            return session(line, activity, rest).map(EventBuilder::finish);
        }
    }
    // Which request it answers is told by no line.
    if let Some(status) = text.strip_prefix("sent status ") {
        let mut b = line.event(&class::BASE_EVENT, OTHER);
        b.success(matches!(status, "Ok" | "Success" | "End of file"))
            .set("status_detail", status)
            .set("message", text);
        if let Some(named) = line.host() {
            host::machine(&mut b, named);
        }
        return Some(b.finish());
    }
    let (verb, rest) = seek::cut(text, b' ')?;
    let operand = rest
        .strip_prefix("name ")
        .or_else(|| rest.strip_prefix("old "))
        .unwrap_or(rest);
    let (path, after) = quoted(operand)?;
    let mut b = match verb {
        "open" => {
            let mut b = file(line, OPEN, path)?;
            b.set_some("unmapped.flags", after.trim().strip_prefix("flags "));
            b
        }
        "close" => close(line, path, after)?,
        "remove" => file(line, DELETE, path)?,
        "rename" | "posix-rename" => {
            let mut b = file(line, RENAME, path)?;
            if let Some((new, _)) = after.strip_prefix(" new ").and_then(quoted) {
                b.set("file_result.path", new)
                    .set("file_result.name", name_of(new))
                    .set("file_result.type_id", 1);
            }
            b
        }
        "mkdir" | "rmdir" | "symlink" | "link" | "hardlink" | "set" => {
            let mut b = file(line, OTHER, path)?;
            b.set("activity_name", verb);
            if matches!(verb, "mkdir" | "rmdir") {
                b.set("file.type_id", 2).word("file.type", "Folder");
            }
            if let Some((new, _)) = after.strip_prefix(" new ").and_then(quoted) {
                b.unmapped("new", new);
            }
            b
        }
        _ => return None,
    };
    b.success(true);
    Some(b.finish())
}

/// `close "P" bytes read N written M`: which way the bytes went.
fn close<'a>(line: &Line<'_, 'a>, path: &str, after: &str) -> Option<EventBuilder<'a>> {
    let (read, written) = after.trim().strip_prefix("bytes read ")?.split_once(" written ")?;
    let (read, written) = (read.parse::<i64>().ok()?, written.trim().parse::<i64>().ok()?);
    let (activity, size) = match (read, written) {
        (_, 1..) => (UPLOAD, written),
        (1.., _) => (DOWNLOAD, read),
        _ => (OTHER, 0),
    };
    let mut b = file(line, activity, path)?;
    b.set("file.size", size);
    if activity == OTHER {
        b.word("activity_name", "close").label(DETAIL);
    }
    Some(b)
}

fn session<'a>(line: &Line<'_, 'a>, activity: u8, rest: &str) -> Option<EventBuilder<'a>> {
    let (user, place) = rest.rsplit_once(" from [")?;
    let mut b = line.event(&class::SSH_ACTIVITY, activity);
    let host = place.trim_end_matches(']');
    Peer { host, port: None }.put(&mut b);
    if let Some(host) = line.host() {
        b.host("dst_endpoint", host);
    }
    b.success(true)
        .set("actor.user.name", user)
        .unmapped("session", "sftp")
        .label(DETAIL);
    Some(b)
}

fn file<'a>(line: &Line<'_, 'a>, activity: u8, path: &str) -> Option<EventBuilder<'a>> {
    // The line tells neither user nor address; its process is what the line that opened the session shares.
    let uid = line.process_uid()?;
    let mut b = line.event(&class::FILE_HOSTING, activity);
    b.set("file.name", name_of(path))
        .set("file.path", path)
        .set("file.type_id", 1)
        .word("file.type", "Regular File");
    b.set("src_endpoint.uid", uid.as_str()).set("actor.session.uid", uid);
    line.acting_process(&mut b);
    if let Some(host) = line.host() {
        b.host("dst_endpoint", host);
    }
    Some(b)
}

fn name_of(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit('/').next() {
        Some(name) if !name.is_empty() => name,
        _ if path.is_empty() => "-",
        _ => path,
    }
}
