//! `GET /api/v1/openapi.json`: the API, described (OpenAPI 3.1). Anybody may read it.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("openapi.json");

/// The document.
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let routes: BTreeSet<String> = include_str!("../api.rs")
            .split(".route(")
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .filter(|path| path.starts_with("/api/v1/"))
            .map(|path| path.replace("{*", "{"))
            .collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        fn each(value: &Value, seen: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    seen.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|v| each(v, seen));
                }
                Value::Array(items) => items.iter().for_each(|v| each(v, seen)),
                _ => {}
            }
        }
        let mut seen = Vec::new();
        each(&document, &mut seen);
        assert!(!seen.is_empty());
        for reference in seen {
            assert!(
                document.pointer(reference.trim_start_matches('#')).is_some(),
                "{reference}"
            );
        }
    }
}
