//! A real Apache Kafka for the tests: one node, KRaft, from Maven Central, in a folder outside the tree.
//!
//! The folder (`DOCKET_KAFKA_HOME`, otherwise `docket-kafka` in the user's cache) holds:
//!
//! ```text
//! jars-<version of our pom>/   the broker and what it needs, fetched once
//! run/                         server.properties, data/ and broker.log of the last start; emptied at each
//! state.json                   process id and address of the running broker
//! ```

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::protocol;

/// The broker that the tests use, where it is not ours to start.
const ENV_ADDRESS: &str = "DOCKET_KAFKA";
const ENV_HOME: &str = "DOCKET_KAFKA_HOME";
/// Any 16 bytes in base64url; the cluster lives as long as one start of it.
const CLUSTER_ID: &str = "ZG9ja2V0LXRlc3RzLWtyZg";
const START_SECONDS_MAX: u64 = 120;
const STOP_SECONDS_MAX: u64 = 30;
/// Waits between two looks at something that is not ready.
const PAUSE: Duration = Duration::from_millis(100);
const HOW_TO_GET_ONE: &str = "\
the tests need a Kafka broker; either
  - install a JDK (17 or later) and Maven, and let Maven reach Maven Central:
      apt-get install -y openjdk-17-jdk-headless maven
  - or name a broker that is there for tests: DOCKET_KAFKA=host:9092";

/// A broker that answers.
pub struct Broker {
    /// `host:port`.
    pub address: String,
    /// Whether this process started it, so that this process stops it.
    pub started_here: bool,
}

/// `kafka up`.
pub fn up(root: &Path) -> Result<ExitCode> {
    let broker = ensure_up(root)?;
    println!("{}", broker.address);
    Ok(ExitCode::SUCCESS)
}

/// `kafka down`.
pub fn down() -> Result<ExitCode> {
    if let Ok(address) = env::var(ENV_ADDRESS) {
        eprintln!("{address} is named by {ENV_ADDRESS} and not ours to stop");
        return Ok(ExitCode::SUCCESS);
    }
    match stop()? {
        true => eprintln!("kafka stopped"),
        false => eprintln!("no kafka was running"),
    }
    Ok(ExitCode::SUCCESS)
}

/// `kafka status`.
pub fn status() -> Result<ExitCode> {
    let address = match env::var(ENV_ADDRESS) {
        Ok(address) => Some(address),
        Err(_) => running(&home()?).map(|s| s.address),
    };
    match address {
        Some(address) if answers(&address) => {
            println!("{address}");
            Ok(ExitCode::SUCCESS)
        }
        Some(address) => {
            eprintln!("{address} does not answer");
            Ok(ExitCode::FAILURE)
        }
        None => {
            eprintln!("no kafka is running; `cargo xtask kafka up` starts one");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The broker that `DOCKET_KAFKA` names, or the one that runs, or a new one.
///
/// # Errors
/// None can be had; the error says how to get one.
pub fn ensure_up(root: &Path) -> Result<Broker> {
    if let Ok(address) = env::var(ENV_ADDRESS) {
        protocol::live_brokers(&address, Duration::from_secs(10))
            .with_context(|| format!("the broker that {ENV_ADDRESS} names"))?;
        return Ok(Broker {
            address,
            started_here: false,
        });
    }
    let home = home()?;
    if let Some(state) = running(&home) {
        if answers(&state.address) {
            return Ok(Broker {
                address: state.address,
                started_here: false,
            });
        }
        stop()?;
    }
    let jars = fetch(root, &home)?;
    let address = start(&jars, &home)?;
    Ok(Broker {
        address,
        started_here: true,
    })
}

/// Stops the broker that runs, if one does; says whether one did.
pub fn stop() -> Result<bool> {
    let home = home()?;
    let Some(state) = running(&home) else {
        return Ok(false);
    };
    signal("TERM", state.pid)?;
    let started = Instant::now();
    while running(&home).is_some() {
        if started.elapsed() > Duration::from_secs(STOP_SECONDS_MAX) {
            signal("KILL", state.pid)?;
        }
        ensure!(
            started.elapsed() < Duration::from_secs(2 * STOP_SECONDS_MAX),
            "process {} does not end",
            state.pid
        );
        sleep(PAUSE);
    }
    fs::remove_file(home.join("state.json")).context("removing state.json")?;
    Ok(true)
}

struct State {
    pid: u32,
    address: String,
}

/// What `state.json` says, where that process is still our broker.
fn running(home: &Path) -> Option<State> {
    let text = fs::read(home.join("state.json")).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let pid = u32::try_from(json["pid"].as_u64()?).ok()?;
    let address = json["address"].as_str()?.to_owned();
    // A process id is used again sooner or later: only a process that names our folder is ours.
    let ours =
        command_line(pid).is_some_and(|line| line.contains("kafka.Kafka") && line.contains(&*home.to_string_lossy()));
    ours.then_some(State { pid, address })
}

fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&line).replace('\0', " "));
    }
    let ps = Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&ps.stdout).into_owned())
}

fn signal(name: &str, pid: u32) -> Result<()> {
    // The process may have ended by itself in between; the caller looks again.
    Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .context("kill")?;
    Ok(())
}

