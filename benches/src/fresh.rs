//! How soon what is durable is found, at a steady rate, while questions are asked: the stages of the line, in one process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use ledger::Ledger;
use model::{LedgerIndex, Millis};
use search::{Agg, NoText, Query, Request, Searcher};

use crate::input::{Input, write_input};
use crate::stages::{self, Folders, Group};
use crate::usage;

/// Between two appends: what Kafka's client hands over at once.
const APPEND_EVERY: Duration = Duration::from_millis(20);
/// What is asked, one after the other.
const QUESTIONS: [&str; 6] = [
    "status:failure source:linux",
    "raw:sudo raw:systemctl",
    "user:adm.0139",
    "cmd:*shadow*",
    "url:\"customer view\"",
    "",
];

/// What was measured.
#[derive(Debug)]
pub struct Outcome {
    /// Records that were appended, and in what time.
    pub records: u64,
    /// From the first to the last append.
    pub appending: Duration,
    /// From durable to searchable, of each append; an append counts once for each of its records.
    pub delays: Vec<Duration>,
    /// How long each question took.
    pub questions: Vec<Duration>,
    /// Commits of the index.
    pub commits: usize,
    /// Groups that were made again for the judge, who had no time for them.
    pub made_again: u64,
    /// From the last append until all was judged.
    pub judged_after: Duration,
    /// Processor time of the process.
    pub cpu: Duration,
    /// Peak resident memory, MiB.
    pub peak_mib: f64,
}

/// Appends the records of the input at `rate` a second, through all stages, and asks `questions` a second.
///
/// # Errors
/// Of any stage.
pub fn run(folders: &Folders, rate: u64, questions: u64) -> anyhow::Result<Outcome> {
    usage::forget_peak("self")?;
    let ledger = Ledger::open(&folders.ledger, "bench.docket.local/ledger")?;
    let (reader, beside) = (ledger.reader(), ledger.reader());
    let detector = stages::detector()?;
    let mut wanted = detector.wanted().clone();
    wanted.extend(search::wanted());
    let store = alert::Store::open(&folders.alerts)?.with_channels(["bench"]);
    let writer = search::IndexWriter::open(&folders.index, search::Budgets::STANDARD, stages::MASK)?;
    let searcher = writer.searcher();

    let (durable_tx, durable_rx) = channel();
    let (to_judge, judge_in) = stages::to_judge();
    let (to_index, index_in) = sync_channel::<Arc<Group>>(stages::QUEUE_GROUPS);
    let cpu = usage::process();
    let ended = Arc::new(AtomicBool::new(false));
    let asking = std::thread::spawn({
        let ended = ended.clone();
        move || ask(&searcher, questions, &ended)
    });
    let input = Input::open(&folders.input)?;
    let append = std::thread::spawn(move || append(input, ledger, rate, &durable_tx));
    let normalize =
        std::thread::spawn(move || stages::normalize(&reader, &durable_rx, &wanted, &to_judge, &to_index).map(|_| ()));
    let judge = std::thread::spawn(move || {
        stages::judge(detector, store, judge_in, &beside).map(|done| (done.again, Instant::now()))
    });
    let index = std::thread::spawn(move || index(writer, &index_in));
    let (append, normalize, judge, index) = (append.join(), normalize.join(), judge.join(), index.join());
    ended.store(true, Ordering::Relaxed);
    let panicked = |_| anyhow::anyhow!("a stage panicked");
    let questions = asking.join().map_err(panicked)??;
    normalize.map_err(panicked)??;
    let (made_again, judged) = judge.map_err(panicked)??;
    let ((durable, appending), commits) = (append.map_err(panicked)??, index.map_err(panicked)??);
    let ended = durable.last().map(|(_, at)| *at);
    let (mut delays, mut records) = (Vec::new(), 0);
    for (position, at) in durable {
        let seen = commits.iter().find(|(up_to, _)| *up_to >= position);
        let seen = seen.context("what was durable was never searchable")?.1;
        let of = position.0 - records;
        delays.extend((0..of).map(|_| seen.saturating_duration_since(at)));
        records = position.0;
    }
    Ok(Outcome {
        records,
        appending,
        delays,
        questions,
        commits: commits.len(),
        made_again,
        judged_after: ended.map_or(Duration::ZERO, |ended| judged.saturating_duration_since(ended)),
        cpu: usage::process().saturating_sub(cpu),
        peak_mib: usage::peak_mib("self")?,
    })
}

