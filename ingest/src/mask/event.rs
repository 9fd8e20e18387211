//! Whole events: by the fields' names too, and what is a secret in one field in all of them.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::{MASK, mask, secrets_of};

/// Names of fields whose text is a secret.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "accesskey",
    "private_key",
    "credential",
    "密码",
    "口令",
];
/// Endings of names whose text is a secret: `token_type` and `pwd_changed` are none.
const ENDINGS: &[&str] = &["token", "pwd"];
/// A shorter secret is hidden only where it stands as one: elsewhere it may be any word.
const HIDDEN_MIN: usize = 4;
/// Secrets of one event that are looked for in its other fields.
const HIDDEN_MAX: usize = 64;

/// Masks every text of an event for those who may not see the record. Events are of bounded depth.
pub fn event(event: &mut Value) {
    let mut found = Vec::new();
    gather(event, &mut found);
    found.retain(|s| s.len() >= HIDDEN_MIN && s != MASK);
    found.sort_by_key(|s| std::cmp::Reverse(s.len()));
    found.dedup();
    found.truncate(HIDDEN_MAX);
    apply(event, &found);
}

/// Whether what stands in a field of that name is a secret, whatever it looks like.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.rsplit('.').next().unwrap_or(name);
    // Where somebody is, as shells say it.
    if name == "PWD" || name.len() > 64 {
        return false;
    }
    let name = name.to_lowercase();
    NAMES.iter().any(|n| name.contains(n)) && !name.ends_with("name") || ENDINGS.iter().any(|n| name.ends_with(n))
}

/// The text with these secrets masked wherever they stand, also as the kernel writes arguments: hexadecimal.
#[must_use]
pub fn hide<'t>(text: &'t str, secrets: &[String]) -> Cow<'t, str> {
    let mut out = Cow::Borrowed(text);
    for secret in secrets.iter().filter(|s| s.len() >= HIDDEN_MIN) {
        if out.contains(secret.as_str()) {
            out = Cow::Owned(out.replace(secret.as_str(), MASK));
        }
        if out.len() > secret.len() * 2 {
            let mut hex = String::with_capacity(secret.len() * 2);
            for byte in secret.bytes() {
                let _ = write!(hex, "{byte:02X}");
            }
            if out.contains(&hex) {
                out = Cow::Owned(out.replace(&hex, MASK));
            }
        }
    }
    out
}

fn gather(value: &Value, found: &mut Vec<String>) {
    if found.len() > HIDDEN_MAX {
        return;
    }
    match value {
        Value::String(text) => secrets_of(text, found),
        Value::Array(items) => items.iter().for_each(|v| gather(v, found)),
        Value::Object(fields) => fields.values().for_each(|v| gather(v, found)),
        _ => {}
    }
}

fn apply(value: &mut Value, secrets: &[String]) {
    match value {
        Value::String(text) => {
            let masked = mask(text);
            let hidden = hide(&masked, secrets);
            if let (Cow::Owned(_), _) | (_, Cow::Owned(_)) = (&masked, &hidden) {
                *text = hidden.into_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| apply(v, secrets)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if !text.is_empty() && is_secret_name(name) => MASK.clone_into(text),
                    value => apply(value, secrets),
                }
            }
        }
        _ => {}
    }
}
