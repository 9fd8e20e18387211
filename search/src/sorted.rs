//! Hits in the order of a field's values, from the first on or from any place on.
//!
//! Every match is looked at for each page: of each segment the first so many are kept, by numbers that stand for the values there,
//! and of all segments' the first, by the values. Memory is bounded by the size of a page.

use std::fmt;
use std::str::FromStr;

use model::LedgerIndex;
use serde::{Serialize, Serializer};
use tantivy::DocId;
use tantivy::columnar::{Column, StrColumn};

use crate::cursor::Sort;
use crate::error::{Error, Result};
use crate::matching::RawText;
use crate::query::field::{self, FIELDS, Kind};
use crate::reader::{Hit, Matched, Request, Searched, Searcher};
use crate::schema::WITHOUT_COLUMN;
use crate::segment::Segment;
use crate::top::Entry;

/// The field that hits are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Its name.
    pub field: String,
    /// The greatest first. An event with several values stands where its greatest does, else where its least does.
    pub descending: bool,
    /// Where the answer goes on: the last hit of the one before.
    pub after: Option<Standing>,
    columns: Vec<&'static str>,
}

/// A value that hits are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortValue {
    /// A number, or a moment in ms.
    Number(i128),
    /// A text, by its bytes.
    Text(String),
}

impl Serialize for SortValue {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            SortValue::Number(n) => to.serialize_i128(*n),
            SortValue::Text(text) => to.serialize_str(text),
        }
    }
}

/// A hit's place in such an order: by value, those without one last, equal ones as they stand in the ledger. Written
/// `<value>.<index>.<event>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The value.
    pub value: Option<SortValue>,
    /// The leaf.
    pub index: LedgerIndex,
    /// Which event of the record, from 0.
    pub event: u64,
}

impl Standing {
    fn order(&self, other: &Standing, descending: bool) -> std::cmp::Ordering {
        let values = match (&self.value, &other.value) {
            (Some(a), Some(b)) if descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        values.then_with(|| (self.index, self.event).cmp(&(other.index, other.event)))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => f.write_str("-")?,
            Some(SortValue::Number(n)) => write!(f, "n{n}")?,
            Some(SortValue::Text(text)) => {
                f.write_str("t")?;
                text.bytes().try_for_each(|b| write!(f, "{b:02x}"))?;
            }
        }
        write!(f, ".{}.{}", self.index, self.event)
    }
}

impl FromStr for Standing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Standing> {
        let wrong = || Error::Cursor {
            given: text.chars().take(100).collect(),
        };
        let mut parts = text.split('.');
        let (Some(value), Some(index), Some(event), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let value = match value.split_at_checked(1) {
            Some(("-", "")) => None,
            Some(("n", n)) => Some(SortValue::Number(n.parse().map_err(|_| wrong())?)),
            Some(("t", digits)) => Some(SortValue::Text(unhex(digits).ok_or_else(wrong)?)),
            _ => return Err(wrong()),
        };
        Ok(Standing {
            value,
            index: LedgerIndex(index.parse().map_err(|_| wrong())?),
            event: event.parse().map_err(|_| wrong())?,
        })
    }
}

fn unhex(digits: &str) -> Option<String> {
    let nibble = |b: u8| char::from(b).to_digit(16).map(|n| n as u8);
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[a, b]| Some(nibble(*a)? << 4 | nibble(*b)?))
        .collect();
    String::from_utf8(bytes.filter(|_| rest.is_empty())?).ok()
}

impl By {
    /// Sorts by a field that has a column.
    ///
    /// # Errors
    /// [`Error::Aggregation`]: the asker's, there is no such field, or it cannot be sorted by.
    pub fn new(name: &str, descending: bool, after: Option<Standing>) -> Result<By> {
        let columns = field::find(name).map(|f| columns(&f.kind)).unwrap_or_default();
        if columns.is_empty() {
            let sortable = FIELDS.iter().filter(|f| !columns_of(f).is_empty()).map(|f| f.name);
            return Err(Error::Aggregation {
                given: name.chars().take(100).collect(),
                allowed: sortable.collect::<Vec<_>>().join(", "),
            });
        }
        Ok(By {
            field: name.to_owned(),
            descending,
            after,
            columns,
        })
    }
}

