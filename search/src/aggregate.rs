//! Counting over all matches of a query.

use std::collections::{BTreeMap, HashMap};

use model::Millis;
use tantivy::DocId;

use crate::error::{Error, Result};
use crate::matching::RawText;
use crate::query::class;
use crate::query::field::{self, FIELDS, Kind};
use crate::reader::{Request, Searched, Searcher};
use crate::segment::Segment;

/// Buckets of one histogram.
pub const BUCKETS_MAX: u64 = 10_000;

/// A value and how many events have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket<K> {
    /// The value.
    pub key: K,
    /// Events.
    pub count: u64,
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
    /// Counts the values of `field` over all matches of the request (sort, limit and cursor aside) and returns the
    /// `size` most frequent. An event with several values counts once for each.
    ///
    /// # Errors
    /// [`Error::Aggregation`] of a field that cannot be grouped by; else as [`Searcher::search`].
    pub fn terms(&self, request: &Request, field: &str, size: usize, text: &dyn RawText) -> Result<Terms> {
        let columns = columns(field)?;
        let search = self.prepare(request)?;
        let mut counts = Counts::default();
        let (mut missing, mut total) = (0, 0);
        let mut open: Option<(usize, Vec<Values>)> = None;
        search.for_each(text, |number, segment, docs| {
            if open.as_ref().is_none_or(|(n, _)| *n != number) {
                open = Some((
                    number,
                    columns
                        .iter()
                        .map(|c| Values::open(segment, c))
                        .collect::<Result<_>>()?,
                ));
            }
            let Some((_, values)) = &mut open else { return Ok(()) };
            total += docs.len() as u64;
            missing += counts.add(values, docs)?;
            Ok(())
        })?;
        let distinct = counts.names.len() as u64;
        Ok(Terms {
            buckets: counts.top(size, field),
            distinct,
            missing,
            total,
            searched: search.searched(request),
        })
    }

    /// Counts all matches of the request by time, in buckets of `interval_ms` that start at multiples of it.
    ///
    /// # Errors
    /// [`Error::TooManyBuckets`]; else as [`Searcher::search`].
    pub fn date_histogram(&self, request: &Request, interval_ms: i64, text: &dyn RawText) -> Result<Histogram> {
        let interval = interval_ms.max(1);
        let search = self.prepare(request)?;
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        let mut total = 0;
        search.for_each(text, |_, segment, docs| {
            total += docs.len() as u64;
            for doc in docs {
                *counts
                    .entry(segment.time.get_val(*doc).div_euclid(interval))
                    .or_default() += 1;
            }
            match counts.len() as u64 > BUCKETS_MAX {
                true => Err(Error::TooManyBuckets {
                    given: counts.len() as u64,
                    limit: BUCKETS_MAX,
                }),
                false => Ok(()),
            }
        })?;
        let mut buckets = Vec::new();
        if let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value()) {
            let given = last.abs_diff(*first).saturating_add(1);
            if given > BUCKETS_MAX {
                return Err(Error::TooManyBuckets {
                    given,
                    limit: BUCKETS_MAX,
                });
            }
            let bucket = |n: i64| Bucket {
                key: Millis(n.saturating_mul(interval)),
                count: counts.get(&n).copied().unwrap_or(0),
            };
            buckets = (*first..=*last).map(bucket).collect();
        }
        Ok(Histogram {
            buckets,
            total,
            searched: search.searched(request),
        })
    }
}

/// Columns of a field.
fn columns(name: &str) -> Result<Vec<&'static str>> {
    let found = field::find(name).and_then(|f| match &f.kind {
        Kind::Keyword(names) => Some(names.to_vec()),
        Kind::Address(name, _) => Some(vec![*name]),
        Kind::Number(name) => Some(vec![*name]),
        Kind::Class => Some(vec!["class"]),
        Kind::Severity => Some(vec!["severity"]),
        Kind::Text(_) | Kind::Time(_) | Kind::Record => None,
    });
    found.ok_or_else(|| {
        let groups = |k: &Kind| !matches!(k, Kind::Text(_) | Kind::Time(_) | Kind::Record);
        let allowed: Vec<&str> = FIELDS.iter().filter(|f| groups(&f.kind)).map(|f| f.name).collect();
        Error::Aggregation {
            given: name.chars().take(100).collect(),
            allowed: allowed.join(", "),
        }
    })
}

/// A column of one segment, and the numbers that [`Counts`] gave to its values.
enum Values {
    Text(tantivy::columnar::StrColumn, HashMap<u64, usize>),
    Number(tantivy::columnar::Column<u64>),
    None,
}

impl Values {
    fn open(segment: &Segment, name: &str) -> Result<Values> {
        let columns = segment.reader.fast_fields();
        if let Ok(numbers) = columns.u64(name) {
            return Ok(Values::Number(numbers));
        }
        Ok(columns
            .str(name)?
            .map_or(Values::None, |c| Values::Text(c, HashMap::new())))
    }
}

#[derive(Default)]
struct Counts {
    names: HashMap<String, usize>,
    counts: Vec<u64>,
}

impl Counts {
    /// Returns how many of `docs` have no value.
    fn add(&mut self, values: &mut [Values], docs: &[DocId]) -> Result<u64> {
        let mut missing = 0;
        let mut seen: Vec<usize> = Vec::new();
        for doc in docs {
            seen.clear();
            for column in &mut *values {
                match column {
                    Values::None => {}
                    Values::Number(column) => {
                        for n in column.values_for_doc(*doc) {
                            let id = self.id(n.to_string());
                            seen.push(id);
                        }
                    }
                    Values::Text(column, ids) => {
                        for ord in column.term_ords(*doc) {
                            let id = match ids.get(&ord) {
                                Some(id) => *id,
                                None => {
                                    let mut name = String::new();
                                    column.ord_to_str(ord, &mut name)?;
                                    let id = self.id(name);
                                    ids.insert(ord, id);
                                    id
                                }
                            };
                            seen.push(id);
                        }
                    }
                }
            }
            seen.sort_unstable();
            seen.dedup();
            missing += u64::from(seen.is_empty());
            seen.iter().for_each(|id| self.counts[*id] += 1);
        }
        Ok(missing)
    }

    fn id(&mut self, name: String) -> usize {
        let next = self.counts.len();
        let id = *self.names.entry(name).or_insert(next);
        if id == next {
            self.counts.push(0);
        }
        id
    }

    fn top(self, size: usize, field: &str) -> Vec<Bucket<String>> {
        let is_class = field::find(field).is_some_and(|f| f.kind == Kind::Class);
        let named = |key: String| match key.parse().ok().and_then(class::name).filter(|_| is_class) {
            Some(name) => name.to_owned(),
            None => key,
        };
        let mut all: Vec<(u64, String)> = self.names.into_iter().map(|(n, id)| (self.counts[id], n)).collect();
        all.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        all.truncate(size);
        all.into_iter()
            .map(|(count, key)| Bucket { key: named(key), count })
            .collect()
    }
}
