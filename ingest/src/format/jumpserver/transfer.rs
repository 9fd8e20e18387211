//! `ftp_log`: a file carried through the bastion (SFTP, web file manager, RDP drive).
//!
//! `file.path` is the file on the target; of a rename `old=>new`, `file` is the old and `file_result` the new one.

use super::{asset, choice_text, keep, person, set_account, set_session, source_address, time};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::Input;
use crate::seek;

pub(super) fn class(fields: Fields<'_>) -> (&'static Class, u8) {
    let activity = match choice_text(fields, "operate").unwrap_or_default().as_ref() {
        "upload" => 1,
        "download" => 2,
        "delete" => 4,
        "rename" | "rename_dir" => 5,
        _ => 99,
    };
    (&class::FILE_HOSTING, activity)
}

pub(super) fn build<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    time(b, input, fields, &["date_start"]);
    b.success(fields.bool("is_success") != Some(false));
    let operate = choice_text(fields, "operate").unwrap_or_default();
    if class(fields).1 == 99 {
        b.set("activity_name", if operate.is_empty() { "Other" } else { &*operate });
    }
    let type_id = match &*operate {
        "mkdir" | "rmdir" | "rename_dir" => 2,
        "symlink" => 7,
        _ => 1,
    };
    let name = fields.text("filename").unwrap_or_default();
    match seek::split_once(&name, "=>") {
        Some((old, new)) if operate.starts_with("rename") => {
            file(b, "file", old.trim(), type_id);
            file(b, "file_result", new.trim(), type_id);
        }
        _ => file(b, "file", &name, type_id),
    }
    match fields.text("user") {
        Some(user) => person(b, "actor.user", &user),
        None => drop(b.word("actor.user.name", "unknown")),
    }
    if let Some(session) = fields.text("session") {
        set_session(b, &session);
    }
    source_address(b, fields.text("remote_addr").as_deref());
    if let Some(target) = fields.text("asset") {
        asset(b, "dst_endpoint", &target);
    }
    set_account(b, fields);
    keep(b, fields, &["asset", "operate", "has_file"]);
}

fn file(b: &mut EventBuilder<'_>, object: &'static str, path: &str, type_id: u8) {
    let base = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .filter(|n| !n.is_empty())
        .unwrap_or(path);
    b.set_in(object, "name", if base.is_empty() { "unknown" } else { base });
    b.set_in(object, "path", path).set_in(object, "type_id", type_id);
}
