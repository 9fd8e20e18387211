//! Aggregations of Elasticsearch's, as ours, and their answers in its shape.

use search::query::field::{self, Kind};
use search::{Agg, Found, Query, Within};
use serde_json::{Map, Value, json};

use super::numbers::{decimal, extended, percents};
use super::query::{plain, query};
use super::{DEPTH_MAX, SIZE_MAX, unknown};
use crate::api::ApiError;
use crate::app::App;
use crate::asking::length;

/// Buckets of a histogram that are filled in.
const FILLED_MAX: i64 = 10_000;
const DAY: i64 = 86_400_000;

/// An aggregation with the name and shape that its answer is to have.
#[derive(Clone)]
pub struct Planned {
    pub name: String,
    shape: Shape,
    pub within: Vec<Planned>,
}

#[derive(Clone)]
enum Shape {
    Terms {
        agg: Agg,
        size: usize,
        order: Vec<(Key, bool)>,
        least: u64,
        missing: Option<String>,
    },
    Times {
        agg: Agg,
        bounds: Option<(i64, i64)>,
        interval: i64,
        offset: i64,
        least: u64,
    },
    Distinct(Agg),
    Stat(&'static str, Agg),
    /// Which of a hundred.
    Percentiles(Vec<f64>, Agg),
    /// How many deviations the bounds are apart from the mean.
    Extended(f64, Agg),
    /// Each is a question of its own.
    Filters(Vec<(String, Query)>),
}

/// What buckets are ordered by; `true` beside it: the greatest first.
#[derive(Clone)]
enum Key {
    Count,
    Name,
    /// A number of the aggregation of that name, and which of several.
    Within(String, Option<String>),
}

impl Planned {
    /// What is counted; `None`: filters.
    pub fn agg(&self) -> Option<&Agg> {
        match &self.shape {
            Shape::Terms { agg, .. }
            | Shape::Times { agg, .. }
            | Shape::Distinct(agg)
            | Shape::Stat(_, agg)
            | Shape::Percentiles(_, agg)
            | Shape::Extended(_, agg) => Some(agg),
            Shape::Filters(_) => None,
        }
    }

    /// Name and query of each filter.
    pub fn filters(&self) -> Option<&[(String, Query)]> {
        match &self.shape {
            Shape::Filters(filters) => Some(filters),
            _ => None,
        }
    }

