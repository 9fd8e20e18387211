//! The ways into the server, each with how a file goes it, and a server with all of them.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use model::RawRecord;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig as TlsConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::cases::{Case, RECORD_BYTES_MAX};
use crate::harness::pki::certificates;
use crate::harness::{PATIENCE, Server, await_some, broker, connect, exchange, free_port, get};
use crate::{Kept, kept};

/// Sends a file as this source; returns the records that must be in the ledger.
type Send = fn(&Rig, &str, &Case) -> Vec<Bytes>;

/// All ways but the command line.
pub const WAYS: &[(&str, Send)] = &[
    ("http", http),
    ("bulk", bulk),
    ("hec-raw", hec_raw),
    ("hec-event", hec_event),
    ("otlp-http", otlp_http),
    ("otlp-grpc", otlp_grpc),
    ("tcp", tcp_lines),
    ("tcp-counted", tcp_counted),
    ("tls", tls),
    ("udp", udp),
    ("file", file),
    ("kafka", kafka),
];
/// Bytes of a datagram.
const DATAGRAM_BYTES_MAX: usize = 60_000;
/// Bytes of a log record that are sent by OTLP, whose envelope must not be cut.
const OTLP_BYTES_MAX: usize = 512 << 10;

/// A server with all listeners.
pub struct Rig {
    pub server: Server,
    pub token: String,
    grpc: u16,
    tcp: u16,
    counted: u16,
    tls: u16,
    udp: u16,
    files: PathBuf,
    kafka: Option<(BaseProducer, String)>,
}

impl Rig {
    pub fn start() -> Rig {
        let [grpc, tcp, counted, tls, udp] = std::array::from_fn(|_| free_port());
        let files = tempfile::tempdir().unwrap().keep();
        let syslog = |port: u16, protocol: &str, source: &str| {
            format!("[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocol = \"{protocol}\"\nsource = \"{source}\"\n")
        };
        let mut config = [
            format!("[limits]\nrecord_bytes = {RECORD_BYTES_MAX}\n[otlp]\ngrpc = \"127.0.0.1:{grpc}\"\n"),
            syslog(tcp, "tcp", "tcp"),
            syslog(counted, "tcp", "tcp-counted"),
            syslog(udp, "udp", "udp"),
            syslog(tls, "tls", "tls") + "tls = {cert = \"server.pem\", key = \"server.key\"}\n",
            format!("[[files]]\npath = \"{}/*\"\nsource = \"file\"\n", files.display()),
        ]
        .concat();
        let kafka = broker().map(|broker| {
            let topic = format!("hostile-{}-{tcp}", std::process::id());
            config.push_str(&format!(
                "[kafka]\nbootstrap = {broker:?}\ntopics = [{topic:?}]\n[sources.kafka]\ntopic = {topic:?}\n"
            ));
            let producer = ClientConfig::new()
                .set("bootstrap.servers", broker)
                .set("message.max.bytes", "17825792")
                .create();
            (producer.unwrap(), topic)
        });
        let mut server = Server::new(&config);
        certificates(server.dir.path(), "ca", &[("server", &["docket.example"])]);
        server.start();
        let token = server.token("shipper", "s");
        Rig {
            server,
            token,
            grpc,
            tcp,
            counted,
            tls,
            udp,
            files,
            kafka,
        }
    }

    /// Whether there is such a way here.
    pub fn has(&self, name: &str) -> bool {
        name != "kafka" || self.kafka.is_some()
    }

    /// What was sent, as it is found in a record.
    pub fn view(&self, name: &str, record: &RawRecord) -> Kept {
        if !name.starts_with("otlp") {
            return kept(record);
        }
        let json: Value = serde_json::from_slice(&record.payload).unwrap();
        let body = &json["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"];
        let bytes = match (body["stringValue"].as_str(), body["bytesValue"].as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(base64)) => base64::engine::general_purpose::STANDARD.decode(base64).unwrap(),
            (None, None) => panic!("{json}"),
        };
        let length = bytes.len() as u64;
        (bytes, length)
    }

    /// Sends these bytes over a connection of their own, and waits until the server has kept them and closes.
    pub fn tcp(&self, bytes: &[u8]) {
        stream(connect(local(self.tcp)).unwrap(), bytes);
    }

    /// Everything is judged, memory stayed within bounds, and nothing panicked; the server stops, the ledger verifies.
    pub fn end(mut self, rss_kib_max: u64) {
        let (durable, ..) = self.server.positions().unwrap();
        self.server.settle(durable);
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        let peak: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        println!("peak RSS {peak} KiB");
        assert!(peak < rss_kib_max, "peak RSS {peak} KiB, at most {rss_kib_max}");
        assert_eq!(self.server.stop(), Some(0), "{}", self.server.log());
        assert!(!self.server.log().contains("panicked"), "{}", self.server.log());
        let verified = crate::harness::run(&["verify", "--data", &self.server.data()]);
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success(), "{said}");
        let _ = std::fs::remove_dir_all(&self.files);
    }

    fn post(&self, path: &str, kind: &str, body: &[u8]) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", &*bearer), ("Content-Type", kind)];
        let answer = exchange(connect(self.server.http).unwrap(), "POST", path, &headers, body).unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn stream(mut connection: TcpStream, bytes: &[u8]) {
    // The server closes a connection whose framing is lost.
    let _ = connection.write_all(bytes);
    let _ = connection.shutdown(std::net::Shutdown::Write);
    let _ = connection.read_to_end(&mut Vec::new());
}

