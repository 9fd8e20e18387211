//! `docket policy explain`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use detect::explain::Explained;
use detect::policy::{Loaded, PolicyIndex};
use model::{Coordinate, Finding, FindingStatus, Millis};
use serde_json::{Value, json};

use super::history::{History, moment};
use super::normalize::{Input, settings};
use super::output::{Output, OutputArg, inert};
use super::site::SiteArgs;
use crate::config::PolicySource;
use crate::exit::{UNREACHABLE, USAGE, failure};
use crate::offline::{Offline, Watch};

/// Records of the ledger after the one that is explained: `wait`, and what comes a little late.
const AFTER_MS: i64 = 3_600_000;

/// Say which condition of a policy holds for an event and which does not, and on which value
///
/// Log source, detections, filters, working time, joins with their rows, what is new, windows of correlations: each with
/// `yes`, `no` or `?` (not judged). EVENT is a file of records, or the id of a record in the ledger. Of a file the last record is
/// explained (or --record); those before it fill tables and windows, as do those of the ledger from --before on.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket policy explain past_the_bastion auth.log --reference reference\n  \
    docket policy explain my-rule.yml auth.log --reference reference\n  \
    docket policy explain AU-09 --format kcat capture.ndjson --record audit.linux/0/17\n  \
    docket policy explain my-rule --policies my-rule.yml --format json event.json --output json\n  \
    docket policy explain 'Direct logon' audit.linux/0/4711 --data /var/lib/docket --config docket.toml")]
