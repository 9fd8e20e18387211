//! Who may see records, and not whose they are.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use harness::crm::{send, server};
use serde_json::{Value, json};

#[test]
fn a_reviewer_sees_no_people_whatever_they_ask() {
    let mut server = server();
    send(&server);
    let reviewer = server.token("reviewer", "works-council");
    let auditor = server.token("auditor", "ann");
    let call = |method: &str, path: &str, token: &str, body: &Value| {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("Content-Type", "application/json")];
        harness::request(server.http, method, path, Some(token), &headers, body.as_bytes()).unwrap()
    };
    let people = ["li.na", "desk", "other"];
    let none_in = |text: &str, what: &str| {
        for name in people {
            assert!(!text.contains(&format!("\"{name}\"")), "{name} in {what}: {text}");
        }
    };
    let aggs = |field: &str| json!({"q": "source:crm", "aggs": [{"terms": {"field": field}}]});
    let compared =
        json!({"q": "source:crm", "by": "user", "from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"});
    let terms = json!({"aggs": {"a": {"terms": {"field": "actor"}}}});
    let asked = [
        ("GET", "/api/v1/search?q=source:crm", Value::Null),
        ("GET", "/api/v1/search?q=source:crm&sort=host", Value::Null),
        ("GET", "/api/v1/records/local.crm/0/0", Value::Null),
        ("GET", "/api/v1/context/local.crm/0/1?same=all", Value::Null),
        ("GET", "/api/v1/timeline?ip=10.8.1.7", Value::Null),
        ("POST", "/api/v1/aggregate", aggs("user")),
        ("POST", "/api/v1/compare", compared),
        ("POST", "/_search", json!({"query": {"term": {"source": "crm"}}})),
        ("POST", "/_search", terms),
    ];
    for (method, path, body) in &asked {
        let (status, seen) = call(method, path, &auditor, body);
        assert!(status == 200 && seen.contains("li.na"), "{path}: {status} {seen}");
        let (status, seen) = call(method, path, &reviewer, body);
        assert!(status == 200 && seen.contains("person-"), "{path}: {status} {seen}");
        none_in(&seen, path);
        // The line itself tells of people, too.
        assert!(!seen.contains("event_id"), "{path}: {seen}");
    }
    // A person has the same word everywhere, and two have two.
    let count = |token: &str| {
        let (_, seen) = call("POST", "/api/v1/aggregate", token, &aggs("actor"));
        let seen: Value = serde_json::from_str(&seen).unwrap();
        let buckets = seen["aggs"][0]["buckets"].as_array().unwrap().clone();
        buckets.iter().map(|b| b["count"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(count(&reviewer), count(&auditor));
    // What is covered is proven all the same: the hash of the record, and its way into a checkpoint.
    let shown = |token: &str| {
        serde_json::from_str::<Value>(&call("GET", "/api/v1/records/local.crm/0/0", token, &Value::Null).1).unwrap()
    };
    let (whole, covered) = harness::await_some("a checkpoint", || {
        let (whole, covered) = (shown(&auditor), shown(&reviewer));
        (whole["proof"].is_object() && covered["proof"].is_object()).then_some((whole, covered))
    });
    assert!(covered["raw"].is_null() && covered["raw_base64"].is_null() && covered["proof"]["leaf"].is_null());
    assert_eq!(covered["proof"]["index"], whole["proof"]["index"]);
    assert_eq!(covered["proof"]["leaf_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(covered["time"], whole["time"]);
    // What may name people and is no field of people is not told at all; nor is what else an auditor may do.
    for (method, path, body) in [
        ("POST", "/api/v1/aggregate", aggs("raw")),
        ("POST", "/api/v1/aggregate", aggs("unmapped.anything")),
        ("GET", "/api/v1/search?sort=user", Value::Null),
        (
            "POST",
            "/_search",
            json!({"aggs": {"a": {"terms": {"field": "object"}}}}),
        ),
        ("POST", "/_search", json!({"sort": [{"actor": "asc"}]})),
        ("GET", "/api/v1/alerts", Value::Null),
        ("GET", "/api/v1/replay", Value::Null),
    ] {
        assert_eq!(call(method, path, &reviewer, &body).0, 403, "{path} {body}");
    }
    // An export is masked, whatever it asks for, and its manifest says so.
    let (status, job) = call(
        "POST",
        "/api/v1/exports",
        &reviewer,
        &json!({"q": "source:crm", "format": "ndjson", "mask": "secrets"}),
    );
    let job: Value = serde_json::from_str(&job).unwrap();
    assert_eq!((status, &job["export"]["mask"]), (200, &json!("personal")));
    let id = job["id"].as_str().unwrap();
    let (status, rows) = call("GET", &format!("/api/v1/exports/{id}/parts/0"), &reviewer, &Value::Null);
    assert!(status == 200 && rows.contains("person-"), "{rows}");
    none_in(&rows, "export");
    let (_, end) = call("POST", &format!("/api/v1/exports/{id}/finish"), &reviewer, &json!({}));
    assert!(end.contains("personal"), "{end}");
    server.stop();
}
