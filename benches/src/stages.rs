//! The line as the server wires it, without the server: one thread appends, one normalizes, one judges, one indexes,
//! and each says how much processor time its parts took.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use detect::RuleSet;
use detect::engine::Detector;
use detect::policy::SourceFile;
use detect::reference::Tables;
use detect::sigma::Placeholders;
use ingest::Normalizer;
use ingest::batcher::Batcher;
use ingest::dedup::Dedup;
use ledger::{Ledger, Reader};
use model::{Arena, Batch, Delta, Entry, LedgerIndex, Millis, Plan, Wanted};

use crate::input::Input;
use crate::usage::{self, timed};
use crate::world;

mod outcome;

pub use outcome::{Costs, Outcome};

/// As the server masks.
pub const MASK: search::Mask = search::Mask {
    text: ingest::mask::mask,
    keyword: ingest::mask::mask_secrets,
    is_secret_name: ingest::mask::is_secret_name,
    secrets: ingest::mask::secrets_of,
    hide: ingest::mask::hide,
    instead: ingest::mask::MASK,
};

/// As in the server: records and bytes of a group of the stages.
const GROUP_RECORDS: usize = 2048;
const GROUP_BYTES: usize = 2 << 20;
/// As in the server: groups that wait before a stage.
pub(crate) const QUEUE_GROUPS: usize = 2;
/// As in the server: how often the index is committed.
pub const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// As in the server: how often it is while the index catches up with records that were received long ago.
pub const COMMIT_EVERY_BEHIND: Duration = Duration::from_secs(20);
/// As in the server: how often a checkpoint is signed.
pub(crate) const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// What the ledger calls itself.
pub const ORIGIN: &str = "bench.docket.local/ledger";
/// When the records begin: any working day.
pub const START: Millis = Millis(1_772_415_000_000);

/// Where a run keeps what it writes.
pub struct Folders {
    /// The records, as [`write_input`](crate::input::write_input) writes them.
    pub input: PathBuf,
    /// The ledger.
    pub ledger: PathBuf,
    /// The index.
    pub index: PathBuf,
    /// Alerts and state.
    pub alerts: PathBuf,
}

impl Folders {
    /// Below one folder.
    pub fn below(dir: &Path) -> Folders {
        Folders {
            input: dir.join("input"),
            ledger: dir.join("ledger"),
            index: dir.join("index"),
            alerts: dir.join(alert::FILE_NAME),
        }
    }
}

pub(crate) struct Group {
    pub(crate) range: std::ops::Range<LedgerIndex>,
    span: Vec<(LedgerIndex, Millis)>,
    pub(crate) batches: Vec<Batch>,
    dedup: Delta,
    events: u64,
    bytes: usize,
    /// Which records repeat others.
    repeats: Vec<bool>,
}

/// A group before the judge: as in the server some wait whole, the others are made again.
pub(crate) enum Waiting {
    Whole(Arc<Group>),
    Later {
        range: std::ops::Range<LedgerIndex>,
        repeats: Vec<bool>,
        dedup: Delta,
    },
}

/// The way to the judge.
#[derive(Clone)]
pub(crate) struct ToJudge {
    sender: mpsc::Sender<Waiting>,
    /// Bytes of the groups that wait whole.
    whole: Arc<AtomicUsize>,
}

/// The judge's end of it.
pub(crate) struct AtJudge {
    receiver: Receiver<Waiting>,
    whole: Arc<AtomicUsize>,
    /// Groups that were made again.
    again: u64,
}

/// As in the server: bytes of groups that wait whole.
const WHOLE_BYTES_MAX: usize = 4 << 20;

pub(crate) fn to_judge() -> (ToJudge, AtJudge) {
    let ((sender, receiver), whole) = (channel(), Arc::new(AtomicUsize::new(0)));
    let at = AtJudge {
        receiver,
        whole: whole.clone(),
        again: 0,
    };
    (ToJudge { sender, whole }, at)
}

impl ToJudge {
    fn put(&self, group: &Arc<Group>) -> anyhow::Result<()> {
        let waiting = self.whole.load(Ordering::Relaxed);
        let waiting = match waiting == 0 || waiting + group.bytes <= WHOLE_BYTES_MAX {
            true => {
                self.whole.fetch_add(group.bytes, Ordering::Relaxed);
                Waiting::Whole(group.clone())
            }
            false => Waiting::Later {
                range: group.range.clone(),
                repeats: group.repeats.clone(),
                dedup: group.dedup.clone(),
            },
        };
        self.sender.send(waiting).ok().context("the judge has ended")
    }
}

