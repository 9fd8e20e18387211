//! The test run: a broker, real shippers, the formatter's check, all tests, the broker stopped whatever happened, the policies' tests held against
//! policies with one condition less, and some fuzzing.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{broker, fuzz, shippers};

/// Where the fuzzer's chance begins here: the same code is judged alike each time. `cargo xtask fuzz` without a seed, and the campaign,
/// look elsewhere each time; what they find is kept in `fuzz/regressions/`.
const FUZZ_SEED: &str = "1";

/// `test`: `args` go to `cargo test`.
pub fn test(root: &Path, args: &[&str]) -> Result<ExitCode> {
    let started = Instant::now();
    // They come over the network while the compiler works.
    let shippers = std::thread::spawn(shippers::ensure_there);
    let formatted = cargo(root, &["fmt", "--all", "--check"])
        .status()
        .context("cargo fmt")?
        .success();
    if !formatted {
        eprintln!("xtask: `cargo fmt` has something to say; the tests run all the same");
    }
    // Compile before the broker is up: what does not compile needs none, and the JVM would idle beside the build.
    let built = cargo(root, &["test", "--workspace", "--no-run"])
        .args(args)
        .status()
        .context("cargo test --no-run")?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    eprintln!("xtask: built after {} s", started.elapsed().as_secs());

    let shippers = shippers
        .join()
        .map_err(|_| anyhow::anyhow!("fetching the shippers panicked"))?;
    if let Err(error) = &shippers {
        eprintln!("xtask: no shippers; their tests will fail, the others run: {error:#}");
    }
    let kafka = broker::ensure_up(root)?;
    eprintln!(
        "xtask: kafka at {} after {} s",
        kafka.address,
        started.elapsed().as_secs()
    );
    let mut tests = cargo(root, &["test", "--workspace", "--no-fail-fast"]);
    tests
        .args(args)
        .env("DOCKET_KAFKA", &kafka.address)
        // With these set, a test that needs a broker or a shipper and finds none fails instead of passing by.
        .env("DOCKET_KAFKA_REQUIRED", "1")
        .env("DOCKET_SHIPPERS_REQUIRED", "1");
    if let Ok(root) = shippers {
        tests.env(shippers::ENV_ROOT, root);
    }
    let tested = tests.status();
    // Places to die at are compiled in for this alone. Who gives arguments looks for something else.
    let mut dying = cargo(root, &["test", "-p", "crash", "--features", "failpoints"]);
    let died = args.is_empty().then(|| dying.status()).transpose();
    if kafka.started_here {
        broker::stop()?;
    }
    let tested = tested.context("cargo test")?.success();
    let survived = died.context("cargo test -p crash")?.is_none_or(|s| s.success());
    // Each condition of each policy, taken away, must be missed by one of its tests.
    let mut mutants = cargo(
        root,
        &["run", "-p", "docket", "--", "policy", "test", "--mutate", "policies"],
    );
    let missed = args.is_empty().then(|| mutants.status()).transpose();
    let missed = missed
        .context("docket policy test --mutate")?
        .is_none_or(|s| s.success());
    eprintln!("xtask: policies tested after {} s", started.elapsed().as_secs());
    // Who gives arguments looks for something else.
    let seconds = fuzz::SECONDS_IN_TEST.to_string();
    let fuzzed =
        !args.is_empty() || fuzz::run(root, &["--seconds", &seconds, "--seed", FUZZ_SEED])? == ExitCode::SUCCESS;
    eprintln!("xtask: done after {} s", started.elapsed().as_secs());
    Ok(if formatted && tested && survived && missed && fuzzed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// `lint`.
pub fn lint(root: &Path) -> Result<ExitCode> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let clean = cargo(root, &clippy).status().context("cargo clippy")?.success();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A command of the cargo that runs us, in `root`.
pub fn cargo(root: &Path, args: &[&str]) -> Command {
    // The cargo that runs us, so that the same toolchain does the work.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(args);
    command
}
