//! `fuzz`: builds libFuzzer's binary (`fuzz/`) and runs its targets, some at a time.
//!
//! No nightly toolchain: the compiler's coverage pass is asked for by flags that stable takes. The build has its own
//! folder, `target/fuzz`, and so do what the fuzzer learned (`corpus/`), logs and findings.

mod campaign;
mod cpu;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

/// How long each target runs where nobody says.
const SECONDS: u64 = 60;
/// How long a campaign runs each where nobody says.
const SECONDS_IN_CAMPAIGN: u64 = 600;
/// How long `cargo xtask test` runs each.
pub const SECONDS_IN_TEST: u64 = 10;
/// An input that takes longer, in seconds, is a finding. Inputs are a few KiB: on a busy machine, too, far too long.
const INPUT_SECONDS_MAX: u64 = 10;
/// Memory of one fuzzer process; more is a finding.
const RSS_MB_MAX: u64 = 1536;
/// Memory of one allocation; more is a finding.
const ALLOCATION_MB_MAX: u64 = 256;

/// LLVM's coverage pass as libFuzzer wants it: edges counted, places known, comparisons watched.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// `fuzz [--campaign] [--seconds N | --minutes N] [--jobs N] [--seed N] [TARGET…]`; a target is named whole or by its beginning
/// (`format`). Without a seed each run looks elsewhere.
pub fn run(root: &Path, args: &[&str]) -> Result<ExitCode> {
    let (mut given, mut jobs, mut wanted, mut campaign) = (None, cores(), Vec::new(), false);
    let mut seed = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || {
            let given = args.next().with_context(|| format!("`{arg}` needs a number"))?;
            given.parse::<u64>().with_context(|| format!("`{given}` after `{arg}`"))
        };
        match *arg {
            "--seconds" => given = Some(number()?),
            "--minutes" => given = Some(60 * number()?),
            "--jobs" => jobs = usize::try_from(number()?)?,
            "--seed" => seed = Some(number()?),
            "--campaign" => campaign = true,
            other if other.starts_with('-') => {
                bail!("there is no option `{other}`; there are --campaign, --seconds, --minutes, --jobs and --seed")
            }
            name => wanted.push(name),
        }
    }
    let seconds = given.unwrap_or(if campaign { SECONDS_IN_CAMPAIGN } else { SECONDS });
    ensure!(seconds > 0 && jobs > 0, "give at least 1");
    let started = Instant::now();
    let fuzzer = Fuzzer {
        seed,
        ..Fuzzer::build(root)?
    };
    let all = fuzzer.targets()?;
    let targets: Vec<&Target> = all
        .iter()
        .filter(|t| wanted.is_empty() || wanted.iter().any(|w| t.is_called(w)))
        .collect();
    if let Some(nobody) = wanted.iter().find(|w| !all.iter().any(|t| t.is_called(w))) {
        let names: Vec<&str> = all.iter().map(|t| t.name.as_str()).collect();
        bail!("there is no target `{nobody}`; there are {}", names.join(", "));
    }
    eprintln!(
        "xtask: fuzzer built after {} s; {} targets, {seconds} s {}each, {} at a time",
        started.elapsed().as_secs(),
        targets.len(),
        if campaign { "of CPU " } else { "" },
        if campaign { 1 } else { jobs },
    );
    if campaign {
        return campaign::run(&fuzzer, &targets, all.len(), seconds);
    }
    let results = fuzzer.run_all(&targets, seconds, jobs)?;
    println!("{}", table(&results));
    let findings: Vec<&Outcome> = results.iter().filter(|r| r.failed).collect();
    for found in &findings {
        eprintln!("{}", fuzzer.explain(found));
    }
    eprintln!(
        "xtask: fuzzed for {} s, {} findings",
        started.elapsed().as_secs(),
        findings.len()
    );
    Ok(match findings.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The platform that the compiler runs on.
fn host() -> Result<String> {
    let version = Command::new("rustc").arg("-vV").output().context("rustc -vV")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|l| l.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// A target as the binary lists it.
struct Target {
    name: String,
    bytes_max: String,
}

impl Target {
    fn is_called(&self, wanted: &str) -> bool {
        let rest = self.name.strip_prefix(wanted);
        rest.is_some_and(|r| r.is_empty() || r.starts_with('-') || wanted.ends_with('-'))
    }
}

/// How long a target runs, in seconds.
#[derive(Clone, Copy)]
enum Length {
    /// Of the wall.
    Wall(u64),
    /// Of a CPU; of the wall where the system does not say.
    Cpu(u64),
}

/// What became of a target.
struct Outcome {
    name: String,
    /// Of the wall.
    seconds: u64,
    /// Of a CPU, where the system says it and somebody asked.
    cpu_seconds: Option<u64>,
    executions: String,
    per_second: String,
    coverage: String,
    corpus: String,
    failed: bool,
    log: PathBuf,
    inputs: Vec<PathBuf>,
}

struct Fuzzer {
    root: PathBuf,
    /// `target/fuzz`.
    home: PathBuf,
    binary: PathBuf,
    /// Where chance begins; anywhere where there is none.
    seed: Option<u64>,
}

impl Fuzzer {
    fn build(root: &Path) -> Result<Fuzzer> {
        let home = root.join("target/fuzz");
        // The platform is named, so that the flags are for the binary only, never for build scripts.
        let platform = host()?;
        let built = super::suite::cargo(root, &["build", "--package", "fuzz", "--bin", "docket-fuzz"])
            .args(["--profile", "fuzz", "--features", "libfuzzer", "--target", &platform])
            .arg("--target-dir")
            .arg(&home)
            .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
            .status()
            .context("cargo build of the fuzzer")?;
        ensure!(built.success(), "the fuzzer does not build");
        Ok(Fuzzer {
            root: root.to_owned(),
            binary: home.join(&platform).join("fuzz/docket-fuzz"),
            home,
            seed: None,
        })
    }

    fn targets(&self) -> Result<Vec<Target>> {
        let seeds = self.home.join("seeds");
        // libFuzzer says on standard error which of its hooks are not there: nobody's matter.
        let seeded = Command::new(&self.binary).arg("seed").arg(&seeds).output()?;
        let why = String::from_utf8_lossy(&seeded.stderr).into_owned();
        ensure!(seeded.status.success(), "no seeds in {}: {why}", seeds.display());
        let listed = Command::new(&self.binary).arg("list").output()?;
        ensure!(listed.status.success(), "the targets cannot be listed");
        let lines = String::from_utf8(listed.stdout).context("the list of targets")?;
        let target = |line: &str| {
            let (name, bytes_max) = line.split_once('\t')?;
            Some(Target {
                name: name.to_owned(),
                bytes_max: bytes_max.to_owned(),
            })
        };
        lines.lines().map(|l| target(l).with_context(|| l.to_owned())).collect()
    }

    fn run_all(&self, targets: &[&Target], seconds: u64, jobs: usize) -> Result<Vec<Outcome>> {
        let waiting: Mutex<VecDeque<&Target>> = Mutex::new(targets.iter().copied().collect());
        let done: Mutex<Vec<Result<Outcome>>> = Mutex::new(Vec::new());
        let next = || waiting.lock().ok()?.pop_front();
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(target) = next() {
                        let outcome = self.run_one(target, Length::Wall(seconds));
                        if let Ok(mut done) = done.lock() {
                            done.push(outcome);
                            if let Some(Ok(o)) = done.last() {
                                let what = if o.failed { "FOUND SOMETHING" } else { "nothing found" };
                                eprintln!(
                                    "xtask: {:3} of {} {:28} {:>12} executions, {what}",
                                    done.len(),
                                    targets.len(),
                                    o.name,
                                    o.executions
                                );
                            }
                        }
                    }
                });
            }
        });
        let done = done.into_inner().map_err(|_| anyhow::anyhow!("a runner stopped"))?;
        let mut results = done.into_iter().collect::<Result<Vec<_>>>()?;
        results.sort_by_key(|r| targets.iter().position(|t| t.name == r.name));
        Ok(results)
    }

    fn run_one(&self, target: &Target, length: Length) -> Result<Outcome> {
        let name = &target.name;
        let folder = |what: &str| -> Result<PathBuf> {
            let path = self.home.join(what).join(name);
            fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
            Ok(path)
        };
        let (corpus, seeds, findings) = (folder("corpus")?, folder("seeds")?, folder("findings")?);
        let regressions = self.root.join("fuzz/regressions").join(name);
        let logs = self.home.join("logs");
        fs::create_dir_all(&logs)?;
        let log = logs.join(format!("{name}.log"));
        let before = files(&findings);
        let mut command = Command::new(&self.binary);
        command.env("DOCKET_FUZZ", name).arg(&corpus).arg(&seeds);
        if regressions.is_dir() {
            command.arg(&regressions);
        }
        let words = self.home.join("seeds").join(format!("{name}.dict"));
        if words.is_file() {
            command.arg(format!("-dict={}", words.display()));
        }
        command.args(self.seed.map(|seed| format!("-seed={seed}")));
        let started = Instant::now();
        let wall = match length {
            Length::Wall(seconds) => seconds,
            Length::Cpu(_) if cpu::is_told() => 0,
            Length::Cpu(seconds) => seconds,
        };
        let mut child = command
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .arg(format!("-max_total_time={wall}"))
            .arg(format!("-max_len={}", target.bytes_max))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={RSS_MB_MAX}"))
            .arg(format!("-malloc_limit_mb={ALLOCATION_MB_MAX}"))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .with_context(|| self.binary.display().to_string())?;
        let (status, cpu_seconds) = match length {
            Length::Cpu(seconds) if wall == 0 => cpu::wait(&mut child, seconds)?,
            _ => (child.wait()?, None),
        };
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let stat = |wanted: &str| {
            let line = text.lines().rev().find_map(|l| l.strip_prefix(wanted));
            line.map_or_else(|| "?".to_owned(), |v| v.trim().to_owned())
        };
        Ok(Outcome {
            name: name.clone(),
            seconds: started.elapsed().as_secs(),
            cpu_seconds,
            executions: stat("stat::number_of_executed_units:"),
            per_second: stat("stat::average_exec_per_sec:"),
            coverage: last_number(&text, " cov: "),
            corpus: last_number(&text, " corp: "),
            failed: !status.success(),
            log,
            inputs: files(&findings).into_iter().filter(|f| !before.contains(f)).collect(),
        })
    }

    /// What to do about a finding.
    fn explain(&self, found: &Outcome) -> String {
        let mut text = format!("\nfinding in {}; log: {}", found.name, found.log.display());
        let shown = fs::read(&found.log).unwrap_or_default();
        let shown = String::from_utf8_lossy(&shown);
        let panic = shown.lines().skip_while(|l| !l.contains("panicked at")).take(3);
        for line in panic {
            let _ = write!(text, "\n    {}", line.chars().take(400).collect::<String>());
        }
        for input in &found.inputs {
            let _ = write!(
                text,
                "\n  input:  {}\n  replay: DOCKET_FUZZ={} {} {}\n  keep:   cp it to fuzz/regressions/{}/, where `cargo test -p fuzz` replays it",
                input.display(),
                found.name,
                self.binary.display(),
                input.display(),
                found.name
            );
        }
        text
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|e| e.path()).collect()
}

