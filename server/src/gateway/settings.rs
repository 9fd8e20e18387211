//! The gateway's settings as written in the configuration file, and as checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::bulk::Bulk;
use super::hec::acks::Acks;
use super::held::Budget;
use super::losses::Losses;
use super::otlp::Otlp;
use super::tls::{Tls, TlsFile};
use super::{Intake, http};

/// Bytes that requests under way may hold, by default.
const HELD_BYTES: usize = 256 << 20;
/// The version of Elasticsearch that shippers are told, by default.
const BULK_VERSION: &str = "8.19.0";

/// `[bulk]`: the Elasticsearch-compatible endpoint
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BulkFile {
    /// Which source an index is: names, or beginnings that end with `*`; absent: the name up to its date.
    pub sources: BTreeMap<String, String>,
    /// The version that is told to shippers who ask which Elasticsearch this is.
    pub version: Option<String>,
}

/// `[hec]`: the Splunk-compatible endpoint
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HecFile {
    /// The source of events that name no index, sent with a token of no one source.
    pub source: Option<String>,
}

/// `[otlp]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpFile {
    /// Address and port for gRPC; HTTP comes to `/v1/logs` of the `[http]` listener.
    pub grpc: Option<String>,
    /// TLS of the gRPC listener.
    pub tls: Option<TlsFile>,
    /// The source of log records, where nothing else names it.
    pub source: Option<String>,
    /// The resource attribute that names the source, such as `service.name`.
    pub source_attribute: Option<String>,
}

/// The gateway's settings, checked.
#[derive(Debug)]
pub struct Gateway {
    sources: BTreeMap<String, String>,
    version: String,
    hec_source: Arc<str>,
    otlp_source: Arc<str>,
    source_attribute: Option<String>,
    /// The OTLP/gRPC listener.
    pub grpc: Option<(SocketAddr, Option<Tls>)>,
    /// Bytes that may be held for shippers: of requests, and as many of connections.
    pub held_bytes: usize,
}

/// Checks the gateway's part of the configuration file.
///
/// # Errors
/// Says what was given and what is allowed.
pub fn check(
    bulk: BulkFile,
    hec: &HecFile,
    otlp: OtlpFile,
    held_bytes: Option<usize>,
    base: &Path,
) -> anyhow::Result<Gateway> {
    let held_bytes = held_bytes.unwrap_or(HELD_BYTES);
    anyhow::ensure!(
        (256 << 20..=64 << 30).contains(&held_bytes),
        "[limits] held_bytes {held_bytes}: give 268435456 (256 MiB) to 68719476736"
    );
    for (index, source) in &bulk.sources {
        let beginning = index.strip_suffix('*').unwrap_or(index);
        anyhow::ensure!(
            !beginning.contains('*') && !index.is_empty(),
            "[bulk] sources `{index}`: give an index's name, or its beginning and one `*` at the end"
        );
        http::check_shippable(source).map_err(|e| anyhow::anyhow!("[bulk] sources `{index}`: {e}"))?;
    }
    let version = bulk.version.unwrap_or_else(|| BULK_VERSION.to_owned());
    let numbers = version.split('.').filter(|n| n.parse::<u16>().is_ok()).count();
    anyhow::ensure!(
        numbers == 3 && version.split('.').count() == 3,
        "[bulk] version `{version}`: give three numbers, such as {BULK_VERSION}"
    );
    let source = |what: &str, given: &Option<String>, default: &str| -> anyhow::Result<Arc<str>> {
        let source = given.as_deref().unwrap_or(default);
        http::check_shippable(source).map_err(|e| anyhow::anyhow!("[{what}] {e}"))?;
        Ok(source.into())
    };
    anyhow::ensure!(
        otlp.tls.is_none() || otlp.grpc.is_some(),
        "[otlp] tls is set without grpc; give grpc = \"IP:PORT\", or [http] tls for OTLP over HTTP"
    );
    let grpc = match &otlp.grpc {
        None => None,
        Some(text) => {
            let address = text.parse().map_err(|_| {
                anyhow::anyhow!("[otlp] grpc `{text}` is not an address; give IP:PORT, such as 127.0.0.1:4317")
            })?;
            let tls = otlp.tls.as_ref().map(|t| t.read(base, &["h2"])).transpose();
            Some((address, tls.map_err(|e| anyhow::anyhow!("[otlp] {e:#}"))?))
        }
    };
    Ok(Gateway {
        sources: bulk.sources,
        version,
        hec_source: source("hec", &hec.source, "hec")?,
        otlp_source: source("otlp", &otlp.source, "otlp")?,
        source_attribute: otlp.source_attribute,
        grpc,
        held_bytes,
    })
}

impl Gateway {
    /// What the endpoints of one server share.
    pub fn intake(&self) -> Intake {
        Intake {
            budget: Budget::new(self.held_bytes),
            bulk: Bulk {
                sources: self.sources.clone(),
                version: self.version.clone(),
            },
            hec_source: self.hec_source.clone(),
            acks: Mutex::new(Acks::default()),
            otlp: Otlp {
                source: self.otlp_source.clone(),
                source_attribute: self.source_attribute.clone(),
            },
            losses: Losses::default(),
        }
    }
}
