//! A server with a listener for each shipper, the shippers, and what arrived.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::LedgerIndex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};

use crate::harness::installed::{Installed, Running};
use crate::harness::pki::certificates;
use crate::harness::{Server, await_some, broker, free_port, get};
use crate::lines::{Arrived, COUNT, line, number};

/// Lines that are offered at once.
const CHUNK: usize = 100;

/// A shipper and its way to Docket.
#[derive(Clone, Copy)]
pub struct Way {
    pub name: &'static str,
    pub entry: Entry,
    /// Starts the shipper, which sends as this source.
    pub start: fn(&Site, &str) -> Box<dyn Shipper>,
}

/// Where it enters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Tcp,
    Tls,
    MutualTls,
    Http,
    Kafka,
}

/// Something that delivers lines.
pub trait Shipper: Send {
    /// Gives it lines.
    fn offer(&mut self, lines: &[String]);
    /// No more will come; returns when it has done what it can.
    fn finish(&mut self);
}

/// A shipper that follows a file.
pub struct Tail {
    file: File,
    _running: Running,
}

impl Tail {
    pub fn start(running: Running, log: &Path) -> Box<dyn Shipper> {
        let file = OpenOptions::new().append(true).open(log).unwrap();
        Box::new(Tail {
            file,
            _running: running,
        })
    }
}

impl Shipper for Tail {
    fn offer(&mut self, lines: &[String]) {
        self.file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    }

    fn finish(&mut self) {}
}

/// A shipper that ends with its standard input.
pub struct Pipe {
    running: Running,
}

impl Pipe {
    pub fn start(running: Running) -> Box<dyn Shipper> {
        Box::new(Pipe { running })
    }
}

impl Shipper for Pipe {
    fn offer(&mut self, lines: &[String]) {
        let mut pipe = self.running.child.stdin.as_ref().unwrap();
        pipe.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    }

    fn finish(&mut self) {
        drop(self.running.child.stdin.take());
        assert!(self.running.ended(), "{}: {}", self.running.name, self.running.said());
    }
}

/// What a shipper is told.
#[derive(Clone)]
pub struct Site {
    pub installed: Installed,
    pub http: SocketAddr,
    pub grpc: u16,
    pub broker: String,
    /// With `ca.pem`, `host.pem` and `host.key`.
    pub pki: PathBuf,
    dir: PathBuf,
    ports: BTreeMap<String, u16>,
    tokens: BTreeMap<String, String>,
}

impl Site {
    /// The port of a source's syslog listener.
    pub fn port(&self, source: &str) -> u16 {
        self.ports[source]
    }

    /// A token for this source alone.
    pub fn token(&self, source: &str) -> String {
        self.tokens[source].clone()
    }

