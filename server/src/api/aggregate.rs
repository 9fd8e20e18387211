//! `POST /api/v1/aggregate` and `POST /api/v1/compare`: counting over all matches of a query.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use search::{Agg, Found, Within};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::App;
use crate::asking::{self, LedgerText, length, refusal};
use crate::pseudonyms::Eyes;
use crate::questions::Asking;

/// Values of one answer at most.
const SIZE_MAX: usize = 10_000;

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// The query; empty finds everything.
    q: String,
    /// From this time on.
    from: Option<String>,
    /// Before this time.
    to: Option<String>,
    /// What is counted.
    aggs: Vec<Counted>,
}

/// One aggregation, as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Counted {
    /// Most frequent values.
    Terms {
        /// The field.
        field: String,
        /// How many, 1 to 10 000, default 10.
        size: Option<usize>,
        /// What is counted within each.
        #[serde(default)]
        within: Vec<Counted>,
    },
    /// By time.
    Histogram {
        /// `time` (default), `received` or `processed`.
        field: Option<String>,
        /// Length of a bucket: `15m`, `1h`, `1d`.
        every: String,
        /// What begins a day: `+08:00`; default UTC.
        zone: Option<String>,
        /// What is counted within each.
        #[serde(default)]
        within: Vec<Counted>,
    },
    /// How many different values.
    Cardinality {
        /// The field.
        field: String,
    },
    /// Least, greatest, sum, mean.
    Stats {
        /// The field.
        field: String,
    },
}

impl Counted {
    fn agg(&self) -> Result<Agg, ApiError> {
        let inner = |within: &[Counted]| within.iter().map(Counted::agg).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            Counted::Terms { field, size, within } => Agg::Terms {
                field: field.clone(),
                size: checked_size(*size)?,
                within: inner(within)?,
            },
            Counted::Histogram {
                field,
                every,
                zone,
                within,
            } => Agg::Histogram {
                field: field.clone().unwrap_or_else(|| "time".into()),
                interval_ms: length(every)?,
                offset_ms: zone.as_deref().map_or(Ok(0), offset)?,
                within: inner(within)?,
            },
            Counted::Cardinality { field } => Agg::Cardinality { field: field.clone() },
            Counted::Stats { field } => Agg::Stats { field: field.clone() },
        })
    }
}

/// Counts. The question is recorded first.
pub async fn aggregate(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    asking: Asking,
    Json(asked): Json<Asked>,
) -> Result<Json<Value>, ApiError> {
    let eyes = Eyes::of(&app, &caller)?;
    if asked.aggs.is_empty() || asked.aggs.len() > 20 {
        return Err(ApiError::bad_request("aggs: give 1 to 20 aggregations".into()));
    }
    let request = asking::request(&app, &asked.q, asked.from.as_deref(), asked.to.as_deref())?;
    let aggs = asked.aggs.iter().map(Counted::agg).collect::<Result<Vec<_>, _>>()?;
    aggs.iter().try_for_each(|agg| seen(agg, &eyes))?;
    let (text, _waiting) = LedgerText::new(&app, &asking, &caller.name(), "aggregate", json!(asked))?;
    app.spine.act("search", &caller, json!(asked)).await?;
    let counted = tokio::task::spawn_blocking(move || {
        let mut all = app.searcher.aggregate(&request, &aggs, &text).map_err(refusal)?;
        covered(&aggs, &mut all.found, &eyes);
        Ok::<_, ApiError>(json!({
            "total": all.total,
            "aggs": all.found.iter().map(shown).collect::<Vec<_>>(),
            "searched": text.searched(&all.searched),
        }))
    });
    counted.await.map_err(ApiError::internal)?.map(Json)
}

/// Whether the fields of an aggregation may be told.
pub fn seen(agg: &Agg, eyes: &Eyes) -> Result<(), ApiError> {
    match agg {
        Agg::Terms { field, within, .. } => {
            eyes.demand_field(field)?;
            within.iter().try_for_each(|inner| seen(inner, eyes))
        }
        Agg::Histogram { within, .. } => within.iter().try_for_each(|inner| seen(inner, eyes)),
        // How many there are, and sums, name nobody.
        Agg::Cardinality { .. } | Agg::Stats { .. } | Agg::Numbers { .. } => Ok(()),
    }
}

/// Hides the people among the keys.
pub fn covered(aggs: &[Agg], found: &mut [Found], eyes: &Eyes) {
    if !eyes.are_covered() {
        return;
    }
    for (agg, found) in aggs.iter().zip(found) {
        match (agg, found) {
            (Agg::Terms { field, within, .. }, Found::Terms { buckets, .. }) => {
                for bucket in buckets {
                    bucket.key = eyes.value(field, &bucket.key);
                    covered(within, &mut bucket.found, eyes);
                }
            }
            (Agg::Histogram { within, .. }, Found::Histogram { buckets }) => {
                buckets.iter_mut().for_each(|b| covered(within, &mut b.found, eyes));
            }
            _ => {}
        }
    }
}

/// What is compared.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// The query; empty finds everything.
    #[serde(default)]
    q: String,
    /// The field whose values are compared.
    by: String,
    /// From this time on.
    from: String,
    /// Before this time; default now.
    #[serde(default)]
    to: Option<String>,
    /// How much earlier the other period is; default: it ends where this one begins.
    #[serde(default)]
    before: Option<String>,
    /// Rows, 1 to 10 000, default 50: the greatest differences.
    #[serde(default)]
    size: Option<usize>,
}