    /// Calls `f` with what is counted, of filters with what is counted within.
    pub fn each_agg(&self, f: &mut dyn FnMut(&Agg) -> Result<(), ApiError>) -> Result<(), ApiError> {
        match self.agg() {
            Some(agg) => f(agg),
            None => self.within.iter().try_for_each(|p| p.each_agg(f)),
        }
    }
}

/// Reads `aggs`.
pub fn plan(app: &App, asked: &Value, depth: usize) -> Result<Vec<Planned>, ApiError> {
    if depth > DEPTH_MAX {
        return Err(ApiError::bad_request("aggregations lie too deep".into()));
    }
    let Some(asked) = asked.as_object() else {
        return Ok(Vec::new());
    };
    asked
        .iter()
        .map(|(name, body)| planned(app, name, body, depth))
        .collect()
}

fn planned(app: &App, name: &str, body: &Value, depth: usize) -> Result<Planned, ApiError> {
    let sub = body.get("aggs").or_else(|| body.get("aggregations"));
    let within = plan(app, sub.unwrap_or(&Value::Null), depth + 1)?;
    let mut kinds = body.as_object().into_iter().flatten();
    let Some((kind, settings)) = kinds.find(|(k, _)| !matches!(k.as_str(), "aggs" | "aggregations" | "meta")) else {
        return Err(unknown("aggregation", name));
    };
    if kind != "filters" && within.iter().any(|p| p.filters().is_some()) {
        return Err(ApiError::bad_request(format!(
            "`filters` within `{kind}` is not understood here; put `filters` outside"
        )));
    }
    let inner: Vec<Agg> = within.iter().filter_map(Planned::agg).cloned().collect();
    let field = plain(settings["field"].as_str().unwrap_or_default());
    let field = if field == "@timestamp" { "time" } else { field }.to_owned();
    let known = |names: &[&str]| {
        let mut given = settings
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str());
        match given.find(|name| !names.contains(name)) {
            None => Ok(()),
            Some(name) => Err(unknown(kind, name)),
        }
    };
    let is_number = |kind: &Kind| matches!(kind, Kind::Number(_) | Kind::Time(_) | Kind::Severity | Kind::Class);
    let numbers = || match field::find(&field) {
        Some(f) if !is_number(&f.kind) => Err(ApiError::bad_request(format!("{kind}: `{field}` holds no numbers"))),
        // Any other path is read from the ledger, and may.
        _ => Ok(Agg::Numbers { field: field.clone() }),
    };
    let stat = |which| {
        let number = field::find(&field).is_some_and(|f| is_number(&f.kind));
        known(if which == "count" {
            &["field"]
        } else {
            &["field", "missing"]
        })?;
        if settings.get("missing").is_some_and(|m| !m.is_null()) {
            return Err(unknown(kind, "missing"));
        }
        // How many values a field of texts has is no matter of numbers.
        if which == "count" && !number {
            return Err(ApiError::bad_request(format!(
                "value_count of `{field}` is not understood here; count what has it: `exists:{field}`"
            )));
        }
        Ok(Shape::Stat(which, Agg::Stats { field: field.clone() }))
    };
    let shape = match kind.as_str() {
        "terms" => {
            known(&[
                "field",
                "size",
                "order",
                "min_doc_count",
                "missing",
                "shard_size",
                "show_term_doc_count_error",
            ])?;
            terms(field, settings, &within, inner)?
        }
        "date_histogram" => {
            known(&[
                "field",
                "fixed_interval",
                "calendar_interval",
                "interval",
                "min_doc_count",
                "extended_bounds",
                "format",
                "time_zone",
                "offset",
            ])?;
            times(field, settings, inner)?
        }
        "filters" => {
            known(&["filters"])?;
            if depth > 0 {
                return Err(ApiError::bad_request(
                    "`filters` is understood outside of all others".into(),
                ));
            }
            let filters = settings["filters"].as_object().into_iter().flatten();
            let filters = filters.map(|(name, asked)| Ok((name.clone(), query(app, asked, 0)?)));
            Shape::Filters(filters.collect::<Result<_, ApiError>>()?)
        }
        "cardinality" => {
            known(&["field", "precision_threshold"])?;
            Shape::Distinct(Agg::Cardinality { field })
        }
        "min" => stat("min")?,
        "max" => stat("max")?,
        "avg" => stat("avg")?,
        "sum" => stat("sum")?,
        "value_count" => stat("count")?,
        "stats" => stat("stats")?,
        "percentiles" => {
            known(&["field", "percents", "keyed", "tdigest", "hdr"])?;
            if settings["keyed"] == false {
                return Err(unknown(kind, "keyed"));
            }
            Shape::Percentiles(percents(&settings["percents"])?, numbers()?)
        }
        "extended_stats" => {
            known(&["field", "sigma"])?;
            Shape::Extended(decimal(&settings["sigma"]).unwrap_or(2.0), numbers()?)
        }
        other => return Err(unknown("aggregation", other)),
    };
    Ok(Planned {
        name: name.to_owned(),
        shape,
        within,
    })
}

/// A number, which Grafana writes as text too.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn terms(field: String, settings: &Value, within: &[Planned], inner: Vec<Agg>) -> Result<Shape, ApiError> {
    let size = number(&settings["size"]).filter(|n| *n > 0).unwrap_or(10).min(SIZE_MAX);
    let size = usize::try_from(size).unwrap_or(10);
    let orders: Vec<&Value> = match &settings["order"] {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    };
    let mut order = Vec::new();
    for (name, direction) in orders.iter().filter_map(|o| o.as_object()).flatten() {
        let descending = match direction.as_str() {
            Some("desc") => true,
            Some("asc") => false,
            _ => return Err(unknown("order", &direction.to_string())),
        };
        let key = match name.as_str() {
            "_count" => Key::Count,
            "_key" | "_term" => Key::Name,
            name => {
                let (of, which) = match name.split_once('.') {
                    Some((of, which)) => (of, Some(which.to_owned())),
                    None => (name, None),
                };
                let is_there = within.iter().any(|p| {
                    p.name == of && matches!(p.shape, Shape::Distinct(_) | Shape::Stat(..) | Shape::Extended(..))
                });
                if !is_there {
                    return Err(unknown("order by", name));
                }
                Key::Within(of.to_owned(), which)
            }
        };
        order.push((key, descending));
    }
    let missing = match &settings["missing"] {
        Value::Null => None,
        _ if !within.is_empty() => {
            return Err(ApiError::bad_request(
                "terms: `missing` with aggregations within is not understood here".into(),
            ));
        }
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    // Most frequent first is how they are counted; for any other order all of them are.
    let plain = matches!(order.first(), None | Some((Key::Count, true))) && missing.is_none();
    Ok(Shape::Terms {
        agg: Agg::Terms {
            field,
            size: if plain { size } else { usize::MAX },
            within: inner,
        },
        size,
        order,
        least: number(&settings["min_doc_count"]).unwrap_or(1).max(1),
        missing,
    })
}