pub struct Args {
    /// The policy: its name, id, title, a clause that only it has, or a file with one policy that makes findings
    #[arg(value_name = "RULE|FILE")]
    rule: String,
    #[command(flatten)]
    input: Input,
    /// Which record of the files (default: the last)
    #[arg(long, value_name = "ID")]
    record: Option<String>,
    /// Data folder of the server, where EVENT is a record of its ledger (default: the configuration's)
    #[arg(long, env = "DOCKET_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// How much of the ledger before the record is judged first
    #[arg(long, value_name = "AGE", default_value = "24h")]
    before: String,
    /// Judge deadlines up to this time (default: an hour after the record)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    output: OutputArg,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    super::serve::log(false, "off");
    let mut site = args.site.read()?;
    let file = Path::new(&args.rule);
    let is_file = file.is_file();
    if is_file && args.site.is_default() {
        site.sources = vec![PolicySource::Path(around(file))];
    }
    let loaded = site.load()?;
    let policy = if is_file {
        of_file(&loaded, file)?
    } else {
        find(&loaded, &args.rule)?
    };
    let until = args
        .until
        .as_deref()
        .map(|t| moment("--until", t, crate::clock::wall()))
        .transpose()?;
    let offline = |settings, watch| -> anyhow::Result<Offline> {
        let deduplicate = !args.input.is_json();
        Ok(Offline::new(&loaded, site.tables.clone(), settings, deduplicate)?.watching(watch))
    };
    let mut last = None;
    let line = match ledger_record(args.input.files()) {
        Some(record) => {
            let data = args.data.as_ref().or(site.data.as_ref());
            let history = History::open(data.map_or(Path::new("docket-data"), |d| d))?;
            let received = history.received(&record)?;
            let from = history.at(moment("--before", &args.before, received)?)?;
            let to = history.at(received.plus_ms(AFTER_MS))?;
            let mut line = offline(site.settings.clone(), Watch::Record(record.to_string()))?;
            history.records(from..to, |record| {
                last = Some(record.received_at);
                line.push(record);
            })?;
            line
        }
        None => {
            if let Some(missing) = args.input.files().iter().find(|f| f.as_os_str() != "-" && !f.exists()) {
                let message = format!(
                    "{} is neither a file nor the id of a record (topic/partition/offset)",
                    missing.display()
                );
                return Err(failure(UNREACHABLE, message));
            }
            let watch = args.record.clone().map_or(Watch::Last, Watch::Record);
            let mut own = settings(&args.input, &site.tables)?;
            own.sources.clone_from(&site.settings.sources);
            if args.input.is_without_zone() {
                own.default.time_zone = site.settings.default.time_zone.clone();
            }
            let mut line = offline(own, watch)?;
            args.input.records(&mut |record| {
                last = Some(record.received_at);
                line.push(record);
                Ok(())
            })?;
            line
        }
    };
    let until = until.or(last.map(|at: Millis| at.plus_ms(AFTER_MS)));
    let (explained, mut findings) = line.explain(until, policy);
    let own = &loaded.policies.get(policy).reference;
    findings.retain(|f| f.policy.id == own.id);
    if explained.is_empty() {
        let which = args.record.as_deref().unwrap_or("the input");
        return Err(failure(
            USAGE,
            format!("no event was made of {which}; see `docket normalize --explain`"),
        ));
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let rows: Vec<Value> = explained
        .iter()
        .map(|(uid, e)| document(uid, e, &told_of(uid, &findings)))
        .collect();
    match args.output.get() {
        Output::Table => {
            for (uid, explained) in &explained {
                writeln!(out, "{uid}")?;
                tree(&mut out, explained, 0)?;
                let told = told_of(uid, &findings);
                if told.is_empty() {
                    writeln!(
                        out,
                        "no finding of `{}` has this record for evidence",
                        inert(&own.title)
                    )?;
                }
                for finding in told {
                    let status = if finding.status == FindingStatus::Resolved {
                        "resolved "
                    } else {
                        ""
                    };
                    let severity = finding.severity.name();
                    writeln!(
                        out,
                        "{status}finding {} ({severity}): {}",
                        finding.uid,
                        inert(&finding.description())
                    )?;
                }
            }
        }
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?,
        Output::Ndjson | Output::Csv => {
            for row in rows {
                writeln!(out, "{row}")?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The id of a record of the ledger, where that is what was given.
fn ledger_record(files: &[PathBuf]) -> Option<Coordinate> {
    let [only] = files else { return None };
    if only.exists() {
        return None;
    }
    only.to_str()?.parse().ok()
}

/// What to load for the policies of a file: the folder of folders that it lies in, where that has tables that policies need, else the
/// file.
fn around(file: &Path) -> PathBuf {
    let folder = file.parent().and_then(Path::parent);
    let with_tables = folder.filter(|folder| folder.join("tables").is_dir());
    with_tables.unwrap_or(file).to_owned()
}

/// The one policy of a file that makes findings; where it has one alone, that.
///
/// # Errors
/// It has none, or several (2).
fn of_file(loaded: &Loaded, file: &Path) -> anyhow::Result<PolicyIndex> {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let wanted = whole(file);
    let of_it = loaded
        .policies
        .iter()
        .filter(|(_, p)| whole(Path::new(&*p.place.file)) == wanted);
    let all: Vec<_> = of_it.collect();
    let reporting: Vec<_> = all.iter().filter(|(_, p)| p.reports).collect();
    let name = |p: &detect::policy::Policy| p.name.as_deref().unwrap_or(&p.reference.id).to_owned();
    match (reporting.as_slice(), all.as_slice()) {
        ([(index, _)], _) | ([], [(index, _)]) => Ok(*index),
        (_, []) => {
            let message = format!(
                "{} has no policy that loads; see `docket policy check {}`",
                file.display(),
                file.display()
            );
            Err(failure(USAGE, message))
        }
        _ => {
            let names: Vec<String> = all.iter().map(|(_, p)| name(p)).collect();
            let message = format!(
                "{} has several policies: {}; give one of these names",
                file.display(),
                names.join(", ")
            );
            Err(failure(USAGE, message))
        }
    }
}

/// The policy that is meant.
///
/// # Errors
/// None is, or several are (2).
fn find(loaded: &Loaded, given: &str) -> anyhow::Result<PolicyIndex> {
    if let Some(index) = loaded.policies.find(given) {
        return Ok(index);
    }
    let clause = |c: &String| c.eq_ignore_ascii_case(given);
    let mut fits: Vec<(PolicyIndex, String)> = loaded
        .policies
        .iter()
        .filter(|(_, p)| p.reference.title.eq_ignore_ascii_case(given) || p.clauses.iter().any(clause))
        .map(|(i, p)| (i, p.name.as_deref().unwrap_or(&p.reference.id).to_owned()))
        .collect();
    match fits.as_mut_slice() {
        [(index, _)] => Ok(*index),
        [] => {
            let wanted = given.to_lowercase();
            let names = loaded
                .policies
                .iter()
                .map(|(_, p)| p.name.as_deref().unwrap_or(&p.reference.id));
            let near: Vec<&str> = names.filter(|n| n.to_lowercase().contains(&wanted)).take(5).collect();
            let hint = match near.as_slice() {
                [] => "see `docket policy check` for those that load".to_owned(),
                near => format!("did you mean {}?", near.join(", ")),
            };
            Err(failure(USAGE, format!("no policy is called `{given}`; {hint}")))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|(_, n)| n.as_str()).collect();
            Err(failure(
                USAGE,
                format!(
                    "`{given}` means several policies: {}; give one of them",
                    names.join(", ")
                ),
            ))
        }
    }
}

fn told_of<'f>(uid: &str, findings: &'f [Finding]) -> Vec<&'f Finding> {
    let record = uid.split('#').next().unwrap_or(uid);
    let cites = |f: &&Finding| f.evidence.iter().any(|e| e.to_string() == record);
    findings.iter().filter(cites).collect()
}

fn document(uid: &str, explained: &Explained, findings: &[&Finding]) -> Value {
    let findings: Vec<Value> = findings
        .iter()
        .map(|f| json!({"uid": f.uid, "status": f.status, "severity": f.severity, "message": f.message}))
        .collect();
    json!({"event": uid, "policy": explained, "findings": findings})
}

fn tree(out: &mut impl std::io::Write, e: &Explained, depth: usize) -> std::io::Result<()> {
    let mark = match e.holds {
        Some(true) => "yes",
        Some(false) => "no ",
        None => "?  ",
    };
    write!(out, "{}{mark} {}", "    ".repeat(depth), inert(&e.what))?;
    if !e.because.is_empty() {
        write!(out, ": {}", inert(&e.because))?;
    }
    if !e.place.is_empty() {
        write!(out, "  [{}]", inert(&e.place))?;
    }
    writeln!(out)?;
    e.parts.iter().try_for_each(|part| tree(out, part, depth + 1))
}
