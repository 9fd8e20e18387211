//! `fuzz --campaign`: the long run, of every target in turn, that can be stopped and gone on with.
//!
//! What was done is in `fuzz/record/campaign.md`, a line a run, appended when it ends. A target is done when it ran long enough
//! without a finding on the code that it reads as that is now (`reads`); those that never did come first, then those
//! whose code changed since, the oldest run first.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use super::{Fuzzer, Length, Outcome, Target};

const HEAD: &str = "\
# The long runs

`cargo xtask fuzz --campaign` appends a line when a target ends: seconds of a CPU that it had, and of the wall. A commit with
a `+` had changes beside it. Older runs: the other files of this folder.

| target | date | commit | CPU s | wall s | executions | edges | corpus | finding |
|---|---|---|--:|--:|--:|--:|--:|---|
";

/// Runs what is not done, one target after the other.
pub fn run(fuzzer: &Fuzzer, targets: &[&Target], all: usize, seconds: u64) -> Result<ExitCode> {
    let root = &fuzzer.root;
    let record = root.join("fuzz/record/campaign.md");
    let runs = runs(&read(&record)?);
    // What is run was built just now; the folder may go on to other commits meanwhile.
    let mut waiting: Vec<(Option<usize>, &Target, String)> = Vec::new();
    let mut done = 0;
    for target in targets {
        let last = runs.iter().rposition(|r| r.is_of(&target.name, seconds));
        match last {
            Some(n) if same(root, &runs[n].commit, reads(&target.name))? => done += 1,
            _ => waiting.push((last, target, commit(root, reads(&target.name))?)),
        }
    }
    // None, which never ran, is the least; the record's order is that of time.
    waiting.sort_by_key(|(last, ..)| *last);
    let stale = waiting.iter().filter(|(last, ..)| last.is_some()).count();
    eprintln!(
        "xtask: of {} targets ({all} in all) {done} had {seconds} s on this code, {stale} on code that was changed since",
        targets.len()
    );
    let mut found = 0;
    for (n, (_, target, commit)) in waiting.iter().enumerate() {
        eprintln!("xtask: {:3} of {} {}", n + 1, waiting.len(), target.name);
        let outcome = fuzzer.run_one(target, Length::Cpu(seconds))?;
        append(&record, &line(&outcome, commit, &today()?))?;
        if outcome.failed {
            found += 1;
            eprintln!("{}", fuzzer.explain(&outcome));
        }
    }
    eprintln!(
        "xtask: {} targets run, {found} findings; see {}",
        waiting.len(),
        record.display()
    );
    Ok(match found {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The folders whose code a target reads with.
fn reads(target: &str) -> &'static [&'static str] {
    match target.split('-').next() {
        Some("ledger") => &["ledger/src", "model/src"],
        Some("authored") => &["detect/src", "search/src", "ingest/src", "model/src"],
        _ => &["ingest/src", "model/src"],
    }
}

/// A line of the record, as far as it decides what is done.
#[derive(Debug, PartialEq)]
struct Run {
    target: String,
    commit: String,
    seconds: u64,
    found: bool,
}

impl Run {
    fn is_of(&self, target: &str, seconds: u64) -> bool {
        self.target == target && self.seconds >= seconds && !self.found
    }
}

fn runs(record: &str) -> Vec<Run> {
    let run = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let [target, _, commit, cpu, wall, _, _, _, finding, ..] = cells.as_slice() else {
            return None;
        };
        Some(Run {
            target: (*target).to_owned(),
            commit: (*commit).to_owned(),
            seconds: cpu.parse().or_else(|_| wall.parse()).ok()?,
            found: *finding != "none",
        })
    };
    record.lines().filter_map(run).collect()
}

fn line(outcome: &Outcome, commit: &str, date: &str) -> String {
    let cpu = outcome.cpu_seconds.map_or_else(|| "?".to_owned(), |s| s.to_string());
    let names = outcome.inputs.iter().filter_map(|i| i.file_name()?.to_str());
    let finding = match outcome.failed {
        false => "none".to_owned(),
        true if outcome.inputs.is_empty() => "ended by itself".to_owned(),
        true => names.collect::<Vec<_>>().join(", "),
    };
    let mut line = String::new();
    let o = outcome;
    let _ = writeln!(
        line,
        "| {} | {date} | {commit} | {cpu} | {} | {} | {} | {} | {finding} |",
        o.name, o.seconds, o.executions, o.coverage, o.corpus
    );
    line
}

fn read(record: &Path) -> Result<String> {
    if !record.exists() {
        fs::write(record, HEAD).with_context(|| record.display().to_string())?;
    }
    fs::read_to_string(record).with_context(|| record.display().to_string())
}

fn append(record: &PathBuf, line: &str) -> Result<()> {
    let mut file = OpenOptions::new().append(true).open(record)?;
    file.write_all(line.as_bytes())
        .with_context(|| record.display().to_string())
}

/// The commit that is checked out, with `+` where those folders hold more than it.
fn commit(root: &Path, folders: &[&str]) -> Result<String> {
    let head = git(root, &["rev-parse", "--short=10", "HEAD"], &[])?;
    let more = git(root, &["status", "--porcelain", "--"], folders)?;
    Ok(head.trim().to_owned() + if more.is_empty() { "" } else { "+" })
}

/// Whether those folders hold what they held at that commit; not of a commit that had changes beside it, or that is not known.
fn same(root: &Path, commit: &str, folders: &[&str]) -> Result<bool> {
    let mut diff = Command::new("git");
    diff.args(["diff", "--quiet", commit, "--"])
        .args(folders)
        .current_dir(root);
    let output = diff.output().context("git diff")?;
    Ok(!commit.ends_with('+') && output.status.success())
}

fn git(root: &Path, args: &[&str], folders: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    let output = git.args(args).args(folders).current_dir(root).output().context("git")?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {why}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output().context("date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(failed: bool, cpu_seconds: Option<u64>) -> Outcome {
        Outcome {
            name: "format-okta".into(),
            seconds: 700,
            cpu_seconds,
            executions: "9".into(),
            per_second: "1".into(),
            coverage: "2".into(),
            corpus: "3".into(),
            failed,
            log: PathBuf::new(),
            inputs: Vec::new(),
        }
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let lines = [
            (outcome(false, Some(601)), true),
            // Too short, found something, and without a word of the CPU: then the wall counts.
            (outcome(false, Some(599)), false),
            (outcome(true, Some(601)), false),
            (outcome(false, None), true),
        ];
        for (outcome, done) in lines {
            let record = HEAD.to_owned() + &line(&outcome, "1ba2461", "2026-11-22");
            let runs = runs(&record);
            assert_eq!(runs.len(), 1, "{record}");
            assert_eq!(
                (runs[0].is_of("format-okta", 600), &*runs[0].commit),
                (done, "1ba2461"),
                "{record}"
            );
            assert!(!runs[0].is_of("format", 600));
        }
    }
}