fn times(field: String, settings: &Value, inner: Vec<Agg>) -> Result<Shape, ApiError> {
    let given = ["fixed_interval", "calendar_interval", "interval"]
        .iter()
        .find_map(|n| Some((*n, settings[*n].as_str()?)));
    let (which, every) = given.ok_or_else(|| ApiError::bad_request("date_histogram: give fixed_interval".into()))?;
    let every = match every {
        "minute" => "1m",
        "hour" => "1h",
        "day" => "1d",
        "week" => "1w",
        other => other,
    };
    let interval = match every.strip_suffix("ms") {
        Some(ms) => ms
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| unknown("interval", every))?,
        None => length(every)?,
    };
    let mut offset = zone(&settings["time_zone"])?;
    // Weeks of the calendar begin on Mondays; the epoch did on a Thursday.
    if which != "fixed_interval" && every == "1w" {
        offset += 3 * DAY;
    }
    match settings["offset"].as_str() {
        None => {}
        Some(shift) => {
            let (sign, shift) = match shift.strip_prefix('-') {
                Some(rest) => (1, rest),
                None => (-1, shift.strip_prefix('+').unwrap_or(shift)),
            };
            offset += sign * if shift.starts_with('0') { 0 } else { length(shift)? };
        }
    }
    let edge = |end: &str| settings["extended_bounds"][end].as_i64();
    Ok(Shape::Times {
        agg: Agg::Histogram {
            field,
            interval_ms: interval,
            offset_ms: offset,
            within: inner,
        },
        bounds: edge("min").zip(edge("max")),
        interval,
        offset,
        least: number(&settings["min_doc_count"]).unwrap_or(0),
    })
}

/// A zone's distance from UTC, ms. One that changes with the season is refused: no bucket would begin where it says.
fn zone(given: &Value) -> Result<i64, ApiError> {
    let Some(name) = given.as_str() else { return Ok(0) };
    if matches!(name, "" | "utc" | "UTC" | "Z" | "browser") {
        return Ok(0);
    }
    let wrong = || {
        ApiError::bad_request(format!(
            "time_zone `{}`: give an offset such as +08:00, or a zone that keeps one all year",
            name.chars().take(40).collect::<String>()
        ))
    };
    if let Some(rest) = name.strip_prefix(['+', '-']) {
        let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
        let part = |text: &str, most: i64| {
            text.parse::<i64>()
                .ok()
                .filter(|n| (0..=most).contains(n))
                .ok_or_else(wrong)
        };
        let offset = (part(hours, 18)? * 60 + part(minutes, 59)?) * 60_000;
        return Ok(if name.starts_with('-') { -offset } else { offset });
    }
    let zone = jiff::tz::TimeZone::get(name).map_err(|_| wrong())?;
    let at = |month| {
        let day = jiff::civil::date(2026, month, 1).to_zoned(zone.clone());
        day.map(|day| i64::from(day.offset().seconds()) * 1000)
    };
    match (at(1), at(7)) {
        (Ok(winter), Ok(summer)) if winter == summer => Ok(winter),
        _ => Err(wrong()),
    }
}

/// The answers, by name.
pub fn answers(plan: &[Planned], found: &[Found]) -> Value {
    let counted = plan.iter().filter(|p| p.agg().is_some());
    Value::Object(
        counted
            .zip(found)
            .map(|(p, f)| (p.name.clone(), answer(p, f)))
            .collect::<Map<_, _>>(),
    )
}

