//! Counting over all matches of a query: most frequent values, numbers by time, different values, sums; one within
//! another. Everything is counted exactly, or refused.

mod collect;
mod values;

use model::Millis;

use crate::error::{Error, Result};
use crate::matching::RawText;
use crate::reader::{Matched, Request, Searched, Searcher};
use collect::State;
use values::Opened;

/// Buckets of one histogram.
pub const BUCKETS_MAX: u64 = 10_000;
/// Different values, buckets within buckets included, of one answer.
pub const VALUES_MAX: usize = 1_000_000;
/// Matches that are read from the ledger where a field has no column; beyond it the question is refused.
pub const READS_MAX: u64 = 500_000;
/// Aggregations within each other.
pub const DEPTH_MAX: usize = 4;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agg {
    /// The most frequent values of a field; an event with several counts once for each.
    Terms {
        /// The field: any that can be searched by but text of the index, or any OCSF path.
        field: String,
        /// How many of them.
        size: usize,
        /// What is counted within each.
        within: Vec<Agg>,
    },
    /// Events by time.
    Histogram {
        /// The field: `time`, `received` or `processed`.
        field: String,
        /// Length of a bucket, ms; at least 1.
        interval_ms: i64,
        /// What is added to a moment before it is divided: a zone's offset makes days begin at its midnight.
        offset_ms: i64,
        /// What is counted within each.
        within: Vec<Agg>,
    },
    /// How many different values there are.
    Cardinality {
        /// The field.
        field: String,
    },
    /// Least, greatest, sum of a field's numbers (of times, in ms).
    Stats {
        /// The field.
        field: String,
    },
    /// Each number of a field, and how often it is there.
    Numbers {
        /// The field.
        field: String,
    },
}

/// What was counted; in the order that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregated {
    /// An answer for each question.
    pub found: Vec<Found>,
    /// Matching events.
    pub total: u64,
    /// What was searched.
    pub searched: Searched,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// See [`Agg::Terms`].
    Terms {
        /// Most frequent first, equals by value.
        buckets: Vec<Within<String>>,
        /// How many different values there are.
        distinct: u64,
        /// Events without a value.
        missing: u64,
        /// Values (not events) of the buckets left out.
        others: u64,
    },
    /// See [`Agg::Histogram`]: from the first bucket with an event to the last, empty ones included; the key is the
    /// bucket's first moment.
    Histogram {
        /// The buckets, in order.
        buckets: Vec<Within<Millis>>,
    },
    /// How many.
    Cardinality(u64),
    /// See [`Agg::Stats`].
    Stats(Stats),
    /// See [`Agg::Numbers`].
    Numbers(Numbers),
}

/// A bucket, and what was counted within it.
#[derive(Clone, Debug, PartialEq)]
pub struct Within<K> {
    /// The value.
    pub key: K,
    /// Events.
    pub count: u64,
    /// An answer for each question within.
    pub found: Vec<Found>,
}

/// Of a field's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Values.
    pub count: u64,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// Of all.
    pub sum: f64,
}

impl Stats {
    /// The mean; of nothing, none.
    #[must_use]
    pub fn avg(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// The different numbers of a field, the least first, each with how often it is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers(pub Vec<(f64, u64)>);

impl Numbers {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The number that so many of a hundred are not above, between two numbers in proportion; of nothing, none.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let last = self.count().checked_sub(1)?;
        let place = percent.clamp(0.0, 100.0) / 100.0 * last as f64;
        let at = |place: f64| {
            let mut before = 0;
            let found = self.0.iter().find(|(_, count)| {
                before += count;
                before as f64 > place
            });
            found.map(|(number, _)| *number)
        };
        let (low, high) = (at(place.floor())?, at(place.ceil())?);
        Some(low + (high - low) * place.fract())
    }

    /// The sum of what each number gives.
    #[must_use]
    pub fn sum_of(&self, gives: impl Fn(f64) -> f64) -> f64 {
        self.0
            .iter()
            .map(|(number, count)| gives(*number) * *count as f64)
            .sum()
    }
}

/// A value and how many events have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket<K> {
    /// The value.
    pub key: K,
    /// Events.
    pub count: u64,
}

impl<K> From<Within<K>> for Bucket<K> {
    fn from(of: Within<K>) -> Bucket<K> {
        Bucket {
            key: of.key,
            count: of.count,
        }
    }
}