/// All or nothing: a request with a record that is too large is refused as a whole.
fn http(rig: &Rig, source: &str, case: &Case) -> Vec<Bytes> {
    let lines = case.lines();
    let (status, answer) = rig.post(&format!("/api/v1/ingest/{source}"), "text/plain", &case.bytes);
    if lines.iter().any(|l| l.len() > RECORD_BYTES_MAX) {
        assert_eq!(status, 413, "{}: {answer}", case.name);
        return Vec::new();
    }
    assert_eq!(
        (status, &answer["accepted"]),
        (200, &json!(lines.len())),
        "{}",
        case.name
    );
    if let Some(records) = case.records {
        assert_eq!(lines.len() as u64, records, "{}", case.name);
    }
    lines
}

fn bulk(rig: &Rig, source: &str, case: &Case) -> Vec<Bytes> {
    let lines = case.lines();
    let mut body = Vec::new();
    for line in &lines {
        body.extend_from_slice(b"{\"create\":{}}\n");
        body.extend_from_slice(line);
        body.push(b'\n');
    }
    let (status, answer) = rig.post(&format!("/{source}/_bulk"), "application/x-ndjson", &body);
    assert_eq!((status, &answer["errors"]), (200, &json!(false)), "{}", case.name);
    assert_eq!(answer["items"].as_array().unwrap().len(), lines.len(), "{}", case.name);
    // A CR before the LF is of the line's end here, too.
    lines
        .iter()
        .map(|l| l.slice_ref(l.strip_suffix(b"\r").unwrap_or(l)))
        .collect()
}

fn hec_raw(rig: &Rig, source: &str, case: &Case) -> Vec<Bytes> {
    let lines = case.lines();
    let path = format!("/services/collector/raw?index={source}");
    let (status, answer) = rig.post(&path, "text/plain", &case.bytes);
    let expected = if lines.is_empty() { (400, 5) } else { (200, 0) };
    assert_eq!((status, answer["code"].as_u64().unwrap()), expected, "{}", case.name);
    lines
}

/// Text alone: JSON carries no other bytes.
fn hec_event(rig: &Rig, source: &str, case: &Case) -> Vec<Bytes> {
    let mut lines = case.lines();
    lines.retain(|l| std::str::from_utf8(l).is_ok());
    let event = |line: &Bytes| json!({"index": source, "event": String::from_utf8_lossy(line)}).to_string();
    let body: String = lines.iter().map(event).collect();
    let (status, answer) = rig.post("/services/collector/event", "application/json", body.as_bytes());
    let expected = if lines.is_empty() { (400, 5) } else { (200, 0) };
    assert_eq!((status, answer["code"].as_u64().unwrap()), expected, "{}", case.name);
    lines
}

