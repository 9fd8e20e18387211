//! The configuration: [`File`] as written (TOML, environment overrides), [`Config`] as checked.
//!
//! Who holds a [`Config`] need not look again: addresses are parsed, folders named, bounds sane.
//! `DOCKET_HTTP__LISTEN=127.0.0.1:9000` overrides `listen` in `[http]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use detect::reference::Tables;
use figment::Figment;
use figment::providers::{Env, Format, Toml};

use crate::exit::{CONFIGURATION, failure};
use crate::gateway::settings::Gateway;
use crate::gateway::tls::Tls;

/// Days after which a reference table that nobody renewed is a finding, by default.
const REFERENCE_DAYS: u32 = 35;
/// Of LA-09: how full a disk may be, percent.
const DISK_PERCENT: u64 = 80;

/// Days that logs are kept at least: six months, Cybersecurity Law of the PRC, article 21 (LA-08).
pub const KEEP_DAYS_LAW: u32 = 180;

/// Connections to the HTTP and gRPC listeners at once, by default.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes of one record that are kept, by default.
const RECORD_BYTES_MAX: usize = 16 << 20;

mod file;

pub use file::*;

/// As checked.
#[derive(Debug)]
pub struct Config {
    /// Where everything lies.
    pub data_dir: PathBuf,
    /// Policy sources.
    pub policies: Vec<PolicySource>,
    /// Folder of reference tables.
    pub reference: Option<PathBuf>,
    /// The zone of times without one; absent: that of the work calendar.
    pub time_zone: Option<jiff::tz::TimeZone>,
    /// The ledger's origin; absent: the one that it has, or a default.
    pub origin: Option<String>,
    /// TCP address of the API and gateway.
    pub listen: Option<SocketAddr>,
    /// TLS of that listener.
    pub http_tls: Option<Tls>,
    /// The endpoints for shippers.
    pub gateway: Gateway,
    /// Syslog listeners.
    pub syslog: Vec<Syslog>,
    /// Files that are followed.
    pub files: Vec<ingest::source::file::Watch>,
    /// Kafka.
    pub kafka: Option<KafkaFile>,
    /// Sources.
    pub sources: BTreeMap<String, SourceFile>,
    /// Mapping files of sources.
    pub mappings: BTreeMap<String, std::sync::Arc<ingest::mapping::Mapping>>,
    /// Webhooks.
    pub webhooks: Vec<WebhookFile>,
    /// Bytes of one record that are kept whole.
    pub record_bytes_max: usize,
    /// Milliseconds between commits of the index.
    pub index_commit_ms: u64,
    /// Records whose repetitions are recognized, beside those in memory.
    pub duplicates_max: u64,
    /// How old a reference table's file may be, milliseconds; `None`: any age.
    pub reference_age_ms_max: Option<i64>,
    /// How full the disk of the data folder may be before that is told, percent.
    pub disk_percent_max: u64,
    /// Connections to the HTTP and gRPC listeners at once.
    pub connections_max: usize,
    /// Days that a record can be searched; `None`: always.
    pub keep_days: Option<u32>,
    /// Why that is less than the law asks, where it is.
    pub keep_shorter_because: Option<String>,
    /// SHA-256 of the configuration as read, for the ledger.
    pub hash: String,
}

/// Where policies come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// Those in the binary.
    BuiltIn,
    /// A file or a folder.
    Path(PathBuf),
}

/// How a syslog listener's records come.
#[derive(Debug, Clone)]
pub enum Protocol {
    /// One datagram a record.
    Udp,
    /// In a stream.
    Tcp,
    /// In a stream within TLS.
    Tls(Tls),
}

/// A syslog listener.
#[derive(Debug)]
pub struct Syslog {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How records come.
    pub protocol: Protocol,
    /// The source's id.
    pub source: String,
}

impl Config {
    /// Reads and checks a configuration file, with `DOCKET_…` from the environment over it.
    ///
    /// # Errors
    /// The operator's (exit 3): the file cannot be read, or a setting is not allowed; says which and what is.
    pub fn read(path: &Path) -> anyhow::Result<Config> {
        if !path.is_file() {
            return Err(failure(
                CONFIGURATION,
                format!("{}: no such file; `docket serve --help` shows one", path.display()),
            ));
        }
        let figment = Figment::new()
            .merge(Toml::file_exact(path))
            .merge(Env::prefixed("DOCKET_").filter(|k| is_setting(k.as_str())).split("__"));
        let file: File = figment
            .extract()
            .map_err(|e| failure(CONFIGURATION, format!("{}: {e}", path.display())))?;
        let base = path.parent().unwrap_or(Path::new("."));
        file.check(base)
            .map_err(|e| failure(CONFIGURATION, format!("{}: {e:#}", path.display())))
    }
}

