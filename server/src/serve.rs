//! Starts the server's parts in order, and stops them in reverse.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alert::channels::webhook::{Settings as WebhookSettings, Webhook};
use alert::{Channel, Courier, Retry, Store};
use anyhow::Context as _;
use detect::reference::Tables;
use ingest::dedup::Dedup;
use model::{LedgerIndex, Millis, StateStore as _};
use serde_json::json;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::accounts::Accounts;
use crate::app::{App, Shared};
use crate::auth::Tokens;
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::{INTEGRITY, failure};
use crate::gateway::Gate;
use crate::gateway::syslog::Listener;
use crate::pipeline::{Index, Judge, Line, Normalize, Progress, Running};
use crate::spine::{Append, Opened, Spine};
use crate::{kafka, listen, policies, reference};

/// How often somebody looks whether a deadline has passed without a record.
const TICK: Duration = Duration::from_millis(500);

/// A running server.
pub struct Server {
    /// What its handlers see.
    pub app: App,
    tables: Sender<Tables>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    couriers: Vec<JoinHandle<()>>,
    consumer: Option<kafka::Consumer>,
    running: Running,
    ledger: std::thread::JoinHandle<anyhow::Result<()>>,
    failed: mpsc::UnboundedReceiver<anyhow::Error>,
}

impl Server {
    /// Opens what is stored, starts every stage, then every listener.
    ///
    /// # Errors
    /// What is stored does not hold together (exit 6), or something cannot be opened or bound.
    pub async fn start(
        config: &Config,
        clock: Clock,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
    ) -> anyhow::Result<Server> {
        let data = &config.data_dir;
        create_private(data)?;
        let opened = Spine::open(&data.join("ledger"), &config.origin, clock.clone())?;
        let Opened {
            spine,
            thread: ledger,
            reader,
            positions,
            engine_time,
            size,
        } = opened;
        let embedded = positions
            .iter()
            .filter_map(|((topic, _), next)| Some((topic.strip_prefix("local.")?.to_owned(), *next)))
            .collect();
        let (failed_tx, failed) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);

        let loaded = policies::load(&config.policies)?;
        let tables = reference::load(config.reference.as_deref())?;
        let (policies_hash, tables_hash) = (policies::version(&loaded), reference::versions(&tables));
        let webhooks = webhooks(config)?;
        let alerts_path = data.join(alert::FILE_NAME);
        let store = Store::open(&alerts_path)?.with_channels(webhooks.iter().map(|w| w.name().to_owned()));
        let (judged, state) = store.load()?;
        let accounts = Arc::new(Mutex::new(Accounts::load(&state)));
        let mut dedup = Dedup::default();
        dedup.load(&state);
        let detector = policies::detector(&loaded, tables, state, judged)?;
        let writer = search::IndexWriter::open(&data.join("index"), search::Budgets::default(), ingest::mask::mask)?;
        let searcher = writer.searcher();
        for (stage, position) in [("the alerts", judged), ("the index", writer.position())] {
            not_ahead(stage, position, size)?;
        }