/// The last number after a word of libFuzzer's progress.
fn last_number(log: &str, word: &str) -> String {
    let found = log.lines().rev().find_map(|l| l.split_once(word));
    let digits = found.map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
    digits.unwrap_or_else(|| "?".to_owned())
}

fn table(results: &[Outcome]) -> String {
    let mut text = String::from(
        "| target | s | executions | a second | edges | corpus | findings |\n|---|--:|--:|--:|--:|--:|--:|",
    );
    for r in results {
        let found = if r.failed { "1" } else { "0" };
        let _ = write!(
            text,
            "\n| {} | {} | {} | {} | {} | {} | {found} |",
            r.name, r.seconds, r.executions, r.per_second, r.coverage, r.corpus
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_whole_or_by_its_beginning() {
        let target = Target {
            name: "format-okta".into(),
            bytes_max: String::new(),
        };
        for (wanted, called) in [
            ("format-okta", true),
            ("format", true),
            ("format-", true),
            ("form", false),
            ("okta", false),
        ] {
            assert_eq!(target.is_called(wanted), called, "{wanted}");
        }
    }

    #[test]
    fn numbers_are_read_from_the_log() {
        let log = "#2\tINITED cov: 17 ft: 20 corp: 3/9b\n#9\tDONE   cov: 41 ft: 60 corp: 12/90b lim: 4\nstat::x: 1\n";
        assert_eq!(last_number(log, " cov: "), "41");
        assert_eq!(last_number(log, " corp: "), "12");
        assert_eq!(last_number("", " cov: "), "?");
    }
}