/// Other variables that start with `DOCKET_` are not settings of the server.
fn is_setting(key: &str) -> bool {
    let head = key.split("__").next().unwrap_or(key).to_ascii_lowercase();
    [
        "data_dir",
        "policies",
        "reference",
        "timezone",
        "origin",
        "http",
        "search",
        "limits",
        "bulk",
        "hec",
        "otlp",
    ]
    .contains(&head.as_str())
        || (head == "kafka" && key.contains("__"))
}

impl File {
    /// Checks everything; relative paths are taken from `base`.
    ///
    /// # Errors
    /// Says what was given and what is allowed.
    pub fn check(self, base: &Path) -> anyhow::Result<Config> {
        let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(serde_json::to_vec(&self)?));
        let address = |what: &str, text: &str| {
            text.parse::<SocketAddr>()
                .map_err(|_| anyhow::anyhow!("{what} `{text}` is not an address; give IP:PORT, such as 127.0.0.1:8514"))
        };
        let listen = self
            .http
            .listen
            .as_deref()
            .map(|l| address("[http] listen", l))
            .transpose()?;
        anyhow::ensure!(
            self.http.tls.is_none() || listen.is_some(),
            "[http] tls is set without listen; give listen = \"IP:PORT\""
        );
        let http_tls = self
            .http
            .tls
            .as_ref()
            .map(|t| t.read(base, &["h2", "http/1.1"]))
            .transpose();
        let http_tls = http_tls.map_err(|e| anyhow::anyhow!("[http] {e:#}"))?;
        let gateway = crate::gateway::settings::check(self.bulk, &self.hec, self.otlp, self.limits.held_bytes, base)?;
        let mut syslog = Vec::new();
        for s in self.syslog {
            let tls = s.tls.as_ref().map(|t| t.read(base, &[])).transpose();
            let tls = tls.map_err(|e| anyhow::anyhow!("[[syslog]] {}: {e:#}", s.listen))?;
            let protocol = match (s.protocol.as_str(), tls) {
                ("udp", None) => Protocol::Udp,
                ("tcp", None) => Protocol::Tcp,
                ("tls", Some(tls)) => Protocol::Tls(tls),
                ("tls", None) => anyhow::bail!(
                    "[[syslog]] {}: protocol `tls` without files; give tls = {{cert = \"…\", key = \"…\"}}",
                    s.listen
                ),
                ("udp" | "tcp", Some(_)) => anyhow::bail!(
                    "[[syslog]] {}: tls is set, protocol is `{}`; give protocol = \"tls\"",
                    s.listen,
                    s.protocol
                ),
                (other, _) => anyhow::bail!("[[syslog]] protocol `{other}`: give `tcp`, `tls` or `udp`"),
            };
            check_source(&s.source)?;
            syslog.push(Syslog {
                listen: address("[[syslog]] listen", &s.listen)?,
                protocol,
                source: s.source,
            });
        }
        let mut files = Vec::new();
        for f in self.files {
            check_source(&f.source)?;
            let pattern =
                ingest::source::file::Pattern::parse(&f.path).map_err(|e| anyhow::anyhow!("[[files]] {e}"))?;
            let source = f.source.as_str().into();
            files.push(ingest::source::file::Watch { pattern, source });
        }
        let mut mappings = BTreeMap::new();
        for (id, source) in &self.sources {
            check_source(id)?;
            if let Some(format) = &source.format
                && ingest::format::by_name(format).is_none()
            {
                anyhow::bail!(
                    "[sources.{id}] format `{format}` is not known; give one of: {}",
                    format_names()
                );
            }
            let mapped = source.format.as_deref() == Some("mapped");
            match &source.mapping {
                Some(path) => {
                    anyhow::ensure!(
                        mapped || source.format.is_none(),
                        "[sources.{id}] has a mapping, and format `{}`; leave the format out",
                        source.format.as_deref().unwrap_or_default()
                    );
                    let mapping = crate::mapping::read(&base.join(path), CONFIGURATION);
                    mappings.insert(id.clone(), mapping.with_context(|| format!("[sources.{id}] mapping"))?);
                }
                None => anyhow::ensure!(!mapped, "[sources.{id}] format `mapped` needs mapping = \"FILE\""),
            }
        }
        if let Some(kafka) = &self.kafka {
            anyhow::ensure!(
                !kafka.bootstrap.is_empty(),
                "[kafka] bootstrap is empty; give host:port"
            );
            anyhow::ensure!(
                !kafka.topics.is_empty(),
                "[kafka] topics is empty; give names or a pattern such as \"^audit\\\\..*\""
            );
            anyhow::ensure!(
                !kafka.topics.iter().any(|t| t == model::TOPIC_DOCKET),
                "[kafka] topics: `docket` is reserved for Docket's own acts"
            );
        }
        for hook in &self.webhooks {
            anyhow::ensure!(
                hook.url.starts_with("https://") || hook.url.starts_with("http://"),
                "[[webhooks]] url `{}`: give an http:// or https:// address",
                hook.url
            );
        }
        let record_bytes_max = self.limits.record_bytes.unwrap_or(RECORD_BYTES_MAX);
        anyhow::ensure!(
            (1024..=256 << 20).contains(&record_bytes_max),
            "[limits] record_bytes {record_bytes_max}: give 1024 to 268435456"
        );
        let index_commit_ms = self.limits.index_commit_ms.unwrap_or(500);
        anyhow::ensure!(
            (50..=60_000).contains(&index_commit_ms),
            "[limits] index_commit_ms {index_commit_ms}: give 50 to 60000"
        );
        let reference_days = self.limits.reference_days.unwrap_or(REFERENCE_DAYS);
        let disk_percent_max = self.limits.disk_percent.unwrap_or(DISK_PERCENT);
        anyhow::ensure!(
            (1..=100).contains(&disk_percent_max),
            "[limits] disk_percent {disk_percent_max}: give 1 to 100"
        );
        let duplicates_max = self.limits.duplicates.unwrap_or(ingest::dedup::CAPACITY);
        anyhow::ensure!(
            (1_000_000..=1_000_000_000).contains(&duplicates_max),
            "[limits] duplicates {duplicates_max}: give 1000000 to 1000000000"
        );
        let because = self.search.keep_shorter_because.filter(|b| !b.trim().is_empty());
        if let Some(days) = self.search.keep_days {
            anyhow::ensure!(
                (1..=36_500).contains(&days),
                "[search] keep_days {days}: give 1 to 36500, or nothing to keep all"
            );
            anyhow::ensure!(
                days >= KEEP_DAYS_LAW || because.is_some(),
                "[search] keep_days {days}: the law asks for {KEEP_DAYS_LAW} days (LA-08); give as many, or keep_shorter_because = \"why\", which is recorded"
            );
        }
        let connections_max = self.limits.connections.unwrap_or(CONNECTIONS_MAX);
        anyhow::ensure!(
            (1..=65_536).contains(&connections_max),
            "[limits] connections {connections_max}: give 1 to 65536"
        );
        let policies = self.policies.unwrap_or_else(|| vec!["built-in".into()]);
        let policies: Vec<_> = policies
            .into_iter()
            .map(|p| {
                if p == "built-in" {
                    PolicySource::BuiltIn
                } else {
                    PolicySource::Path(base.join(p))
                }
            })
            .collect();
        for p in &policies {
            if let PolicySource::Path(path) = p {
                anyhow::ensure!(path.exists(), "policies: {} does not exist", path.display());
            }
        }
        let reference = self.reference.map(|r| base.join(r));
        if let Some(r) = &reference {
            anyhow::ensure!(r.is_dir(), "reference: {} is not a folder", r.display());
        }
        let time_zone = self.timezone.as_deref().map(|t| zone("timezone", t)).transpose()?;
        Ok(Config {
            data_dir: base.join(self.data_dir.unwrap_or_else(|| "docket-data".into())),
            policies,
            reference,
            time_zone,
            origin: self.origin,
            listen,
            http_tls,
            gateway,
            syslog,
            files,
            kafka: self.kafka,
            sources: self.sources,
            mappings,
            webhooks: self.webhooks,
            record_bytes_max,
            index_commit_ms,
            duplicates_max,
            reference_age_ms_max: (reference_days > 0).then(|| i64::from(reference_days) * 86_400_000),
            disk_percent_max,
            connections_max,
            keep_days: self.search.keep_days,
            keep_shorter_because: because,
            hash,
        })
    }
}

