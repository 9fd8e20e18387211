//! `docket normalize`, and the input that it shares with `docket detect`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use detect::reference::Tables;
use ingest::dedup::Dedup;
use ingest::join::{Assembler, Whole};
use ingest::replay::{self, Lent, Options, Reading};
use ingest::{Normalized, Normalizer, Settings, SourceSettings};
use model::{Arena, Event, LedgerIndex, Millis, RawRecord};

use super::output::OutputArg;
use crate::clock;
use crate::config::settings_of;
use crate::exit::{UNREACHABLE, USAGE, failure};
use crate::offline::Counts;

/// The format whose fields are all native and whose records are never duplicates.
const JSON: &str = "json";
/// Captures of `kcat -C -J`.
const KCAT: &str = "kcat";

/// A record of a file.
pub enum Given<'r> {
    /// Until the next is asked for.
    Lent(Lent<'r>),
    /// For good.
    Record(RawRecord),
}

/// Files of records.
#[derive(clap::Args, Debug)]
pub struct Input {
    /// Format of the records: `kcat` (captures of `kcat -C -J`), `json` (any JSON object a line), or the name of a
    /// log format; without it formats are detected
    #[arg(long)]
    format: Option<String>,
    /// When plain lines were received (default: now); years that lines lack are taken from it
    #[arg(long, value_name = "TIME")]
    received: Option<String>,
    /// Zone of times that name none (default: that of the reference table `work_calendar` where one is given, Asia/Shanghai
    /// without)
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Mapping file of the system that the records are from (see `docket mapping check`)
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    mapping: Option<PathBuf>,
    /// Files of records, one a line, or JSON, Windows events and journal exports as they are laid out; `-` is standard input; .zst
    /// and .gz are read as they are
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Input {
    /// Files of plain lines, received now.
    pub fn of_files(files: Vec<PathBuf>) -> Input {
        Input {
            format: None,
            received: None,
            timezone: None,
            mapping: None,
            files,
        }
    }

    /// Whether the arguments name no zone.
    pub fn is_without_zone(&self) -> bool {
        self.timezone.is_none()
    }

    /// The files.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether the records are plain JSON, which is not deduplicated.
    pub fn is_json(&self) -> bool {
        self.format.as_deref() == Some(JSON)
    }

    /// Hands over every record of every file, in order.
    ///
    /// # Errors
    /// A file cannot be read (4), or an argument is wrong (2).
    pub fn records(&self, each: &mut dyn FnMut(RawRecord) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.given(&mut |given| match given {
            Given::Lent(line) => each(line.to_record()),
            Given::Record(record) => each(record),
        })
    }

    /// As [`Input::records`]; lines are lent where they can be.
    ///
    /// # Errors
    /// As of [`Input::records`].
    pub fn given(&self, each: &mut dyn FnMut(Given<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let received = self.received.as_deref().map(Millis::parse).transpose();
        let received = received
            .map_err(|e| failure(USAGE, format!("--received: {e}")))?
            .unwrap_or_else(clock::wall);
        for file in &self.files {
            let mut options = Options::new(received);
            if self.format.as_deref() == Some(KCAT) {
                options.reading = Reading::Kcat;
            }
            let mut records = replay::open(file, options).map_err(|e| failure(UNREACHABLE, e.to_string()))?;
            loop {
                while let Some(line) = records.lend() {
                    each(Given::Lent(line))?;
                }
                let Some(record) = records.next() else { break };
                each(Given::Record(record.map_err(|e| failure(UNREACHABLE, e.to_string()))?))?;
            }
        }
        Ok(())
    }
}

/// The settings that the arguments give every source. Where they name no zone, it is that of the tables' work calendar.
///
/// # Errors
/// A format or a zone is not known (2).
pub fn settings(input: &Input, tables: &Tables) -> anyhow::Result<Settings> {
    let zone = match input.timezone.as_deref() {
        None => settings_of(tables).default.time_zone,
        Some(given) => jiff::tz::TimeZone::get(given).map_err(|_| {
            let message = format!("--timezone `{given}` is not known; give an IANA name such as Asia/Shanghai");
            failure(USAGE, message)
        })?,
    };
    let format = input.format.as_deref().filter(|f| *f != KCAT);
    if let Some(name) = format
        && ingest::format::by_name(name).is_none()
    {
        let known = crate::config::format_names();
        return Err(failure(
            USAGE,
            format!("--format `{name}` is not known; give {KCAT} or one of: {known}"),
        ));
    }
    let mut default = SourceSettings {
        format: format.map(Into::into),
        time_zone: zone,
        ..SourceSettings::default()
    };
    if let Some(path) = &input.mapping {
        default.use_mapping(crate::mapping::read(path, USAGE)?);
    }
    Ok(Settings {
        sources: BTreeMap::new(),
        default,
    })
}

/// Turn records into OCSF events
///
/// Prints one event or more for each record, one a line; records that are one event (the lines of auditd, …) are put
/// together first. Standard error ends with
/// `records= events= quarantined= deduplicated=`. A line that cannot be parsed is an event too, labelled
/// `quarantined:<reason>`; it is no error.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  docket normalize /var/log/auth.log\n  \
    docket normalize --format kcat capture.ndjson.zst > events.ndjson\n  \
    docket normalize --explain --received 2026-03-02T23:00:00+08:00 auth.log\n  \
    docket normalize --mapping petty-cash.toml petty-cash.ndjson\n  \
    docket normalize --format nginx_json --timezone Europe/Berlin access.log.gz")]
pub struct Args {
    #[command(flatten)]
    input: Input,
    /// Show why each record became what it became: the format chosen and those that were not, what labels and reasons
    /// of quarantine mean and what to do, and where each value comes from
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::serve::log(false, "off");
    let normalizer = Normalizer::new(settings(&args.input, &Tables::default())?);
    if args.explain {
        let counts = super::explain::run(&args.input, &normalizer, args.output.get())?;
        eprintln!(
            "records={} events={} quarantined={}",
            counts.records, counts.events, counts.quarantined
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut dedup = (!args.input.is_json()).then(Dedup::default);
    let mut arena = Arena::new();
    let mut counts = Counts::default();
    let mut assembler = Assembler::default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut write = |normalized: &Normalized<Event<'_>>| -> anyhow::Result<()> {
        for event in &normalized.events {
            serde_json::to_writer(&mut out, &event.ocsf())?;
            out.write_all(b"\n")?;
        }
        Ok(())
    };
    type Write<'w> = &'w mut dyn FnMut(&Normalized<Event<'_>>) -> anyhow::Result<()>;
    let put = |wholes: Vec<Whole>, counts: &mut Counts, write: Write<'_>| {
        let arena = Arena::new();
        wholes.iter().try_for_each(|whole| {
            let normalized = normalizer.normalize_whole(&arena, whole);
            counts.add(whole.lines.len(), &normalized);
            write(&normalized)
        })
    };
    args.input.records(&mut |record| {
        let index = LedgerIndex(counts.records);
        counts.records += 1;
        arena.reset();
        put(assembler.advance(record.received_at), &mut counts, &mut write)?;
        let mut repeats = |key: Option<[u8; 16]>| match (&mut dedup, key) {
            (Some(dedup), Some(key)) => {
                // In memory alone: nothing can fail.
                dedup.check(index, record.received_at, key).is_ok_and(|d| d.is_some())
            }
            _ => false,
        };
        if let Some(piece) = normalizer.piece(&record) {
            if repeats(piece.dedup(&record)) {
                counts.deduplicated += 1;
                return write(&normalizer.normalize(&arena, &record));
            }
            return put(assembler.push(index, record, piece), &mut counts, &mut write);
        }
        let normalized = normalizer.normalize(&arena, &record);
        match repeats(normalized.dedup(&record)) {
            true => counts.deduplicated += 1,
            false => counts.quarantined += u64::from(normalized.quarantined.is_some()),
        }
        counts.events += normalized.events.len() as u64;
        write(&normalized)
    })?;
    put(assembler.flush(), &mut counts, &mut write)?;
    out.flush()?;
    let Counts {
        records,
        events,
        quarantined,
        deduplicated,
    } = counts;
    eprintln!("records={records} events={events} quarantined={quarantined} deduplicated={deduplicated}");
    Ok(ExitCode::SUCCESS)
}
