//! The promises of `docs/ARCHITECTURE.md` that a machine can hold: who imports whom, where a dependency lives,
//! no clock below `server`, names, sizes, links. Reads manifests and sources as text.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

/// Which of our crates a crate may import, by folder. A folder that is not here is not a crate of ours.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("ingest", &["model"]),
    ("ledger", &["model"]),
    ("detect", &["model"]),
    ("search", &["model"]),
    ("alert", &["model"]),
    ("server", &["model", "ingest", "ledger", "detect", "search", "alert"]),
    ("benches", &["model", "ingest", "ledger", "detect", "search", "alert"]),
    ("benches/peer", &[]),
    ("benches/rsigma", &["model", "detect"]),
    ("fuzz", &["model", "ingest", "ledger", "detect", "search"]),
    ("crash", &["model", "detect", "alert", "search"]),
    ("xtask", &[]),
];

/// Crates below `server`: they are told the time and never ask for it.
const WITHOUT_CLOCK: &[&str] = &["model", "ingest", "ledger", "detect", "search", "alert"];

/// A dependency that is kept in one place, and the places.
struct Home {
    dependency: &'static str,
    /// Folders whose manifest may list it under `[dependencies]`.
    manifests: &'static [&'static str],
    /// Folders whose manifest may list it under `[dev-dependencies]`.
    dev_manifests: &'static [&'static str],
    /// Where sources may name it.
    sources: &'static [&'static str],
}

const HOMES: &[Home] = &[
    Home {
        dependency: "rdkafka",
        manifests: &["ingest", "benches"],
        dev_manifests: &["ingest", "server"],
        sources: &["ingest/src/source/", "ingest/tests/", "server/tests/", "benches/"],
    },
    Home {
        dependency: "tantivy",
        manifests: &["search", "benches"],
        dev_manifests: &["search"],
        sources: &["search/", "benches/"],
    },
    Home {
        dependency: "rusqlite",
        manifests: &["alert"],
        dev_manifests: &["alert"],
        sources: &["alert/"],
    },
];

/// Names that say nothing; what is in such a module belongs beside its noun.
const NAMES_THAT_SAY_NOTHING: &[&str] = &[
    "common", "util", "utils", "shared", "helper", "helpers", "manager", "misc",
];

const CLOCKS: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "Timestamp::now",
    "Zoned::now",
    "::now_utc",
];

/// Above this a file of code fails; above the other it is mentioned.
const CODE_LINES_MAX: usize = 700;
const CODE_LINES_NOTED: usize = 500;

