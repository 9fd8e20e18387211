//! `docket policy`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use detect::policy::Loaded;
use detect::sigma::Placeholders;

use super::{backtest, why};
use crate::config::PolicySource;
use crate::exit::{FOUND, USAGE, failure};
use crate::policies;
use crate::policy_test::{self, Outcome};

/// Check and test policies
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:\n  docket policy check policies\n  docket policy test policies/account-usage")]
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
        Command::Test { paths, with } => test(&paths, &with),
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
        "{policies} policies load, {errors} do not, {} hints",
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

fn test(paths: &[PathBuf], with: &[PathBuf]) -> anyhow::Result<ExitCode> {
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
    sources.sort();
    sources.dedup();
    let files = policies::files(&sources.into_iter().map(PolicySource::Path).collect::<Vec<_>>())?;
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
