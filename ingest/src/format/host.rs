//! The host that a record tells of.

use crate::builder::EventBuilder;

/// Puts a host at `device`, and as the account register's system `host:<name>`; where it is not known, `device.name`
/// is `-`, because the classes of category 1 demand a device.
pub(crate) fn device(b: &mut EventBuilder<'_>, host: Option<&str>) {
    match host.map(str::trim).filter(|h| !h.is_empty() && *h != "-") {
        Some(host) => {
            b.host("device", host);
            b.system_of("host:", host);
        }
        None => {
            b.word("device.name", "-");
        }
    }
    b.set("device.type_id", 0).word("device.type", "Unknown");
}

/// Puts a host at `device` where the record names one: `-` names none.
pub(crate) fn machine(b: &mut EventBuilder<'_>, host: &str) {
    b.host("device", host);
    if b.has("device") {
        b.set("device.type_id", 0);
    }
}

/// The last part of a path, of either kind of system; the whole where there is none.
pub(crate) fn file_name(path: &str) -> &str {
    let end = match path.as_bytes() {
        [.., b'/' | b'\\'] => path.trim_end_matches(['/', '\\']),
        _ => path,
    };
    let from = memchr::memrchr2(b'/', b'\\', end.as_bytes()).map_or(0, |at| at + 1);
    end.get(from..).filter(|n| !n.is_empty()).unwrap_or(path)
}

/// Puts a file with its name and type at `object`.
pub(crate) fn file(b: &mut EventBuilder<'_>, object: &'static str, path: &str, folder: bool) {
    if path.is_empty() {
        return;
    }
    let (id, kind) = if folder { (2, "Folder") } else { (1, "Regular File") };
    b.set_in(object, "path", path)
        .set_in(object, "name", file_name(path))
        .set_in(object, "type_id", id)
        .set_in(object, "type", kind);
}
