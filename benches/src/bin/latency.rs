//! How long after Kafka has a record an alert is told and a search finds it, at a steady rate through `docket serve`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use benches::http::{Client, Webhook};
use benches::server::{self, Server};
use benches::traffic::{self, Traffic};
use benches::{percentile, usage, world};
use clap::Parser;
use model::Millis;
use rdkafka::ClientConfig;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use serde_json::Value;

const SOURCES: [&str; 5] = ["nginx", "webaudit", "linux", "jumpserver", "actiontrail"];
/// Between two records that are timed, of each kind.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// How often the search is asked.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// How long the last ones are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Produces to a real Kafka at a steady rate and times alerts and search hits from the producer's acknowledgement
#[derive(Parser)]
struct Args {
    /// The broker, host:port (`cargo xtask kafka up` prints one)
    #[arg(long, env = "DOCKET_KAFKA")]
    kafka: String,
    /// The binary
    #[arg(long, env = "DOCKET_BIN", default_value = "target/release/docket")]
    docket: PathBuf,
    /// Records a second
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// Seconds that are measured
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seconds before them that are not
    #[arg(long, default_value_t = 10)]
    warm_up: u64,
    /// Keep the server's folder and log here
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Which record was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Probe {
    Alert(usize),
    Search(usize),
}

struct Acks(Sender<(Probe, Instant)>);

impl rdkafka::ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<Option<Probe>>;

    fn delivery(&self, result: &DeliveryResult<'_>, probe: Box<Option<Probe>>) {
        let at = Instant::now();
        if let Err((error, _)) = result {
            eprintln!("not produced: {error}");
        } else if let Some(probe) = *probe {
            // The measurement may have ended.
            let _ = self.0.send((probe, at));
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let machine = usage::machine();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or(temporary.path().to_owned());
    let prefix = format!("bench{}", std::process::id());
    create_topics(&args.kafka, &prefix)?;

    let hook = Webhook::start()?;
    let http = server::free_address()?;
    world::write_tables(&dir.join("reference"), now())?;
    std::fs::write(
        dir.join("docket.toml"),
        configuration(&args.kafka, &prefix, http, hook.address),
    )?;
    let mut server = Server::start(&args.docket, &dir, http)?;
    server.settle(PATIENCE, has_no_lag)?;
    let pid = server.pid();
    let token = server.token("auditor")?;

    let (acks_tx, acks_rx) = channel();
    let measuring = Instant::now() + Duration::from_secs(args.warm_up);
    let end = measuring + Duration::from_secs(args.seconds);
    let stop = AtomicBool::new(false);
    let (produced, used, found) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let searcher = scope.spawn(|| search(http, &token, &stop));
        let producer = scope.spawn(|| produce(&args, &prefix, acks_tx, end));
        sleep_until(measuring);
        let before = usage::of_process(pid)?;
        sleep_until(end);
        let used = usage::of_process(pid)?.saturating_sub(before);
        let produced = producer.join().map_err(|_| anyhow::anyhow!("the producer panicked"))?;
        server.settle(PATIENCE, has_no_lag)?;
        // A last look, and the last posts.
        std::thread::sleep(Duration::from_secs(2));
        stop.store(true, Ordering::Relaxed);
        let found = searcher
            .join()
            .map_err(|_| anyhow::anyhow!("the searcher panicked"))??;
        Ok((produced?, used, found))
    })?;

    let acked: HashMap<Probe, Instant> = acks_rx.try_iter().filter(|(_, at)| *at >= measuring).collect();
    let told = told(&hook);
    let (mut alerts, mut hits, mut lost) = (Vec::new(), Vec::new(), 0);
    for (probe, at) in &acked {
        let (seen, times) = match probe {
            Probe::Alert(n) => (told.get(n), &mut alerts),
            Probe::Search(n) => (found.seen.get(n), &mut hits),
        };
        match seen {
            // The server may be faster than the producer's own acknowledgement.
            Some(seen) => times.push(seen.saturating_duration_since(*at)),
            None => lost += 1,
        }
    }
    println!("Machine: {machine}; broker, producer, searcher and receiver on the same.\n");
    println!(
        "{produced} records produced in {} s ({} records/s asked), {} s of them measured; {} searches, p50 {:.0} ms each.\n",
        args.warm_up + args.seconds,
        args.rate,
        args.seconds,
        found.took.len(),
        percentile::of(&found.took, 50.0).as_secs_f64() * 1e3,
    );
    println!("| from Kafka's ack to | timed | p50 ms | p90 ms | p99 ms | max ms |\n|---|---:|---:|---:|---:|---:|");
    println!("{}", percentile::row("webhook received", &alerts));
    println!("{}", percentile::row("search hit", &hits));
    println!("\nNever seen: {lost}.");
    println!(
        "Server: {:.2} cores while measured, peak RSS {:.0} MiB.\n",
        used.as_secs_f64() / args.seconds as f64,
        usage::peak_mib(&pid.to_string())?
    );
    println!("| thread | CPU s, all of the run |\n|---|---:|");
    for (name, used) in usage::of_threads(pid)?.iter().take(12) {
        println!("| {name} | {:.2} |", used.as_secs_f64());
    }
    anyhow::ensure!(lost == 0, "{lost} of {} were never seen", acked.len());
    Ok(())
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Millis(since.map_or(0, |d| d.as_millis() as i64))
}

