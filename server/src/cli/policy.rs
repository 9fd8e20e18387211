//! `docket policy`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::Context as _;
use detect::policy::{Loaded, SourceFile};
use detect::sigma::Placeholders;

use super::{backtest, why};
use crate::config::PolicySource;
use crate::exit::{FOUND, USAGE, failure};
use crate::policies;
use crate::policy_mutate;
use crate::policy_test::{self, Outcome, Suggestions};

/// Check and test policies
#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  docket policy check policies\n  docket policy test policies/account-usage\n  docket policy test --mutate policies/account-usage/au-10-past-the-bastion.yml"
)]
pub enum Command {
    /// Say what is wrong with policies, with file, line and column; exit code 2 when something is
    Check {
        /// Policy file or folder (default: those in the binary)
        #[arg(value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
    },
    /// Run the test file beside each policy; exit code 1 when one fails
    Test {
        /// Policy file or folder
        #[arg(value_name = "FILE|DIR", default_value = "policies")]
        paths: Vec<PathBuf>,
        /// Where the policies lie that those under test need (tables, feeding rules)
        #[arg(long, value_name = "DIR")]
        with: Vec<PathBuf>,
        /// Take away one condition of each policy at a time, and tell which of them no test misses; exit code 1 when there is one
        #[arg(long)]
        mutate: bool,
        /// With --mutate: for each, what of a test could be changed so that it would be missed (to be read, and put under its `but`)
        #[arg(long, requires = "mutate")]
        suggest: bool,
    },
    Explain(Box<why::Args>),
    Backtest(Box<backtest::Args>),
    Coverage(super::coverage::Args),
    /// Print the JSON Schema of the `docket:` key
    Schema,
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { paths } => check(&paths),
        Command::Test {
            paths,
            with,
            mutate: false,
            ..
        } => test(&paths, &with),
        Command::Test {
            paths,
            with,
            mutate: true,
            suggest,
        } => mutate(&paths, &with, suggest),
        Command::Explain(args) => why::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Coverage(args) => super::coverage::run(&args),
        Command::Schema => {
            print!("{}", detect::policy::SCHEMA);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(paths: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let loaded = load(paths)?;
    for error in &loaded.errors {
        println!("{error}");
    }
    let (policies, errors) = (
        loaded.policies.all().len(),
        loaded.errors.iter().filter(|e| !e.is_lint()).count(),
    );
    println!(
        "{policies} policies load, {errors} errors, {} hints",
        loaded.errors.len() - errors
    );
    Ok(if errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(USAGE)
    })
}

pub(super) fn load(paths: &[PathBuf]) -> anyhow::Result<Loaded> {
    if let Some(missing) = paths.iter().find(|p| !p.exists()) {
        return Err(failure(USAGE, format!("{} does not exist", missing.display())));
    }
    let mut sources: Vec<_> = paths.iter().cloned().map(PolicySource::Path).collect();
    if sources.is_empty() {
        sources.push(PolicySource::BuiltIn);
    }
    Ok(detect::policy::load(
        &policies::files(&sources)?,
        &Placeholders::default(),
    ))
}

/// The test files, and the policies that they are run with.
fn tests_of(paths: &[PathBuf], with: &[PathBuf]) -> anyhow::Result<(Vec<PathBuf>, Vec<SourceFile>)> {
    let mut tests = Vec::new();
    for path in paths {
        find_tests(path, &mut tests)?;
    }
    if tests.is_empty() {
        return Err(failure(USAGE, format!("no *.test.yml under {}", paths[0].display())));
    }
    // Policies of other folders feed those under test: take the whole tree that they stand in.
    let mut sources: Vec<PathBuf> = with.to_vec();
    sources.extend(paths.iter().map(|p| policy_test::tree_of(p)));
    // A folder in another one, or named twice, would load its policies twice.
    sources.sort_by_cached_key(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
    sources.dedup_by(|inner, outer| match (inner.canonicalize(), outer.canonicalize()) {
        (Ok(inner), Ok(outer)) => inner.starts_with(outer),
        _ => inner == outer,
    });
    let files = policies::files(&sources.into_iter().map(PolicySource::Path).collect::<Vec<_>>())?;
    Ok((tests, files))
}

fn mutate(paths: &[PathBuf], with: &[PathBuf], suggest: bool) -> anyhow::Result<ExitCode> {
    let (tests, files) = tests_of(paths, with)?;
    let (mut all, mut survived) = (0, 0);
    in_order(
        tests.len(),
        |n| mutate_file(&tests[n], &files, suggest),
        |missed| {
            (all, survived) = (all + missed.mutants, survived + missed.survived);
            print!("{}", missed.lines);
        },
    )?;
    println!("{all} conditions taken away one at a time, {survived} that no test misses");
    Ok(if survived == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}

/// Does a number of jobs on all cores, and takes their results in order.
fn in_order<T: Send>(
    jobs: usize,
    job: impl Fn(usize) -> anyhow::Result<T> + Sync,
    mut done: impl FnMut(T),
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let (send, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let (send, next, job) = (send.clone(), &next, &job);
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    // Nobody waits for the others after an error.
                    if n >= jobs || send.send((n, job(n))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        for n in 0..jobs {
            while !early.contains_key(&n) {
                let (n, result) = results.recv()?;
                early.insert(n, result?);
            }
            early.remove(&n).into_iter().for_each(&mut done);
        }
        Ok(())
    })
}

/// What the tests of a file miss.
struct Missed {
    mutants: usize,
    survived: usize,
    /// To be printed.
    lines: String,
}

fn mutate_file(path: &Path, files: &[SourceFile], suggest: bool) -> anyhow::Result<Missed> {
    let mut missed = Missed {
        mutants: 0,
        survived: 0,
        lines: String::new(),
    };
    let own = std::fs::canonicalize(path.to_string_lossy().replace(".test.yml", ".yml"))?;
    let is_own = |f: &SourceFile| std::fs::canonicalize(&*f.name).is_ok_and(|name| name == own);
    let Some(at) = files.iter().position(is_own) else {
        return Ok(missed);
    };
    let needed = policy_mutate::needed(files, at);
    let mut files: Vec<SourceFile> = needed.iter().map(|n| files[*n].clone()).collect();
    let at = files.iter().position(is_own).unwrap_or_default();
    let mut suggestions = suggest.then(|| Suggestions::open(path, &files)).transpose()?;
    let bar = std::io::stderr().is_terminal();
    for mutant in policy_mutate::mutants(&files[at].text) {
        if bar {
            eprint!("\r\x1b[K{} {} {}", path.display(), mutant.policy, mutant.what);
        }
        let changed = SourceFile::new(&files[at].name, mutant.text.as_str());
        let before = std::mem::replace(&mut files[at], changed);
        if let Some(is_missed) = policy_test::misses(path, &files)? {
            missed.mutants += 1;
            if !is_missed {
                missed.survived += 1;
                let (policy, what) = (&mutant.policy, &mutant.what);
                writeln!(missed.lines, "{}: {policy}: no test misses {what}", path.display())?;
                if let Some(suggestions) = &mut suggestions {
                    match suggestions.of(&mutant, path, &files)? {
                        Some(suggestion) => writeln!(missed.lines, "    {suggestion}")?,
                        None => writeln!(missed.lines, "    nothing to suggest")?,
                    }
                }
            }
        }
        files[at] = before;
    }
    if bar {
        eprint!("\r\x1b[K");
    }
    Ok(missed)
}

fn test(paths: &[PathBuf], with: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let (tests, files) = tests_of(paths, with)?;
    let (mut passed, mut failed) = (0, 0);
    for path in tests {
        for outcome in policy_test::run(&path, &files)? {
            match outcome {
                Outcome::Passed { .. } => passed += 1,
                Outcome::Failed { test, why } => {
                    failed += 1;
                    println!("FAILED {}: {test}", path.display());
                    why.iter().for_each(|line| println!("    {line}"));
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}

fn find_tests(path: &Path, out: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(path)?.filter_map(|e| Some(e.ok()?.path())).collect();
        entries.sort();
        return entries.iter().try_for_each(|p| {
            if p.is_dir() || is_test(p) {
                find_tests(p, out)
            } else {
                Ok(())
            }
        });
    }
    let test = if is_test(path) {
        path.to_owned()
    } else {
        path.with_extension("test.yml")
    };
    std::fs::metadata(&test).with_context(|| format!("{} has no test file {}", path.display(), test.display()))?;
    out.push(test);
    Ok(())
}

fn is_test(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".test.yml")
}
