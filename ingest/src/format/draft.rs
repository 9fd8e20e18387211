//! What the newer formats do alike in filling an event: times that are UTC without saying so, sources that are an address or
//! a name, and, where the source says nothing of what the schema demands, `unknown`.

use std::borrow::Cow;

use model::value::{is_same, tag};
use model::{Arena, Object, Value};
use serde_json::json;

use crate::builder::{EventBuilder, address};
use crate::fields::{Fields, scalar};
use crate::format::Input;
use crate::seek;

/// Takes the time as [`EventBuilder::time_of`]; one without a zone is UTC, as the source's documentation says, with the
/// label `time.zone_assumed`.
pub(crate) fn utc<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, value: Option<&Value<'a>>) -> bool {
    let Some(value) = value else { return false };
    let Some(text) = value.as_str().filter(|t| is_bare(t)) else {
        return b.time_of(input, value);
    };
    let taken = b.time_of(input, &Value::String(&format!("{text}Z")));
    b.metadata("original_time", text);
    if taken {
        b.label("time.zone_assumed");
    }
    taken
}

/// `2026-03-02 14:06:33` or `2026-03-02T14:06:33.123`: nothing after the seconds.
fn is_bare(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 19
        && bytes[4] == b'-'
        && matches!(bytes[10], b'T' | b' ')
        && bytes[11..]
            .iter()
            .all(|c| c.is_ascii_digit() || matches!(c, b':' | b'.'))
}

/// Where it came from: an address, or else a service's name.
pub(crate) fn source(b: &mut EventBuilder<'_>, text: Option<Cow<'_, str>>) {
    let Some(text) = text else { return };
    let text = seek::trim(&text);
    if address(text).0.is_some() || text.starts_with(|c: char| c.is_ascii_digit()) {
        b.ip("src_endpoint.ip", text);
    } else if !text.is_empty() && text != "-" {
        b.set("src_endpoint.svc_name", text);
    }
}

/// A whole number as the schema's `integer_t` has room for.
pub(crate) fn int32(fields: Fields<'_>, path: &str) -> Option<i32> {
    i32::try_from(fields.int(path)?).ok()
}

/// A port, as a number or in text.
pub(crate) fn port(fields: Fields<'_>, path: &str) -> Option<u16> {
    u16::try_from(fields.int(path)?).ok()
}

/// The schema wants an object here.
pub(crate) fn object<'a>(arena: &'a Arena, value: Value<'a>) -> Value<'a> {
    if value.is_object() {
        value
    } else {
        Value::Object(arena.object(&[("value", value)]))
    }
}

/// The scalars of a list, or the one that stands in its place.
pub(crate) fn texts(value: Option<&Value<'_>>) -> Vec<String> {
    scalars(value).map(Cow::into_owned).collect()
}

/// As [`texts`].
pub(crate) fn scalars<'v>(value: Option<&'v Value<'_>>) -> impl Iterator<Item = Cow<'v, str>> {
    let items = match value {
        Some(Value::Array(items)) => *items,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    items.iter().filter_map(scalar).take(ITEMS_MAX)
}

/// Items of a list that are named one by one.
pub(crate) const ITEMS_MAX: usize = 100;

/// Keeps every field that is not in `read`.
pub(crate) fn keep_rest<'a>(b: &mut EventBuilder<'a>, object: Object<'a>, read: &Names) {
    for (name, value) in object {
        if !read.contains(name) {
            b.unmapped(name, value);
        }
    }
}

/// Names that a format knows, told by their tags from others.
pub(crate) struct Names {
    names: &'static [&'static str],
    tags: [u64; 4],
}

impl Names {
    /// These names.
    pub(crate) const fn new(names: &'static [&'static str]) -> Names {
        let mut tags = [0; 4];
        let mut n = 0;
        while n < names.len() {
            let tag = tag(names[n]) as usize;
            tags[tag / 64] |= 1 << (tag % 64);
            n += 1;
        }
        Names { names, tags }
    }

    /// Whether it is one of them.
    #[inline]
    pub(crate) fn contains(&self, name: &str) -> bool {
        let tag = usize::from(tag(name));
        self.tags[tag / 64] & 1 << (tag % 64) != 0 && self.names.iter().any(|n| is_same(n, name))
    }
}

/// What the class demands and nobody said is `unknown`. What that is follows from the paths that have values, so that it is worked
/// out once for all events that were filled alike.
pub(crate) fn complete(b: &mut EventBuilder<'_>) {
    if let Some(begun) = b.replay(b.class_uid()) {
        demand(b);
        b.remember(begun, &["unknown"]);
    }
}

