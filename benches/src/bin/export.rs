//! What an export costs the server it is asked of, and what it withstands: the client killed, the server killed, a row altered.

use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use benches::server::{self, Server, docket};
use benches::stages::{self, Folders};
use benches::{input, usage, world};
use clap::Parser;

/// What is exported: all records that were made, and none of the server's own acts.
const QUERY: &str = "NOT source:docket";
/// How long the server may take to judge and index everything.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Exports records of a running server, uninterrupted and interrupted, and verifies what came of it
#[derive(Parser)]
struct Args {
    /// Records that are made
    #[arg(long, default_value_t = 2_000_000)]
    records: usize,
    /// Records a second of event time
    #[arg(long, default_value_t = 4)]
    pace: u64,
    /// `ndjson`, `csv`, `parquet`, `arrow`
    #[arg(long, default_value = "ndjson")]
    format: String,
    /// Rows of a file
    #[arg(long, default_value_t = 100_000)]
    part_rows: u64,
    /// The binaries
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// Where everything goes; a folder that holds `data` is used as it is
    #[arg(long)]
    dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let machine = usage::machine();
    std::fs::create_dir_all(&args.dir)?;
    let data = args.dir.join("data");
    if !data.exists() {
        std::fs::create_dir_all(&data)?;
        let folders = Folders {
            input: args.dir.join("input"),
            ..Folders::below(&data)
        };
        input::write_input(&folders.input, args.records, args.pace)?;
        stages::write_ledger(&folders)?;
        std::fs::remove_file(&folders.input)?;
        world::write_tables(&args.dir.join("reference"), stages::START)?;
    }
    let http = server::free_address()?;
    std::fs::write(
        args.dir.join("docket.toml"),
        format!(
            "data_dir = \"data\"\norigin = \"{}\"\nreference = \"reference\"\n[http]\nlisten = \"{http}\"\n",
            stages::ORIGIN
        ),
    )?;
    let run = Run { args: &args, http };
    let server = run.server()?;
    let token = server.token("auditor")?;
    for folder in ["whole", "resumed", "altered"] {
        let _ = std::fs::remove_dir_all(args.dir.join(folder));
    }

    // Without an interruption, of a server that has just judged and indexed everything.
    let whole = run.to_its_end(&server, "whole", &token)?;
    let parts = parts(&args.dir.join("whole"))?;
    anyhow::ensure!(parts.len() > 3, "{} files are too few to interrupt", parts.len());

    // The client is killed while it writes, then the server, then the same command goes on to the end.
    run.until(&server, "resumed", &token, parts.len() / 3)?.kill()?;
    let mut client = run.until(&server, "resumed", &token, 2 * parts.len() / 3)?;
    server.kill()?;
    let left = client.wait()?;
    anyhow::ensure!(!left.success(), "an export whose server was killed ended with {left}");
    let server = run.server()?;
    let resumed = run.to_its_end(&server, "resumed", &token)?;
    let same = parts.iter().filter(|(name, _)| is_same(&args.dir, name)).count();
    anyhow::ensure!(
        same == parts.len() && self::parts(&args.dir.join("resumed"))?.len() == same,
        "{same} of {} files are the same",
        parts.len()
    );
    drop(server);

    // Offline: the folder and the key are all that is there.
    let vkey = args.dir.join("ledger.vkey");
    std::fs::copy(data.join("ledger/ledger.vkey"), &vkey)?;
    let (verified, told, took) = run.verify("resumed", &vkey)?;
    anyhow::ensure!(verified == Some(0), "{told}");
    let rows = told
        .lines()
        .find_map(|l| l.strip_prefix("rows"))
        .unwrap_or_default()
        .trim()
        .to_owned();
    let altered = alter(&args.dir.join("resumed"), &parts[parts.len() / 2].0)?;
    let (found, told, _) = run.verify("resumed", &vkey)?;
    anyhow::ensure!(found == Some(6), "an altered row is not found: {told}");

    println!("{machine}\n");
    println!("{} records; `{QUERY}` as {}: {rows}\n", args.records, args.format);
    println!("| | | asked |\n|---|---:|---|");
    println!("| whole, in one go | {:.0} s | |", whole.wall.as_secs_f64());
    println!(
        "| RSS of the server before, at most, MiB | {:.0}, {:.0} | |",
        whole.before, whole.peak
    );
    println!(
        "| over that before | {:.0} | ≤ 200 MB (191 MiB) |",
        whole.peak - whole.before
    );
    println!(
        "| of it not files: before, at most, MiB | {:.0}, {:.0} | |",
        whole.own_before, whole.own_peak
    );
    println!(
        "| client killed, server killed, gone on with: RSS of the new server before, at most, MiB | {:.0}, {:.0} | |",
        resumed.before, resumed.peak
    );
    println!(
        "| over that before | {:.0} | ≤ 200 MB (191 MiB) |",
        resumed.peak - resumed.before
    );
    println!(
        "| of it not files: before, at most, MiB | {:.0}, {:.0} | |",
        resumed.own_before, resumed.own_peak
    );
    println!(
        "| files of the same bytes, whole and resumed | {same} of {} | all |",
        parts.len()
    );
    println!(
        "| `docket-verify export`, offline | {:.2} s | < 10 s |",
        took.as_secs_f64()
    );
    println!("| {altered} | exit {} | found |", found.unwrap_or(-1));
    println!("\n{}", told.lines().last().unwrap_or_default());
    Ok(())
}

/// What an export took of the server.
struct Cost {
    wall: Duration,
    /// Resident, before and at most, MiB.
    before: f64,
    peak: f64,
    /// Of it what is no file's.
    own_before: f64,
    own_peak: f64,
}

