//! Runs a policy's test file: raw lines through the real normalizer and engine.
//!
//! `docs/policies.md` ("Tests") is the contract of the file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use detect::policy::{Policy, PolicyIndex, SourceFile};
use detect::reference::{Tables, placeholders};
use model::{Coordinate, EXISTS, Field, Finding, Millis, RawRecord, TOPIC_DOCKET};
use serde::Deserialize;
use serde_json::Value;

use crate::offline::Offline;
use crate::policies::{self, Compiled};

mod but;
mod expected;
mod suggest;

pub use but::But;
use expected::{Expected, differences};
pub use suggest::Suggestions;

/// Between two records of a test, where it does not say, in milliseconds.
const STEP_MS: i64 = 2_000;
/// Records that one line of a test may stand for.
const REPEAT_MAX: usize = 100_000;
/// How long after the last record deadlines are judged, where the test does not say.
const AFTER_MS: i64 = 3_600_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    reference: BTreeMap<String, Value>,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    /// Tables that replace those of the file for this test.
    #[serde(default)]
    reference: BTreeMap<String, Value>,
    records: Vec<Record>,
    #[serde(default)]
    until: Option<String>,
    findings: Vec<Expected>,
    /// Which policies of the file cannot be judged of some event, by name; where it is not said, any may be so.
    #[serde(default)]
    not_judged: Option<BTreeSet<String>>,
    /// The same with one thing changed, each.
    #[serde(default)]
    but: Vec<But>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    source: String,
    #[serde(default)]
    at: Option<String>,
    line: String,
    /// The record again and again: `{n}` in the line is its number from 0, `{at:%H:%M:%S}` its `at`.
    #[serde(default)]
    repeat: Option<Repeat>,
}

/// How often a record comes, and at what distance.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    /// 1 or more.
    times: usize,
    /// A duration (`10s`, `1500ms`).
    every: String,
}

impl Record {
    /// The lines that it stands for, with the distance of each from the first, in milliseconds.
    fn lines(&self, first: Millis) -> anyhow::Result<Vec<(i64, String)>> {
        let Some(repeat) = &self.repeat else {
            return Ok(vec![(0, self.line.clone())]);
        };
        anyhow::ensure!(
            (1..=REPEAT_MAX).contains(&repeat.times),
            "`repeat.times` is {}; it may be 1 to {REPEAT_MAX}",
            repeat.times
        );
        let every = detect::policy::duration_ms(&repeat.every)
            .with_context(|| format!("`repeat.every` is `{}`; give a duration such as `10s`", repeat.every))?;
        let zone = self.at.as_deref().and_then(offset).unwrap_or(jiff::tz::TimeZone::UTC);
        (0..repeat.times)
            .map(|n| {
                let later = every * i64::try_from(n)?;
                Ok((later, written(&self.line, n, first + later, &zone)?))
            })
            .collect()
    }
}

/// The zone of a time that is written with an offset.
fn offset(text: &str) -> Option<jiff::tz::TimeZone> {
    let pieces = jiff::fmt::temporal::DateTimeParser::new().parse_pieces(text).ok()?;
    Some(pieces.to_numeric_offset()?.to_time_zone())
}

/// `line` with its `{n}` and `{at:…}` filled in; other braces are left as they are.
fn written(line: &str, n: usize, at: Millis, zone: &jiff::tz::TimeZone) -> anyhow::Result<String> {
    let at = jiff::Timestamp::from_millisecond(at.0)?.to_zoned(zone.clone());
    let mut out = String::with_capacity(line.len());
    let mut rest = line.replace("{n}", &n.to_string());
    while let Some((before, after)) = rest.split_once("{at:") {
        let (format, after) = after.split_once('}').context("`{at:` has no closing brace")?;
        out.push_str(before);
        out.push_str(&jiff::fmt::strtime::format(format, &at)?);
        rest = after.to_owned();
    }
    out.push_str(&rest);
    Ok(out)
}

/// How a test went.
pub enum Outcome {
    /// As it says.
    Passed {
        /// Its name.
        #[allow(dead_code, reason = "read by the test that runs the built-in policies")]
        test: String,
    },
    /// Otherwise.
    Failed {
        /// Its name.
        test: String,
        /// What differs, a line each.
        why: Vec<String>,
    },
}

/// The folder of policies that a path stands in: the topmost one of that name above it, else its own.
pub fn tree_of(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let named = full
        .ancestors()
        .filter(|a| a.file_name().is_some_and(|n| n == "policies"))
        .last();
    let own = || {
        if path.is_dir() {
            path.to_owned()
        } else {
            path.parent().unwrap_or(path).to_owned()
        }
    };
    named.map_or_else(own, Path::to_path_buf)
}

/// How many tests stand beside a policy file; none where there is no file, or it cannot be read.
pub fn cases(policy: &str) -> usize {
    let text = std::fs::read_to_string(policy.replace(".yml", ".test.yml")).unwrap_or_default();
    serde_norway::from_str::<File>(&text).map_or(0, |file| file.tests.len())
}

