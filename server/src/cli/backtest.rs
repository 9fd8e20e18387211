//! `docket policy backtest`

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use detect::policy::Policies;
use jiff::tz::TimeZone;
use model::{Finding, FindingStatus, Millis};
use serde_json::{Value, json};

use super::history::{History, moment};
use super::output::{Columns, Output, OutputArg, inert, write};
use super::site::{SiteArgs, load};
use crate::config::PolicySource;
use crate::offline::Offline;

/// Judge the ledger's records with policies, and count what they would have found
///
/// The same engine as the server's, over a data folder's ledger, beside a running server; nothing is written. With --against it
/// judges with another version of the policies as well, and tells what only one of the two finds. State is built up from --before
/// ahead of --since; findings of that time are not counted.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket policy backtest --since 7d --config docket.toml\n  \
    docket policy backtest --since 30d --data /var/lib/docket --policies new-policies --against policies --reference reference\n  \
    docket policy backtest --since 2026-05-01T00:00:00+08:00 --until 2026-05-08T00:00:00+08:00 --rule AU-09 --sample 20\n  \
    docket policy backtest --since 24h --output json > backtest.json")]
pub struct Args {
    /// Count findings from this time on: RFC 3339, or an age such as 7d
    #[arg(long, value_name = "TIME")]
    since: String,
    /// … up to this time (default: the ledger's end)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How much of the ledger before --since is judged to build up tables and windows
    #[arg(long, value_name = "AGE", default_value = "24h")]
    before: String,
    /// Data folder of the server (default: the configuration's)
    #[arg(long, env = "DOCKET_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Another version of the policies (file or folder) to tell the difference from; several are allowed
    #[arg(long, value_name = "FILE|DIR")]
    against: Vec<PathBuf>,
    /// Only policies of this name, id or clause; several are allowed
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// Findings of each policy that are shown
    #[arg(long, value_name = "N", default_value_t = 3)]
    sample: usize,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    output: OutputArg,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    super::serve::log(false, "off");
    let site = args.site.read()?;
    let now = crate::clock::wall();
    let since = moment("--since", &args.since, now)?;
    let until = args.until.as_deref().map(|t| moment("--until", t, now)).transpose()?;
    let history = History::open(
        &args
            .data
            .clone()
            .or(site.data.clone())
            .unwrap_or_else(|| "docket-data".into()),
    )?;
    let from = history.at(moment("--before", &args.before, since)?)?;
    let to = until.map_or(Ok(history.end()), |at| history.at(at))?;
    let settings = site.settings.clone();
    let begin = |sources: &[PolicySource]| -> anyhow::Result<(Policies, Offline)> {
        let loaded = load(sources, &site.tables)?;
        let line = Offline::new(&loaded, site.tables.clone(), settings.clone(), true)?;
        Ok((loaded.policies, line))
    };
    let (policies, mut line) = begin(&site.sources)?;
    let against: Vec<_> = args.against.iter().cloned().map(PolicySource::Path).collect();
    let mut other = (!against.is_empty()).then(|| begin(&against)).transpose()?;
    let mut last = None;
    history.records(from..to, |record| {
        last = Some(record.received_at);
        if let Some((_, other)) = &mut other {
            other.push(record.clone());
        }
        line.push(record);
    })?;
    // Deadlines after the last record are judged where it was said how far.
    let end = until.filter(|until| last.is_some_and(|last| last <= *until));
    let mut test = Backtest::new(since, until, site.tables.zone().clone());
    let (findings, counts) = line.finish(end);
    test.keep(&policies, findings, &args.rule, false);
    if let Some((policies, other)) = other {
        test.keep(&policies, other.finish(end).0, &args.rule, true);
    }
    let is_compared = !args.against.is_empty();
    let rows = test.rows(args.sample, is_compared);
    match args.output.get() {
        Output::Table => {
            write(Output::Table, &rows, if is_compared { COMPARED } else { COLUMNS })?;
            test.tell_samples(&rows)?;
        }
        Output::Json => {
            let all = json!({
                "since": since.to_string(), "until": until.map(|u| u.to_string()),
                "records": counts.records, "events": counts.events, "policies": rows,
            });
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        output => write(output, &rows, if is_compared { COMPARED } else { COLUMNS })?,
    }
    eprintln!(
        "records={} events={} quarantined={} deduplicated={}",
        counts.records, counts.events, counts.quarantined, counts.deduplicated
    );
    Ok(ExitCode::SUCCESS)
}

/// What was found in the time that counts.
struct Backtest {
    since: Millis,
    until: Option<Millis>,
    zone: TimeZone,
    by_policy: BTreeMap<String, Found>,
}

/// What one policy found.
#[derive(Default)]
struct Found {
    title: String,
    name: String,
    clauses: Vec<String>,
    /// By uid, so that the same finding of two versions is one.
    new: BTreeMap<String, Finding>,
    old: BTreeMap<String, Finding>,
}

impl Backtest {
    fn new(since: Millis, until: Option<Millis>, zone: TimeZone) -> Backtest {
        Backtest {
            since,
            until,
            zone,
            by_policy: BTreeMap::new(),
        }
    }

