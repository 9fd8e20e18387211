//! The configuration's file, as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::gateway::settings::{BulkFile, HecFile, OtlpFile};
use crate::gateway::tls::TlsFile;

/// As written.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where the ledger, the index and the alerts lie.
    pub data_dir: Option<PathBuf>,
    /// Policy files or folders; `built-in` names those in the binary.
    pub policies: Option<Vec<String>>,
    /// Folder of reference tables, one file a table.
    pub reference: Option<PathBuf>,
    /// IANA name of the zone of times that name none, for all sources; default: that of the reference table `work_calendar`,
    /// Asia/Shanghai without one.
    pub timezone: Option<String>,
    /// The origin line of checkpoints, which names this ledger to the world.
    pub origin: Option<String>,
    /// The API and the HTTP gateway.
    pub http: HttpFile,
    /// The Elasticsearch-compatible endpoint.
    pub bulk: BulkFile,
    /// The Splunk-compatible endpoint.
    pub hec: HecFile,
    /// OTLP.
    pub otlp: OtlpFile,
    /// Syslog listeners.
    pub syslog: Vec<SyslogFile>,
    /// Files that are followed.
    pub files: Vec<FilesFile>,
    /// Kafka, where it is the transport.
    pub kafka: Option<KafkaFile>,
    /// What is known of each source.
    pub sources: BTreeMap<String, SourceFile>,
    /// Where alerts are told.
    pub webhooks: Vec<WebhookFile>,
    /// What can be searched, and how long.
    pub search: SearchFile,
    /// Bounds.
    pub limits: LimitsFile,
}

/// `[search]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchFile {
    /// Days that a record can be searched after it was received; absent: always. The ledger keeps its own.
    pub keep_days: Option<u32>,
    /// Why `keep_days` is below what the law asks; recorded in the ledger at each start.
    pub keep_shorter_because: Option<String>,
}

/// `[http]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpFile {
    /// Address and port; absent: no TCP listener, the socket in the data folder alone.
    pub listen: Option<String>,
    /// TLS of that listener.
    pub tls: Option<TlsFile>,
}

/// `[[syslog]]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogFile {
    /// Address and port.
    pub listen: String,
    /// `tcp`, `tls` or `udp`.
    pub protocol: String,
    /// With protocol `tls`: its files.
    pub tls: Option<TlsFile>,
    /// The source that its records belong to.
    pub source: String,
}

/// `[[files]]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FilesFile {
    /// Absolute path of a file or folder; its parts may hold `*`, `?`, `[a-z]`, or be `**`.
    pub path: String,
    /// The source that its records belong to.
    pub source: String,
}

/// `[kafka]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaFile {
    /// `host:port`, several with commas.
    pub bootstrap: String,
    /// Topics to consume; a name that starts with `^` is a regular expression.
    pub topics: Vec<String>,
    /// Whether the gateway produces to Kafka (topic `audit.<source>`) instead of appending to the ledger.
    pub gateway: bool,
    /// Whether the header `docket-received-at` of consumed records is believed.
    pub trust_received_at: bool,
    /// Passed on to librdkafka (`security.protocol`, `sasl.username`, …).
    pub options: BTreeMap<String, String>,
}

/// `[sources.<id>]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceFile {
    /// The format's name; absent: by topic or by the bytes.
    pub format: Option<String>,
    /// Mapping file of a system that writes JSON of its own; its format is then `mapped`.
    pub mapping: Option<PathBuf>,
    /// The topic that is this source (default `audit.<id>`).
    pub topic: Option<String>,
    /// IANA name of the zone of times without one; default: that of all sources.
    pub timezone: Option<String>,
    /// Text encoding where it is not UTF-8 (`gbk`).
    pub encoding: Option<String>,
    /// Addresses or networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
}

/// `[[webhooks]]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookFile {
    /// The channel's name in the alert's history.
    pub name: String,
    /// Where to POST.
    pub url: String,
    /// Key of the HMAC-SHA256 signature header.
    #[serde(default)]
    pub secret: Option<String>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsFile {
    /// Bytes of one record that are kept whole.
    pub record_bytes: Option<usize>,
    /// Milliseconds between commits of the index.
    pub index_commit_ms: Option<u64>,
    /// Records with an id, of the last seven days, that are remembered on disk so that a repetition counts once.
    pub duplicates: Option<u64>,
    /// Days that a reference table's file may be old before that is a finding; 0: any number.
    pub reference_days: Option<u32>,
    /// Percent of the data folder's disk that may be in use before that is a finding.
    pub disk_percent: Option<u64>,
    /// Bytes that may be held for shippers: of requests under way, and as many of connections.
    pub held_bytes: Option<usize>,
    /// Connections to the HTTP and gRPC listeners at once.
    pub connections: Option<usize>,
}