type Seen = Vec<(LedgerIndex, Instant)>;

fn append(
    mut input: Input,
    mut ledger: Ledger,
    rate: u64,
    durable: &std::sync::mpsc::Sender<LedgerIndex>,
) -> anyhow::Result<(Seen, Duration)> {
    let (mut seen, mut signed) = (Vec::new(), Instant::now());
    let (start, mut appended) = (Instant::now(), 0u64);
    loop {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        let records = input.group(usize::try_from(due.saturating_sub(appended))?)?;
        if records.is_empty() && due > appended {
            break;
        }
        if !records.is_empty() {
            appended += records.len() as u64;
            ledger.append(&records)?;
            let position = ledger.flush()?;
            seen.push((position, Instant::now()));
            durable.send(position).context("the next stage has ended")?;
            ledger.seal()?;
            if signed.elapsed() >= stages::CHECKPOINT_EVERY {
                signed = Instant::now();
                ledger.checkpoint(now())?;
            }
        }
        if appended >= due {
            std::thread::sleep(APPEND_EVERY);
        }
    }
    ledger.checkpoint(now())?;
    Ok((seen, start.elapsed()))
}

fn index(mut writer: search::IndexWriter, groups: &Receiver<Arc<Group>>) -> anyhow::Result<Seen> {
    let (mut commits, mut dirty) = (Vec::new(), None::<Instant>);
    loop {
        let wait = dirty.map_or(stages::COMMIT_EVERY, |t| {
            stages::COMMIT_EVERY.saturating_sub(t.elapsed())
        });
        match groups.recv_timeout(wait) {
            Ok(group) => {
                writer.set_processed_at(now());
                writer.add(&group.batches, group.range.end)?;
                dirty.get_or_insert_with(Instant::now);
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if dirty.is_some_and(|t| t.elapsed() >= stages::COMMIT_EVERY) {
            commits.push((writer.commit()?, Instant::now()));
            dirty = None;
        } else if dirty.is_none() {
            writer.tend()?;
        }
    }
    commits.push((writer.commit()?, Instant::now()));
    writer.close()?;
    Ok(commits)
}

fn ask(searcher: &Searcher, questions: u64, ended: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let every = Duration::from_secs_f64(1.0 / questions.max(1) as f64);
    let (mut took, start) = (Vec::new(), Instant::now());
    while !ended.load(Ordering::Relaxed) {
        let text = QUESTIONS[took.len() % QUESTIONS.len()];
        let request = Request::new(Query::parse(text, None)?);
        let began = Instant::now();
        if text.is_empty() {
            let (field, within) = ("actor".to_owned(), Vec::new());
            searcher.aggregate(
                &request,
                &[Agg::Terms {
                    field,
                    size: 10,
                    within,
                }],
                &NoText,
            )?;
        } else {
            searcher.search(&request, &NoText)?;
        }
        took.push(began.elapsed());
        std::thread::sleep((every * took.len() as u32).saturating_sub(start.elapsed()));
    }
    Ok(took)
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(since.as_millis() as i64)
}

/// Makes the input of a run.
///
/// # Errors
/// The disk's.
pub fn input(dir: &Path, records: usize) -> anyhow::Result<Folders> {
    let folders = Folders::below(dir);
    write_input(&folders.input, records, 2_000)?;
    Ok(folders)
}
