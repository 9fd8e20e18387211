//! `docket serve` as its users start it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::http::Client;

/// How often somebody looks whether it has settled.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A running server over a folder that holds its `docket.toml`; killed where nobody stopped it.
pub struct Server {
    child: Child,
    binary: PathBuf,
    dir: PathBuf,
    /// Where it listens.
    pub http: SocketAddr,
}

/// An address that nobody listens on.
///
/// # Errors
/// The machine's.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The binary with arguments, and without what the environment would tell it.
pub fn docket(binary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("DOCKET_")) {
        command.env_remove(name);
    }
    command
}

impl Server {
    /// Starts it, as the `docket.toml` in `dir` says; its log is appended to `dir/log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(binary: &Path, dir: &Path, http: SocketAddr) -> anyhow::Result<Server> {
        let config = dir.join("docket.toml").display().to_string();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("log"))?;
        let child = docket(binary, &["serve", "--config", &config])
            .stderr(log)
            .spawn()
            .with_context(|| binary.display().to_string())?;
        Ok(Server {
            child,
            binary: binary.to_owned(),
            dir: dir.to_owned(),
            http,
        })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// The machine's.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it is ready, everything durable is judged and searchable, and `more` of what `/readyz` says holds.
    ///
    /// # Errors
    /// It ended, or does not settle for so long.
    pub fn settle(&mut self, patience: Duration, more: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                anyhow::bail!("the server ended ({status}): {log}");
            }
            if let Ok(mut client) = Client::connect(self.http)
                && let Ok((200, body)) = client.get("/readyz", None)
                && body["durable"].as_u64() <= body["judged"].as_u64()
                && body["durable"].as_u64() <= body["searchable"].as_u64()
                && more(&body)
            {
                return Ok(());
            }
            anyhow::ensure!(since.elapsed() < patience, "the server does not settle");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// A new token of a role.
    ///
    /// # Errors
    /// It is not made.
    pub fn token(&self, role: &str) -> anyhow::Result<String> {
        let data = self.dir.join("data").display().to_string();
        let args = ["token", "create", "--role", role, "--name", "bench", "--data", &data];
        let made = docket(&self.binary, &args).output()?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(String::from_utf8(made.stdout)?.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
