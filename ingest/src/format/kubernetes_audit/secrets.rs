//! Bodies without the values of Secrets.

use model::{Arena, Value};

use crate::json;
use crate::mask::MASK;

/// A body without the values of Secrets; `None`: it has none, as nearly every body.
pub(super) fn masked<'a>(arena: &'a Arena, body: &Value<'_>) -> Option<Value<'a>> {
    if !has_secrets(body) {
        return None;
    }
    let mut body = body.to_json();
    mask_secrets(&mut body, 0);
    Some(arena.value(&body))
}

// Recursion is bounded by `json::DEPTH_MAX`.
fn has_secrets(body: &Value<'_>) -> bool {
    match body {
        Value::Array(items) => items.iter().any(has_secrets),
        Value::Object(object) => {
            let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
            matches!(kind, "Secret" | "SecretList" | "TokenRequest") || object.values().any(has_secrets)
        }
        _ => false,
    }
}

/// The values of a Secret, wherever in a body it is (lists hold several; a kubectl annotation holds it whole).
// Recursion is bounded by `json::DEPTH_MAX`.
fn mask_secrets(body: &mut serde_json::Value, depth: usize) {
    use serde_json::Value;

    if depth > json::DEPTH_MAX {
        return;
    }
    match body {
        Value::Array(items) => items.iter_mut().for_each(|i| mask_secrets(i, depth + 1)),
        Value::Object(object) => {
            let kind = object
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            match &*kind {
                "Secret" => mask_values(object),
                "SecretList" => {
                    let items = object.get_mut("items").and_then(Value::as_array_mut);
                    let items = items.into_iter().flatten().filter_map(Value::as_object_mut);
                    items.for_each(mask_values);
                }
                "TokenRequest" => {
                    if let Some(token) = object.get_mut("status").and_then(|s| s.get_mut("token")) {
                        *token = MASK.into();
                    }
                }
                _ => {}
            }
            object.values_mut().for_each(|v| mask_secrets(v, depth + 1));
        }
        _ => {}
    }
}

fn mask_values(secret: &mut serde_json::Map<String, serde_json::Value>) {
    use serde_json::Value;

    for name in ["data", "stringData"] {
        match secret.get_mut(name) {
            Some(Value::Object(values)) => values.values_mut().for_each(|v| *v = MASK.into()),
            Some(Value::Null) | None => {}
            Some(other) => *other = MASK.into(),
        }
    }
    if let Some(last) = secret
        .get_mut("metadata")
        .and_then(|m| m.get_mut("annotations"))
        .and_then(|a| a.get_mut("kubectl.kubernetes.io/last-applied-configuration"))
    {
        *last = MASK.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_it_is() {
        let mut body = json!({"kind": "List", "items": [
            {"kind": "Secret", "data": {"a": "cGFzcw=="}, "stringData": {"b": "pass"}},
            {"kind": "ConfigMap", "data": {"a": "open"}}]});
        mask_secrets(&mut body, 0);
        assert_eq!(
            body["items"],
            json!([{"kind": "Secret", "data": {"a": "***"}, "stringData": {"b": "***"}},
                   {"kind": "ConfigMap", "data": {"a": "open"}}])
        );
        let mut list = json!({"kind": "SecretList", "items": [{"data": {"a": "x"}}]});
        mask_secrets(&mut list, 0);
        assert_eq!(list["items"][0]["data"]["a"], "***");
    }
}