/// The most frequent values of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The first of them, most frequent first, equals by value. Counted exactly.
    pub buckets: Vec<Bucket<String>>,
    /// How many different values there are.
    pub distinct: u64,
    /// Matching events without a value.
    pub missing: u64,
    /// Matching events.
    pub total: u64,
    /// What was searched.
    pub searched: Searched,
}

/// Events by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// From the first bucket with an event to the last, empty ones included; the key is the bucket's first moment.
    pub buckets: Vec<Bucket<Millis>>,
    /// Matching events.
    pub total: u64,
    /// What was searched.
    pub searched: Searched,
}

impl Searcher {
    /// Counts over all matches of the request, sort, limit and cursor aside.
    ///
    /// # Errors
    /// The author's: [`Error::Aggregation`] of a field that cannot be counted so, [`Error::TooManyBuckets`],
    /// [`Error::TooManyValues`], [`Error::TooManyReads`]; else as [`Searcher::search`].
    pub fn aggregate(&self, request: &Request, asked: &[Agg], text: &dyn RawText) -> Result<Aggregated> {
        let search = self.prepare(request)?;
        let mut opened = Opened::new(text);
        let mut states = asked
            .iter()
            .map(|agg| State::new(agg, &mut opened, 1))
            .collect::<Result<Vec<_>>>()?;
        let mut total = 0;
        search.for_each(text, |number, segment, matched| {
            opened.enter(number, segment)?;
            total += match matched {
                Matched::Every => u64::from(segment.reader.max_doc()),
                Matched::These(docs) => docs.len() as u64,
            };
            states.iter_mut().try_for_each(|s| match matched {
                Matched::Every => s.take_every(&mut opened, segment, text),
                Matched::These(docs) => s.take(&mut opened, segment, docs),
            })
        })?;
        let found = states.into_iter().map(|s| s.finish(&opened)).collect::<Result<_>>()?;
        Ok(Aggregated {
            found,
            total,
            searched: search.searched(request)?,
        })
    }

    /// Counts the values of `field` over all matches of the request (sort, limit and cursor aside) and returns the
    /// `size` most frequent. An event with several values counts once for each.
    ///
    /// # Errors
    /// As [`Searcher::aggregate`].
    pub fn terms(&self, request: &Request, field: &str, size: usize, text: &dyn RawText) -> Result<Terms> {
        let asked = Agg::Terms {
            field: field.to_owned(),
            size,
            within: Vec::new(),
        };
        let mut all = self.aggregate(request, &[asked], text)?;
        let Some(Found::Terms {
            buckets,
            distinct,
            missing,
            ..
        }) = all.found.pop()
        else {
            return Err(Error::TooManyWords);
        };
        Ok(Terms {
            buckets: buckets.into_iter().map(Bucket::from).collect(),
            distinct,
            missing,
            total: all.total,
            searched: all.searched,
        })
    }

    /// Counts all matches of the request by time, in buckets of `interval_ms` that start at multiples of it.
    ///
    /// # Errors
    /// As [`Searcher::aggregate`].
    pub fn date_histogram(&self, request: &Request, interval_ms: i64, text: &dyn RawText) -> Result<Histogram> {
        let asked = Agg::Histogram {
            field: "time".to_owned(),
            interval_ms,
            offset_ms: 0,
            within: Vec::new(),
        };
        let mut all = self.aggregate(request, &[asked], text)?;
        let buckets = match all.found.pop() {
            Some(Found::Histogram { buckets }) => buckets,
            _ => Vec::new(),
        };
        Ok(Histogram {
            buckets: buckets.into_iter().map(Bucket::from).collect(),
            total: all.total,
            searched: all.searched,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_numbers_in_proportion() {
        let numbers = Numbers(vec![(1.0, 1), (2.0, 2), (10.0, 1)]);
        let of = |percent| numbers.percentile(percent);
        assert_eq!((of(0.0), of(50.0), of(100.0)), (Some(1.0), Some(2.0), Some(10.0)));
        assert_eq!((of(25.0), of(75.0)), (Some(1.75), Some(4.0)));
        assert_eq!((numbers.count(), numbers.sum_of(|n| n * n)), (4, 109.0));
        assert_eq!(Numbers::default().percentile(50.0), None);
    }
}