fn demand(b: &mut EventBuilder<'_>) {
    let lacking: &[(&'static str, &'static str)] = match b.class_uid() {
        1001 => &[
            ("actor", "actor.user.name"),
            ("device", "device.name"),
            ("file.name", "file.name"),
        ],
        1007 => &[
            ("actor", "actor.user.name"),
            ("device", "device.name"),
            ("process", "process.uid"),
        ],
        1008 => &[("log_name", "log_name")],
        3001 => &[("user", "user.name")],
        3002 => &[("user", "user.name"), ("service", "service.name")],
        3004 => &[("entity", "entity.name")],
        3005 => &[("user", "user.name")],
        3006 => &[("group", "group.name")],
        4001 | 4005 | 4007 => &[("src_endpoint", "src_endpoint.name")],
        6003 => &[
            ("actor", "actor.user.name"),
            ("src_endpoint", "src_endpoint.name"),
            ("api.operation", "api.operation"),
        ],
        6005 => &[
            ("actor", "actor.user.name"),
            ("src_endpoint", "src_endpoint.name"),
            ("database", "database.name"),
        ],
        6006 => &[
            ("actor", "actor.user.name"),
            ("src_endpoint", "src_endpoint.name"),
            ("file.name", "file.name"),
        ],
        _ => &[],
    };
    for (what, path) in lacking {
        if !b.has(what) {
            b.set(path, "unknown");
        }
    }
    for (object, path) in [("device", "device.type_id"), ("database", "database.type_id")] {
        if b.has(object) && !b.has(path) {
            b.set(path, 0);
        }
    }
    if b.has("file") && !b.has("file.type_id") {
        b.set("file.type_id", 0);
    }
    // A list that must be there, and objects that hold no name yet.
    if b.class_uid() == 3005 && !b.has("privileges") {
        b.set("privileges", json!(["unknown"]));
    }
    if b.class_uid() == 6001 && !b.has("web_resources") {
        b.set("web_resources", json!([{"name": "unknown"}]));
    }
    for user in ["user", "actor.user"] {
        let named = |b: &EventBuilder<'_>| ["name", "uid", "account"].iter().any(|n| b.has_in(user, n));
        if b.has(user) && !named(b) {
            b.set_in(user, "name", "unknown");
        }
    }
    for endpoint in ["src_endpoint", "dst_endpoint", "device"] {
        let names = ["ip", "uid", "name", "hostname", "svc_name", "domain"];
        if b.has(endpoint) && !names.iter().any(|n| b.has_in(endpoint, n)) {
            b.set_in(endpoint, "name", "unknown");
        }
    }
    let actors = ["user", "session", "invoked_by", "process"];
    if b.has("actor") && !actors.iter().any(|n| b.has_in("actor", n)) {
        b.word("actor.user.name", "unknown");
    }
    for object in ["entity", "group", "database", "service"] {
        if b.has(object) && !b.has_in(object, "name") && !b.has_in(object, "uid") {
            b.set_in(object, "name", "unknown");
        }
    }
    if b.has("api.request") && !b.has("api.request.uid") {
        b.word("api.request.uid", "unknown");
    }
}

/// The last part of a path; `unknown` of an empty one.
pub(crate) fn file_name(path: &str) -> &str {
    let name = path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next();
    name.filter(|n| !n.is_empty())
        .unwrap_or(if path.is_empty() { "unknown" } else { path })
}

/// Puts the file of that path.
pub(crate) fn file(b: &mut EventBuilder<'_>, at: &'static str, path: &str, type_id: u8) {
    b.set_in(at, "name", file_name(path))
        .set_in(at, "path", path)
        .set_in(at, "type_id", type_id);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_anything_after_its_seconds_is_bare() {
        for (text, bare) in [
            ("2026-03-02 14:06:33", true),
            ("2026-03-02T14:06:33.123", true),
            ("2026-03-02T14:06:33Z", false),
            ("2026-03-02 14:06:33 +0800", false),
            ("2026-03-02", false),
            ("Mar  2 22:53:12 2026", false),
        ] {
            assert_eq!(is_bare(text), bare, "{text}");
        }
    }

    #[test]
    fn a_file_has_a_name() {
        for (path, name) in [
            ("/a/b", "b"),
            ("/a/b/", "b"),
            ("C:\\x\\y.txt", "y.txt"),
            ("/", "/"),
            ("", "unknown"),
        ] {
            assert_eq!(file_name(path), name, "{path}");
        }
    }
}