impl Config {
    /// The sources that are named, each once, in order, and by which section.
    pub fn named_sources(&self) -> Vec<(String, &'static str)> {
        let mut named: BTreeMap<String, &'static str> = BTreeMap::new();
        let topics = self
            .kafka
            .iter()
            .flat_map(|k| &k.topics)
            .filter(|t| !t.starts_with('^'));
        named.extend(
            topics
                .filter_map(|t| ingest::detection::topic_source(t))
                .map(|s| (s.to_owned(), "[kafka]")),
        );
        named.extend(self.sources.keys().map(|s| (s.clone(), "[sources]")));
        named.extend(self.files.iter().map(|f| (f.source.to_string(), "[[files]]")));
        named.extend(self.syslog.iter().map(|s| (s.source.clone(), "[[syslog]]")));
        named.into_iter().collect()
    }

    /// What the TLS listeners were given.
    pub fn tls(&self) -> Vec<Tls> {
        let syslog = self.syslog.iter().filter_map(|s| match &s.protocol {
            Protocol::Tls(tls) => Some(tls),
            _ => None,
        });
        let grpc = self.gateway.grpc.iter().filter_map(|(_, tls)| tls.as_ref());
        self.http_tls.iter().chain(grpc).chain(syslog).cloned().collect()
    }

