//! Records of a data folder's ledger, read beside a running server, with a progress bar.

use std::io::{IsTerminal as _, Write as _};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use ledger::Reader;
use model::{Coordinate, LedgerIndex, Millis, RawRecord};

use crate::exit::{UNREACHABLE, USAGE, failure};

/// Records, and bytes of them, that are read at once.
const READ_RECORDS: usize = 2048;
const READ_BYTES: usize = 4 << 20;
/// Between two pictures of the progress bar.
const TICK: Duration = Duration::from_millis(200);
const BAR_CHARS: usize = 30;

/// A ledger.
pub struct History {
    reader: Reader,
    end: LedgerIndex,
}

impl History {
    /// The ledger of a data folder, as far as it is durable now.
    ///
    /// # Errors
    /// There is none (4).
    pub fn open(data: &Path) -> anyhow::Result<History> {
        let dir = data.join("ledger");
        if !dir.is_dir() {
            let message = format!("{} holds no ledger; give --data DIR", data.display());
            return Err(failure(UNREACHABLE, message));
        }
        let reader = Reader::open(&dir)?;
        let end = reader.size()?;
        Ok(History { reader, end })
    }

    /// The position of the first record that was received at `at` or later.
    ///
    /// # Errors
    /// The ledger's.
    pub fn at(&self, at: Millis) -> anyhow::Result<LedgerIndex> {
        // Records come about in the order in which they were received.
        let (mut low, mut high) = (0, self.end.0);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.reader.entry(LedgerIndex(middle))?.record.received_at < at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(LedgerIndex(low))
    }

    /// Where the ledger ends.
    pub fn end(&self) -> LedgerIndex {
        self.end
    }

    /// When a record was received.
    ///
    /// # Errors
    /// The ledger has no such record (2).
    pub fn received(&self, record: &Coordinate) -> anyhow::Result<Millis> {
        let unknown = || failure(USAGE, format!("the ledger holds no record {record}"));
        let index = self
            .reader
            .find(record)?
            .filter(|i| *i < self.end)
            .ok_or_else(unknown)?;
        Ok(self.reader.entry(index)?.record.received_at)
    }

    /// Hands over the records of a range, in order.
    ///
    /// # Errors
    /// The ledger's.
    pub fn records(&self, range: Range<LedgerIndex>, mut each: impl FnMut(RawRecord)) -> anyhow::Result<()> {
        let mut bar = Bar::new(range.end.0.saturating_sub(range.start.0));
        let mut next = range.start;
        while next < range.end {
            let most = usize::try_from(range.end.0 - next.0)
                .unwrap_or(READ_RECORDS)
                .min(READ_RECORDS);
            let entries = self.reader.read(next, most, READ_BYTES)?;
            let Some(last) = entries.last() else {
                anyhow::bail!("the ledger holds no leaf {next}, although it has {}", self.end);
            };
            next = last.index.next();
            entries.into_iter().for_each(|entry| each(entry.record));
            bar.show(next.0 - range.start.0);
        }
        bar.clear();
        Ok(())
    }
}

/// A time: RFC 3339, or an age such as `7d`.
///
/// # Errors
/// It is neither (2).
pub fn moment(option: &str, text: &str, now: Millis) -> anyhow::Result<Millis> {
    if let Some(age) = detect::policy::duration_ms(text) {
        return Ok(now.plus_ms(-age));
    }
    Millis::parse(text).map_err(|_| {
        let message =
            format!("{option} `{text}` is no time; give RFC 3339 (2026-05-04T00:00:00Z) or an age such as 7d or 12h");
        failure(USAGE, message)
    })
}

/// How far it has come, on a terminal.
struct Bar {
    total: u64,
    begun: Instant,
    shown: Option<Instant>,
    is_on: bool,
}

impl Bar {
    fn new(total: u64) -> Bar {
        Bar {
            total,
            begun: Instant::now(),
            shown: None,
            is_on: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, done: u64) {
        if !self.is_on || self.shown.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        self.shown = Some(Instant::now());
        let part = done as f64 / self.total.max(1) as f64;
        let filled = (part * BAR_CHARS as f64) as usize;
        let rate = done as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let left = (self.total.saturating_sub(done)) as f64 / rate.max(1.0);
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[K[{}{}] {done} of {} records, {rate:.0}/s, {left:.0} s left",
            "#".repeat(filled.min(BAR_CHARS)),
            ".".repeat(BAR_CHARS.saturating_sub(filled)),
            self.total
        );
    }

    fn clear(&self) {
        if self.is_on && self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
