//! What the listeners and the API share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use detect::reference::Tables;

use crate::accounts::Accounts;
use crate::auth::Tokens;
use crate::clock::Clock;
use crate::gateway::Gate;
use crate::pipeline::Progress;
use crate::spine::Spine;

/// The running server, as its handlers see it. Cheap to clone.
#[derive(Clone)]
pub struct App(pub Arc<Shared>);

/// See [`App`].
pub struct Shared {
    /// The time.
    pub clock: Clock,
    /// The ledger's writer.
    pub spine: Spine,
    /// Where received records go: the ledger, or Kafka.
    pub gate: Gate,
    /// Reads the ledger.
    pub reader: Arc<ledger::Reader>,
    /// Formats, to show a record normalized.
    pub normalizer: Arc<ingest::Normalizer>,
    /// The index.
    pub searcher: search::Searcher,
    /// Alerts: the API's own connection to the database.
    pub alerts: Mutex<alert::Store>,
    /// Who may call.
    pub tokens: Tokens,
    /// What became of the records.
    pub accounts: Arc<Mutex<Accounts>>,
    /// How far the judgement is.
    pub progress: Arc<Progress>,
    /// How far the index is.
    pub searchable: Arc<AtomicU64>,
    /// Set once everything runs; unset when stopping.
    pub ready: AtomicBool,
    /// Shows the metrics.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// How the connection to Kafka fares, where there is one.
    pub kafka: Option<ingest::source::kafka::KafkaHandle>,
    /// Records that embedded sources had in the ledger at the start.
    pub embedded: BTreeMap<String, i64>,
    /// Bytes of one record that are kept.
    pub record_bytes_max: usize,
    /// What the listeners share that take requests.
    pub intake: crate::gateway::Intake,
    /// The sources that the configuration names, and where.
    pub configured: Vec<crate::reference::Configured>,
    /// The zones of the sources' times.
    pub zones: Zones,
    /// The reference tables that are in use.
    pub tables: Arc<RwLock<Arc<Tables>>>,
    /// The folder of those tables, where they may be put anew.
    pub registers: crate::registers::Registers,
    /// The searches that were given names.
    pub saved: crate::api::saved::Searches,
    /// The folder of the exports under way.
    pub exports: std::path::PathBuf,
    /// What people's words are made with, for who may not see people.
    pub pseudonyms: Arc<str>,
    /// What is being asked.
    pub questions: crate::questions::Questions,
}

impl Shared {
    /// The reference tables of this moment.
    pub fn tables(&self) -> Arc<Tables> {
        self.tables
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// Which zone times without one are taken to be in.
#[derive(Debug, Default)]
pub struct Zones(Option<ingest::Settings>);

impl Zones {
    /// A source's zone; `None` where the configuration is not known.
    pub fn of(&self, source: &str) -> Option<&jiff::tz::TimeZone> {
        Some(&self.0.as_ref()?.of(source).time_zone)
    }
}

impl From<ingest::Settings> for Zones {
    fn from(settings: ingest::Settings) -> Zones {
        Zones(Some(settings))
    }
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Takes a lock, also after a panic elsewhere: what it guards is whole between statements.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