/// A detector of the repository's policies and the made-up operator's tables.
///
/// # Errors
/// A policy or a table does not load.
pub fn detector() -> anyhow::Result<Detector> {
    let loaded = detect::policy::load(&policies()?, &Placeholders::default());
    let policies = Arc::new(loaded.policies);
    let (rules, errors) = RuleSet::compile(&policies);
    anyhow::ensure!(errors.is_empty(), "{errors:?}");
    let mut tables = Tables::default();
    for (name, rows) in world::tables(START) {
        tables.load(name, rows.to_string().as_bytes())?;
    }
    Ok(Detector::new(
        policies,
        Arc::new(rules),
        tables,
        Vec::new(),
        LedgerIndex(0),
    )?)
}

/// The repository's policies.
///
/// # Errors
/// The disk's.
pub fn policies() -> anyhow::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies"));
    policy_files(folder, &mut files)?;
    Ok(files)
}

fn policy_files(dir: &Path, files: &mut Vec<SourceFile>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.display().to_string();
        if path.is_dir() {
            policy_files(&path, files)?;
        } else if SourceFile::is_policy(&name) {
            files.push(SourceFile::new(&name, std::fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// Appends the records of the input to the ledger, and nothing else.
///
/// # Errors
/// The disk's.
pub fn write_ledger(folders: &Folders) -> anyhow::Result<u64> {
    let ledger = Ledger::open(&folders.ledger, ORIGIN)?;
    let (durable, _positions) = channel();
    Ok(append(Input::open(&folders.input)?, ledger, &durable)?.records)
}

/// Runs the records of the input through the whole line.
///
/// # Errors
/// Of any stage.
pub fn run(folders: &Folders) -> anyhow::Result<Outcome> {
    let ledger = Ledger::open(&folders.ledger, ORIGIN)?;
    let (reader, beside) = (ledger.reader(), ledger.reader());
    let detector = detector()?;
    let mut wanted = detector.wanted().clone();
    wanted.extend(search::wanted());
    let store = alert::Store::open(&folders.alerts)?.with_channels(["bench"]);
    let writer = search::IndexWriter::open(&folders.index, search::Budgets::STANDARD, MASK)?;
    let input = Input::open(&folders.input)?;

    let wanted_fields = wanted.len();
    let (durable_tx, durable_rx) = channel();
    let (to_judge, judge_in) = to_judge();
    let (to_index, index_in) = sync_channel::<Arc<Group>>(QUEUE_GROUPS);
    let (start, process) = (Instant::now(), usage::process());
    // Each thread owns its channels, so that the others end when it does.
    let ledger = std::thread::spawn(move || append(input, ledger, &durable_tx));
    let normalize = std::thread::spawn(move || normalize(&reader, &durable_rx, &wanted, &to_judge, &to_index));
    let judge = std::thread::spawn(move || judge(detector, store, judge_in, &beside));
    let index = std::thread::spawn(move || index(writer, &index_in));
    let (ledger, normalize, judge, index) = (ledger.join(), normalize.join(), judge.join(), index.join());
    let (wall, process) = (start.elapsed(), usage::process() - process);
    let panicked = |_| anyhow::anyhow!("a stage panicked");
    let (ledger, normalize) = (ledger.map_err(panicked)??, normalize.map_err(panicked)??);
    let (judge, index) = (judge.map_err(panicked)??, index.map_err(panicked)??);
    let threads = ledger.total + normalize.total + judge.total + index.costs.documents;
    Ok(Outcome {
        records: ledger.records,
        payload_bytes: ledger.bytes,
        events: normalize.events,
        wanted: wanted_fields,
        findings: judge.findings,
        raised: judge.raised,
        wall,
        costs: Costs {
            input: ledger.costs.input,
            append: ledger.costs.append,
            flush: ledger.costs.flush,
            seal: ledger.costs.seal,
            checkpoint: ledger.costs.checkpoint,
            read: normalize.costs.read,
            normalize: normalize.costs.normalize,
            detect: judge.costs.detect,
            commit: judge.costs.commit,
            documents: index.costs.documents,
            tantivy: process.saturating_sub(threads),
        },
        index_commits: index.commits,
        peak_mib: usage::peak_mib("self")?,
    })
}

#[derive(Default)]
pub(crate) struct Done {
    costs: Costs,
    /// All of the thread's processor time.
    total: Duration,
    records: u64,
    bytes: u64,
    events: u64,
    findings: u64,
    raised: u64,
    commits: Vec<u64>,
    /// Groups that were made again for the judge.
    pub(crate) again: u64,
}

fn append(mut input: Input, mut ledger: Ledger, durable: &mpsc::Sender<LedgerIndex>) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let c = &mut done.costs;
    let mut signed = Instant::now();
    let mut now = START;
    loop {
        let records = timed(&mut c.input, || input.group(usize::MAX))?;
        let Some(last) = records.last() else { break };
        now = last.received_at;
        done.records += records.len() as u64;
        done.bytes += records.iter().map(|r| r.payload.len() as u64).sum::<u64>();
        timed(&mut c.append, || ledger.append(&records))?;
        let position = timed(&mut c.flush, || ledger.flush())?;
        durable.send(position).context("the next stage has ended")?;
        timed(&mut c.seal, || ledger.seal())?;
        if signed.elapsed() >= CHECKPOINT_EVERY {
            signed = Instant::now();
            timed(&mut c.checkpoint, || ledger.checkpoint(now))?;
        }
        timed(&mut c.input, || drop(records));
    }
    timed(&mut c.checkpoint, || ledger.checkpoint(now))?;
    done.total = usage::thread();
    Ok(done)
}

pub(crate) fn normalize(
    reader: &Reader,
    durable: &Receiver<LedgerIndex>,
    wanted: &Wanted,
    judge: &ToJudge,
    index: &SyncSender<Arc<Group>>,
) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let normalizer = Normalizer::default();
    let (mut arena, mut plan) = (Arena::new(), Plan::new(wanted));
    arena.set_native(plan.wants_native());
    // As in the server: the youngest in memory, the others in files.
    let duplicates = tempfile::tempdir()?;
    let mut dedup = Dedup::open(duplicates.path(), ingest::dedup::YOUNG, ingest::dedup::CAPACITY)?;
    let mut next = LedgerIndex(0);
    let mut limit = LedgerIndex(0);
    loop {
        while next >= limit {
            match durable.recv() {
                Ok(position) => limit = position,
                Err(_ended) => {
                    done.total = usage::thread();
                    return Ok(done);
                }
            }
        }
        let records = GROUP_RECORDS.min(usize::try_from(limit.0 - next.0)?);
        let entries = timed(&mut done.costs.read, || reader.read(next, records, GROUP_BYTES))?;
        let end = entries
            .last()
            .context("the ledger holds less than is durable")?
            .index
            .next();
        let group = timed(&mut done.costs.normalize, || {
            let mut repeats = looked_up(&mut dedup);
            let mut group = group(&entries, next..end, &normalizer, &mut repeats, &mut arena, &mut plan);
            drop(repeats);
            group.dedup = dedup.take_delta();
            group
        });
        let group = Arc::new(group);
        next = end;
        done.events += group.events;
        judge.put(&group)?;
        index.send(group).ok().context("the index has ended")?;
    }
}

fn group(
    entries: &[Entry],
    range: std::ops::Range<LedgerIndex>,
    normalizer: &Normalizer,
    repeats: &mut dyn FnMut(LedgerIndex, Millis, Option<[u8; 16]>) -> bool,
    arena: &mut Arena,
    plan: &mut Plan,
) -> Group {
    let mut batcher = Batcher::new();
    let mut span = Vec::with_capacity(entries.len());
    let (mut count, mut told) = (0, Vec::with_capacity(entries.len()));
    for Entry { index, record } in entries {
        arena.reset();
        let (index, at) = (*index, record.received_at);
        span.push((index, at));
        let normalized = normalizer.normalize(arena, record);
        let is_repeated = repeats(index, at, normalized.dedup(record));
        told.push(is_repeated);
        if is_repeated {
            continue;
        }
        count += normalized.events.len() as u64;
        for event in &normalized.events {
            batcher.push(plan, index, at, &record.source, event);
        }
    }
    Group {
        range,
        span,
        batches: batcher.finish(plan),
        dedup: Delta::default(),
        events: count,
        bytes: entries.iter().map(|e| e.record.payload.len()).sum(),
        repeats: told,
    }
}

/// Asks the duplicate check.
fn looked_up(dedup: &mut Dedup) -> impl FnMut(LedgerIndex, Millis, Option<[u8; 16]>) -> bool {
    |index, at, key| key.is_some_and(|key| dedup.check(index, at, key).is_ok_and(|d| d.is_some()))
}

pub(crate) fn judge(
    mut detector: Detector,
    mut store: alert::Store,
    mut groups: AtJudge,
    reader: &Reader,
) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let (mut arena, mut plan) = (Arena::new(), Plan::new(detector.wanted()));
    arena.set_native(plan.wants_native());
    let normalizer = Normalizer::default();
    let (mut deltas, mut findings, mut records) = (Vec::new(), Vec::new(), 0);
    loop {
        // As in the server: what waits is written together.
        let waiting = match deltas.is_empty() {
            true => groups.receiver.recv().ok(),
            false if records < GROUP_RECORDS => groups.receiver.try_recv().ok(),
            false => None,
        };
        let Some(waiting) = waiting else {
            if deltas.is_empty() {
                break;
            }
            let now = detector.engine_time().unwrap_or(START);
            let committed = timed(&mut done.costs.commit, || store.commit(&deltas, &findings, now))?;
            done.findings += findings.len() as u64;
            done.raised += committed.raised.len() as u64;
            deltas.clear();
            findings.clear();
            records = 0;
            continue;
        };
        let group = match waiting {
            Waiting::Whole(group) => {
                groups.whole.fetch_sub(group.bytes, Ordering::Relaxed);
                group
            }
            Waiting::Later { range, repeats, dedup } => {
                groups.again += 1;
                let count = usize::try_from(range.end.0 - range.start.0)?;
                let entries = reader.read(range.start, count, usize::MAX)?;
                let mut told = repeats.into_iter();
                let mut repeats = |_, _, _| told.next().unwrap_or_default();
                let mut group = group(&entries, range, &normalizer, &mut repeats, &mut arena, &mut plan);
                group.dedup = dedup;
                Arc::new(group)
            }
        };
        let output = timed(&mut done.costs.detect, || detector.process(&group.span, &group.batches));
        let mut delta = output.delta;
        delta.position = group.range.end;
        delta.put.extend(group.dedup.put.iter().cloned());
        delta.delete.extend(group.dedup.delete.iter().cloned());
        records += group.span.len();
        deltas.push(delta);
        findings.extend(output.findings);
    }
    done.again = groups.again;
    done.total = usage::thread();
    Ok(done)
}

fn index(mut writer: search::IndexWriter, groups: &Receiver<Arc<Group>>) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let mut committed = Instant::now();
    let mut documents = 0;
    while let Ok(group) = groups.recv() {
        documents += writer.add(&group.batches, group.range.end)?;
        drop(group);
        if committed.elapsed() >= COMMIT_EVERY {
            writer.commit()?;
            done.commits.push(documents);
            committed = Instant::now();
        }
    }
    writer.commit()?;
    done.commits.push(documents);
    // The commits' own work on this thread is a part of it too.
    done.costs.documents = usage::thread();
    writer.close()?;
    Ok(done)
}

/// Reads a ledger from its start and hands the events of each group to `each`: what another index gets to index.
///
/// # Errors
/// The ledger's, or those of `each`.
pub fn replay(ledger: &Path, mut each: impl FnMut(&[Batch]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let reader = Reader::open(ledger)?;
    let (mut plan, mut arena, normalizer) = (Plan::new(&search::wanted()), Arena::new(), Normalizer::default());
    let (mut dedup, mut next) = (Dedup::default(), LedgerIndex(0));
    loop {
        let entries = reader.read(next, GROUP_RECORDS, GROUP_BYTES)?;
        let Some(last) = entries.last() else { return Ok(()) };
        let end = last.index.next();
        let mut repeats = looked_up(&mut dedup);
        let group = group(&entries, next..end, &normalizer, &mut repeats, &mut arena, &mut plan);
        next = end;
        each(&group.batches)?;
    }
}