fn sleep_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn has_no_lag(ready: &Value) -> bool {
    ready["kafka"]["lag"] == 0
}

fn configuration(kafka: &str, prefix: &str, http: SocketAddr, hook: SocketAddr) -> String {
    let mut text = format!(
        "data_dir = \"data\"\nreference = \"reference\"\n[http]\nlisten = \"{http}\"\n\
         [kafka]\nbootstrap = \"{kafka}\"\ntopics = [\"^{prefix}\\\\.\"]\n\
         [[webhooks]]\nname = \"bench\"\nurl = \"http://{hook}/\"\n"
    );
    for source in SOURCES {
        text.push_str(&format!("[sources.{source}]\ntopic = \"{prefix}.{source}\"\n"));
    }
    text
}

fn create_topics(kafka: &str, prefix: &str) -> anyhow::Result<()> {
    let producer: rdkafka::producer::BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka).create()?;
    for source in SOURCES {
        // The broker makes a topic that somebody asks for.
        let topic = format!("{prefix}.{source}");
        producer
            .send(BaseRecord::<(), str>::to(&topic).payload("\n"))
            .map_err(|(e, _)| e)?;
    }
    producer.flush(Duration::from_secs(30)).context("making the topics")
}

/// Produces until `end`, never ahead of the rate; returns how many.
fn produce(args: &Args, prefix: &str, acks: Sender<(Probe, Instant)>, end: Instant) -> anyhow::Result<u64> {
    let producer: ThreadedProducer<Acks> = ClientConfig::new()
        .set("bootstrap.servers", &args.kafka)
        .set("acks", "all")
        .set("linger.ms", "5")
        .create_with_context(Acks(acks))?;
    let send = |source: &str, text: &str, probe: Option<Probe>| -> anyhow::Result<()> {
        let topic = format!("{prefix}.{source}");
        let record = BaseRecord::<(), str, _>::with_opaque_to(&topic, Box::new(probe)).payload(text);
        producer.send(record).map_err(|(e, _)| e).context("producing")
    };
    let start = Instant::now();
    let mut lines = Traffic::new(2, now(), args.rate);
    let (mut produced, mut probes) = (0, 0);
    while Instant::now() < end {
        if start.elapsed() >= PROBE_EVERY * u32::try_from(probes)? {
            let at = now();
            send(
                "linux",
                &traffic::logon_past_bastion(at, probes),
                Some(Probe::Alert(probes)),
            )?;
            send(
                "nginx",
                &traffic::request_to_find(at, probes),
                Some(Probe::Search(probes)),
            )?;
            probes += 1;
            produced += 2;
        }
        let due = (start.elapsed().as_secs_f64() * args.rate as f64) as u64;
        while produced < due {
            let line = lines.next().context("the traffic has ended")?;
            send(line.source, &line.text, None)?;
            produced += 1;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    producer.flush(PATIENCE)?;
    Ok(produced)
}

#[derive(Default)]
struct Found {
    /// When each was first seen in an answer.
    seen: HashMap<usize, Instant>,
    /// How long each search took, sorted.
    took: Vec<Duration>,
}

/// Asks for what was produced in the last seconds, again and again, as an auditor would.
fn search(http: SocketAddr, token: &str, stop: &AtomicBool) -> anyhow::Result<Found> {
    let mut client = Client::connect(http)?;
    let mut found = Found::default();
    let mut since = now();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let path = format!("/api/v1/search?q=url:probe&limit=1000&from={}", since.0);
        let (status, answer) = client.get(&path, Some(token))?;
        let at = Instant::now();
        anyhow::ensure!(status == 200, "the search answers {status}: {answer}");
        found.took.push(asked.elapsed());
        for hit in answer["hits"].as_array().into_iter().flatten() {
            let raw = hit["event"]["raw_data"].as_str().unwrap_or_default();
            let number = raw.split("/probe/mk").nth(1).and_then(|r| r.get(..6)?.parse().ok());
            found
                .seen
                .entry(number.context("a hit that is no probe")?)
                .or_insert(at);
        }
        since = now().plus_ms(-5_000);
        sleep_until(asked + POLL_EVERY);
    }
    found.took.sort();
    Ok(found)
}

/// When each violation's alert was received first.
fn told(hook: &Webhook) -> HashMap<usize, Instant> {
    let mut told = HashMap::new();
    for post in hook.received.try_iter() {
        let body = String::from_utf8_lossy(&post.body);
        for (at, _) in body.match_indices("mk") {
            if let Some(number) = body.get(at + 2..at + 8).and_then(|n| n.parse().ok()) {
                told.entry(number).or_insert(post.at);
            }
        }
    }
    told
}
