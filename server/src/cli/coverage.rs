//! `docket policy coverage`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use alert::{Filter, Page, Store};
use detect::engine::{Seen, rules_of};
use detect::policy::{Policies, Policy, PolicyIndex};
use model::Millis;
use serde::Serialize;

use crate::exit::{FOUND, UNREACHABLE, failure};
use crate::policy_test;

/// The clauses of the specifications: id and title.
const CLAUSES: &str = include_str!("../../../policies/clauses.csv");
/// The detector's state of which kinds of events came from which source.
const KINDS: u8 = b'K';

/// Say which clause is evidenced by which policies, which sources they need, and which of them are there; exit code 1 when a
/// clause is blind
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  docket policy coverage policies\n  docket policy coverage policies --data /var/lib/docket --output markdown > coverage.md"
)]
pub struct Args {
    /// Policy file or folder (default: those in the binary)
    #[arg(value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Data folder of a server, running or stopped: which sources were seen, and when a clause last fired
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How to write it
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Markdown,
    Json,
}

/// One clause.
#[derive(Debug, Serialize)]
struct Covered {
    clause: String,
    title: String,
    /// What stands in the way: `no policy`, `no tests`, `no source seen`; `None`: nothing.
    blind: Option<&'static str>,
    policies: Vec<CoveredPolicy>,
    /// Log sources that its policies read.
    needs: BTreeSet<String>,
    /// Sources that sent such events; `None`: no data folder was given.
    seen: Option<BTreeSet<Arc<str>>>,
    /// When an alert of it was last raised.
    last_fired: Option<String>,
    tests: usize,
}

#[derive(Debug, Serialize)]
struct CoveredPolicy {
    name: String,
    title: String,
    version: String,
    tests: usize,
}

/// What a data folder knows.
struct Known {
    seen: Seen,
    store: Store,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = super::policy::load(&args.paths)?;
    let known = args.data.as_deref().map(known).transpose()?;
    let covered = clauses()
        .map(|(clause, title)| cover(clause, title, &loaded.policies, known.as_ref()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&covered)?),
        Output::Markdown => markdown(&covered),
        Output::Table => table(&covered),
    }
    let blind = covered.iter().any(|c| c.blind.is_some());
    Ok(if blind {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    })
}

fn clauses() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = CLAUSES.lines().skip(1).filter_map(|l| l.split_once(','));
    lines.map(|(clause, title)| (clause, title.trim_matches('"')))
}

fn known(data: &Path) -> anyhow::Result<Known> {
    let path = data.join(alert::FILE_NAME);
    if !path.is_file() {
        let why = format!("{} holds no alerts; give --data DIR of a server", data.display());
        return Err(failure(UNREACHABLE, why));
    }
    let store = Store::open(path)?;
    let seen = Seen::of_state(&store.state_of(KINDS)?);
    Ok(Known { seen, store })
}

fn cover(clause: &str, title: &str, policies: &Policies, known: Option<&Known>) -> anyhow::Result<Covered> {
    let of_clause: Vec<(PolicyIndex, &Policy)> = policies
        .iter()
        .filter(|(_, p)| p.reports && p.clauses.iter().any(|c| c == clause))
        .collect();
    let mut needs = BTreeSet::new();
    let mut seen = known.map(|_| BTreeSet::new());
    for (index, policy) in &of_clause {
        needs.extend(needed(policies, *index));
        if let (Some(seen), Some(known)) = (&mut seen, known) {
            seen.extend(known.seen.of(policies, *index));
        }
        // Tables are their only evidence.
        if rules_of(policies, *index)
            .iter()
            .all(|i| policies.get(*i).rule().is_none())
        {
            needs.insert(format!("tables of `{}`", policy.name.as_deref().unwrap_or("policy")));
        }
    }
    let rows: Vec<CoveredPolicy> = of_clause.iter().map(|(_, p)| covered_policy(p)).collect();
    let tests = of_clause
        .iter()
        .map(|(_, p)| &*p.place.file)
        .collect::<BTreeSet<&str>>()
        .into_iter()
        .map(policy_test::cases)
        .sum();
    let blind = match (rows.is_empty(), tests, &seen) {
        (true, ..) => Some("no policy"),
        (_, 0, _) if !of_clause.iter().all(|(_, p)| p.place.file.starts_with("built-in/")) => Some("no tests"),
        (_, _, Some(seen)) if seen.is_empty() && needs.iter().all(|n| !n.starts_with("tables")) => {
            Some("no source seen")
        }
        _ => None,
    };
    Ok(Covered {
        clause: clause.to_owned(),
        title: title.to_owned(),
        blind,
        policies: rows,
        needs,
        seen,
        last_fired: known.map(|k| last_fired(&k.store, clause)).transpose()?.flatten(),
        tests,
    })
}