fn columns_of(field: &field::FieldSpec) -> Vec<&'static str> {
    columns(&field.kind)
}

fn columns(kind: &Kind) -> Vec<&'static str> {
    match kind {
        Kind::Keyword(names) => names.iter().copied().filter(|n| !WITHOUT_COLUMN.contains(n)).collect(),
        Kind::Address(name, _) | Kind::Number(name) | Kind::Time(name) => vec![name],
        Kind::Class => vec!["class"],
        Kind::Severity => vec!["severity"],
        Kind::Text(_) | Kind::Record | Kind::Person => Vec::new(),
    }
}

/// What was found, in the order of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorted {
    /// The hits, each with its place.
    pub hits: Vec<(Hit, Standing)>,
    /// How many match in all.
    pub total: u64,
    /// Where the next answer starts; `None`: these were the last.
    pub next: Option<Standing>,
    /// What was searched.
    pub searched: Searched,
}

impl Searcher {
    /// As [`Searcher::search`], in the order of a field; `sort` and `after` of the request say nothing. Every match is
    /// looked at.
    ///
    /// # Errors
    /// The query's author's, the ledger's, or the disk's.
    pub fn search_by(&self, request: &Request, by: &By, text: &dyn RawText) -> Result<Sorted> {
        let search = self.prepare(request)?;
        let ahead = request.limit.saturating_add(1);
        let mut total = 0;
        let mut first: Vec<(Standing, Entry)> = Vec::new();
        let mut kept: Option<Kept> = None;
        search.for_each(text, |number, segment, matched| {
            if kept.as_ref().is_none_or(|k| k.number != number) {
                gather(&mut first, kept.take(), by, ahead)?;
                kept = Some(Kept::new(number, segment, by, ahead)?);
            }
            let Some(kept) = &mut kept else { return Ok(()) };
            match matched {
                Matched::These(docs) => {
                    total += docs.len() as u64;
                    docs.iter().for_each(|doc| kept.offer(segment, *doc));
                }
                Matched::Every => {
                    total += u64::from(segment.reader.max_doc());
                    let mut stopped = false;
                    segment.every_doc(Sort::Oldest, |docs| {
                        stopped |= text.is_stopped();
                        if !stopped {
                            docs.iter().for_each(|doc| kept.offer(segment, *doc));
                        }
                    });
                    if stopped {
                        return Err(Error::Cancelled { events: 0, of: 0 });
                    }
                }
            }
            Ok(())
        })?;
        gather(&mut first, kept, by, ahead)?;
        let more = first.len() > request.limit;
        first.truncate(request.limit);
        let hits = first
            .into_iter()
            .map(|(place, entry)| Ok((search.snapshot.hit(&entry)?, place)));
        let hits: Vec<(Hit, Standing)> = hits.collect::<Result<_>>()?;
        Ok(Sorted {
            next: hits.last().filter(|_| more).map(|(_, place)| place.clone()),
            hits,
            total,
            searched: search.searched(request)?,
        })
    }
}

/// Puts the first of a segment among the first of all.
fn gather(first: &mut Vec<(Standing, Entry)>, kept: Option<Kept>, by: &By, ahead: usize) -> Result<()> {
    let Some(mut kept) = kept else { return Ok(()) };
    kept.shrink();
    for key in std::mem::take(&mut kept.keys) {
        let value = if key.is_missing {
            None
        } else {
            Some(kept.values.value(key.rank(by))?)
        };
        let (time, _) = (kept.time(key.doc), ());
        let place = Standing {
            value,
            index: key.index,
            event: key.event,
        };
        let entry = Entry {
            key: crate::cursor::Cursor {
                time,
                index: place.index,
                event: place.event,
            },
            segment: kept.number,
            doc: key.doc,
        };
        first.push((place, entry));
    }
    first.sort_by(|(a, _), (b, _)| a.order(b, by.descending));
    first.truncate(ahead);
    Ok(())
}