/// `tidy`: prints what it finds.
pub fn run(root: &Path) -> Result<ExitCode> {
    let found = check(root)?;
    for note in &found.notes {
        println!("note: {note}");
    }
    for problem in &found.problems {
        println!("{problem}");
    }
    println!("{} problems", found.problems.len());
    Ok(if found.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a look at the tree found.
#[derive(Default)]
pub struct Found {
    problems: Vec<Problem>,
    notes: Vec<Problem>,
}

/// A broken promise: where, and what to do about it.
#[derive(Debug, PartialEq)]
pub struct Problem {
    path: String,
    /// Counted from 1; 0 for the whole file.
    line: usize,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

impl Found {
    fn problem(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.problems.push(Problem {
            path: path.to_owned(),
            line,
            message: message.into(),
        });
    }
}

/// Looks at the whole tree under `root`.
///
/// # Errors
/// A file or folder cannot be read.
pub fn check(root: &Path) -> Result<Found> {
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    files.sort();
    let mut found = Found::default();
    for path in &files {
        let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !["rs", "toml", "md", "xml", "yml", "yaml", "json"].contains(&extension) && path != ".ci/run" {
            continue;
        }
        let Ok(text) = fs::read_to_string(root.join(path)) else {
            continue; // not text: nothing here to hold to
        };
        if let Some(folder) = path.strip_suffix("/Cargo.toml") {
            manifest(path, folder, &text, &mut found);
        }
        if extension == "rs" {
            source(path, &text, &mut found);
        }
        if extension == "md" {
            links(root, path, &text, &mut found);
        }
        local_paths(root, path, &text, &mut found);
    }
    Ok(found)
}

/// Paths relative to `root`, with `/`; without what git ignores and what is data.
fn walk(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let skipped =
                ["target", ".git", "fixtures", "docket-data"].contains(&&*name) || name.starts_with(".docket");
            if !skipped {
                walk(root, &path, files)?;
            }
        } else if let Ok(relative) = path.strip_prefix(root) {
            files.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

fn manifest(path: &str, folder: &str, text: &str, found: &mut Found) {
    let Some((_, may)) = MAY_IMPORT.iter().find(|(name, _)| *name == folder) else {
        return found.problem(
            path,
            0,
            "a crate that MAY_IMPORT in xtask/src/tidy.rs does not know: say what it may import",
        );
    };
    let mut section = "";
    for (number, line) in text.lines().enumerate() {
        let (number, line) = (number + 1, line.trim());
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        if !section.ends_with("dependencies") || line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default().trim_matches('"');
        let ours = MAY_IMPORT.iter().any(|(n, _)| *n == name) || name == "docket";
        if ours && !may.contains(&name) {
            let allowed = if may.is_empty() {
                "none of ours".to_owned()
            } else {
                may.join(", ")
            };
            found.problem(
                path,
                number,
                format!("`{folder}` imports `{name}`; it may import {allowed}"),
            );
        }
        if let Some(home) = HOMES.iter().find(|h| h.dependency == name) {
            let (places, kind) = match section == "dev-dependencies" {
                true => (home.dev_manifests, "a dev-dependency"),
                false => (home.manifests, "a dependency"),
            };
            if !places.contains(&folder) {
                found.problem(
                    path,
                    number,
                    format!("`{name}` is {kind} of {} only", places.join(", ")),
                );
            }
        }
    }
}

fn source(path: &str, text: &str, found: &mut Found) {
    let folder = path.split('/').next().unwrap_or_default();
    names(path, found);
    let lines: Vec<&str> = text.lines().collect();
    let code_end = code_end(path, &lines);
    for (number, line) in lines.iter().enumerate() {
        let (number, in_tests) = (number + 1, number >= code_end);
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        code_line(path, folder, number, line, in_tests, found);
    }
    let problem = Problem {
        path: path.to_owned(),
        line: 0,
        message: format!(
            "{code_end} lines of code; above {CODE_LINES_NOTED} look for the second noun and give it a file"
        ),
    };
    match code_end {
        n if n > CODE_LINES_MAX => found.problems.push(problem),
        n if n > CODE_LINES_NOTED => found.notes.push(problem),
        _ => {}
    }
}

/// The index of the first line of the unit tests, which our files hold at their end; 0 in a file of tests, an
/// example or a benchmark, which are callers and have a clock.
fn code_end(path: &str, lines: &[&str]) -> usize {
    if path.contains("/tests/")
        || path.contains("/examples/")
        || path.contains("/benches/")
        || path.ends_with("/tests.rs")
    {
        return 0;
    }
    let tests = lines.windows(2).position(|w| {
        w[0].trim() == "#[cfg(test)]" && w[1].trim_start().starts_with("mod ") && w[1].trim_end().ends_with('{')
    });
    tests.unwrap_or(lines.len())
}

fn code_line(path: &str, folder: &str, number: usize, line: &str, in_tests: bool, found: &mut Found) {
    // Written in two halves, so that this file keeps its own rules.
    for (needle, message) in [
        (
            concat!("#[ig", "nore"),
            "a test that does not run is no test: make it run or take it out",
        ),
        (concat!("to", "do!("), "unfinished code does not land"),
        (concat!("unimple", "mented!("), "unfinished code does not land"),
    ] {
        if line.contains(needle) {
            found.problem(path, number, format!("`{needle}`: {message}"));
        }
    }
    if !in_tests
        && WITHOUT_CLOCK.contains(&folder)
        && let Some(clock) = CLOCKS.iter().find(|c| line.contains(**c))
    {
        found.problem(
            path,
            number,
            format!("`{clock}`: no clock below `server`; take a `model::Millis` from the caller"),
        );
    }
    for home in HOMES {
        let named =
            line.contains(&format!("{}::", home.dependency)) || line.contains(&format!("use {};", home.dependency));
        // xtask names them in its rules.
        if named && folder != "xtask" && !home.sources.iter().any(|s| path.starts_with(s)) {
            found.problem(
                path,
                number,
                format!("`{}` lives in {} only", home.dependency, home.sources.join(", ")),
            );
        }
    }
    let module = line
        .trim_start_matches("pub ")
        .trim_start_matches("pub(crate) ")
        .strip_prefix("mod ");
    if let Some(name) = module.map(|m| m.trim_end_matches([';', '{', ' ']))
        && NAMES_THAT_SAY_NOTHING.contains(&name)
    {
        found.problem(
            path,
            number,
            format!("a module called `{name}`: name it after the noun it holds"),
        );
    }
}

fn names(path: &str, found: &mut Found) {
    for part in path.split('/') {
        let name = part.strip_suffix(".rs").unwrap_or(part);
        if NAMES_THAT_SAY_NOTHING.contains(&name) {
            found.problem(
                path,
                0,
                format!("`{name}` says nothing: name it after the noun it holds"),
            );
        }
    }
}

/// Relative links of a page lead somewhere.
fn links(root: &Path, path: &str, text: &str, found: &mut Found) {
    let folder = root.join(path).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for after in line.split("](").skip(1) {
            let target = after.split([')', ' ', '#']).next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !folder.join(target).exists() {
                found.problem(path, number + 1, format!("the link to `{target}` leads nowhere"));
            }
        }
    }
}

/// Nothing names the place where this checkout happens to lie.
fn local_paths(root: &Path, path: &str, text: &str, found: &mut Found) {
    let beside = root.parent().map(|p| p.join("shared"));
    let home = std::env::var("HOME").ok().map(|h| PathBuf::from(h).join(".cargo"));
    for place in [Some(root.to_path_buf()), beside, home].into_iter().flatten() {
        let place = place.to_string_lossy().into_owned();
        // A checkout at the top of the file system (`/docket`) would make ordinary words look like paths.
        if place.matches('/').count() < 2 {
            continue;
        }
        if let Some(number) = text.lines().position(|l| l.contains(&place)) {
            found.problem(path, number + 1, "a path of the machine that it was written on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_keeps_its_promises() {
        let found = check(&crate::root()).expect("the tree can be read");
        let problems: Vec<String> = found.problems.iter().map(Problem::to_string).collect();
        assert!(
            problems.is_empty(),
            "{} problems:\n{}",
            problems.len(),
            problems.join("\n")
        );
    }

    /// The messages about one source file, without their path.
    fn in_source(path: &str, text: &str) -> Vec<String> {
        let mut found = Found::default();
        source(path, text, &mut found);
        found
            .problems
            .into_iter()
            .map(|p| p.to_string().replace(path, ""))
            .collect()
    }

    fn in_manifest(folder: &str, text: &str) -> Vec<String> {
        let mut found = Found::default();
        manifest("Cargo.toml", folder, text, &mut found);
        found.problems.into_iter().map(|p| p.message).collect()
    }

    fn one(messages: Vec<String>, wanted: &str) {
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].contains(wanted), "{messages:?}");
    }

    #[test]
    fn a_stage_imports_the_model_and_no_other_stage() {
        assert!(in_manifest("detect", "[dependencies]\nmodel.workspace = true\n").is_empty());
        one(
            in_manifest("detect", "[dependencies]\nledger = { path = \"../ledger\" }\n"),
            "may import model",
        );
        one(
            in_manifest("detect", "[dev-dependencies]\nledger.workspace = true\n"),
            "may import model",
        );
        one(
            in_manifest("model", "[dependencies]\ningest.workspace = true\n"),
            "none of ours",
        );
        one(
            in_manifest("ledger", "[dependencies]\ndocket.workspace = true\n"),
            "`docket`",
        );
        one(in_manifest("extra", ""), "MAY_IMPORT");
    }

    #[test]
    fn a_dependency_stays_where_it_lives() {
        one(
            in_manifest("server", "[dependencies]\nrdkafka.workspace = true\n"),
            "rdkafka",
        );
        assert!(in_manifest("server", "[dev-dependencies]\nrdkafka.workspace = true\n").is_empty());
        one(in_manifest("server", "[dependencies]\nrusqlite = \"1\"\n"), "rusqlite");
        one(
            in_source("ingest/src/replay.rs", "use rdkafka::ClientConfig;\n"),
            "rdkafka",
        );
        assert!(in_source("ingest/src/source/kafka.rs", "use rdkafka::ClientConfig;\n").is_empty());
    }

    #[test]
    fn time_is_told_not_asked_for() {
        let text = "fn f() { std::time::Instant::now(); }\n";
        one(in_source("ledger/src/tail.rs", text), ":1: `Instant::now`");
        assert!(in_source("server/src/main.rs", text).is_empty());
        assert!(in_source("detect/benches/windows.rs", text).is_empty());
        assert!(in_source("ledger/src/tail.rs", &format!("#[cfg(test)]\nmod tests {{\n{text}}}\n")).is_empty());
        assert!(in_source("ledger/src/tail.rs", "// not Instant::now\n").is_empty());
    }

    #[test]
    fn names_sizes_and_unfinished_code() {
        one(in_source("alert/src/utils.rs", ""), "`utils`");
        one(in_source("alert/src/lib.rs", "pub mod manager;\n"), "`manager`");
        one(
            in_source("alert/src/lib.rs", concat!("#[ig", "nore = \"slow\"]\n")),
            "does not run",
        );
        one(in_source("alert/src/lib.rs", concat!("to", "do!()\n")), "unfinished");
        one(
            in_source("alert/src/lib.rs", &"x\n".repeat(CODE_LINES_MAX + 1)),
            "lines of code",
        );
        let with_tests = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "x\n".repeat(10),
            "x\n".repeat(2000)
        );
        assert!(in_source("alert/src/lib.rs", &with_tests).is_empty());
    }

    #[test]
    fn links_and_paths() {
        let root = crate::root();
        let mut found = Found::default();
        links(
            &root,
            "xtask/x.md",
            "[a](Cargo.toml) [b](https://x) [c](#d)\n[e](../nowhere.md#f)\n",
            &mut found,
        );
        assert_eq!(found.problems.len(), 1);
        assert!(found.problems[0].message.contains("../nowhere.md"));

        let mut found = Found::default();
        let there = Path::new("/made/up");
        local_paths(there, "a.rs", "see /made/up/docs and /made/shared\n", &mut found);
        assert_eq!(found.problems.len(), 2);
    }
}
