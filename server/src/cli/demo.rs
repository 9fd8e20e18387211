//! `docket demo`

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use alert::{Filter, Page};
use bytes::Bytes;
use model::Millis;
use serde::{Deserialize, Serialize};

use super::output::inert;
use super::serve::{log, metrics, stop_signal};
use super::{block_on, demo_texts as texts};
use crate::app::{App, lock};
use crate::auth::Role;
use crate::clock::{Clock, wall};
use crate::config::{Config, File, SourceFile};
use crate::demo::{TIME_ZONE, Traffic, reference};
use crate::exit::{USAGE, failure};
use crate::kept::{self, write_whole};
use crate::serve::Server;
use crate::spine::{Append, Incoming};

/// How far back the story starts.
const STORY_MS: i64 = 3 * 86_400_000;
/// How often records are handed over, in milliseconds of the watcher's time.
const STEP_MS: u64 = 100;
/// Where the API listens, if nobody else does.
const LISTEN: &str = "127.0.0.1:8514";

/// Watch Docket work: a made-up operator's bastion host and web systems, with a few violations a day
///
/// Three days of traffic play on a simulated clock, alerts show as they fire, then the clock has caught up with
/// now and goes on. Everything lies in one folder; stopped and started again, the demo goes on.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  docket demo\n  docket demo --data /tmp/demo --minutes 5\n  rm -r docket-demo     # leaves no trace"
)]
pub struct Args {
    /// Where the demo keeps its data
    #[arg(long, default_value = "docket-demo", value_name = "DIR")]
    data: PathBuf,
    /// In how many minutes the three days play
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Which story; the same seed tells the same
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Only the operator's ordinary traffic, without violations
    #[arg(long)]
    ordinary: bool,
    /// Play nothing: write so many records to records.ndjson of the data folder, as `kcat -C -J` prints them, and the
    /// reference tables beside them, for `docket detect`
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    write: Option<usize>,
    /// When the written story starts (default: three days ago)
    #[arg(long, value_name = "TIME", requires = "write")]
    from: Option<String>,
}

/// What a later start has to know.
#[derive(Serialize, Deserialize)]
struct Story {
    seed: u64,
    start: Millis,
    ordinary: bool,
}

/// Runs it until Ctrl-C.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.minutes > 0.0 && args.minutes < 10_000.0,
        "--minutes {}: give more than 0",
        args.minutes
    );
    if let Some(records) = args.write {
        return written(&args, records);
    }
    log(false, "warn");
    let metrics = metrics()?;
    let story = story(&args)?;
    let config = config(&args.data)?;
    block_on(async {
        let clock = Clock::simulated(story.start);
        let mut server = Server::start(&config, clock.clone(), metrics).await?;
        let app = server.app.clone();
        texts::welcome(&args.data, &token(&args.data, &app)?, config.listen);
        let play = tokio::spawn(play(app.clone(), clock, story, args.minutes));
        let watch = tokio::spawn(watch(app, args.data.clone()));
        let failed = tokio::select! {
            error = server.failure() => Some(error),
            _ = stop_signal() => None,
        };
        play.abort();
        watch.abort();
        let _ = (play.await, watch.await);
        eprintln!("\nStopping: everything taken is being judged, indexed and sealed.");
        server.stop().await?;
        texts::goodbye(&args.data);
        failed.map_or(Ok(ExitCode::SUCCESS), Err)
    })
}