    /// The sources' settings, as the normalizer wants them. The zone of times without one is the source's; else this
    /// operator's, as the configuration says or else the work calendar; else the format's own default.
    ///
    /// # Errors
    /// The operator's (exit 3): a zone or an encoding is not known.
    pub fn ingest_settings(&self, tables: &Tables) -> anyhow::Result<ingest::Settings> {
        let mut settings = settings_of(tables);
        if let Some(zone) = &self.time_zone {
            settings.default.time_zone = zone.clone();
        }
        for (id, source) in &self.sources {
            let wrong = |what: &str, given: &str| {
                failure(CONFIGURATION, format!("[sources.{id}] {what} `{given}` is not known"))
            };
            let mut known = ingest::SourceSettings {
                format: source.format.as_deref().map(Into::into),
                ..settings.default.clone()
            };
            if let Some(given) = &source.timezone {
                known.time_zone = zone(&format!("[sources.{id}] timezone"), given)?;
            }
            if let Some(encoding) = &source.encoding {
                known.encoding = Some(
                    encoding_rs::Encoding::for_label(encoding.as_bytes()).ok_or_else(|| wrong("encoding", encoding))?,
                );
            }
            known.trusted_proxies.clone_from(&source.trusted_proxies);
            if let Some(mapping) = self.mappings.get(id) {
                let zone = source.timezone.is_some().then(|| known.time_zone.clone());
                known.use_mapping(mapping.clone());
                // What the operator says of a source stands over what its owner says.
                if let Some(zone) = zone {
                    known.time_zone = zone;
                }
            }
            settings.sources.insert(id.as_str().into(), known);
        }
        Ok(settings)
    }
}

/// Settings of an operator of whom nothing is known but the tables: the zone of times without one is the work calendar's.
pub fn settings_of(tables: &Tables) -> ingest::Settings {
    let mut settings = ingest::Settings::default();
    if let Some(calendar) = tables.calendar() {
        settings.default.time_zone = calendar.zone().clone();
    }
    settings
}

/// A time zone by its name.
fn zone(key: &str, given: &str) -> anyhow::Result<jiff::tz::TimeZone> {
    jiff::tz::TimeZone::get(given).map_err(|_| {
        let message = format!("{key} `{given}` is not known; give an IANA name, `Europe/Berlin`");
        failure(CONFIGURATION, message)
    })
}

/// A source's id becomes part of a topic's name and of record ids.
pub fn check_source(id: &str) -> anyhow::Result<()> {
    let fine =
        !id.is_empty() && id.len() <= 200 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    anyhow::ensure!(fine, "source `{id}`: give 1 to 200 of the characters A-Z a-z 0-9 . _ -");
    Ok(())
}

/// The log formats' names, for messages.
pub fn format_names() -> String {
    let names: Vec<&str> = ingest::format::FORMATS.iter().map(|f| f.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone_of(source: &str, text: &str, calendar: bool) -> anyhow::Result<String> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("docket.toml");
        std::fs::write(&path, text)?;
        let mut tables = Tables::default();
        if calendar {
            tables.load(
                "work_calendar",
                br#"{"tz": "Europe/Berlin", "hours": ["09:00", "18:00"]}"#,
            )?;
        }
        let settings = Config::read(&path)?.ingest_settings(&tables)?;
        Ok(format!("{:?}", settings.of(source).time_zone.iana_name()))
    }

    #[test]
    fn the_nearest_zone_that_is_named_counts() {
        let all = "timezone = \"Asia/Tokyo\"\n";
        let own = "[sources.crm]\ntimezone = \"America/Lima\"\n";
        for (source, text, calendar, want) in [
            ("crm", "", false, "None"),
            ("crm", "", true, "Some(\"Europe/Berlin\")"),
            ("crm", all, true, "Some(\"Asia/Tokyo\")"),
            ("crm", &format!("{all}{own}"), true, "Some(\"America/Lima\")"),
            ("erp", &format!("{all}{own}"), true, "Some(\"Asia/Tokyo\")"),
            (
                "crm",
                "[sources.crm]\nformat = \"web_audit\"\n",
                true,
                "Some(\"Europe/Berlin\")",
            ),
        ] {
            assert_eq!(
                zone_of(source, text, calendar).unwrap(),
                want,
                "{source} of {text:?}, calendar {calendar}"
            );
        }
        let wrong = zone_of("crm", "timezone = \"Mars/Olympus\"", false)
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("timezone `Mars/Olympus`") && wrong.contains("Europe/Berlin"),
            "{wrong}"
        );
    }
}