/// Runs every test of a file.
///
/// # Errors
/// The author's: the file cannot be read, or is no test file.
pub fn run(path: &Path, policies: &[SourceFile]) -> anyhow::Result<Vec<Outcome>> {
    let suite = Suite::open(path, policies)?;
    let mut outcomes = Vec::new();
    for test in &suite.file.tests {
        outcomes.push(suite.run(test, None)?);
        for but in &test.but {
            suite.check(test, but)?;
            outcomes.push(suite.run(test, Some(but))?);
        }
    }
    Ok(outcomes)
}

/// Whether a test of a file fails with these policies; `None` where one of the file under test does not load.
///
/// # Errors
/// As of [`run`].
pub fn misses(path: &Path, policies: &[SourceFile]) -> anyhow::Result<Option<bool>> {
    let suite = Suite::open(path, policies)?;
    if !suite.loads() {
        return Ok(None);
    }
    for test in &suite.file.tests {
        for but in std::iter::once(None).chain(test.but.iter().map(Some)) {
            if matches!(suite.run(test, but)?, Outcome::Failed { .. }) {
                return Ok(Some(true));
            }
        }
    }
    Ok(Some(false))
}

/// A test file with the policies that it is run with.
struct Suite {
    file: File,
    /// The policy file under test.
    own: PathBuf,
    loaded: detect::policy::Loaded,
    compiled: Compiled,
    /// Ids of the policies under test.
    mine: Vec<String>,
    /// The policy files as they are written.
    texts: Vec<String>,
}

impl Suite {
    fn open(path: &Path, policies: &[SourceFile]) -> anyhow::Result<Suite> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let file: File = serde_norway::from_str(&text).with_context(|| path.display().to_string())?;
        let own = path.to_string_lossy().replace(".test.yml", ".yml");
        anyhow::ensure!(
            Path::new(&own).is_file(),
            "{}: there is no {own} that it could test",
            path.display()
        );
        let own = std::fs::canonicalize(&own)?;
        let mut shared = Tables::default();
        for (name, rows) in &file.reference {
            shared
                .load(name, &serde_json::to_vec(rows)?)
                .with_context(|| path.display().to_string())?;
        }
        let loaded = detect::policy::load(policies, &placeholders(&shared, policies));
        let mut suite = Suite {
            file,
            own,
            compiled: policies::compile(&loaded),
            loaded,
            mine: Vec::new(),
            texts: policies.iter().map(|f| f.text.to_string()).collect(),
        };
        let all = suite.loaded.policies.all().iter();
        let mine = all
            .filter(|p| suite.is_own(&p.place.file))
            .map(|p| p.reference.id.clone());
        suite.mine = mine.collect();
        Ok(suite)
    }

    fn loads(&self) -> bool {
        let own = |e: &detect::PolicyError| !e.is_lint() && self.is_own(&e.place.file);
        !self.loaded.errors.iter().any(own)
    }

    fn is_own(&self, file: &str) -> bool {
        std::fs::canonicalize(file).is_ok_and(|file| file == self.own)
    }

    /// That what a test changes is there to be changed.
    fn check(&self, test: &Test, but: &But) -> anyhow::Result<()> {
        let place = || format!("test `{}` but {but}", test.name);
        if let Some(table) = &but.table {
            anyhow::ensure!(
                test.reference.contains_key(table) || self.file.reference.contains_key(table),
                "{}: the test has no table {table}",
                place()
            );
            return Ok(());
        }
        let wanted = detect::engine::Detector::wanted_by(&self.compiled.policies, &self.compiled.rules);
        for (field, _) in but.alteration().values.into_iter().filter(|(f, _)| &*f.path != "time") {
            let exists = Field::ocsf(&format!("{}{EXISTS}", field.path));
            let is_read = wanted.contains(&field) || wanted.contains(&exists);
            anyhow::ensure!(is_read, "{}: no policy reads {}", place(), field.path);
        }
        Ok(())
    }

    /// What the events of a test have in a field.
    fn values(&self, test: &Test, path: &str) -> Vec<String> {
        let Ok((line, _)) = pushed(test, None, &self.file.reference, &self.compiled) else {
            return Vec::new();
        };
        let field = Field::ocsf(path);
        let mut out = Vec::new();
        for batch in line.events() {
            let column = batch.column(&field);
            for row in 0..batch.rows.len() {
                out.extend(column.into_iter().flat_map(|c| c.all(row)).map(str::to_owned));
            }
        }
        out.sort();
        out.dedup();
        out
    }

    /// When the events of each record of a test happened.
    fn times(&self, test: &Test) -> BTreeMap<u64, Millis> {
        let line = pushed(test, None, &self.file.reference, &self.compiled);
        let batches = line.map(|(line, _)| line.events()).unwrap_or_default();
        let rows = batches.iter().flat_map(|b| &b.rows);
        rows.map(|row| (row.index.0, row.time)).collect()
    }

    /// What is found of the policies under test, and which of them cannot be judged.
    fn found(&self, test: &Test, but: Option<&But>) -> anyhow::Result<(Vec<Finding>, BTreeSet<String>)> {
        let (found, not_judged) = judge(test, but, &self.file.reference, &self.compiled)?;
        let not_judged = not_judged.into_iter().map(|index| self.loaded.policies.get(index));
        let named = |p: &Policy| p.name.as_deref().unwrap_or(&p.reference.title).to_owned();
        Ok((
            found.into_iter().filter(|f| self.mine.contains(&f.policy.id)).collect(),
            not_judged
                .filter(|p| self.mine.contains(&p.reference.id))
                .map(named)
                .collect(),
        ))
    }

    fn run(&self, test: &Test, but: Option<&But>) -> anyhow::Result<Outcome> {
        let (found, not_judged) = self.found(test, but)?;
        let (findings, gaps) = match but {
            Some(but) => (&but.findings, &but.not_judged),
            None => (&test.findings, &test.not_judged),
        };
        let mut why = differences(findings, &found, &self.loaded);
        if let Some(gaps) = gaps.as_ref().filter(|gaps| **gaps != not_judged) {
            why.push(format!("not judged: {not_judged:?} instead of {gaps:?}"));
        }
        let test = match but {
            Some(but) => format!("{} but {but}", test.name),
            None => test.name.clone(),
        };
        Ok(if why.is_empty() {
            Outcome::Passed { test }
        } else {
            Outcome::Failed { test, why }
        })
    }
}

