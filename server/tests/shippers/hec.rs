//! Splunk's HTTP event collector.

use serde_json::{Value, json};

use super::harness::{Server, connect, exchange};
use super::{post, texts};

pub const CHANNEL: (&str, &str) = ("X-Splunk-Request-Channel", "FE0ECFAD-13D5-401B-847D-77833BD77131");

#[test]
fn hec_takes_events_and_tells_which_are_durable() {
    let mut server = Server::new("[hec]\nsource = \"splunk\"\n");
    server.start();
    let splunk = format!("Splunk {}", server.token("shipper", "uf"));
    let auditor = format!("Splunk {}", server.token("auditor", "a"));
    let headers = [("Authorization", &*splunk), CHANNEL];

    let events = r#"{"time":1700000000.5,"host":"h","source":"/var/log/x","sourcetype":"st","fields":{"k":"v"},"event":"<13>a \"line\"\n"}
                    {"event":{"user": "root"},"index":"bastion"}"#;
    let first = post(&server, "/services/collector/event", &headers, events.as_bytes());
    assert_eq!(first.json(), json!({"text": "Success", "code": 0, "ackId": 0}));
    let raw = b"one\ntwo\n";
    let second = post(&server, "/services/collector/raw?host=h2&index=bastion", &headers, raw);
    assert_eq!(second.json()["ackId"], 1);
    let without = post(&server, "/services/collector", &headers[..1], b"{\"event\": 1}");
    assert_eq!(without.json(), json!({"text": "Success", "code": 0}));

    let kept = server.records("splunk");
    assert_eq!(kept[0].payload, "<13>a \"line\"\n");
    let envelope: Value = serde_json::from_slice(&kept[0].headers[0].1).unwrap();
    assert_eq!(kept[0].headers[0].0, "docket-hec");
    assert_eq!(
        envelope,
        json!({"time": 1700000000.5, "host": "h", "source": "/var/log/x", "sourcetype": "st", "fields": {"k": "v"}})
    );
    assert_eq!(kept[1].payload, "1");
    assert_eq!(texts(&server, "bastion"), ["{\"user\": \"root\"}", "one", "two"]);

    let acks = |path: &str| post(&server, path, &headers, b"{\"acks\":[0,1,2]}").json();
    assert_eq!(
        acks("/services/collector/ack"),
        json!({"acks": {"0": true, "1": true, "2": false}})
    );
    assert_eq!(
        acks("/services/collector/ack"),
        json!({"acks": {"0": false, "1": false, "2": false}})
    );

    let cases: [(&[(&str, &str)], &str, &[u8], u16, u64); 8] = [
        (&[], "/services/collector", b"{\"event\":1}", 401, 2),
        (
            &[("Authorization", "Splunk dkt_0")],
            "/services/collector",
            b"{\"event\":1}",
            403,
            4,
        ),
        (
            &[("Authorization", &auditor)],
            "/services/collector",
            b"{\"event\":1}",
            403,
            4,
        ),
        (&headers, "/services/collector", b"", 400, 5),
        (&headers, "/services/collector", b"{\"event\":1}{", 400, 6),
        (
            &headers,
            "/services/collector",
            b"{\"event\":1,\"index\":\"docket\"}",
            400,
            7,
        ),
        (&headers, "/services/collector", b"{\"event\":1}{\"time\":1}", 400, 12),
        (&headers[..1], "/services/collector/ack", b"{\"acks\":[0]}", 400, 10),
    ];
    for (headers, path, body, status, code) in cases {
        let answer = post(&server, path, headers, body);
        assert_eq!(
            (answer.status, answer.json()["code"].as_u64()),
            (status, Some(code)),
            "{answer:?}"
        );
    }
    assert_eq!(
        server.records("splunk").len(),
        2,
        "nothing of a request that was refused"
    );
    let health = exchange(
        connect(server.http).unwrap(),
        "GET",
        "/services/collector/health",
        &[],
        b"",
    )
    .unwrap();
    assert_eq!((health.status, health.json()["code"].as_u64()), (200, Some(17)));
}
