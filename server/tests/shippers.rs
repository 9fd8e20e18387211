//! The endpoints that shippers know: Elasticsearch's `_bulk`, Splunk's HEC, OTLP; tokens by source, batches sent
//! again, back-pressure, and kills in the middle.

mod harness;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use harness::{Answer, Server, await_some, connect, exchange, free_port};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use serde_json::{Value, json};
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

const CHANNEL: (&str, &str) = ("X-Splunk-Request-Channel", "FE0ECFAD-13D5-401B-847D-77833BD77131");

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    exchange(connect(server.http).unwrap(), "POST", path, headers, body).unwrap()
}

fn ask(server: &Server, method: &str, path: &str, authorization: &str) -> Answer {
    let headers = [("Authorization", authorization)];
    exchange(connect(server.http).unwrap(), method, path, &headers, b"").unwrap()
}

fn texts(server: &Server, source: &str) -> Vec<String> {
    let text = |r: model::RawRecord| String::from_utf8_lossy(&r.payload).into_owned();
    server.records(source).into_iter().map(text).collect()
}

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

/// Log records with these bodies, of a service.
fn otlp(service: &str, bodies: &[String]) -> ExportLogsServiceRequest {
    let text = |t: &str| {
        Some(AnyValue {
            value: Some(any_value::Value::StringValue(t.to_owned())),
        })
    };
    let record = |body: &String| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_001,
        trace_id: vec![7; 16],
        body: text(body),
        ..LogRecord::default()
    };
    let scope_logs = ScopeLogs {
        scope: Some(InstrumentationScope {
            name: "scope".into(),
            ..InstrumentationScope::default()
        }),
        log_records: bodies.iter().map(record).collect(),
        ..ScopeLogs::default()
    };
    let attribute = KeyValue {
        key: "service.name".into(),
        value: text(service),
        ..KeyValue::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![attribute],
                ..Resource::default()
            }),
            scope_logs: vec![scope_logs],
            ..ResourceLogs::default()
        }],
    }
}

#[test]
fn otlp_over_http_and_grpc() {
    let grpc = free_port();
    let mut server = Server::new(&format!(
        "[otlp]\ngrpc = \"127.0.0.1:{grpc}\"\nsource_attribute = \"service.name\"\n"
    ));
    server.start();
    let bearer = format!("Bearer {}", server.token("shipper", "collector"));
    let limited = format!("Bearer {}", server.token_for("crm-only", &["crm"]));
    let request = otlp("crm", &["first".into(), "second".into()]);

    let headers = [("Authorization", &*bearer), ("Content-Type", "application/x-protobuf")];
    let answer = post(&server, "/v1/logs", &headers, &request.encode_to_vec());
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let kept = texts(&server, "crm");
    assert_eq!(kept.len(), 2);
    for (text, n) in kept.iter().zip(0..) {
        let mut one = request.clone();
        one.resource_logs[0].scope_logs[0].log_records =
            vec![request.resource_logs[0].scope_logs[0].log_records[n].clone()];
        assert_eq!(serde_json::from_str::<ExportLogsServiceRequest>(text).unwrap(), one);
    }

    // JSON, gzipped, of two services; one of them is not the token's.
    let mut both = otlp("crm", &["third".into()]);
    both.resource_logs
        .extend(otlp("erp", &["not mine".into()]).resource_logs);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&serde_json::to_vec(&both).unwrap()).unwrap();
    let json_headers = [
        ("Authorization", &*limited),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
    ];
    let answer = post(&server, "/v1/logs", &json_headers, &packed.finish().unwrap()).json();
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1", "{answer}");
    assert_eq!((texts(&server, "crm").len(), texts(&server, "erp").len()), (3, 0));
    let elsewhere = [json_headers[0], json_headers[1], ("X-Docket-Source", "erp")];
    let answer = post(&server, "/v1/logs", &elsewhere, &serde_json::to_vec(&both).unwrap());
    assert_eq!(answer.status, 403, "{answer:?}");

    for (headers, body, status) in [
        (&headers[1..], &b""[..], 401),
        (&headers[..], b"\xff\xff", 400),
        (&[headers[0], ("Content-Type", "text/plain")], b"", 415),
        (&[headers[0], json_headers[1]], b"[", 400),
    ] {
        assert_eq!(post(&server, "/v1/logs", headers, body).status, status);
    }

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for address in [SocketAddr::from(([127, 0, 0, 1], grpc)), server.http] {
            for packing in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
                let answer = export(address, &bearer, packing, otlp("grpc", &["called".into()])).await;
                assert_eq!(answer.unwrap().partial_success, None);
            }
            let code =
                |answer: Result<_, tonic::Status>| answer.map(|_: ExportLogsServiceResponse| ()).unwrap_err().code();
            let wrong = export(address, "Bearer dkt_0", None, otlp("grpc", &["x".into()])).await;
            assert_eq!(code(wrong), tonic::Code::Unauthenticated);
            let foreign = export(address, &limited, None, otlp("grpc", &["x".into()])).await;
            assert_eq!(code(foreign), tonic::Code::PermissionDenied);
        }
    });
    assert_eq!(server.records("grpc").len(), 6);
    // The gRPC listener is no way to the API.
    let api = exchange(
        connect(([127, 0, 0, 1], grpc).into()).unwrap(),
        "GET",
        "/metrics",
        &[],
        b"",
    )
    .unwrap();
    assert_eq!(api.status, 404);
}