fn otlp(lines: &[Bytes]) -> ExportLogsServiceRequest {
    let record = |line: &Bytes| LogRecord {
        body: Some(AnyValue {
            value: Some(match std::str::from_utf8(line) {
                Ok(text) => any_value::Value::StringValue(text.to_owned()),
                Err(_) => any_value::Value::BytesValue(line.to_vec()),
            }),
        }),
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: lines.iter().map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn otlp_lines(case: &Case) -> Vec<Bytes> {
    let mut lines = case.lines();
    lines.retain(|l| l.len() <= OTLP_BYTES_MAX);
    lines
}

fn otlp_http(rig: &Rig, source: &str, case: &Case) -> Vec<Bytes> {
    let post = |lines: &[Bytes]| {
        let bearer = format!("Bearer {}", rig.token);
        let headers = [
            ("Authorization", &*bearer),
            ("Content-Type", "application/x-protobuf"),
            ("X-Docket-Source", source),
        ];
        let body = otlp(lines).encode_to_vec();
        exchange(connect(rig.server.http).unwrap(), "POST", "/v1/logs", &headers, &body)
            .unwrap()
            .status
    };
    for line in case.lines().into_iter().filter(|l| l.len() > 2 << 20) {
        assert_eq!(post(&[line]), 400, "{}: a log record that is too large", case.name);
    }
    let lines = otlp_lines(case);
    assert_eq!(post(&lines), 200, "{}", case.name);
    lines
}

fn otlp_grpc(rig: &Rig, source: &str, case: &Case) -> Vec<Bytes> {
    let lines = otlp_lines(case);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = runtime.block_on(async {
        let channel = tonic::transport::Channel::from_shared(format!("http://{}", local(rig.grpc))).unwrap();
        let mut client = LogsServiceClient::new(channel.connect().await.unwrap());
        let mut request = tonic::Request::new(otlp(&lines));
        let metadata = request.metadata_mut();
        metadata.insert("authorization", format!("Bearer {}", rig.token).parse().unwrap());
        metadata.insert("x-docket-source", source.parse().unwrap());
        client.export(request).await
    });
    assert!(answer.is_ok(), "{}: {answer:?}", case.name);
    lines
}

/// After a first line that is one, so that no count or NUL of the file is taken for framing.
fn tcp_lines(rig: &Rig, _: &str, case: &Case) -> Vec<Bytes> {
    if case.name == "octet_counted_syslog.bin" {
        // Counted messages may follow lines; they have a test of their own.
        return Vec::new();
    }
    let first = Bytes::from_static(b"<13>first");
    let whole = [&first[..], b"\n", &case.bytes].concat();
    rig.tcp(&whole);
    [vec![first], case.lines()].concat()
}

fn counted(lines: &[Bytes]) -> Vec<u8> {
    let frame = |l: &Bytes| [format!("{} <13>", l.len() + 4).as_bytes(), l].concat();
    lines.iter().flat_map(frame).collect()
}

fn with_priority(lines: &[Bytes]) -> Vec<Bytes> {
    lines.iter().map(|l| [b"<13>", &l[..]].concat().into()).collect()
}

fn tcp_counted(rig: &Rig, _: &str, case: &Case) -> Vec<Bytes> {
    let lines = case.lines();
    stream(connect(local(rig.counted)).unwrap(), &counted(&lines));
    with_priority(&lines)
}

fn tls(rig: &Rig, _: &str, case: &Case) -> Vec<Bytes> {
    let ca = CertificateDer::pem_file_iter(rig.server.dir.path().join("ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.map(Result::unwrap).next().unwrap()).unwrap();
    let config = TlsConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("docket.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, connect(local(rig.tls)).unwrap());
    let lines = case.lines();
    // The handshake first: of a file without records nothing but the end follows.
    stream.flush().unwrap();
    stream.write_all(&counted(&lines)).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let _ = stream.read(&mut [0; 1]);
    with_priority(&lines)
}

fn udp(rig: &Rig, _: &str, case: &Case) -> Vec<Bytes> {
    let mut lines = case.lines();
    lines.retain(|l| l.len() <= DATAGRAM_BYTES_MAX);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let received = || -> usize {
        let metrics = get(rig.server.http, "/metrics", None).unwrap().1;
        let line = metrics.lines().find(|l| l.starts_with("docket_udp_datagrams_total"));
        line.map_or(0, |l| l.rsplit(' ').next().unwrap().parse().unwrap())
    };
    // As many as the kernel's buffer holds at least.
    for some in lines.chunks(2) {
        let before = received();
        for line in some {
            socket.send_to(line, local(rig.udp)).unwrap();
        }
        await_some("datagrams to be received", || {
            (received() == before + some.len()).then_some(())
        });
    }
    // One NUL at the end is JumpServer's.
    lines
        .iter()
        .map(|l| l.slice_ref(l.strip_suffix(b"\0").unwrap_or(l)))
        .filter(|l| !l.is_empty())
        .collect()
}

fn file(rig: &Rig, _: &str, case: &Case) -> Vec<Bytes> {
    let path = rig.files.join(&case.name);
    let mut bytes = case.bytes.clone();
    // A line without an end waits for it.
    bytes.push(b'\n');
    std::fs::write(path, bytes).unwrap();
    // All CRs before the LF are of the line's end here.
    let without = |l: Bytes| l.slice(..l.len() - l.iter().rev().take_while(|b| **b == b'\r').count());
    case.lines().into_iter().map(without).collect()
}

fn kafka(rig: &Rig, _: &str, case: &Case) -> Vec<Bytes> {
    let Some((producer, topic)) = &rig.kafka else {
        return Vec::new();
    };
    let lines = case.lines();
    for line in &lines {
        producer
            .send(BaseRecord::<(), [u8]>::to(topic).payload(line))
            .map_err(|(e, _)| e)
            .unwrap();
    }
    producer.flush(PATIENCE.min(Duration::from_secs(60))).unwrap();
    lines
}
