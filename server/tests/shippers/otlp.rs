//! OTLP over HTTP and gRPC.

use std::io::Write as _;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use super::harness::{Server, connect, exchange, free_port};
use super::{post, texts};

/// Log records with these bodies, of a service.
pub fn export_of(service: &str, bodies: &[String]) -> ExportLogsServiceRequest {
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
    let request = export_of("crm", &["first".into(), "second".into()]);

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
    let mut both = export_of("crm", &["third".into()]);
    both.resource_logs
        .extend(export_of("erp", &["not mine".into()]).resource_logs);
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
                let answer = export(address, &bearer, packing, export_of("grpc", &["called".into()])).await;
                assert_eq!(answer.unwrap().partial_success, None);
            }
            let code =
                |answer: Result<_, tonic::Status>| answer.map(|_: ExportLogsServiceResponse| ()).unwrap_err().code();
            let wrong = export(address, "Bearer dkt_0", None, export_of("grpc", &["x".into()])).await;
            assert_eq!(code(wrong), tonic::Code::Unauthenticated);
            let foreign = export(address, &limited, None, export_of("grpc", &["x".into()])).await;
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
