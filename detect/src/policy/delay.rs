//! How long records take to come, watched against what is usual or allowed.

use super::{Lookup, Silence, Value};

/// Whose records are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Of {
    /// Each sending system or host of a source (`docket.system`, else `device.hostname`).
    Sender,
    /// The source as a whole.
    Source,
}

/// The delays (received less happened) of the records of a span of receive time, compared with a limit. The spans follow each other
/// at half their length.
#[derive(Clone, Debug)]
pub struct Delay {
    /// One watch for each combination of rows; none: every source.
    pub each: Vec<Lookup>,
    /// The source's id in the configuration; `None`: every source.
    pub source: Option<Value>,
    /// Whose records are taken together.
    pub of: Of,
    /// The span, milliseconds; whole minutes.
    pub over_ms: i64,
    /// Records that a span must have, or it is not judged.
    pub at_least: u64,
    /// Which of the delays counts: 50 is the median.
    pub percentile: u8,
    /// Compared with the median of the whole source over so long, milliseconds, in both directions; `None`: with nothing,
    /// and only what is too late counts.
    pub usual_ms: Option<i64>,
    /// The limit: a number of seconds, or a duration.
    pub more_than: Value,
}

impl Delay {
    /// Every value that it reads.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.source.iter().chain([&self.more_than])
    }

    /// What `more_than` says, in milliseconds.
    #[must_use]
    pub fn limit_ms(text: &str) -> Option<i64> {
        Silence::span_ms(text)
    }
}