/// Compares a period with an earlier one of the same length. The question is recorded first.
pub async fn compare(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    asking: Asking,
    Json(asked): Json<Compared>,
) -> Result<Json<Value>, ApiError> {
    let eyes = Eyes::of(&app, &caller)?;
    eyes.demand_field(&asked.by)?;
    let mut now = asking::request(&app, &asked.q, Some(&asked.from), asked.to.as_deref())?;
    let to = now.to.unwrap_or_else(|| app.clock.now());
    now.to = Some(to);
    let Some(from) = now.from.filter(|from| *from < to) else {
        return Err(ApiError::bad_request("from: give a time before `to`".into()));
    };
    let shift = asked.before.as_deref().map_or(Ok(to - from), length)?;
    let mut earlier = now.clone();
    earlier.from = Some(from + -shift);
    earlier.to = Some(to + -shift);
    let size = checked_size(asked.size.or(Some(50)))?;
    let (text, _waiting) = LedgerText::new(&app, &asking, &caller.name(), "compare", json!(asked))?;
    app.spine.act("search", &caller, json!(asked)).await?;
    let compared = tokio::task::spawn_blocking(move || {
        let aggs = [Agg::Terms {
            field: asked.by.clone(),
            size: usize::MAX,
            within: Vec::new(),
        }];
        let mut rows: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        let mut periods = Vec::new();
        for (n, request) in [&now, &earlier].into_iter().enumerate() {
            let all = app.searcher.aggregate(request, &aggs, &text).map_err(refusal)?;
            for found in &all.found {
                if let Found::Terms { buckets, .. } = found {
                    buckets
                        .iter()
                        .for_each(|b| rows.entry(b.key.clone()).or_default()[n] = b.count);
                }
            }
            periods.push(json!({
                "from": request.from.map(|t| t.to_string()), "to": request.to.map(|t| t.to_string()),
                "total": all.total, "searched": text.searched(&all.searched),
            }));
        }
        let values = rows.len();
        let mut rows: Vec<(String, [u64; 2])> = rows.into_iter().collect();
        rows.sort_by_key(|(_, [now, before])| std::cmp::Reverse(now.abs_diff(*before)));
        rows.truncate(size);
        let row = |(key, [now, before]): (String, [u64; 2])| {
            let change = i128::from(now) - i128::from(before);
            let word = match (now, before) {
                (_, 0) => "new",
                (0, _) => "gone",
                (a, b) if a > b => "more",
                (a, b) if a < b => "less",
                _ => "same",
            };
            let key = eyes.value(&asked.by, &key);
            json!({"key": key, "now": now, "before": before, "change": change as i64, "is": word})
        };
        let before = periods.pop();
        Ok::<_, ApiError>(json!({
            "by": asked.by, "now": periods.pop(), "before": before, "values": values,
            "rows": rows.into_iter().map(row).collect::<Vec<_>>(),
        }))
    });
    compared.await.map_err(ApiError::internal)?.map(Json)
}

fn checked_size(size: Option<usize>) -> Result<usize, ApiError> {
    let size = size.unwrap_or(10);
    match (1..=SIZE_MAX).contains(&size) {
        true => Ok(size),
        false => Err(ApiError::bad_request(format!("size {size}: give 1 to {SIZE_MAX}"))),
    }
}

/// `+08:00`, `-0530`, `Z`, as ms.
fn offset(zone: &str) -> Result<i64, ApiError> {
    let wrong = || {
        ApiError::bad_request(format!(
            "zone `{}`: give an offset such as +08:00",
            zone.chars().take(20).collect::<String>()
        ))
    };
    if matches!(zone, "Z" | "UTC") {
        return Ok(0);
    }
    let (sign, rest) = match zone.as_bytes().first() {
        Some(b'+') => (1, &zone[1..]),
        Some(b'-') => (-1, &zone[1..]),
        _ => return Err(wrong()),
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    let is_offset = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = digits.parse().ok().filter(|_| is_offset).ok_or_else(wrong)?;
    Ok(sign * (number / 100 * 3_600_000 + number % 100 * 60_000))
}

fn shown(found: &Found) -> Value {
    fn bucket<K>(b: &Within<K>, key: Value) -> Value {
        let mut out = json!({"key": key, "count": b.count});
        if !b.found.is_empty() {
            out["within"] = b.found.iter().map(shown).collect();
        }
        out
    }
    match found {
        Found::Terms {
            buckets,
            distinct,
            missing,
            others,
        } => json!({
            "buckets": buckets.iter().map(|b| bucket(b, json!(b.key))).collect::<Vec<_>>(),
            "distinct": distinct, "missing": missing, "others": others,
        }),
        Found::Histogram { buckets } => {
            json!({"buckets": buckets.iter().map(|b| bucket(b, json!(b.key.to_string()))).collect::<Vec<_>>()})
        }
        Found::Cardinality(n) => json!({"distinct": n}),
        Found::Stats(s) => json!({"count": s.count, "min": s.min, "max": s.max, "sum": s.sum, "avg": s.avg()}),
        Found::Numbers(numbers) => json!({"numbers": numbers.0}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_lengths_are_read_or_refused() {
        assert_eq!(offset("+08:00").unwrap(), 28_800_000);
        assert_eq!(offset("-0530").unwrap(), -19_800_000);
        for wrong in ["", "8", "+8", "Asia/Shanghai", "+é00"] {
            assert!(offset(wrong).is_err(), "{wrong}");
        }
        assert_eq!(length("1h").unwrap(), 3_600_000);
        for wrong in ["", "h", "0h", "1970-01-01", "é", "-1h"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }
}