fn answer(plan: &Planned, found: &Found) -> Value {
    let bucket = |mut out: Value, within: &[Found]| {
        if let Value::Object(more) = answers(&plan.within, within) {
            more.into_iter().for_each(|(name, value)| out[name.as_str()] = value);
        }
        out
    };
    match (&plan.shape, found) {
        (
            Shape::Terms {
                size,
                order,
                least,
                missing,
                ..
            },
            Found::Terms {
                buckets,
                others,
                missing: without,
                ..
            },
        ) => {
            let one = |b: &Within<String>| bucket(json!({"key": b.key, "doc_count": b.count}), &b.found);
            let mut all: Vec<Value> = buckets.iter().filter(|b| b.count >= *least).map(one).collect();
            if let Some(name) = missing.as_ref().filter(|_| *without >= *least) {
                all.push(json!({"key": name, "doc_count": without}));
            }
            if order.is_empty() {
                all.sort_by_key(|b| std::cmp::Reverse(b["doc_count"].as_u64()));
            }
            all.sort_by(|a, b| {
                let by = |(key, descending): &(Key, bool)| key.compare(a, b, *descending);
                order
                    .iter()
                    .map(by)
                    .find(|o| o.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
            let cut = all.split_off(all.len().min(*size));
            let left: u64 = cut.iter().filter_map(|b| b["doc_count"].as_u64()).sum();
            json!({"doc_count_error_upper_bound": 0, "sum_other_doc_count": others + left, "buckets": all})
        }
        (
            Shape::Times {
                bounds,
                interval,
                offset,
                least,
                ..
            },
            Found::Histogram { buckets },
        ) => {
            let shown = |b: &Within<model::Millis>| {
                let out = json!({"key": b.key.0, "key_as_string": b.key.0.to_string(), "doc_count": b.count});
                (b.key.0, bucket(out, &b.found))
            };
            let mut keyed: Vec<(i64, Value)> = buckets.iter().filter(|b| b.count >= *least).map(shown).collect();
            if let Some((first, last)) = bounds.filter(|_| *least == 0) {
                let key = |at: i64| (at + offset).div_euclid(*interval) * interval - offset;
                let known: Vec<i64> = keyed.iter().map(|(k, _)| *k).collect();
                // What was asked for is there, as buckets of nothing.
                let (mut at, mut filled) = (key(first), 0);
                while at <= key(last) && filled < FILLED_MAX {
                    if known.binary_search(&at).is_err() {
                        let none = json!({"key": at, "key_as_string": at.to_string(), "doc_count": 0});
                        keyed.push((at, none));
                    }
                    (at, filled) = (at + interval, filled + 1);
                }
                keyed.sort_by_key(|(k, _)| *k);
            }
            json!({"buckets": keyed.into_iter().map(|(_, b)| b).collect::<Vec<_>>()})
        }
        (Shape::Distinct(_), Found::Cardinality(n)) => json!({"value": n}),
        (Shape::Stat(which, _), Found::Stats(s)) => match *which {
            "min" => json!({"value": s.min}),
            "max" => json!({"value": s.max}),
            "avg" => json!({"value": s.avg()}),
            "sum" => json!({"value": s.sum}),
            "count" => json!({"value": s.count}),
            _ => json!({"count": s.count, "min": s.min, "max": s.max, "avg": s.avg(), "sum": s.sum}),
        },
        (Shape::Percentiles(percents, _), Found::Numbers(numbers)) => {
            // Elasticsearch writes `50.0`.
            let one = |p: &f64| (format!("{p:?}"), json!(numbers.percentile(*p)));
            json!({"values": percents.iter().map(one).collect::<Map<_, _>>()})
        }
        (Shape::Extended(sigma, _), Found::Numbers(numbers)) => extended(*sigma, numbers),
        _ => Value::Null,
    }
}

impl Key {
    fn compare(&self, a: &Value, b: &Value, descending: bool) -> std::cmp::Ordering {
        let order = match self {
            Key::Name => {
                let name = |v: &Value| v["key"].as_str().unwrap_or_default().to_owned();
                name(a).cmp(&name(b))
            }
            Key::Count => a["doc_count"].as_u64().cmp(&b["doc_count"].as_u64()),
            Key::Within(of, which) => {
                let number = |v: &Value| v[of.as_str()][which.as_deref().unwrap_or("value")].as_f64();
                // What has no number stands last either way.
                return match (number(a), number(b)) {
                    (Some(x), Some(y)) if descending => y.total_cmp(&x),
                    (Some(x), Some(y)) => x.total_cmp(&y),
                    (x, y) => x.is_none().cmp(&y.is_none()),
                };
            }
        };
        if descending { order.reverse() } else { order }
    }
}
