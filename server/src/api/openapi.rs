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

    /// What shippers speak is described by those who made it.
    const OF_SHIPPERS: &[&str] = &["_bulk", "/services/"];

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            described.extend(methods.as_object().unwrap().keys().map(|m| format!("{m} {path}")));
        }
        let mut routes = BTreeSet::new();
        let source = include_str!("../api.rs");
        let router = source.split("pub fn otlp_router").next().unwrap();
        for route in router.split(".route(").skip(1) {
            let Some((path, handlers)) = route.trim_start().strip_prefix('"').and_then(|r| r.split_once('"')) else {
                continue;
            };
            if OF_SHIPPERS.iter().any(|of| path.contains(of)) {
                continue;
            }
            for method in ["get", "post", "put", "delete"] {
                let of = |begin: &str| handlers.contains(&format!("{begin}{method}("));
                if of(" ") || of(".") {
                    routes.insert(format!("{method} {}", path.replace("{*", "{")));
                }
            }
        }
        assert!(routes.contains("delete /api/v1/queries/{id}") && routes.len() > 50);
        assert_eq!(described, routes);
    }

    #[test]
    fn every_part_of_a_path_is_a_parameter() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let named: BTreeSet<&str> = path.split('{').skip(1).filter_map(|p| p.split('}').next()).collect();
                let all = operation["parameters"].as_array().into_iter().flatten();
                let of_path: BTreeSet<&str> = all
                    .filter(|p| p["in"] == "path")
                    .filter_map(|p| p["name"].as_str())
                    .collect();
                assert_eq!(named, of_path, "{method} {path}");
            }
        }
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
