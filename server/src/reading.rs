//! The API over a stopped server's folder, for the length of one command.
//!
//! It takes the ledger's lock and records the act like any server, but it judges and indexes nothing: the next
//! start of the real server, with its own policies and tables, does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use alert::Store;
use model::StateStore as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::accounts::Accounts;
use crate::app::{App, Shared, Zones};
use crate::auth::Tokens;
use crate::clock::Clock;
use crate::config::File;
use crate::exit::{UNREACHABLE, failure};
use crate::gateway::Gate;
use crate::listen;
use crate::pipeline::Progress;
use crate::spine::{Opened, Spine};

/// An open folder.
pub struct Reading {
    app: App,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    ledger: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Reading {
    /// Opens the folder of a server that does not run, and serves its socket.
    ///
    /// # Errors
    /// There is no ledger or no index in it (4), another process has it, or it is damaged (6).
    pub async fn open(data: &Path) -> anyhow::Result<Reading> {
        let missing = |what: &str| {
            failure(
                UNREACHABLE,
                format!(
                    "no server runs on {}, and it {what}; give --data DIR or --url",
                    data.display()
                ),
            )
        };
        if !data.join("ledger").is_dir() {
            return Err(missing("holds no ledger"));
        }
        let clock = Clock::default();
        let Opened {
            spine,
            thread: ledger,
            reader,
            engine_time,
            size,
            ..
        } = Spine::open(&data.join("ledger"), None, clock.clone())?;
        let searcher = search::Searcher::open(&data.join("index"))
            .map_err(|e| missing(&format!("has no index that can be read ({e})")))?;
        let alerts = Store::open(data.join(alert::FILE_NAME))?;
        let (judged, state) = alerts.load()?;
        let searchable = searcher.position();
        if searchable < size {
            let behind = size.0 - searchable.0;
            eprintln!(
                "docket: {behind} records at the ledger's end are not searchable yet; the server's next start sees to it"
            );
        }
        // The configuration is not known here; the demo keeps its tables beside its data.
        let reference = Some(data.join("reference")).filter(|d| d.is_dir());
        let config = File {
            data_dir: Some(std::path::absolute(data)?),
            ..File::default()
        }
        .check(Path::new("."))?;
        let app = App(Arc::new(Shared {
            gate: Gate::Ledger(spine.clone()),
            spine,
            clock,
            reader,
            normalizer: Arc::new(ingest::Normalizer::default()),
            searcher,
            alerts: Mutex::new(alerts),
            tokens: Tokens::open(data)?,
            accounts: Arc::new(Mutex::new(Accounts::load(&state))),
            progress: Arc::new(Progress::new(judged, engine_time)),
            searchable: Arc::new(AtomicU64::new(searchable.0)),
            ready: AtomicBool::new(false),
            metrics: metrics_exporter_prometheus::PrometheusBuilder::new()
                .build_recorder()
                .handle(),
            kafka: None,
            embedded: BTreeMap::new(),
            record_bytes_max: config.record_bytes_max,
            intake: config.gateway.intake(),
            configured: Vec::new(),
            zones: Zones::default(),
            registers: crate::registers::Registers::new(reference.clone(), None),
            saved: crate::api::saved::Searches::open(data)?,
            exports: data.join("exports"),
            pseudonyms: crate::pseudonyms::salt(data)?,
            questions: crate::questions::Questions::default(),
            tables: Arc::new(std::sync::RwLock::new(Arc::new(crate::reference::load(
                reference.as_deref(),
            )?))),
        }));
        let (stop, stopping) = watch::channel(false);
        let listeners = listen::start(&config, &app, stopping).await?;
        Ok(Reading {
            app,
            stop,
            listeners,
            ledger,
        })
    }

    /// Closes it.
    ///
    /// # Errors
    /// The ledger could not be closed in order.
    pub async fn close(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        for listener in self.listeners {
            let _ = listener.await;
        }
        drop(self.app);
        tokio::task::spawn_blocking(move || self.ledger.join())
            .await?
            .map_err(|_| anyhow::anyhow!("the ledger's thread panicked"))?
    }
}
