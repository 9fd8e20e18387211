//! `docket serve` and `docket config`

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use super::block_on;
use crate::clock::Clock;
use crate::config::Config;
use crate::serve::Server;

const EXAMPLE: &str = r#"A configuration:

  data_dir  = "/var/lib/docket"
  reference = "/etc/docket/reference"        # one JSON or CSV file a table
  policies  = ["built-in", "/etc/docket/policies"]

  [http]
  listen = "127.0.0.1:8514"                  # API and gateway

  [[syslog]]
  listen = "0.0.0.0:5514"
  protocol = "tcp"                           # or udp
  source = "linux"

  [[files]]
  path = "/var/log/app/*.log"                # followed across rotation and restart
  source = "app"

  [kafka]                                    # without it the gateway appends to the ledger itself
  bootstrap = "kafka-1:9092,kafka-2:9092"
  topics = ["^audit\\..*"]
  gateway = true                             # the gateway produces to Kafka with acks=all
  [kafka.options]
  "security.protocol" = "SASL_SSL"

  [sources.jumpserver]
  format = "jumpserver"
  timezone = "Asia/Shanghai"

  [[webhooks]]
  name = "security-team"
  url = "https://chat.example/hooks/abc"

Each setting can be given by the environment: DOCKET_HTTP__LISTEN=127.0.0.1:9000"#;

/// Run the server: take records, judge, alert, index, answer
///
/// SIGTERM and SIGINT stop it, SIGHUP reads the reference tables, the policies and the listeners' certificates anew.
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", env = "DOCKET_CONFIG", default_value = "docket.toml")]
    config: PathBuf,
    /// Write logs as JSON
    #[arg(long)]
    log_json: bool,
}

/// Check the configuration without starting anything
#[derive(clap::Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with a configuration, or that nothing is
    Check {
        /// The configuration
        #[arg(long, value_name = "FILE", env = "DOCKET_CONFIG", default_value = "docket.toml")]
        config: PathBuf,
    },
}

/// Runs the server until SIGINT or SIGTERM.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    log(args.log_json, "info");
    let config = Config::read(&args.config)?;
    let metrics = metrics()?;
    block_on(async {
        let mut server = Server::start(&config, Clock::default(), metrics).await?;
        let reload = tokio::spawn(reload_on_hangup(server.reloader(&config)));
        let failed = tokio::select! {
            error = server.failure() => Some(error),
            signal = stop_signal() => { tracing::info!(signal, "Stopping."); None }
        };
        reload.abort();
        let _ = reload.await;
        let stopped = server.stop().await;
        match failed {
            Some(error) => Err(error),
            None => stopped.map(|()| ExitCode::SUCCESS),
        }
    })
}

/// Runs `config check`.
pub fn config(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Check { config: path } = command;
    let config = Config::read(&path)?;
    let tables = crate::reference::load(config.reference.as_deref())?;
    config.ingest_settings(&tables)?;
    let loaded = crate::policies::load(&config.policies, &tables)?;
    println!("{}: fine", path.display());
    println!(
        "data folder {}; {} policies; {} reference tables",
        config.data_dir.display(),
        loaded.policies.all().len(),
        tables.iter().count()
    );
    Ok(ExitCode::SUCCESS)
}

/// Logs to standard error; `DOCKET_LOG` filters (`info`, `ingest=debug`).
pub fn log(json: bool, default: &str) {
    let filter = EnvFilter::try_from_env("DOCKET_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    // A second call, as in a test, keeps the first.
    let _ = if json {
        lines.json().try_init()
    } else {
        lines.with_target(false).try_init()
    };
}

/// The process's metrics.
pub fn metrics() -> anyhow::Result<metrics_exporter_prometheus::PrometheusHandle> {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| anyhow::anyhow!("a metrics recorder is set already"))?;
    Ok(handle)
}

/// SIGHUP: reads the reference tables, the policies and the certificates anew.
async fn reload_on_hangup(reloader: crate::serve::Reloader) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return;
    };
    while hangup.recv().await.is_some() {
        match reloader.reload().await {
            Ok(()) => tracing::info!("Reference tables read."),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "Reference tables not loaded; the old ones stay."
            ),
        }
        match reloader.renew_certificates().await {
            Ok(()) => tracing::info!("Certificates loaded."),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "Certificates not loaded; the old ones stay."
            ),
        }
    }
}

/// Waits for SIGINT or SIGTERM.
pub async fn stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "SIGINT",
        _ = term.recv() => "SIGTERM",
    }
}