/// A document's place in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    is_missing: bool,
    /// What stands for its value; the other way round where the greatest come first.
    sign: i128,
    index: LedgerIndex,
    event: u64,
    doc: DocId,
}

impl Key {
    fn rank(&self, by: &By) -> i128 {
        if by.descending { -self.sign } else { self.sign }
    }
}

/// The first of a segment.
struct Kept {
    number: usize,
    values: Values,
    time: std::sync::Arc<dyn tantivy::columnar::ColumnValues<i64>>,
    descending: bool,
    limit: usize,
    /// What comes at or before it was given already.
    after: Option<(bool, i128, LedgerIndex, u64)>,
    /// What comes at or after it is not among the first.
    last: Option<Key>,
    keys: Vec<Key>,
}

impl Kept {
    fn new(number: usize, segment: &Segment, by: &By, limit: usize) -> Result<Kept> {
        let values = Values::open(segment, &by.columns)?;
        let after = match &by.after {
            None => None,
            Some(place) => {
                let rank = place.value.as_ref().map(|v| values.rank_of(v)).transpose()?;
                let sign = rank.map_or(0, |r| if by.descending { -r } else { r });
                Some((rank.is_none(), sign, place.index, place.event))
            }
        };
        Ok(Kept {
            number,
            values,
            time: segment.time.clone(),
            descending: by.descending,
            limit,
            after,
            last: None,
            keys: Vec::new(),
        })
    }

    fn time(&self, doc: DocId) -> model::Millis {
        model::Millis(self.time.get_val(doc))
    }

    fn offer(&mut self, segment: &Segment, doc: DocId) {
        let rank = self.values.rank(doc, self.descending);
        let (is_missing, sign) = (rank.is_none(), rank.map_or(0, |r| if self.descending { -r } else { r }));
        // A quick no.
        if self
            .last
            .is_some_and(|last| (is_missing, sign) > (last.is_missing, last.sign))
        {
            return;
        }
        let at = segment.key(doc);
        let key = Key {
            is_missing,
            sign,
            index: at.index,
            event: at.event,
            doc,
        };
        let given = (key.is_missing, key.sign, key.index, key.event);
        if self.after.is_some_and(|after| given <= after) || self.last.is_some_and(|last| key >= last) {
            return;
        }
        self.keys.push(key);
        if self.keys.len() >= self.limit.saturating_mul(2).max(64) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.limit > 0 && self.keys.len() > self.limit {
            self.keys.select_nth_unstable(self.limit - 1);
            self.keys.truncate(self.limit);
            self.last = self.keys.iter().max().copied();
        }
    }
}

/// The values of a field in a segment, as numbers in their order: twice the place of a text among all and one more, so that
/// there is room for one that no document has.
enum Values {
    None,
    Numbers(Column<u64>),
    Moments(Column<i64>),
    Texts(StrColumn),
    /// Of several columns: the texts of all, in order, and of each column the place of each of its own.
    Several(Vec<(StrColumn, Vec<i128>)>, Vec<String>),
}

impl Values {
    fn open(segment: &Segment, names: &[&str]) -> Result<Values> {
        let columns = segment.reader.fast_fields();
        if let [name] = names {
            if let Ok(numbers) = columns.u64(name) {
                return Ok(Values::Numbers(numbers));
            }
            if let Ok(moments) = columns.i64(name) {
                return Ok(Values::Moments(moments));
            }
        }
        let mut texts = Vec::new();
        for name in names {
            texts.extend(columns.str(name)?);
        }
        if texts.len() < 2 {
            return Ok(texts.pop().map_or(Values::None, Values::Texts));
        }
        let mut named = Vec::new();
        for column in &texts {
            let (all, mut terms): (Vec<u64>, _) = ((0..column.num_terms() as u64).collect(), Vec::new());
            let told = |term: &[u8]| terms.push(String::from_utf8_lossy(term).into_owned());
            column.dictionary().sorted_ords_to_term_cb(&all, told)?;
            named.push(terms);
        }
        let mut all: Vec<String> = named.iter().flatten().cloned().collect();
        all.sort_unstable();
        all.dedup();
        let place = |term: &String| twice(all.binary_search(term).unwrap_or_default());
        let places: Vec<Vec<i128>> = named.iter().map(|terms| terms.iter().map(place).collect()).collect();
        Ok(Values::Several(texts.into_iter().zip(places).collect(), all))
    }

