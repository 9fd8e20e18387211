//! Starts the server's parts in order, and stops them in reverse.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use alert::channels::webhook::{Settings as WebhookSettings, Webhook};
use alert::{Courier, Retry, Store};
use anyhow::Context as _;
use model::Millis;
use serde_json::json;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::app::{App, Shared};
use crate::auth::Tokens;
use crate::clock::Clock;
use crate::config::{Config, Protocol};
use crate::failing::Failing;
use crate::gateway::Gate;
use crate::gateway::held::Budget;
use crate::gateway::syslog::Listener;
use crate::gateway::udp;
use crate::integrity::Integrity;
use crate::pipeline::{Progress, Running};
use crate::policies::Site;
use crate::registers::Registers;
use crate::retention::Retention;
use crate::spine::{Append, Opened, Spine};
use crate::staleness::Staleness;
use crate::{files, kafka, listen, policy_changes, quiet};

mod reloader;
mod stored;

pub use reloader::Reloader;
use stored::{Stored, Told};

/// How often somebody looks whether a deadline has passed without a record.
const TICK: Duration = Duration::from_millis(500);

/// A running server.
pub struct Server {
    /// What its handlers see.
    pub app: App,
    sites: Sender<Site>,
    version: Arc<Mutex<String>>,
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
        create_private(&config.data_dir)?;
        let opened = Spine::open(&config.data_dir.join("ledger"), config.origin.as_deref(), clock.clone())?;
        let hooks = webhooks(config)?;
        let stored = Stored::open(config, &clock, &opened, &hooks)?;
        let size = opened.size;
        let (failed_tx, failed) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let Opened {
            spine,
            thread: ledger,
            reader,
            positions,
            engine_time,
            ..
        } = opened;
        spine.act("server.start", "docket", stored.versions(config)).await?;

        policy_changes::record(&stored.running, &config.data_dir, &spine).await?;

        let settings = config.ingest_settings(&stored.tables)?;
        let normalizer = Arc::new(ingest::Normalizer::new(settings.clone()));
        let progress = Arc::new(Progress::new(stored.judged, engine_time));
        let searchable = Arc::new(AtomicU64::new(stored.writer.position().0));
        let (accounts, searcher) = (stored.accounts.clone(), stored.writer.searcher());
        let tables = Arc::new(RwLock::new(Arc::new(stored.tables.clone())));
        let deliver = Arc::new(Notify::new());
        let (sites, new_sites) = channel();
        let version = Arc::new(Mutex::new(stored.policies.clone()));
        let retention = Retention::new(config, &clock, &stored.writer);
        retention.tell_change(&spine).await?;
        let line = stored.line(
            config,
            &spine,
            Told {
                reader: reader.clone(),
                normalizer: normalizer.clone(),
                progress: progress.clone(),
                searchable: searchable.clone(),
                deliver: deliver.clone(),
                sites: new_sites,
                clock: clock.clone(),
                expired: retention.expired.clone(),
            },
        );
        let running = line.start(failed_tx.clone())?;