/// The line that a test's records were pushed into, and when the last one came.
fn pushed(
    test: &Test,
    but: Option<&But>,
    shared: &BTreeMap<String, Value>,
    compiled: &Compiled,
) -> anyhow::Result<(Offline, Millis)> {
    let mut tables = Tables::default();
    for (name, rows) in shared
        .iter()
        .filter(|(name, _)| !test.reference.contains_key(*name))
        .chain(&test.reference)
    {
        let rows = match but {
            Some(but) if but.table.as_ref() == Some(name) => Cow::Owned(but.rows(rows)),
            _ => Cow::Borrowed(rows),
        };
        tables
            .load(name, &serde_json::to_vec(&rows)?)
            .with_context(|| format!("test `{}`", test.name))?;
    }
    let mut line = Offline::of(compiled.clone(), tables, ingest::Settings::default(), false)?;
    if let Some(but) = but {
        line = line.altering(but.alteration());
    }
    let mut at = Millis(0);
    let mut offset = 0;
    for record in &test.records {
        let first = match &record.at {
            Some(text) => Millis::parse(text).with_context(|| format!("test `{}`", test.name))?,
            None => at + STEP_MS,
        };
        for (later, text) in record.lines(first).with_context(|| format!("test `{}`", test.name))? {
            at = first + later;
            line.push(raw(&record.source, offset, at, text));
            offset += 1;
        }
    }
    Ok((line, at))
}

fn judge(
    test: &Test,
    but: Option<&But>,
    shared: &BTreeMap<String, Value>,
    compiled: &Compiled,
) -> anyhow::Result<(Vec<Finding>, BTreeSet<PolicyIndex>)> {
    let (line, at) = pushed(test, but, shared, compiled)?;
    let until = test
        .until
        .as_deref()
        .map(Millis::parse)
        .transpose()
        .with_context(|| format!("test `{}`", test.name))?;
    Ok(line.judged(Some(until.unwrap_or(at + AFTER_MS))))
}

fn raw(source: &str, offset: i64, received_at: Millis, line: String) -> RawRecord {
    // Docket's own acts are known by their topic alone.
    let topic = match source {
        TOPIC_DOCKET => TOPIC_DOCKET.to_owned(),
        source => format!("audit.{source}"),
    };
    RawRecord {
        coordinate: Coordinate::new(topic, 0, offset),
        received_at,
        source: source.into(),
        peer: None,
        key: None,
        headers: Vec::new(),
        payload: Bytes::from(line),
        truncated: None,
    }
}

#[cfg(test)]
mod tests {
    use detect::sigma::Placeholders;

    use super::*;
    use crate::config::PolicySource;

    /// Each policy of a clause has a test file beside it, which holds violations and near misses. That they pass is seen with the binary
    /// (`tests/truth.rs`).
    #[test]
    fn policies_of_clauses_have_tests_of_both_kinds() {
        let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies"));
        let files = crate::policies::files(&[PolicySource::Path(dir)]).unwrap();
        let loaded = detect::policy::load(&files, &Placeholders::default());
        assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
        let with_clauses = loaded.policies.all().iter().filter(|p| !p.clauses.is_empty());
        let tested: std::collections::BTreeSet<String> = with_clauses
            .map(|p| p.place.file.replace(".yml", ".test.yml"))
            .collect();
        for path in &tested {
            let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
            let file: File = serde_norway::from_str(&text).unwrap();
            let near = file.tests.iter().filter(|t| t.findings.is_empty()).count();
            assert!(
                near >= 3 && file.tests.len() - near >= 2,
                "{path}: too few cases of one kind"
            );
        }
    }
}
