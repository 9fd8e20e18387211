//! The words of a mapping file.

use crate::class::{self, Class};

/// Settings at the top.
pub(super) const TOP: &[&str] = &["name", "vendor", "system", "zone", "description"];

/// Section, key, and where the value stands in the application audit event.
pub(super) const FIELDS: &[(&str, &str, &[&str])] = &[
    ("event", "id", &["event_id"]),
    ("event", "module", &["module"]),
    ("actor", "account", &["actor", "account"]),
    ("actor", "employee_id", &["actor", "employee_id"]),
    ("actor", "name", &["actor", "name"]),
    ("actor", "department", &["actor", "dept"]),
    ("actor", "role", &["actor", "role"]),
    ("target", "account", &["target", "account"]),
    ("target", "privileges", &["after", "roles"]),
    ("target", "on_behalf_of", &["actor", "on_behalf_of"]),
    ("source", "address", &["source", "ip"]),
    ("source", "port", &["source", "port"]),
    ("source", "device", &["source", "device_id"]),
    ("source", "user_agent", &["source", "user_agent"]),
    ("session", "id", &["session_id"]),
    ("session", "request", &["request_id"]),
    ("session", "trace", &["trace_id"]),
    ("result", "code", &["error_code"]),
    ("result", "reason", &["reason"]),
    ("resource", "type", &["object", "type"]),
    ("resource", "id", &["object", "id"]),
    ("resource", "name", &["object", "name"]),
    ("resource", "ids", &["object", "ids"]),
    ("resource", "count", &["object", "count"]),
    ("resource", "fields", &["object", "fields"]),
    ("resource", "before", &["before"]),
    ("resource", "after", &["after"]),
    ("data", "level", &["object", "level"]),
    ("data", "personal", &["object", "personal"]),
    ("data", "masked", &["masked"]),
    ("data", "rows", &["rows"]),
    ("data", "bytes", &["bytes"]),
    ("data", "file", &["file", "name"]),
    ("data", "sha256", &["file", "sha256"]),
    ("ticket", "id", &["ticket", "id"]),
    ("ticket", "type", &["ticket", "type"]),
];

/// Sections that have keys of another kind too.
pub(super) const TIME: &[&str] = &["from", "form"];
pub(super) const ACTION: &[&str] = &["from", "values", "default"];
pub(super) const RESULT: &[&str] = &["from", "success", "failure", "denied", "partial", "missing"];
/// What a value may be as a table.
pub(super) const RULE: &[&str] = &["from", "constant", "values", "default"];
/// How a result went.
pub(super) const OUTCOMES: &[&str] = &["success", "failure", "denied", "partial"];
/// Forms of a time that have a name.
pub(super) const FORMS: &[&str] = &["auto", "seconds", "milliseconds", "microseconds", "nanoseconds"];
/// What `data.level` and `data.personal` may be.
pub(super) const LEVELS: &[&str] = &["L1", "L2", "L3", "L4"];
pub(super) const PERSONAL: &[&str] = &["none", "general", "sensitive"];

/// Classes that an action may be given by number.
pub(super) static CLASSES: &[&Class] = &[
    &class::ACCOUNT_CHANGE,
    &class::AUTHENTICATION,
    &class::ENTITY_MANAGEMENT,
    &class::USER_ACCESS,
    &class::WEB_RESOURCES_ACTIVITY,
];

/// Every section.
pub(super) fn sections() -> Vec<&'static str> {
    let mut all = vec!["time", "action"];
    all.extend(FIELDS.iter().map(|(section, ..)| *section));
    all.dedup();
    all.sort_unstable();
    all.dedup();
    all
}

/// The keys of a section.
pub(super) fn keys(section: &str) -> Vec<&'static str> {
    let mut keys: Vec<&str> = match section {
        "time" => TIME.to_vec(),
        "action" => ACTION.to_vec(),
        "result" => RESULT.to_vec(),
        _ => Vec::new(),
    };
    keys.extend(FIELDS.iter().filter(|(s, ..)| *s == section).map(|(_, key, _)| *key));
    keys
}

/// The word of these that is meant by one with a slip or two in it.
pub(super) fn nearest<'w>(given: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
    const BYTES_MAX: usize = 60;
    if given.len() > BYTES_MAX {
        return None;
    }
    let given = given.to_lowercase();
    let allowed = (given.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&given, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word.to_owned())
}