        let progress = Arc::new(Progress::new(judged, engine_time));
        let searchable = Arc::new(AtomicU64::new(writer.position().0));
        let deliver = Arc::new(Notify::new());
        let (tables_tx, tables_rx) = channel();
        let normalizer = Arc::new(ingest::Normalizer::new(config.ingest_settings()?));
        let wanted = Line::wanted(&detector);
        let line = Line {
            normalize: Normalize {
                reader: reader.clone(),
                durable: spine.durable(),
                normalizer: normalizer.clone(),
                dedup,
                wanted,
            },
            judge: Judge {
                detector,
                store,
                accounts: accounts.clone(),
                progress: progress.clone(),
                deliver: deliver.clone(),
                tables: tables_rx,
                clock: clock.clone(),
            },
            index: Index {
                writer,
                commit_every: Duration::from_millis(config.index_commit_ms),
                searchable: searchable.clone(),
            },
        };
        spine
            .act(
                "server.start",
                "docket",
                json!({
                    "version": env!("CARGO_PKG_VERSION"),
                    "configuration": config.hash,
                    "policies": policies_hash,
                    "reference": tables_hash,
                }),
            )
            .await?;
        let running = line.start(failed_tx.clone())?;
        let (gate, consumer) = match &config.kafka {
            None => (Gate::Ledger(spine.clone()), None),
            Some(settings) => kafka::start(
                settings,
                config,
                spine.clone(),
                positions,
                clock.clone(),
                failed_tx.clone(),
                stopping.clone(),
            )?,
        };
        let app = App(Arc::new(Shared {
            clock: clock.clone(),
            spine: spine.clone(),
            gate: gate.clone(),
            reader,
            normalizer,
            searcher,
            alerts: Mutex::new(Store::open(&alerts_path)?),
            tokens: Tokens::open(data)?,
            accounts,
            progress,
            searchable,
            ready: AtomicBool::new(false),
            metrics,
            kafka: consumer.as_ref().map(kafka::Consumer::handle),
            embedded,
            record_bytes_max: config.record_bytes_max,
        }));
        let couriers = webhooks
            .into_iter()
            .map(|hook| courier(hook, &alerts_path, deliver.clone(), stopping.clone()))
            .collect::<anyhow::Result<_>>()?;
        let mut listeners = listen::start(config, &app, stopping.clone()).await?;
        for syslog in &config.syslog {
            let listener = Listener {
                source: syslog.source.as_str().into(),
                gate: gate.clone(),
                clock: clock.clone(),
                record_bytes_max: config.record_bytes_max,
                stop: stopping.clone(),
            };
            listeners.push(if syslog.udp {
                listener.udp(syslog.listen).await?
            } else {
                listener.tcp(syslog.listen).await?
            });
        }
        listeners.push(tokio::spawn(tick(app.clone(), stopping)));
        app.ready.store(true, Ordering::Relaxed);
        tracing::info!(ledger = size.0, judged = judged.0, data = %data.display(), "Docket is ready.");
        Ok(Server {
            app,
            tables: tables_tx,
            stop,
            listeners,
            couriers,
            consumer,
            running,
            ledger,
            failed,
        })
    }

    /// What reads the reference tables of the configuration anew.
    pub fn reloader(&self, config: &Config) -> Reloader {
        Reloader {
            dir: config.reference.clone(),
            spine: self.app.spine.clone(),
            tables: self.tables.clone(),
        }
    }

    /// Returns when everything in the ledger is judged and searchable.
    pub async fn settled(&self) {
        let durable = *self.app.spine.durable().borrow();
        while self.app.progress.position() < durable || self.app.searchable.load(Ordering::Relaxed) < durable.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns when a part has failed, with why.
    pub async fn failure(&mut self) -> anyhow::Error {
        self.failed
            .recv()
            .await
            .unwrap_or_else(|| anyhow::anyhow!("the line has ended"))
    }

    /// Stops taking records, lets what was taken be judged, indexed and told, and closes the ledger.
    ///
    /// # Errors
    /// A part failed while stopping; what was acknowledged is in the ledger all the same.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.app.ready.store(false, Ordering::Relaxed);
        self.stop.send_replace(true);
        if let Some(consumer) = self.consumer {
            consumer.stop().await;
        }
        for listener in self.listeners {
            let _ = listener.await;
        }
        // The last act of this run; a ledger that cannot be written does not keep us from stopping.
        if let Err(error) = self.app.spine.act("server.stop", "docket", json!({})).await {
            tracing::warn!(%error, "Stop not recorded.");
        }
        tokio::task::spawn_blocking(move || self.running.stop()).await??;
        for courier in self.couriers {
            let _ = courier.await;
        }
        // The writer ends when the last handle on it is gone.
        drop(self.app);
        tokio::task::spawn_blocking(move || self.ledger.join())
            .await?
            .map_err(|_| anyhow::anyhow!("the ledger's thread panicked"))?
    }
}

/// Reads reference tables anew while the server runs.
pub struct Reloader {
    dir: Option<PathBuf>,
    spine: Spine,
    tables: Sender<Tables>,
}

impl Reloader {
    /// Records what is loaded, and hands it to the judgement, which uses it from its next group on.
    ///
    /// # Errors
    /// A table is wrong, or the act cannot be recorded: the old ones stay.
    pub async fn reload(&self) -> anyhow::Result<()> {
        let dir = self.dir.clone();
        let tables = tokio::task::spawn_blocking(move || reference::load(dir.as_deref())).await??;
        self.spine
            .act("reference.load", "docket", json!(reference::versions(&tables)))
            .await?;
        self.tables.send(tables).context("the judgement has ended")
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

fn create_private(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("making the data folder {}", dir.display()))
}

fn webhooks(config: &Config) -> anyhow::Result<Vec<Webhook>> {
    let hook = |w: &crate::config::WebhookFile| {
        let mut settings = WebhookSettings::new(&w.name, &w.url);
        settings.secret = w.secret.clone();
        Ok(Webhook::new(settings)?)
    };
    config.webhooks.iter().map(hook).collect()
}

fn courier(
    hook: Webhook,
    alerts: &Path,
    wake: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<JoinHandle<()>> {
    let courier = Courier::new(Store::open(alerts)?, Arc::new(hook), Retry::default());
    let stopped = async move {
        let _ = stop.wait_for(|s| *s).await;
    };
    Ok(tokio::spawn(courier.run(crate::clock::wall, wake, stopped)))
}

/// Brings engine time to a deadline that no record brings it to.
async fn tick(app: App, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
        let now: Millis = app.clock.now();
        if app.progress.wants_tick(now) {
            let act = json!({"act": "tick", "time": now.0});
            if let Err(error) = app.spine.append(Append::Act(act)).await {
                tracing::warn!(%error, "Tick not recorded.");
            }
        }
    }
}