    /// A folder of its own.
    pub fn folder(&self, source: &str) -> PathBuf {
        let folder = self.dir.join(source);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}

/// A shipper at work.
pub struct Shipping {
    shipper: Box<dyn Shipper>,
    /// Lines that it was given.
    pub offered: Arc<AtomicUsize>,
}

/// The server and all that ships to it.
pub struct World {
    pub server: Server,
    auditor: String,
    site: Site,
    ways: Vec<(String, Way)>,
}

impl World {
    /// A running server; nothing where there are no shippers or no broker to test with.
    pub fn start(name: &str, ways: &[&[Way]]) -> Option<World> {
        let installed = Installed::find()?;
        let named = |w: &Way| (format!("{}-{name}-{}", w.name, std::process::id()), *w);
        let ways: Vec<_> = ways.iter().copied().flatten().map(named).collect();
        let of = |entry: Entry| {
            ways.iter()
                .filter(move |(_, w)| w.entry == entry)
                .map(|(s, _)| s.clone())
        };
        let topics: Vec<String> = of(Entry::Kafka).map(|s| format!("audit.{s}")).collect();
        let broker = match topics.is_empty() {
            true => String::new(),
            false => broker()?,
        };
        let grpc = free_port();
        let mut config = format!("[otlp]\ngrpc = \"127.0.0.1:{grpc}\"\n");
        let mut ports = BTreeMap::new();
        for (source, way) in &ways {
            let tls = match way.entry {
                Entry::Tcp => "protocol = \"tcp\"",
                Entry::Tls => "protocol = \"tls\"\ntls = {cert = \"server.pem\", key = \"server.key\"}",
                Entry::MutualTls => {
                    "protocol = \"tls\"\ntls = {cert = \"server.pem\", key = \"server.key\", client_ca = \"ca.pem\"}"
                }
                Entry::Http | Entry::Kafka => continue,
            };
            let port = free_port();
            config.push_str(&format!(
                "[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nsource = \"{source}\"\n{tls}\n"
            ));
            ports.insert(source.clone(), port);
        }
        if !topics.is_empty() {
            create(&broker, &topics);
            config.push_str(&format!("[kafka]\nbootstrap = {broker:?}\ntopics = {topics:?}\n"));
        }
        let mut server = Server::new(&config);
        let pki = server.dir.path().to_owned();
        certificates(
            &pki,
            "ca",
            &[
                ("server", &["docket.example", "localhost"]),
                ("host", &["web-1.example"]),
            ],
        );
        server.start();
        let token = |source: String| (source.clone(), server.token_for(&source, &[&source]));
        let site = Site {
            installed,
            http: server.http,
            grpc,
            broker,
            dir: pki.join("shippers"),
            pki,
            ports,
            tokens: of(Entry::Http).map(token).collect(),
        };
        let auditor = server.token("auditor", "auditor");
        Some(World {
            server,
            auditor,
            site,
            ways,
        })
    }

    /// Starts the shippers, which have nothing to ship yet.
    pub fn shippers(&self) -> Vec<Shipping> {
        let start = |(source, way): &(String, Way)| Shipping {
            shipper: (way.start)(&self.site, source),
            offered: Arc::default(),
        };
        self.ways.iter().map(start).collect()
    }

    /// Offers these lines to all shippers at once, a hundred at a time, and does something meanwhile.
    pub fn ship(
        &mut self,
        shippers: &mut [Shipping],
        lines: Range<usize>,
        pace: Duration,
        meanwhile: impl FnOnce(&mut Server),
    ) {
        std::thread::scope(|scope| {
            for shipping in shippers {
                let lines = lines.clone();
                scope.spawn(move || {
                    for from in lines.clone().step_by(CHUNK) {
                        let chunk: Vec<String> = (from..(from + CHUNK).min(lines.end)).map(line).collect();
                        shipping.shipper.offer(&chunk);
                        shipping.offered.store(from + chunk.len(), Ordering::SeqCst);
                        std::thread::sleep(pace);
                    }
                    if lines.end == COUNT {
                        shipping.shipper.finish();
                    }
                });
            }
            meanwhile(&mut self.server);
        });
    }

    /// What is in the ledger, by source.
    pub fn arrived(&self) -> BTreeMap<String, Arrived> {
        let mut found: BTreeMap<String, Arrived> =
            self.ways.iter().map(|(s, _)| (s.clone(), Arrived::default())).collect();
        let reader = ledger::Reader::open(&Path::new(&self.server.data()).join("ledger")).unwrap();
        let (mut next, size) = (LedgerIndex(0), reader.size().unwrap());
        while next < size {
            for entry in reader.read(next, 10_000, 8 << 20).unwrap() {
                next = entry.index.next();
                if let Some(arrived) = found.get_mut(&*entry.record.source) {
                    *arrived.0.entry(number(&entry.record.payload)).or_default() += 1;
                }
            }
        }
        found
    }

    /// Waits until these lines of every shipper are there.
    pub fn arrived_up_to(&self, end: usize) -> BTreeMap<String, Arrived> {
        let all = look_until(|| self.arrived(), |found| found.values().all(|a| a.up_to(end)));
        all.unwrap_or_else(|found| {
            for (source, arrived) in found {
                let missing: Vec<usize> = (0..end).filter(|n| !arrived.0.contains_key(n)).collect();
                println!("{source}: {} missing: {missing:?}", missing.len());
            }
            panic!("not all lines arrived")
        })
    }