struct Run<'a> {
    args: &'a Args,
    http: SocketAddr,
}

impl Run<'_> {
    fn server(&self) -> anyhow::Result<Server> {
        let mut server = Server::start(&self.args.binaries.join("docket"), &self.args.dir, self.http)?;
        server.settle(PATIENCE, |_| true)?;
        Ok(server)
    }

    fn export(&self, out: &str, token: &str) -> anyhow::Result<Child> {
        let (out, url) = (
            self.args.dir.join(out).display().to_string(),
            format!("http://{}", self.http),
        );
        let rows = self.args.part_rows.to_string();
        let args = [
            "export",
            QUERY,
            "--format",
            &self.args.format,
            "--part-rows",
            &rows,
            "--out",
            &out,
            "--url",
            &url,
            "--token",
            token,
        ];
        let mut command = docket(&self.args.binaries.join("docket"), &args);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    /// Exports until some of the next file is there after so many.
    fn until(&self, server: &Server, out: &str, token: &str, files: usize) -> anyhow::Result<Client> {
        let mut client = Client(self.export(out, token)?);
        let folder = self.args.dir.join(out);
        while parts(&folder)?.len() < files
            || std::fs::metadata(folder.join("part.new")).map_or(0, |m| m.len()) < 1 << 20
        {
            if let Some(status) = client.0.try_wait()? {
                anyhow::bail!(
                    "the export ended with {status} before it was interrupted; server {}",
                    server.pid()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(client)
    }

    fn to_its_end(&self, server: &Server, out: &str, token: &str) -> anyhow::Result<Cost> {
        let pid = server.pid().to_string();
        let (before, own_before) = (usage::status_mib(&pid, "VmRSS")?, usage::status_mib(&pid, "RssAnon")?);
        usage::forget_peak(&pid)?;
        let (start, stop) = (Instant::now(), AtomicBool::new(false));
        let own_peak = std::thread::scope(|scope| -> anyhow::Result<f64> {
            let watch = scope.spawn(|| {
                let mut most = own_before;
                while !stop.load(Ordering::Relaxed) {
                    most = usage::status_mib(&pid, "RssAnon").map_or(most, |now| now.max(most));
                    std::thread::sleep(LOOK_EVERY);
                }
                most
            });
            let ended = self.export(out, token).and_then(|mut c| Ok(c.wait()?));
            stop.store(true, Ordering::Relaxed);
            let most = watch.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?;
            let ended = ended?;
            anyhow::ensure!(ended.success(), "the export ended with {ended}");
            Ok(most)
        })?;
        Ok(Cost {
            wall: start.elapsed(),
            before,
            peak: usage::peak_mib(&pid)?,
            own_before,
            own_peak,
        })
    }

    /// Exit code, what was told, and how long it took.
    fn verify(&self, folder: &str, vkey: &Path) -> anyhow::Result<(Option<i32>, String, Duration)> {
        let (folder, vkey) = (
            self.args.dir.join(folder).display().to_string(),
            vkey.display().to_string(),
        );
        let start = Instant::now();
        let done = docket(
            &self.args.binaries.join("docket-verify"),
            &["export", &folder, "--vkey", &vkey],
        )
        .output()?;
        let told = [done.stdout, done.stderr].concat();
        Ok((
            done.status.code(),
            String::from_utf8_lossy(&told).into_owned(),
            start.elapsed(),
        ))
    }
}

/// A client that is killed where nobody waits for its end.
struct Client(Child);

impl Client {
    fn kill(mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    fn wait(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        Ok(self.0.wait()?)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The whole files of an export, with their bytes.
fn parts(folder: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let Ok(files) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut out = Vec::new();
    for file in files {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with("part-") {
            out.push((name, file.metadata()?.len()));
        }
    }
    out.sort();
    Ok(out)
}

/// Whether a file has the same bytes in both exports.
fn is_same(dir: &Path, name: &str) -> bool {
    let same = || -> std::io::Result<bool> {
        let (a, b) = (
            std::fs::File::open(dir.join("whole").join(name))?,
            std::fs::File::open(dir.join("resumed").join(name))?,
        );
        if a.metadata()?.len() != b.metadata()?.len() {
            return Ok(false);
        }
        let (mut x, mut y, mut at) = (vec![0; 1 << 20], vec![0; 1 << 20], 0);
        loop {
            let n = a.read_at(&mut x, at)?;
            if n == 0 {
                return Ok(true);
            }
            b.read_exact_at(&mut y[..n], at)?;
            if x[..n] != y[..n] {
                return Ok(false);
            }
            at += n as u64;
        }
    };
    same().unwrap_or(false)
}

/// Alters one row in the midst of a file: of text a digit of a leaf's hash, else a bit. Says what.
fn alter(folder: &Path, name: &str) -> anyhow::Result<String> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(folder.join(name))?;
    let middle = file.metadata()?.len() / 2;
    let mut piece = vec![0; 64 << 10];
    let n = file.read_at(&mut piece, middle)?;
    let text = b"\"leaf_sha256\":\"";
    let digit = piece[..n]
        .windows(text.len())
        .position(|w| w == text)
        .map(|at| at + text.len());
    let (at, what) = match digit {
        Some(at) => (at, "a digit of one row"),
        None => (0, "a bit of one byte"),
    };
    let before = *piece.get(at).context("an empty file")?;
    let after = match (digit, before) {
        (Some(_), b'0') => b'1',
        (Some(_), _) => b'0',
        (None, byte) => byte ^ 1,
    };
    file.write_all_at(&[after], middle + at as u64)?;
    Ok(format!("{what} altered, in {name}"))
}