    /// Keeps the findings that stand and count; of each policy that makes any, a row, be it of none.
    fn keep(&mut self, policies: &Policies, findings: Vec<Finding>, rules: &[String], is_old: bool) {
        for policy in policies.all().iter().filter(|p| p.reports) {
            let clauses = policy.clauses.clone();
            let called = |rule: &String| policy.is_called(rule) || clauses.iter().any(|c| c.eq_ignore_ascii_case(rule));
            if !rules.is_empty() && !rules.iter().any(called) {
                continue;
            }
            let found = self.by_policy.entry(policy.reference.id.clone()).or_default();
            if found.title.is_empty() || !is_old {
                found.title.clone_from(&policy.reference.title);
                found.name = policy.name.as_deref().unwrap_or(&policy.reference.id).to_owned();
                found.clauses = clauses;
            }
        }
        for finding in findings {
            let counts = finding.status != FindingStatus::Resolved
                && finding.time >= self.since
                && self.until.is_none_or(|until| finding.time < until);
            if let Some(found) = self.by_policy.get_mut(&finding.policy.id).filter(|_| counts) {
                let side = if is_old { &mut found.old } else { &mut found.new };
                side.insert(finding.uid.clone(), finding);
            }
        }
    }

    fn day(&self, at: Millis) -> String {
        let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d").to_string()
    }

    /// A row for each policy, those that find most first.
    fn rows(&self, sample: usize, is_compared: bool) -> Vec<Value> {
        let mut all: Vec<(&String, &Found)> = self.by_policy.iter().collect();
        all.sort_by_key(|(id, f)| (std::cmp::Reverse(f.new.len().max(f.old.len())), (*id).clone()));
        let days: BTreeSet<String> = all
            .iter()
            .flat_map(|(_, f)| f.new.values())
            .map(|f| self.day(f.time))
            .collect();
        all.into_iter()
            .map(|(id, found)| {
                let mut by_day: BTreeMap<&str, u64> = days.iter().map(|d| (d.as_str(), 0)).collect();
                for finding in found.new.values() {
                    if let Some(n) = by_day.get_mut(self.day(finding.time).as_str()) {
                        *n += 1;
                    }
                }
                let mut row = json!({
                    "policy": id, "name": found.name, "title": found.title, "clauses": found.clauses,
                    "findings": found.new.len(), "by_day": by_day,
                    "sample": samples(found.new.values(), sample),
                });
                if is_compared {
                    let only = |a: &BTreeMap<String, Finding>, b: &BTreeMap<String, Finding>| -> Vec<Finding> {
                        a.iter()
                            .filter(|(uid, _)| !b.contains_key(*uid))
                            .map(|(_, f)| f.clone())
                            .collect()
                    };
                    let differs = |(uid, f): &(&String, &Finding)| {
                        found
                            .old
                            .get(*uid)
                            .is_some_and(|o| o.severity != f.severity || o.evidence != f.evidence)
                    };
                    let (here, there) = (only(&found.new, &found.old), only(&found.old, &found.new));
                    row["against"] = json!({
                        "findings": found.old.len(),
                        "only_here": here.len(), "only_against": there.len(),
                        "changed": found.new.iter().filter(differs).count(),
                        "sample_only_here": samples(here.iter(), sample),
                        "sample_only_against": samples(there.iter(), sample),
                    });
                }
                row
            })
            .collect()
    }

    fn tell_samples(&self, rows: &[Value]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        for row in rows {
            let lists = [
                ("", &row["sample"]),
                ("only here: ", &row["against"]["sample_only_here"]),
                ("only against: ", &row["against"]["sample_only_against"]),
            ];
            // Of two versions the difference is what matters.
            let lists = if row.get("against").is_some() {
                &lists[1..]
            } else {
                &lists[..1]
            };
            for (word, list) in lists {
                for finding in list.as_array().into_iter().flatten() {
                    let text = |key: &str| inert(finding[key].as_str().unwrap_or("-"));
                    let name = inert(row["name"].as_str().unwrap_or_default());
                    writeln!(
                        out,
                        "{name}: {word}{} {} {}: {}",
                        text("time"),
                        text("severity"),
                        text("account"),
                        text("message")
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// Findings spread over the time, so that not all are of its first hour.
fn samples<'f>(findings: impl Iterator<Item = &'f Finding>, most: usize) -> Vec<Value> {
    let mut findings: Vec<&Finding> = findings.collect();
    findings.sort_by(|a, b| (a.time, &a.uid).cmp(&(b.time, &b.uid)));
    let take = most.min(findings.len());
    (0..take)
        .map(|n| findings[n * findings.len() / take])
        .map(|f| {
            let evidence: Vec<String> = f.evidence.iter().take(10).map(ToString::to_string).collect();
            json!({"uid": f.uid, "time": f.time.to_string(), "severity": f.severity.name(), "account": f.account,
                   "person": f.person, "message": f.message, "evidence": evidence})
        })
        .collect()
}

const POLICY: (&str, fn(&Value) -> String) = ("POLICY", |r| r["name"].as_str().unwrap_or_default().to_owned());
const CLAUSES: (&str, fn(&Value) -> String) = ("CLAUSES", |r| {
    let clauses = r["clauses"].as_array().into_iter().flatten();
    clauses.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
});
const FINDINGS: (&str, fn(&Value) -> String) = ("FINDINGS", |r| r["findings"].to_string());
const BY_DAY: (&str, fn(&Value) -> String) = ("BY DAY", |r| {
    let days = r["by_day"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, n)| n.as_u64() != Some(0));
    days.map(|(day, n)| format!("{day}: {n}"))
        .collect::<Vec<_>>()
        .join(", ")
});
const COLUMNS: Columns<'static> = &[POLICY, CLAUSES, FINDINGS, BY_DAY];
const COMPARED: Columns<'static> = &[
    POLICY,
    CLAUSES,
    FINDINGS,
    ("AGAINST", |r| r["against"]["findings"].to_string()),
    ("ONLY HERE", |r| r["against"]["only_here"].to_string()),
    ("ONLY AGAINST", |r| r["against"]["only_against"].to_string()),
    ("CHANGED", |r| r["against"]["changed"].to_string()),
    BY_DAY,
];