    /// Waits until these lines of one shipper are there, and returns all that is there of it.
    pub fn arrived_from(&self, source: &str, lines: Range<usize>) -> Arrived {
        let whole = |found: &Arrived| lines.clone().all(|n| found.0.contains_key(&n));
        look_until(|| self.arrived().remove(source).unwrap(), whole).unwrap_or_else(|found| {
            let missing: Vec<usize> = lines.clone().filter(|n| !found.0.contains_key(n)).collect();
            panic!("{source}: {} missing: {missing:?}", missing.len())
        })
    }

    /// The sources, in the order of the shippers.
    pub fn sources(&self) -> Vec<String> {
        self.ways.iter().map(|(s, _)| s.clone()).collect()
    }

    /// Waits until all lines of every shipper are there.
    pub fn all_arrived(&self) -> BTreeMap<String, Arrived> {
        self.arrived_up_to(COUNT)
    }

    /// Docket's own account of a source is what is in the ledger, and each line is in the index once.
    pub fn check_account(&self, source: &str, arrived: &Arrived) {
        let expected = (arrived.received(), arrived.repeated());
        let account = look_until(|| self.server.account(source), |account| *account == expected);
        assert_eq!(account, Ok(expected), "{source}: received and deduplicated");
        let path = format!("/api/v1/search?limit=1&q=source:{source}");
        await_some("each line to be found once", || {
            let (status, body) = get(self.server.http, &path, Some(&self.auditor))?;
            assert_eq!(status, 200, "{body}");
            let found: serde_json::Value = serde_json::from_str(&body).unwrap();
            (found["total"] == arrived.0.len()).then_some(())
        });
    }

    /// Sends a signal to the server.
    pub fn signal(&self, name: &str) {
        let pid = self.server.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the kernel holds these lines for every syslog listener, on one side or the other.
    pub fn handed_over(&self, lines: Range<usize>) {
        let bytes: usize = lines.map(|n| line(n).len()).sum();
        for port in self.site.ports.values() {
            await_some("lines to be handed to the kernel", || {
                (queued(*port) >= bytes).then_some(())
            });
        }
    }

    /// Stops the server, and has the ledger verified.
    pub fn stop(mut self) {
        assert_eq!(self.server.stop(), Some(0), "{}", self.server.log());
        assert!(!self.server.log().contains("panicked"), "{}", self.server.log());
        let verified = crate::harness::run(&["verify", "--data", &self.server.data()]);
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success(), "{said}");
    }
}

/// Looks until `done`, and returns what it saw last.
fn look_until<T>(mut look: impl FnMut() -> T, done: impl Fn(&T) -> bool) -> Result<T, T> {
    let start = std::time::Instant::now();
    loop {
        let found = look();
        if done(&found) {
            return Ok(found);
        }
        if start.elapsed() > crate::harness::PATIENCE {
            return Err(found);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Bytes that the kernel holds on both sides of the connections to a local port. Source: `proc_net_tcp.txt`.
fn queued(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    let bytes = |row: &str| {
        let columns: Vec<&str> = row.split_ascii_whitespace().collect();
        let (local, remote, queues) = (columns[1], columns[2], columns[4]);
        let (sent, received) = queues.split_once(':').unwrap();
        let of = |hex: &str| usize::from_str_radix(hex, 16).unwrap();
        match (local.ends_with(&port), remote.ends_with(&port)) {
            (true, false) if !remote.ends_with(":0000") => of(received),
            (false, true) => of(sent),
            _ => 0,
        }
    };
    table.lines().skip(1).map(bytes).sum()
}

fn create(broker: &str, topics: &[String]) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let new: Vec<_> = topics
        .iter()
        .map(|t| NewTopic::new(t, 2, TopicReplication::Fixed(1)))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made = runtime.block_on(admin.create_topics(&new, &AdminOptions::new()));
    assert!(made.unwrap().iter().all(Result::is_ok));
}