    fn rank(&self, doc: DocId, greatest: bool) -> Option<i128> {
        let one = |all: &mut dyn Iterator<Item = i128>| if greatest { all.max() } else { all.min() };
        match self {
            Values::None => None,
            Values::Numbers(column) => one(&mut column.values_for_doc(doc).map(|n| 2 * i128::from(n) + 1)),
            Values::Moments(column) => one(&mut column.values_for_doc(doc).map(|n| 2 * i128::from(n) + 1)),
            Values::Texts(column) => one(&mut column.term_ords(doc).map(|ord| 2 * i128::from(ord) + 1)),
            Values::Several(columns, _) => one(&mut columns.iter().flat_map(|(column, places)| {
                let place = |ord: u64| usize::try_from(ord).ok().and_then(|o| places.get(o).copied());
                column.term_ords(doc).filter_map(place)
            })),
        }
    }

    /// Where a value stands, which no document need have.
    fn rank_of(&self, value: &SortValue) -> Result<i128> {
        Ok(match (self, value) {
            (Values::Numbers(_) | Values::Moments(_), SortValue::Number(n)) => n.saturating_mul(2).saturating_add(1),
            (Values::Texts(column), SortValue::Text(text)) => {
                let (mut low, mut high, mut name) = (0, column.num_terms() as u64, String::new());
                while low < high {
                    let middle = low + (high - low) / 2;
                    name.clear();
                    column.ord_to_str(middle, &mut name)?;
                    match name.as_str().cmp(text) {
                        std::cmp::Ordering::Less => low = middle + 1,
                        std::cmp::Ordering::Equal => return Ok(2 * i128::from(middle) + 1),
                        std::cmp::Ordering::Greater => high = middle,
                    }
                }
                2 * i128::from(low)
            }
            (Values::Several(_, all), SortValue::Text(text)) => match all.binary_search(text) {
                Ok(at) => twice(at),
                Err(at) => twice(at) - 1,
            },
            // No document of the segment has a value; or the place is of another field, and says nothing.
            _ => 0,
        })
    }

    fn value(&self, rank: i128) -> Result<SortValue> {
        let half = (rank - 1).div_euclid(2);
        Ok(match self {
            Values::None | Values::Numbers(_) | Values::Moments(_) => SortValue::Number(half),
            Values::Texts(column) => {
                let mut name = String::new();
                column.ord_to_str(u64::try_from(half).unwrap_or_default(), &mut name)?;
                SortValue::Text(name)
            }
            Values::Several(_, all) => {
                let at = usize::try_from(half).unwrap_or_default();
                SortValue::Text(all.get(at).cloned().unwrap_or_default())
            }
        })
    }
}

fn twice(place: usize) -> i128 {
    2 * place as i128 + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        let place = |value| Standing {
            value,
            index: LedgerIndex(7),
            event: 2,
        };
        for value in [
            None,
            Some(SortValue::Number(-5)),
            Some(SortValue::Text("李.n".into())),
            Some(SortValue::Text(String::new())),
        ] {
            let place = place(value);
            assert_eq!(place.to_string().parse::<Standing>().unwrap(), place);
        }
        for wrong in [
            "", "-", "n1.2", "n1.2.3.4", "x.1.2", "t1.1.2", "tzz.1.2", "nn.1.2", "é.1.2",
        ] {
            assert!(wrong.parse::<Standing>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_sorted_by_is_refused() {
        assert!(By::new("raw", false, None).is_err());
        assert!(By::new("nothing", false, None).is_err());
        assert!(By::new("user", false, None).is_ok());
    }
}