async fn export(
    address: SocketAddr,
    authorization: &str,
    packing: Option<CompressionEncoding>,
    request: ExportLogsServiceRequest,
) -> Result<ExportLogsServiceResponse, tonic::Status> {
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = LogsServiceClient::new(channel);
    if let Some(packing) = packing {
        client = client.send_compressed(packing).accept_compressed(packing);
    }
    let mut request = tonic::Request::new(request);
    request
        .metadata_mut()
        .insert("authorization", authorization.parse().unwrap());
    client.export(request).await.map(tonic::Response::into_inner)
}

#[test]
fn a_token_may_be_for_some_sources_alone() {
    let mut server = Server::new("");
    server.start();
    let two = format!("Bearer {}", server.token_for("two", &["crm", "erp"]));
    let one = format!("Bearer {}", server.token_for("one", &["crm"]));
    let headers = [("Authorization", &*two)];
    for (source, status) in [("crm", 200), ("erp", 200), ("hr", 403), ("docket", 400)] {
        assert_eq!(
            post(&server, &format!("/api/v1/ingest/{source}"), &headers, b"x").status,
            status
        );
    }
    let mixed = b"{\"create\":{\"_index\":\"hr\"}}\n{}\n{\"create\":{\"_index\":\"crm\"}}\n{}\n";
    let answer = post(&server, "/_bulk", &headers, mixed).json();
    assert_eq!(
        (
            &answer["items"][0]["create"]["status"],
            &answer["items"][1]["create"]["status"]
        ),
        (&json!(403), &json!(201))
    );
    assert_eq!(
        post(&server, "/hr/_bulk", &headers, b"{\"create\":{}}\n{}\n").status,
        403
    );
    let hec = |authorization: &str, body: &[u8]| {
        post(
            &server,
            "/services/collector",
            &[("Authorization", authorization)],
            body,
        )
        .status
    };
    assert_eq!(hec(&two, b"{\"event\":\"x\",\"index\":\"hr\"}"), 403);
    assert_eq!(hec(&two, b"{\"event\":\"x\"}"), 403, "`hec` is not one of its sources");
    assert_eq!(hec(&one, b"{\"event\":\"x\"}"), 200, "its one source");
    assert_eq!((server.records("crm").len(), server.records("hr").len()), (3, 0));
    let wrong = harness::run(&[
        "token",
        "create",
        "--role",
        "auditor",
        "--name",
        "a",
        "--source",
        "crm",
        "--data",
        &server.data(),
    ]);
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("role shipper"));
}

/// One batch sent by a shipper that has its own way; whether it was acknowledged.
type Ship = fn(&Server, &str, usize, &[String]) -> Option<bool>;

