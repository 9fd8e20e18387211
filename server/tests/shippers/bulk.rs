//! Elasticsearch's `_bulk`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::harness::Server;
use super::{ask, post, texts};

#[test]
fn bulk_answers_each_item_in_order() {
    let mut server = Server::new("[bulk.sources]\n\"app-*\" = \"web\"\n");
    server.start();
    let token = server.token("shipper", "beat");
    let basic = format!("Basic {}", BASE64.encode(format!("elastic:{token}")));
    let key = format!("ApiKey {}", BASE64.encode(format!("id:{token}")));

    // What Filebeat, Logstash, Fluent Bit and Vector ask first.
    assert_eq!(ask(&server, "GET", "/", "Basic eDp5").status, 401);
    let root = ask(&server, "GET", "/", &key);
    assert_eq!(root.json()["version"]["number"], "8.19.0");
    assert!(root.head.contains("x-elastic-product: elasticsearch"), "{}", root.head);
    for (method, path) in [
        ("HEAD", "/"),
        ("GET", "/_license"),
        ("GET", "/_xpack"),
        ("GET", "/_cluster/health"),
        ("GET", "/_nodes/http"),
        ("GET", "/_ilm/policy/filebeat"),
        ("PUT", "/_ilm/policy/filebeat"),
        ("HEAD", "/_index_template/filebeat-8.19.0"),
        ("PUT", "/_index_template/filebeat-8.19.0"),
        ("GET", "/_cat/templates/filebeat"),
        ("PUT", "/_template/logstash"),
        ("GET", "/_data_stream/filebeat-8.19.0"),
    ] {
        assert_eq!(ask(&server, method, path, &basic).status, 200, "{method} {path}");
    }
    assert_eq!(
        ask(&server, "GET", "/_license", &basic).json()["license"]["status"],
        "active"
    );

    let body = "{\"create\":{\"_index\":\"filebeat-8.19.0-2026.11.22\"}}\n{\"message\": \"one\"}\n\
                {\"delete\":{\"_index\":\"x\",\"_id\":\"1\"}}\n\
                {\"index\":{\"_index\":\"app-2\",\"_id\":\"7\"}}\nnot json \u{1b}\n\
                {\"create\":{\"_index\":\"docket\"}}\n{}\n\
                {\"create\":{}}\n{\"message\": \"no index\"}\n\
                {\"create\":{\"_index\":\"app-1\"}}\n{\"message\":\"two\"}\n";
    let packed = zstd::encode_all(body.as_bytes(), 3).unwrap();
    let headers = [("Authorization", &*basic), ("Content-Encoding", "zstd")];
    let answer = post(&server, "/_bulk?filter_path=errors", &headers, &packed).json();
    assert_eq!(answer["errors"], true);
    let statuses: Vec<(String, u64)> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_object().unwrap().iter().next().unwrap())
        .map(|(operation, result)| (operation.clone(), result["status"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("create", 201),
        ("delete", 400),
        ("index", 201),
        ("create", 400),
        ("create", 400),
        ("create", 201),
    ];
    assert_eq!(statuses, expected.map(|(o, s)| (o.to_owned(), s)));
    assert_eq!(answer["items"][2]["index"]["_id"], "7");
    assert_eq!(texts(&server, "filebeat-8.19.0"), ["{\"message\": \"one\"}"]);
    assert_eq!(texts(&server, "web"), ["not json \u{1b}", "{\"message\":\"two\"}"]);

    let headers = [("Authorization", &*key)];
    let answer = post(&server, "/crm-2026.11/_bulk", &headers, b"{\"create\":{}}\n{\"a\":1}").json();
    assert_eq!((&answer["errors"], texts(&server, "crm").len()), (&json!(false), 1));
    let answer = post(
        &server,
        "/_bulk",
        &headers,
        b"{\"create\":{\"_index\":\"crm\"}}\n{}\nno action\n",
    );
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(
        answer.body.contains("line [3]") && texts(&server, "crm").len() == 1,
        "{answer:?}"
    );
}
