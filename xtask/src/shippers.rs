//! Real shippers for the tests: packages of Debian and the OpenTelemetry SDK, in a folder outside the tree.
//!
//! Debian's rsyslog and syslog-ng cannot be installed beside each other, and either would take over the logging of the
//! machine. So packages are fetched by `apt-get download` and unpacked: nothing is installed, no service starts, and
//! nobody need be root. What they need beside (and the machine has not) is unpacked with them.
//!
//! The folder (`DOCKET_SHIPPERS_HOME`, otherwise `docket-shippers` in the user's cache) holds:
//!
//! ```text
//! root/       usr/sbin/rsyslogd, usr/sbin/syslog-ng, usr/bin/kcat, their modules and libraries
//! root/otel/  a Python environment with the OpenTelemetry SDK
//! root/list   what was asked for: where it is not what this file asks for, all is fetched again
//! ```

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The folder with the shippers, as the tests are told it.
pub const ENV_ROOT: &str = "DOCKET_SHIPPERS";
const ENV_HOME: &str = "DOCKET_SHIPPERS_HOME";
/// Packages that go together; those of one group conflict with those of another.
const PACKAGES: &[&[&str]] = &[
    &[
        "rsyslog",
        "rsyslog-gnutls",
        "rsyslog-openssl",
        "rsyslog-kafka",
        "rsyslog-elasticsearch",
    ],
    &["syslog-ng-core", "syslog-ng-mod-rdkafka", "kcat"],
];
/// Of PyPI.
const PYTHON: &[&str] = &[
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
];
const HOW_TO_GET_THEM: &str = "\
the tests of real shippers need rsyslog, syslog-ng, kcat, curl and OpenTelemetry's Python SDK. `cargo xtask shippers`
fetches them into a folder and installs nothing; it needs Debian (12 or later) or Ubuntu, and as root once:
    apt-get update && apt-get install -y python3-venv curl ca-certificates
and the network: Debian's archive and PyPI";

/// `shippers`.
pub fn fetch_and_show() -> Result<ExitCode> {
    println!("{}", ensure_there()?.display());
    Ok(ExitCode::SUCCESS)
}

/// The folder with the shippers, fetched where it is not there.
///
/// # Errors
/// They cannot be had; the error says how to get them.
pub fn ensure_there() -> Result<PathBuf> {
    if let Some(root) = env::var_os(ENV_ROOT) {
        return std::path::absolute(root).context(ENV_ROOT);
    }
    let home = home()?;
    let root = home.join("root");
    if fs::read_to_string(root.join("list")).is_ok_and(|l| l == list()) {
        return Ok(root);
    }
    eprintln!(
        "fetching rsyslog, syslog-ng, kcat and the OpenTelemetry SDK into {}",
        root.display()
    );
    // Into a folder of its own first, so that a fetch that was broken off is not taken for a whole one.
    let part = home.join(format!("part-{}", std::process::id()));
    fs::create_dir_all(&part).with_context(|| part.display().to_string())?;
    let fetched = fetch(&part).or_else(|first| {
        // Lists that are old name files that the archive has no more.
        eprintln!("{first:#}\ntrying again after apt-get update");
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        fs::remove_dir_all(&part)?;
        fs::create_dir_all(&part)?;
        fetch(&part)
    });
    if fetched.is_err() {
        let _ = fs::remove_dir_all(&part);
    }
    fetched.context(HOW_TO_GET_THEM)?;
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
    }
    fs::rename(&part, &root).with_context(|| root.display().to_string())?;
    Ok(root)
}

fn list() -> String {
    let packages = PACKAGES.iter().flat_map(|group| group.iter());
    packages.chain(PYTHON).map(|p| format!("{p}\n")).collect()
}

fn home() -> Result<PathBuf> {
    if let Some(home) = env::var_os(ENV_HOME) {
        return std::path::absolute(home).context(ENV_HOME);
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    Ok(cache
        .with_context(|| format!("no home folder: set {ENV_HOME} to a folder to keep the shippers in"))?
        .join("docket-shippers"))
}

fn fetch(part: &Path) -> Result<()> {
    run(Command::new("curl").arg("--version"))?;
    let mut wanted = BTreeSet::new();
    for group in PACKAGES {
        wanted.extend(group.iter().map(|p| (*p).to_owned()));
        wanted.extend(needed(group)?);
    }
    // Nothing is gained by apt's own user here, who cannot write into our folder.
    run(Command::new("apt-get")
        .args(["download", "-qq", "-o", "APT::Sandbox::User=root"])
        .args(&wanted)
        .current_dir(part))?;
    for entry in fs::read_dir(part)? {
        let file = entry?.path();
        if file.extension().is_some_and(|e| e == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(part))?;
            fs::remove_file(&file)?;
        }
    }
    let otel = part.join("otel");
    run(Command::new("python3").args(["-m", "venv"]).arg(&otel))?;
    run(Command::new(otel.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(PYTHON))?;
    fs::write(part.join("list"), list())?;
    Ok(())
}

/// The packages that apt would install with these on this machine.
fn needed(group: &[&str]) -> Result<Vec<String>> {
    let simulated = Command::new("apt-get")
        .args(["install", "--simulate", "-qq", "--no-install-recommends"])
        .args(group)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("apt-get")?;
    let told = String::from_utf8_lossy(&simulated.stdout);
    if !simulated.status.success() {
        bail!(
            "apt-get finds no way to have {}:\n{told}{}",
            group.join(", "),
            String::from_utf8_lossy(&simulated.stderr)
        );
    }
    Ok(installs(&told))
}

/// The names in `Inst NAME …` lines.
fn installs(simulated: &str) -> Vec<String> {
    let lines = simulated.lines().filter_map(|l| l.strip_prefix("Inst "));
    lines.filter_map(|l| Some(l.split(' ').next()?.to_owned())).collect()
}

fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let done = command.stdin(Stdio::null()).output().context(shown.clone())?;
    ensure!(
        done.status.success(),
        "{shown} ended with {}:\n{}{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_read() {
        let told = "NOTE: a simulation\nInst libestr0 (0.1.11-1 Debian:12.15/oldstable [amd64])\nInst curl [7.88] (7.89 Debian [amd64]) []\nConf curl (7.89)\n";
        assert_eq!(installs(told), ["libestr0", "curl"]);
    }
}