        let embedded = embedded(&positions);
        let (gate, consumer) = match &config.kafka {
            None => (Gate::Ledger(spine.clone()), None),
            Some(k) => kafka::start(
                k,
                config,
                spine.clone(),
                positions,
                clock.clone(),
                failed_tx,
                stopping.clone(),
            )?,
        };
        let app = App(Arc::new(Shared {
            clock,
            spine,
            gate,
            reader,
            normalizer,
            searcher,
            alerts: Mutex::new(Store::open(config.data_dir.join(alert::FILE_NAME))?),
            tokens: Tokens::open(&config.data_dir)?,
            accounts,
            progress,
            searchable,
            ready: AtomicBool::new(false),
            metrics,
            kafka: consumer.as_ref().map(kafka::Consumer::handle),
            embedded,
            record_bytes_max: config.record_bytes_max,
            intake: config.gateway.intake(),
            configured: config.named_sources(),
            zones: settings.into(),
            tables,
            registers: Registers::new(config.reference.clone(), config.reference_age_ms_max),
            saved: crate::api::saved::Searches::open(&config.data_dir)?,
            exports: config.data_dir.join("exports"),
            pseudonyms: crate::pseudonyms::salt(&config.data_dir)?,
            questions: crate::questions::Questions::default(),
        }));
        let couriers = hooks
            .into_iter()
            .map(|hook| courier(hook, config, deliver.clone(), stopping.clone()))
            .collect::<anyhow::Result<_>>()?;
        let mut listeners = listeners(config, &app, &stopping).await?;
        listeners.push(tokio::spawn(retention.run(app.spine.clone(), stopping.clone())));
        app.ready.store(true, Ordering::Relaxed);
        tracing::info!(ledger = size.0, judged = app.progress.position().0, data = %config.data_dir.display(), "Docket is ready.");
        let server = Server {
            app,
            sites,
            version,
            stop,
            listeners,
            couriers,
            consumer,
            running,
            ledger,
            failed,
        };
        server.app.registers.put_in_place_by(server.reloader(config));
        Ok(server)
    }

    /// What reads the reference tables, policies and certificates of the configuration anew.
    pub fn reloader(&self, config: &Config) -> Reloader {
        Reloader {
            tls: config.tls(),
            dir: config.reference.clone(),
            configured: config.named_sources(),
            lives: !self.app.clock.is_simulated(),
            policies: config.policies.clone(),
            data_dir: config.data_dir.clone(),
            spine: self.app.spine.clone(),
            sites: self.sites.clone(),
            tables: self.app.tables.clone(),
            version: self.version.clone(),
            turn: self.app.registers.turn(),
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

/// How many records of each embedded source the ledger holds.
fn embedded(positions: &BTreeMap<(Arc<str>, i32), i64>) -> BTreeMap<String, i64> {
    let local = positions
        .iter()
        .filter_map(|((topic, _), next)| Some((topic.strip_prefix("local.")?.to_owned(), *next)));
    local.collect()
}

/// Starts everything that listens, and the ticks.
async fn listeners(config: &Config, app: &App, stop: &watch::Receiver<bool>) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut listeners = listen::start(config, app, stop.clone()).await?;
    let room = Budget::new(config.gateway.held_bytes);
    for syslog in &config.syslog {
        let listener = Listener {
            source: syslog.source.as_str().into(),
            gate: app.gate.clone(),
            clock: app.clock.clone(),
            record_bytes_max: config.record_bytes_max,
            room: room.clone(),
            losses: app.intake.losses.clone(),
            stop: stop.clone(),
        };
        listeners.push(match &syslog.protocol {
            Protocol::Udp => udp::listen(listener, syslog.listen).await?,
            Protocol::Tcp => listener.tcp(syslog.listen, None).await?,
            Protocol::Tls(tls) => listener.tcp(syslog.listen, Some(tls.clone())).await?,
        });
    }
    listeners.extend(files::start(
        config.files.clone(),
        &config.data_dir,
        app.clone(),
        stop.clone(),
    )?);
    listeners.push(tokio::spawn(tick(app.clone(), stop.clone())));
    let integrity = Integrity {
        data_dir: config.data_dir.clone(),
        reader: app.reader.clone(),
        clock: app.clock.clone(),
    };
    listeners.push(tokio::spawn(integrity.run(app.spine.clone(), stop.clone())));
    listeners.push(tokio::spawn(quiet::run(
        app.clone(),
        config.data_dir.clone(),
        stop.clone(),
    )));
    let failing = Failing::new(&config.data_dir, config.disk_percent_max);
    listeners.push(tokio::spawn(failing.run(app.clone(), stop.clone())));
    if let (Some(dir), Some(age_ms_max)) = (&config.reference, config.reference_age_ms_max) {
        let staleness = Staleness {
            dir: dir.clone(),
            age_ms_max,
            clock: app.clock.clone(),
        };
        listeners.push(tokio::spawn(staleness.run(app.spine.clone(), stop.clone())));
    }
    Ok(listeners)
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
    config: &Config,
    wake: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<JoinHandle<()>> {
    let courier = Courier::new(
        Store::open(config.data_dir.join(alert::FILE_NAME))?,
        Arc::new(hook),
        Retry::default(),
    );
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
