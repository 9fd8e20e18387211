//! What is stored, opened, and the line that goes on from it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alert::channels::webhook::Webhook;
use alert::{Channel as _, Store};
use detect::engine::Detector;
use detect::reference::Tables;
use ingest::dedup::{Dedup, RunError};
use ingest::join::Assembler;
use model::{LedgerIndex, StateStore as _};
use search::{Budgets, IndexWriter};
use serde_json::json;
use tokio::sync::Notify;

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::{INTEGRITY, failure};
use crate::pipeline::{Gaps, Index, Judge, Line, Maker, Normalize, Progress, joins};
use crate::policies::Site;
use crate::spine::{Opened, Spine};
use crate::{masking, policies, reference};

/// What is stored, opened: all that the stages go on from.
pub(super) struct Stored {
    pub(super) judged: LedgerIndex,
    pub(super) detector: Detector,
    pub(super) store: Store,
    pub(super) dedup: Dedup,
    pub(super) assembler: Assembler,
    /// What waits at the judge's position.
    pub(super) joins: Arc<str>,
    pub(super) accounts: Arc<Mutex<Accounts>>,
    pub(super) writer: IndexWriter,
    pub(super) policies: String,
    pub(super) running: Arc<detect::policy::Policies>,
    pub(super) reference: BTreeMap<String, String>,
    pub(super) tables: Tables,
}

/// What the stages share with the rest of the server.
pub(super) struct Told {
    pub(super) reader: Arc<ledger::Reader>,
    pub(super) normalizer: Arc<ingest::Normalizer>,
    pub(super) progress: Arc<Progress>,
    pub(super) searchable: Arc<AtomicU64>,
    pub(super) deliver: Arc<Notify>,
    pub(super) sites: Receiver<Site>,
    pub(super) clock: Clock,
    pub(super) expired: Arc<AtomicI64>,
}

impl Stored {
    pub(super) fn open(config: &Config, clock: &Clock, opened: &Opened, hooks: &[Webhook]) -> anyhow::Result<Stored> {
        let mut tables = reference::load(config.reference.as_deref())?;
        reference::add_configured(&mut tables, &config.named_sources(), !clock.is_simulated())?;
        let loaded = policies::load(&config.policies, &tables)?;
        let (policies, reference) = (policies::version(&loaded), reference::versions(&tables));
        let alerts = config.data_dir.join(alert::FILE_NAME);
        let store = Store::open(alerts)?.with_channels(hooks.iter().map(|h| h.name().to_owned()));
        let (judged, state) = store.load()?;
        let writer = IndexWriter::open(&config.data_dir.join("index"), Budgets::STANDARD, masking::INDEX)?;
        not_ahead("the alerts", judged, opened.size)?;
        not_ahead("the index", writer.position(), opened.size)?;
        let waiting = joins::of_state(&state);
        let assembler = joins::at_least((judged, &waiting), (writer.position(), writer.note()), &opened.reader)?;
        let mut dedup = Dedup::open(
            &config.data_dir.join("duplicates"),
            ingest::dedup::YOUNG,
            config.duplicates_max,
        )
        .map_err(|e| match e {
            e @ RunError::Damaged { .. } => failure(INTEGRITY, e.to_string()),
            e @ RunError::Io { .. } => e.into(),
        })?;
        not_ahead(
            "the folder `duplicates`",
            dedup.greatest_on_disk().map_or(LedgerIndex(0), LedgerIndex::next),
            opened.size,
        )?;
        dedup.load(&state);
        let mut accounts = Accounts::load(&state);
        accounts.declare(&tables);
        accounts.tell();
        let accounts = Arc::new(Mutex::new(accounts));
        let compiled = policies::compile(&loaded);
        let running = compiled.policies.clone();
        let detector = policies::detector(compiled, tables.clone(), state, judged, Some(&config.data_dir))?;
        Ok(Stored {
            judged,
            detector,
            store,
            dedup,
            assembler,
            joins: waiting.into(),
            accounts,
            writer,
            policies,
            running,
            reference,
            tables,
        })
    }

    /// What the ledger is told of at each start.
    pub(super) fn versions(&self, config: &Config) -> serde_json::Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "configuration": config.hash,
            "mappings": config.mappings.iter().map(|(id, m)| (id.as_str(), m.hash.as_str())).collect::<BTreeMap<_, _>>(),
            "policies": self.policies,
            "reference": self.reference,
        })
    }

    pub(super) fn line(self, config: &Config, spine: &Spine, told: Told) -> Line {
        let wanted = Line::wanted(&self.detector);
        let held = self.assembler.held();
        // Columns that only the index wants are not made again for the judge.
        let again = Maker::new(
            told.reader.clone(),
            told.normalizer.clone(),
            Assembler::default(),
            self.detector.wanted(),
        );
        Line {
            normalize: Normalize {
                durable: spine.durable(),
                maker: Maker::new(told.reader.clone(), told.normalizer.clone(), self.assembler, &wanted),
                dedup: self.dedup,
                forgotten: 0,
                sites: told.sites,
            },
            judge: Judge {
                detector: self.detector,
                store: self.store,
                accounts: self.accounts,
                progress: told.progress,
                deliver: told.deliver,
                folder: config.data_dir.clone(),
                clock: told.clock.clone(),
                gaps: Gaps::default(),
                again,
                joins: self.joins,
            },
            index: Index {
                held,
                writer: self.writer,
                expired: told.expired,
                commit_every: Duration::from_millis(config.index_commit_ms),
                searchable: told.searchable,
                clock: told.clock,
            },
        }
    }
}

/// Nothing may have seen more of the ledger than there is.
fn not_ahead(stage: &str, position: LedgerIndex, size: LedgerIndex) -> anyhow::Result<()> {
    if position <= size {
        return Ok(());
    }
    Err(failure(
        INTEGRITY,
        format!(
            "{stage} has seen {position} leaves, the ledger holds {size}: leaves were taken away; restore the ledger's folder"
        ),
    ))
}