fn answers(address: &str) -> bool {
    protocol::live_brokers(address, Duration::from_secs(5)).is_ok_and(|n| n > 0)
}

fn home() -> Result<PathBuf> {
    if let Some(home) = env::var_os(ENV_HOME) {
        return std::path::absolute(home).context(ENV_HOME);
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    Ok(cache
        .with_context(|| format!("no home folder: set {ENV_HOME} to a folder to keep the broker in"))?
        .join("docket-kafka"))
}

/// Copies the broker's jars out of Maven Central, once for each content of our pom.
fn fetch(root: &Path, home: &Path) -> Result<PathBuf> {
    let pom = root.join("xtask/kafka/pom.xml");
    let text = fs::read_to_string(&pom).with_context(|| pom.display().to_string())?;
    let jars = home.join(format!("jars-{}", kafka_version(&text)?));
    if jars.is_dir() {
        return Ok(jars);
    }
    for tool in ["java", "mvn"] {
        let found = Command::new(tool)
            .arg("-version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ensure!(
            found.is_ok_and(|s| s.success()),
            "`{tool}` is not there; {HOW_TO_GET_ONE}"
        );
    }
    eprintln!("fetching Apache Kafka into {}", jars.display());
    // Into a folder of its own first, so that a fetch that was broken off is not taken for a whole one.
    let part = home.join(format!("jars-part-{}", std::process::id()));
    fs::create_dir_all(&part).with_context(|| part.display().to_string())?;
    let fetched = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", part.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .context("mvn")?;
    ensure!(fetched.success(), "Maven could not fetch the broker; {HOW_TO_GET_ONE}");
    if fs::rename(&part, &jars).is_err() {
        // Another run was faster.
        ensure!(jars.is_dir(), "cannot create {}", jars.display());
        fs::remove_dir_all(&part).context("removing the second copy")?;
    }
    Ok(jars)
}

fn kafka_version(pom: &str) -> Result<&str> {
    let after = pom
        .split_once("<artifactId>kafka_2.13</artifactId>")
        .map(|(_, rest)| rest);
    let version = after.and_then(|rest| rest.split_once("<version>")?.1.split_once("</version>"));
    Ok(version.context("xtask/kafka/pom.xml names no version of kafka_2.13")?.0)
}

/// Formats a new log folder, starts the broker over it and waits until it answers; returns its address.
fn start(jars: &Path, home: &Path) -> Result<String> {
    let run = home.join("run");
    if run.exists() {
        fs::remove_dir_all(&run).with_context(|| run.display().to_string())?;
    }
    fs::create_dir_all(&run).with_context(|| run.display().to_string())?;
    let properties = run.join("server.properties");
    let (port, controller) = (free_port()?, free_port()?);
    let address = format!("127.0.0.1:{port}");
    fs::write(&properties, server_properties(port, controller, &run.join("data")))?;
    let log = run.join("broker.log");

    let format = java(jars, &log)?
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(&properties)
        .status()
        .context("java")?;
    ensure!(
        format.success(),
        "formatting the broker's log folder failed:\n{}",
        tail(&log)
    );

    let mut command = java(jars, &log)?;
    // A group of its own: Ctrl-C on a test run must not take the broker from under the tests that are ending.
    command.arg("kafka.Kafka").arg(&properties).process_group(0);
    let mut child = command.spawn().context("java")?;
    let state = serde_json::json!({"pid": child.id(), "address": address});
    fs::write(home.join("state.json"), format!("{state}\n"))?;
    wait(&mut child, &address, &log)?;
    Ok(address)
}

fn java(jars: &Path, log: &Path) -> Result<Command> {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| log.display().to_string())?;
    let mut command = Command::new("java");
    command
        .args([
            "-Xms256m",
            "-Xmx512m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
        ])
        .arg(jars.join("*"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

fn wait(child: &mut Child, address: &str, log: &Path) -> Result<()> {
    let started = Instant::now();
    while !answers(address) {
        if let Some(ended) = child.try_wait()? {
            bail!("the broker ended ({ended}):\n{}", tail(log));
        }
        if started.elapsed() > Duration::from_secs(START_SECONDS_MAX) {
            child.kill()?;
            bail!(
                "the broker did not answer at {address} for {START_SECONDS_MAX} s:\n{}",
                tail(log)
            );
        }
        sleep(PAUSE);
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")
        .context("no free port on the loopback address")?
        .local_addr()?
        .port())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

fn server_properties(port: u16, controller: u16, data: &Path) -> String {
    // One broker: every internal topic has one replica. Records of 16 MiB, Docket's bound, and their frame go through.
    // Retention looks often, so that tests of records that fell out of it need not wait.
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={data}\n\
         num.network.threads=2\n\
         num.io.threads=2\n\
         num.partitions=1\n\
         message.max.bytes=17825792\n\
         offsets.topic.num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         log.cleaner.dedupe.buffer.size=4194304\n\
         log.retention.check.interval.ms=1000\n",
        data = data.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_names_a_version() {
        let pom = include_str!("../kafka/pom.xml");
        assert!(
            kafka_version(pom)
                .expect("a version")
                .starts_with(|c: char| c.is_ascii_digit())
        );
        assert!(kafka_version("<project/>").is_err());
    }
}