fn covered_policy(policy: &Policy) -> CoveredPolicy {
    CoveredPolicy {
        name: policy.name.as_deref().unwrap_or(&policy.reference.id).to_owned(),
        title: policy.reference.title.clone(),
        version: policy.reference.version.clone(),
        tests: policy_test::cases(&policy.place.file),
    }
}

/// The log sources that a policy reads, and those it takes events of.
fn needed(policies: &Policies, index: PolicyIndex) -> BTreeSet<String> {
    let rules = rules_of(policies, index);
    let sources = rules
        .iter()
        .filter_map(|i| Some(&policies.get(*i).rule()?.sigma.logsource));
    sources
        .map(|l| {
            let labels = [&l.product, &l.category, &l.service];
            let labels: Vec<&str> = labels.iter().filter_map(|l| l.as_deref()).collect();
            labels.join("/")
        })
        .collect()
}

fn last_fired(store: &Store, clause: &str) -> anyhow::Result<Option<String>> {
    let filter = Filter {
        clause: Some(clause.to_owned()),
        ..Filter::default()
    };
    let page = Page { limit: 1, before: None };
    let raised = |at: Millis| at.to_string();
    Ok(store.list(&filter, page)?.first().map(|a| raised(a.raised_at)))
}

fn seen_text(covered: &Covered) -> String {
    match &covered.seen {
        None => "?".to_owned(),
        Some(seen) if seen.is_empty() => "none".to_owned(),
        Some(seen) => seen.iter().map(|s| &**s).collect::<Vec<_>>().join(" "),
    }
}

fn table(covered: &[Covered]) {
    println!("CLAUSE  POLICIES  TESTS  STATE           LAST FIRED                SOURCES SEEN  TITLE");
    for c in covered {
        println!(
            "{:<7} {:>8} {:>6}  {:<15} {:<25} {}  {}",
            c.clause,
            c.policies.len(),
            c.tests,
            c.blind.unwrap_or("covered"),
            c.last_fired.as_deref().unwrap_or("-"),
            seen_text(c),
            c.title
        );
    }
    let blind: Vec<&str> = covered
        .iter()
        .filter(|c| c.blind.is_some())
        .map(|c| c.clause.as_str())
        .collect();
    println!("\n{} of {} clauses covered", covered.len() - blind.len(), covered.len());
    if !blind.is_empty() {
        println!("blind: {}", blind.join(" "));
    }
}

fn markdown(covered: &[Covered]) {
    println!("# Coverage of the specifications\n");
    println!("| clause | title | state | policies (version) | tests | sources needed | sources seen | last fired |");
    println!("|---|---|---|---|---:|---|---|---|");
    for c in covered {
        let policies: Vec<String> = c
            .policies
            .iter()
            .map(|p| format!("{} ({})", p.name, p.version))
            .collect();
        let needs: Vec<&str> = c.needs.iter().map(String::as_str).collect();
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            c.clause,
            c.title,
            c.blind.unwrap_or("covered"),
            policies.join("; "),
            c.tests,
            needs.join("; "),
            seen_text(c),
            c.last_fired.as_deref().unwrap_or("-")
        );
    }
    let by_state = covered
        .iter()
        .fold(BTreeMap::new(), |mut all: BTreeMap<&str, usize>, c| {
            *all.entry(c.blind.unwrap_or("covered")).or_default() += 1;
            all
        });
    println!();
    for (state, n) in by_state {
        println!("* {state}: {n}");
    }
}