fn shippers() -> [(&'static str, Ship); 4] {
    fn acknowledged(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<bool> {
        let answer = exchange(connect(server.http)?, "POST", path, headers, body)?;
        Some(answer.status == 200 && !answer.body.contains("\"errors\":true"))
    }
    [
        ("plain", |server, token, batch, lines| {
            let batch = batch.to_string();
            let headers = [("Authorization", token), ("X-Docket-Batch", &batch)];
            acknowledged(server, "/api/v1/ingest/plain", &headers, lines.join("\n").as_bytes())
        }),
        ("bulk", |server, token, batch, lines| {
            let item = |(n, line): (usize, &String)| format!("{{\"create\":{{\"_id\":\"{batch}-{n}\"}}}}\n{line}\n");
            let body: String = lines.iter().enumerate().map(item).collect();
            acknowledged(server, "/bulk/_bulk", &[("Authorization", token)], body.as_bytes())
        }),
        ("hec", |server, token, batch, lines| {
            let batch = batch.to_string();
            let headers = [("Authorization", token), ("X-Docket-Batch", &batch), CHANNEL];
            let body: String = lines.iter().map(|l| json!({"event": l}).to_string()).collect();
            let answer = exchange(
                connect(server.http)?,
                "POST",
                "/services/collector",
                &headers,
                body.as_bytes(),
            )?;
            let id = answer.json()["ackId"].as_u64()?;
            let asked = format!("{{\"acks\":[{id}]}}");
            let answer = exchange(
                connect(server.http)?,
                "POST",
                "/services/collector/ack",
                &headers,
                asked.as_bytes(),
            )?;
            answer.json()["acks"][id.to_string()].as_bool()
        }),
        ("otlp", |server, token, batch, lines| {
            let batch = batch.to_string();
            let headers = [
                ("Authorization", token),
                ("X-Docket-Batch", &batch),
                ("Content-Type", "application/x-protobuf"),
            ];
            acknowledged(server, "/v1/logs", &headers, &otlp("s", lines).encode_to_vec())
        }),
    ]
}

#[test]
fn a_batch_sent_again_counts_once() {
    let mut server = Server::new("");
    server.start();
    let token = format!("Bearer {}", server.token("shipper", "s"));
    let lines: Vec<String> = (0..50).map(|i| format!("line {}", i % 5)).collect();
    for (source, ship) in shippers() {
        assert_eq!(ship(&server, &token, 1, &lines), Some(true), "{source}");
        assert_eq!(ship(&server, &token, 1, &lines), Some(true), "{source}");
        // The same lines as another batch are another batch's.
        assert_eq!(ship(&server, &token, 2, &lines), Some(true), "{source}");
        await_some("the account", || (server.account(source) == (150, 50)).then_some(()));
        assert_eq!(server.records(source).len(), 150, "the ledger keeps what came");
    }
    let json = [("Authorization", &*token), ("X-Docket-Batch", "j1")];
    for _ in 0..2 {
        post(&server, "/api/v1/ingest/json", &json, b"{\"n\": 1}\n{\"n\": 2}\n");
    }
    await_some("the account", || (server.account("json") == (4, 2)).then_some(()));
    let headers = [("Authorization", &*token), ("X-Docket-Batch", "a b")];
    assert_eq!(post(&server, "/api/v1/ingest/plain", &headers, b"x").status, 400);
}

#[test]
fn kills_in_the_middle_lose_nothing_that_was_acknowledged() {
    const BATCHES: usize = 100;
    const LINES: usize = 100;
    let mut server = Server::new("");
    server.start();
    let token = format!("Bearer {}", server.token("shipper", "s"));
    let line = |batch: usize, n: usize| format!("batch {batch} line {n}");
    // Each shipper sends its batches in order, and each again until it is acknowledged; the server is killed at
    // points that no batch knows of.
    let done = std::sync::atomic::AtomicUsize::new(0);
    let http = server.http;
    let dir = std::sync::Mutex::new(&mut server);
    std::thread::scope(|scope| {
        for (_, ship) in shippers() {
            let (token, done) = (&token, &done);
            let mut shipper = Server::new("");
            shipper.http = http;
            scope.spawn(move || {
                for batch in 0..BATCHES {
                    let lines: Vec<String> = (0..LINES).map(|n| line(batch, n)).collect();
                    await_some("a batch to be acknowledged", || {
                        (ship(&shipper, token, batch, &lines) == Some(true)).then_some(())
                    });
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        for kill in 1..=3 {
            await_some("some batches", || {
                (done.load(std::sync::atomic::Ordering::Relaxed) >= kill * BATCHES).then_some(())
            });
            let mut server = dir.lock().unwrap();
            server.kill();
            server.start();
        }
    });
    drop(dir);
    for (source, _) in shippers() {
        let mut expected: Vec<String> = (0..BATCHES).flat_map(|b| (0..LINES).map(move |n| line(b, n))).collect();
        let mut kept = texts(&server, source);
        if source == "otlp" {
            for text in &mut kept {
                let record: Value = serde_json::from_str(text).unwrap();
                *text = record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"]["stringValue"]
                    .as_str()
                    .unwrap()
                    .to_owned();
            }
        }
        let received = kept.len() as u64;
        await_some("each record to count once", || {
            (server.account(source) == (received, received - (BATCHES * LINES) as u64)).then_some(())
        });
        kept.sort();
        kept.dedup();
        expected.sort();
        assert_eq!(kept, expected, "{source}");
    }
    assert_eq!(server.stop(), Some(0));
    assert!(harness::run(&["verify", "--data", &server.data()]).status.success());
}

#[test]
fn where_memory_is_taken_shippers_are_told_to_come_again() {
    let mut server = Server::new("");
    server.start();
    let token = server.token("shipper", "s");
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", &*bearer)];
    // Nine bodies of nearly the largest size that do not end: more than may be held (256 MiB). The server gives a body
    // that pauses half a minute up, so that each attempt has its own.
    let length = 32 << 20;
    let chunk = vec![b'x'; length - 1];
    let http = server.http;
    let stall = || -> Vec<TcpStream> {
        let head = format!(
            "POST /api/v1/ingest/app HTTP/1.1\r\nHost: docket\r\nAuthorization: {bearer}\r\nContent-Length: {length}\r\n\r\n"
        );
        let one = |_| {
            let mut stream = connect(http).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let _ = stream.write_all(&chunk);
            stream
        };
        (0..9).map(one).collect()
    };
    let body = vec![b'y'; 1 << 20];
    for (path, status) in [
        ("/api/v1/ingest/app", 503),
        ("/_bulk", 429),
        ("/services/collector/raw", 503),
        ("/v1/logs", 503),
    ] {
        let headers = [headers[0], ("Content-Type", "application/json")];
        let refused = await_some("a refusal", || {
            let _stalled = stall();
            let answer = exchange(connect(server.http)?, "POST", path, &headers, &vec![b'y'; 31 << 20])?;
            (answer.status == status).then_some(answer)
        });
        assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    }
    await_some("room again", || {
        let answer = exchange(connect(server.http)?, "POST", "/api/v1/ingest/app", &headers, &body)?;
        (answer.status == 200).then_some(())
    });
    assert_eq!(server.records("app").len(), 1);
}