/// Writes the story's first records and its tables instead of playing it.
fn written(args: &Args, records: usize) -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    let from = args.from.as_deref().map(Millis::parse).transpose();
    let start = from
        .map_err(|e| failure(USAGE, format!("--from: {e}")))?
        .unwrap_or_else(|| Millis(wall().0 - STORY_MS));
    tables(&args.data, start)?;
    let path = args.data.join("records.ndjson");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path)?);
    let mut last = start;
    let mut offsets = BTreeMap::<&str, i64>::new();
    for (at, source, line) in traffic(args.seed, start, args.ordinary).take(records) {
        let offset = offsets.entry(source).or_default();
        let record = serde_json::json!({
            "topic": source, "partition": 0, "offset": *offset, "tstype": "create", "ts": at.0, "key": null, "payload": line,
        });
        writeln!(out, "{record}")?;
        *offset += 1;
        last = at;
    }
    out.flush()?;
    let (reference, shown) = (args.data.join("reference"), path.display());
    let told = format!(
        "{records} records from {start} to {last}: {shown}\ndocket detect --reference {} --format kcat {shown}\n",
        reference.display()
    );
    std::io::stdout().write_all(told.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The reference tables of a story, in their folder.
fn tables(data: &Path, start: Millis) -> anyhow::Result<()> {
    std::fs::create_dir_all(data.join("reference"))?;
    for (table, json) in reference(start) {
        std::fs::write(data.join("reference").join(format!("{table}.json")), json)?;
    }
    Ok(())
}

/// The records of a story.
fn traffic(
    seed: u64,
    start: Millis,
    ordinary: bool,
) -> Box<dyn Iterator<Item = (Millis, &'static str, String)> + Send> {
    let traffic = Traffic::new(seed, start);
    if ordinary {
        Box::new(traffic.ordinary_only())
    } else {
        Box::new(traffic)
    }
}

/// The story of the folder, or a new one that starts three days ago.
fn story(args: &Args) -> anyhow::Result<Story> {
    let path = args.data.join("demo.json");
    if let Some(story) = kept::read(&path, "remove the folder")? {
        return Ok(story);
    }
    let story = Story {
        seed: args.seed,
        start: Millis(wall().0 - STORY_MS),
        ordinary: args.ordinary,
    };
    tables(&args.data, story.start)?;
    write_whole(&path, &serde_json::to_vec(&story)?)?;
    Ok(story)
}

fn config(data: &Path) -> anyhow::Result<Config> {
    let data = std::path::absolute(data)?;
    let free = std::net::TcpListener::bind(LISTEN).is_ok();
    let zoned = |format: &str| SourceFile {
        format: Some(format.into()),
        timezone: Some(TIME_ZONE.into()),
        ..SourceFile::default()
    };
    let formats = [
        ("jumpserver", "jumpserver"),
        ("linux", "linux_auth"),
        ("nginx", "nginx_json"),
        ("webaudit", "web_audit"),
        ("actiontrail", "action_trail"),
    ];
    let mut file = File {
        data_dir: Some(data.clone()),
        reference: Some(data.join("reference")),
        origin: Some("docket.demo/ledger".into()),
        sources: formats
            .iter()
            .map(|(id, format)| ((*id).to_owned(), zoned(format)))
            .collect(),
        ..File::default()
    };
    file.http.listen = free.then(|| LISTEN.to_owned());
    file.check(Path::new("."))
}

/// The auditor's token, made at the first start.
fn token(data: &Path, app: &App) -> anyhow::Result<String> {
    let path = data.join("auditor.token");
    if let Ok(token) = std::fs::read_to_string(&path) {
        return Ok(token.trim().to_owned());
    }
    let token = app.tokens.create("demo-auditor", Role::Auditor, app.clock.now())?;
    write_whole(&path, token.as_bytes())?;
    Ok(token)
}

/// Hands the story's records over as the simulated clock reaches them.
async fn play(app: App, clock: Clock, story: Story, minutes: f64) {
    let mut traffic = traffic(story.seed, story.start, story.ordinary);
    let mut held = held(&app);
    let speed = (STORY_MS as f64 / (minutes * 60_000.0)).max(1.0);
    let mut next = None;
    let mut caught_up = false;
    loop {
        let step = if caught_up {
            STEP_MS as i64
        } else {
            (STEP_MS as f64 * speed) as i64
        };
        let mut records = Vec::new();
        let until = Millis((clock.now().0 + step).min(wall().0));
        while let Some((at, source, line)) = next.take().or_else(|| traffic.next()) {
            if let Some(more) = held.get_mut(source).filter(|n| **n > 0) {
                *more -= 1;
                clock.set(at);
                continue;
            }
            if at > until {
                next = Some((at, source, line));
                break;
            }
            records.push(Incoming {
                source: Arc::from(source),
                peer: Some("demo".into()),
                payload: Bytes::from(line),
                truncated: None,
                received_at: at,
                headers: vec![("docket-simulated".to_owned(), Bytes::from_static(b"true"))],
            });
        }
        clock.set(until);
        if !records.is_empty()
            && let Err(error) = app.spine.append(Append::Local(records)).await
        {
            tracing::error!(%error, "The demo's records were not kept.");
            return;
        }
        if !caught_up && wall().0 - clock.now().0 < 1000 {
            caught_up = true;
            texts::caught_up();
        }
        tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
    }
}

/// How many records of each source the ledger holds already.
fn held(app: &App) -> BTreeMap<&'static str, i64> {
    let sources = ["jumpserver", "linux", "nginx", "webaudit", "actiontrail"];
    sources
        .into_iter()
        .map(|s| (s, app.embedded.get(s).copied().unwrap_or(0)))
        .collect()
}

/// Shows alerts as they fire.
async fn watch(app: App, data: PathBuf) {
    let colour = std::io::stdout().is_terminal();
    let page = Page {
        limit: 200,
        before: None,
    };
    let list = |app: &App| lock(&app.alerts).list(&Filter::default(), page).unwrap_or_default();
    let mut seen = list(&app).first().map_or(0, |a| a.seq);
    let mut told = seen > 0;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let shown = seen;
        for alert in list(&app).into_iter().filter(|a| a.seq > shown).rev() {
            seen = alert.seq;
            texts::alert(&alert, colour);
            if !told {
                told = true;
                texts::next(
                    &data,
                    &alert.id,
                    &inert(alert.finding.account.as_deref().unwrap_or("root")),
                );
            }
        }
    }
}
