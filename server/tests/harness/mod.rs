//! Runs the binary as its users do.
#![allow(dead_code, reason = "each test uses its own part")]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

pub mod crm;
pub mod installed;
pub mod pki;
pub mod scenario;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `ready` gives a value; fails the test with `what` when it never does.
pub fn await_some<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The folder beside the checkout with the data to test against, if it is there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: {} is not there", found.display());
    None
}

/// The broker to test against; without one the test says that it is skipped.
pub fn broker() -> Option<String> {
    let broker = std::env::var("DOCKET_KAFKA").ok().filter(|b| !b.is_empty());
    if broker.is_none() {
        assert!(
            std::env::var_os("DOCKET_KAFKA_REQUIRED").is_none(),
            "DOCKET_KAFKA names no broker"
        );
        println!("skipped: DOCKET_KAFKA names no broker (`cargo xtask test` brings one up)");
    }
    broker
}

/// `docket` with arguments.
pub fn docket(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docket"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("DOCKET_")) {
        command.env_remove(name);
    }
    command
}

/// Runs `docket` to its end.
pub fn run(args: &[&str]) -> Output {
    docket(args).output().unwrap()
}

/// What `docket` prints; it must succeed.
pub fn succeed(args: &[&str]) -> String {
    let output = run(args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `docket`, which must succeed, and parses its standard output as NDJSON.
pub fn rows(args: &[&str]) -> Vec<Value> {
    ndjson(succeed(args).as_bytes())
}

/// Parses NDJSON.
pub fn ndjson(bytes: &[u8]) -> Vec<Value> {
    bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

/// A data folder, a configuration, and perhaps a running server.
pub struct Server {
    pub dir: tempfile::TempDir,
    pub http: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// A server with `extra` TOML in its configuration; not started.
    pub fn new(extra: &str) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = format!("data_dir = \"data\"\n{extra}\n[http]\nlisten = \"{http}\"\n");
        std::fs::write(dir.path().join("docket.toml"), config).unwrap();
        Server { dir, http, child: None }
    }

    pub fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    /// Starts it; returns when it is ready.
    pub fn start(&mut self) {
        self.spawn();
        self.ready();
    }

    /// Starts it; does not wait.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        let config = self.dir.path().join("docket.toml").display().to_string();
        let child = docket(&["serve", "--config", &config])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub fn ready(&mut self) {
        let (http, child) = (self.http, self.child.as_mut().unwrap());
        let log = self.dir.path().join("log");
        await_some("the server to be ready", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!(
                    "the server ended with {status}: {}",
                    std::fs::read_to_string(&log).unwrap()
                );
            }
            get(http, "/readyz", None).filter(|(status, _)| *status == 200)
        });
    }

    /// SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and waits for its end; returns the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let killed = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        child.wait().unwrap().code()
    }

    /// Waits for an end that was asked for; returns the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.take().unwrap().wait().unwrap().code()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A token, made by the command line.
    pub fn token(&self, role: &str, name: &str) -> String {
        let made = run(&[
            "token",
            "create",
            "--role",
            role,
            "--name",
            name,
            "--data",
            &self.data(),
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// A shipper's token for these sources alone.
    pub fn token_for(&self, name: &str, sources: &[&str]) -> String {
        let data = self.data();
        let mut args = vec!["token", "create", "--role", "shipper", "--name", name, "--data", &data];
        args.extend(sources.iter().flat_map(|s| ["--source", s]));
        let made = run(&args);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// The records of a source in the ledger, in order.
    pub fn records(&self, source: &str) -> Vec<model::RawRecord> {
        let reader = ledger::Reader::open(&Path::new(&self.data()).join("ledger")).unwrap();
        let size = reader.size().unwrap();
        let mut found = Vec::new();
        let mut next = model::LedgerIndex(0);
        while next < size {
            for entry in reader.read(next, 1000, 1 << 20).unwrap() {
                next = entry.index.next();
                if &*entry.record.source == source {
                    found.push(entry.record);
                }
            }
        }
        found
    }

    /// What became of a source's records: received, deduplicated.
    pub fn account(&self, source: &str) -> (u64, u64) {
        let sources = rows(&["source", "list", "--output", "ndjson", "--data", &self.data()]);
        let row = sources.into_iter().find(|r| r["source"] == source).unwrap_or_default();
        let n = |name: &str| row[name].as_u64().unwrap_or(0);
        assert_eq!(
            n("received"),
            n("stored") + n("quarantined") + n("deduplicated"),
            "{row}"
        );
        (n("received"), n("deduplicated"))
    }

    /// Positions: durable, judged, searchable.
    pub fn positions(&self) -> Option<(u64, u64, u64)> {
        let (_, body) = get(self.http, "/readyz", None)?;
        let body: Value = serde_json::from_str(&body).ok()?;
        Some((
            body["durable"].as_u64()?,
            body["judged"].as_u64()?,
            body["searchable"].as_u64()?,
        ))
    }

    /// Waits until everything durable is judged and searchable, and at least `leaves` are durable.
    pub fn settle(&self, leaves: u64) {
        await_some("everything to be judged and searchable", || {
            let (durable, judged, searchable) = self.positions()?;
            (durable >= leaves && judged >= durable && searchable >= durable).then_some(())
        });
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("server's log:\n{}", self.log());
        }
    }
}

/// A plain HTTP GET; `None` when nobody answers.
pub fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Option<(u16, String)> {
    request(address, "GET", path, token, &[], b"")
}

/// A plain HTTP request; `None` when nobody answers.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<(u16, String)> {
    let bearer = token.map(|t| format!("Bearer {t}"));
    let mut all: Vec<(&str, &str)> = headers.to_vec();
    all.extend(bearer.as_deref().map(|b| ("Authorization", b)));
    let answer = exchange(connect(address)?, method, path, &all, body)?;
    Some((answer.status, answer.body))
}

/// A connection that does not wait for ever.
pub fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// A plain HTTP request on any stream; `None` when nobody answers.
pub fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: docket\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    // A server that refuses a large body answers and closes before it has read all of it.
    let _ = stream.write_all(body).and_then(|()| stream.flush());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let body = if head.contains("transfer-encoding: chunked") {
        unchunk(body)
    } else {
        body.to_owned()
    };
    Some(Answer { status, head, body })
}

fn unchunk(mut rest: &str) -> String {
    let mut out = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        if size == 0 || tail.len() < size {
            break;
        }
        out.push_str(&tail[..size]);
        rest = tail[size..].trim_start_matches("\r\n");
    }
    out
}

/// A real HTTP server that takes alerts and remembers them.
pub struct Webhook {
    pub address: SocketAddr,
    pub received: Arc<Mutex<Vec<Received>>>,
}

/// A POST that came.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub key: String,
    pub body: Value,
}

impl Webhook {
    pub fn start() -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let into = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let into = into.clone();
                std::thread::spawn(move || serve(stream, &into));
            }
        });
        Webhook { address, received }
    }

    pub fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, into: &Mutex<Vec<Received>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let (mut key, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            match name.to_ascii_lowercase().as_str() {
                "idempotency-key" => key = value.to_owned(),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = serde_json::from_slice(&body).ok()?;
        into.lock().unwrap().push(Received {
            at: Instant::now(),
            key,
            body,
        });
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}
