//! What Grafana's Elasticsearch data source asks, answered from the index: `_search`, `_msearch`, `_count`, `_field_caps`
//! and `_mapping`, for any index name (a pattern that names a source narrows to it). What is not understood is refused by
//! name, never passed over.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use search::query::field::{FIELDS, Kind};
use search::{Agg, Found, Query, Request, Sort};
use serde_json::{Map, Value, json};

use super::search::shown;
use super::{ApiError, Authenticated};
use crate::app::App;
use crate::asking::{self, LedgerText, length, refusal};
use crate::auth::{Caller, Right};
use crate::timeline::quoted;

/// Hits of one answer, as Elasticsearch has it.
const SIZE_MAX: u64 = 10_000;
/// Searches of one `_msearch`.
const SEARCHES_MAX: usize = 100;
/// Queries within each other.
const DEPTH_MAX: usize = 16;

/// `POST /_search`, `/{index}/_search`
pub async fn search(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    index: Option<Path<String>>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let asked = object(&body)?;
    one(&app, &caller, index.as_deref().map_or("*", |i| i.as_str()), asked)
        .await
        .map(Json)
}

/// `POST /_msearch`
pub async fn msearch(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let lines: Vec<&[u8]> = body
        .split(|b| *b == b'\n')
        .filter(|l| !l.iter().all(u8::is_ascii_whitespace))
        .collect();
    if !lines.len().is_multiple_of(2) || lines.len() / 2 > SEARCHES_MAX {
        return Err(ApiError::bad_request(format!(
            "_msearch: give 1 to {SEARCHES_MAX} pairs of header and body"
        )));
    }
    let mut responses = Vec::new();
    for pair in lines.chunks(2) {
        let header = object(pair[0])?;
        let index = match &header["index"] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            other => other.as_str().unwrap_or("*").to_owned(),
        };
        let answer = match object(pair[1]) {
            Ok(asked) => one(&app, &caller, &index, asked).await,
            Err(error) => Err(error),
        };
        responses.push(answer.unwrap_or_else(|e| {
            json!({"error": {"type": "illegal_argument_exception", "reason": e.message(),
                "root_cause": [{"type": "illegal_argument_exception", "reason": e.message()}]}, "status": e.status()})
        }));
    }
    Ok(Json(json!({"took": 0, "responses": responses})))
}

/// `POST /_count`, `/{index}/_count`
pub async fn count(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    index: Option<Path<String>>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let mut asked = if body.is_empty() { json!({}) } else { object(&body)? };
    asked["size"] = 0.into();
    let answer = one(&app, &caller, index.as_deref().map_or("*", |i| i.as_str()), asked).await?;
    Ok(Json(
        json!({"count": answer["hits"]["total"]["value"], "_shards": shards()}),
    ))
}

/// `GET /_field_caps`, `/{index}/_field_caps`
pub async fn field_caps(Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    let mut fields = Map::new();
    for (name, kind, groups) in fields_of_index() {
        fields.insert(
            name.to_owned(),
            json!({kind: {"type": kind, "metadata_field": false, "searchable": true, "aggregatable": groups}}),
        );
    }
    Ok(Json(json!({"indices": ["docket"], "fields": fields})))
}

/// `GET /_mapping`, `/{index}/_mapping`
pub async fn mapping(Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    let properties: Map<String, Value> = fields_of_index()
        .map(|(name, kind, _)| (name.to_owned(), json!({"type": kind})))
        .collect();
    Ok(Json(json!({"docket": {"mappings": {"properties": properties}}})))
}

/// Name, type as Elasticsearch has it, whether it can be grouped by.
fn fields_of_index() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let of = FIELDS.iter().filter_map(|f| {
        let (kind, groups) = match &f.kind {
            Kind::Keyword(_) | Kind::Class | Kind::Severity => ("keyword", true),
            Kind::Address(..) => ("ip", true),
            Kind::Text(_) => ("text", false),
            Kind::Number(_) => ("long", true),
            Kind::Time(_) => ("date", true),
            Kind::Record => ("keyword", false),
            Kind::Person => return None,
        };
        Some((f.name, kind, groups))
    });
    of.chain([("@timestamp", "date", true)])
}

fn object(bytes: &[u8]) -> Result<Value, ApiError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| ApiError::bad_request(format!("not JSON: {e}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(ApiError::bad_request("give a JSON object".into())),
    }
}

fn shards() -> Value {
    json!({"total": 1, "successful": 1, "skipped": 0, "failed": 0})
}

async fn one(app: &App, caller: &Caller, index: &str, asked: Value) -> Result<Value, ApiError> {
    caller.demand(Right::ReadRecords)?;
    let mut query = query(app, &asked["query"], 0)?;
    if !matches!(index, "*" | "_all" | "docket" | "docket-*" | "") {
        let names: Vec<String> = index
            .split(',')
            .map(|n| n.trim().trim_end_matches("-*"))
            .map(quoted)
            .collect();
        query = query.and(asking::query(app, &format!("source:({})", names.join(" OR ")))?);
    }
    let size = asked["size"].as_u64().unwrap_or(10);
    if size > SIZE_MAX {
        return Err(ApiError::bad_request(format!("size {size}: give 0 to {SIZE_MAX}")));
    }
    let aggs = asked
        .get("aggs")
        .or_else(|| asked.get("aggregations"))
        .cloned()
        .unwrap_or(Value::Null);
    let plan = plan(&aggs, 0)?;
    let after = asked["search_after"]
        .as_array()
        .and_then(|a| a.last())
        .and_then(Value::as_str);
    let request = Request {
        sort: sort(&asked["sort"]),
        limit: usize::try_from(size).unwrap_or(0),
        after: after.map(str::parse).transpose().map_err(refusal)?,
        ..Request::new(query)
    };
    let (text, _waiting) = LedgerText::new(app);
    app.spine
        .act("search", caller, json!({"elasticsearch": asked, "index": index}))
        .await?;
    let app = app.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let found = app.searcher.search(&request, &text).map_err(refusal)?;
        let hits = found.hits.iter().map(|hit| {
            let mut hit_shown = shown(&app, hit)?;
            let mut source = hit_shown["event"].take();
            source["@timestamp"] = hit.time.to_string().into();
            Ok(
                json!({"_index": "docket", "_id": hit.uid, "_score": null, "_source": source,
                "fields": {"@timestamp": [hit.time.0]}, "sort": [hit.time.0, hit.cursor.to_string()]}),
            )
        });
        let hits = hits.collect::<Result<Vec<Value>, ApiError>>()?;
        let (total, relation) = match found.total {
            search::Total::Exact(n) => (n, "eq"),
            search::Total::AtMost(n) => (n, "lte"),
        };
        let mut out = json!({"took": 0, "timed_out": false, "_shards": shards(), "status": 200,
            "hits": {"total": {"value": total, "relation": relation}, "max_score": null, "hits": hits},
            "docket": text.searched(&found.searched)});
        if !plan.is_empty() {
            let asked: Vec<Agg> = plan.iter().map(|p| p.agg.clone()).collect();
            let counted = app.searcher.aggregate(&request, &asked, &text).map_err(refusal)?;
            out["aggregations"] = answers(&plan, &counted.found);
        }
        Ok::<_, ApiError>(out)
    });
    answer.await.map_err(ApiError::internal)?
}

fn sort(asked: &Value) -> Sort {
    let first = match asked {
        Value::Array(items) => items.first().unwrap_or(&Value::Null),
        other => other,
    };
    let order = first.as_object().and_then(|o| o.values().next());
    let order = order.map(|o| o.get("order").unwrap_or(o).as_str().unwrap_or("desc"));
    if order == Some("asc") {
        Sort::Oldest
    } else {
        Sort::Newest
    }
}

fn unknown(what: &str, name: &str) -> ApiError {
    let shown: String = name.chars().take(60).collect();
    ApiError::bad_request(format!("{what} `{shown}` is not understood here"))
}

/// A query of Elasticsearch's, as one of ours.
fn query(app: &App, asked: &Value, depth: usize) -> Result<Query, ApiError> {
    if depth > DEPTH_MAX {
        return Err(ApiError::bad_request(format!(
            "queries lie at most {DEPTH_MAX} deep within each other"
        )));
    }
    let Some((kind, body)) = asked.as_object().and_then(|o| o.iter().next()) else {
        return Ok(Query::all());
    };
    let field = || body.as_object().and_then(|o| o.iter().next());
    let text = |v: &Value| match v {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let value = |inner: &Value, names: &[&str]| {
        names
            .iter()
            .find_map(|n| inner.get(n))
            .map_or_else(|| text(inner), &text)
    };
    let parse = |q: String| asking::query(app, &q);
    match kind.as_str() {
        "match_all" => Ok(Query::all()),
        "match_none" => Ok(Query::any([])),
        "query_string" | "simple_query_string" => match body["query"].as_str().unwrap_or("*").trim() {
            "" | "*" => Ok(Query::all()),
            q => parse(q.to_owned()),
        },
        "bool" => {
            let list = |name: &str| -> Result<Vec<Query>, ApiError> {
                match &body[name] {
                    Value::Null => Ok(Vec::new()),
                    Value::Array(items) => items.iter().map(|q| query(app, q, depth + 1)).collect(),
                    one => Ok(vec![query(app, one, depth + 1)?]),
                }
            };
            let (should, not) = (list("should")?, list("must_not")?);
            let mut all = list("must")?
                .into_iter()
                .chain(list("filter")?)
                .fold(Query::all(), Query::and);
            let needed = body["minimum_should_match"]
                .as_u64()
                .unwrap_or(u64::from(body["must"].is_null() && body["filter"].is_null()));
            if !should.is_empty() && needed > 0 {
                all = all.and(Query::any(should));
            }
            Ok(if not.is_empty() {
                all
            } else {
                all.and(Query::any(not).negated())
            })
        }
        "range" => {
            let (name, ends) = field().ok_or_else(|| unknown("query", "range"))?;
            let mut all = Query::all();
            for (end, sign) in [
                ("gte", ">="),
                ("gt", ">"),
                ("lte", "<="),
                ("lt", "<"),
                ("from", ">="),
                ("to", "<="),
            ] {
                if let Some(v) = ends.get(end).filter(|v| !v.is_null()) {
                    all = all.and(parse(format!("{name}:{sign}{}", quoted(&text(v))))?);
                }
            }
            Ok(all)
        }
        "term" | "match" | "match_phrase" => {
            let (name, inner) = field().ok_or_else(|| unknown("query", kind))?;
            parse(format!(
                "{}:{}",
                plain(name),
                quoted(&value(inner, &["value", "query"]))
            ))
        }
        "terms" => {
            let (name, values) = field().ok_or_else(|| unknown("query", kind))?;
            let values: Vec<String> = values
                .as_array()
                .into_iter()
                .flatten()
                .map(|v| quoted(&text(v)))
                .collect();
            if values.is_empty() {
                return Ok(Query::any([]));
            }
            parse(format!("{}:({})", plain(name), values.join(" OR ")))
        }
        "wildcard" | "prefix" => {
            let (name, inner) = field().ok_or_else(|| unknown("query", kind))?;
            let pattern = value(inner, &["value", "wildcard"]);
            let star = if kind == "prefix" { "*" } else { "" };
            let escaped = pattern.chars().fold(String::new(), |mut out, c| {
                if !c.is_alphanumeric() && !matches!(c, '*' | '?') {
                    out.push('\\');
                }
                out.push(c);
                out
            });
            parse(format!("{}:{escaped}{star}", plain(name)))
        }
        "exists" => parse(format!("exists:{}", body["field"].as_str().unwrap_or_default())),
        other => Err(unknown("query", other)),
    }
}

/// `user.keyword` is `user`.
fn plain(name: &str) -> &str {
    name.strip_suffix(".keyword").unwrap_or(name)
}

/// An aggregation with the name and shape that its answer is to have.
struct Planned {
    name: String,
    kind: Shape,
    agg: Agg,
    within: Vec<Planned>,
}

enum Shape {
    Terms,
    Times { bounds: Option<(i64, i64)>, interval: i64 },
    Distinct,
    Stat(&'static str),
}

fn plan(asked: &Value, depth: usize) -> Result<Vec<Planned>, ApiError> {
    if depth > DEPTH_MAX {
        return Err(ApiError::bad_request("aggregations lie too deep".into()));
    }
    let Some(asked) = asked.as_object() else {
        return Ok(Vec::new());
    };
    asked.iter().map(|(name, body)| planned(name, body, depth)).collect()
}

fn planned(name: &str, body: &Value, depth: usize) -> Result<Planned, ApiError> {
    let sub = body
        .get("aggs")
        .or_else(|| body.get("aggregations"))
        .unwrap_or(&Value::Null);
    let within = plan(sub, depth + 1)?;
    let inner: Vec<Agg> = within.iter().map(|p| p.agg.clone()).collect();
    let mut kinds = body.as_object().into_iter().flatten();
    let Some((kind, settings)) = kinds.find(|(k, _)| !matches!(k.as_str(), "aggs" | "aggregations" | "meta")) else {
        return Err(unknown("aggregation", name));
    };
    let field = plain(settings["field"].as_str().unwrap_or_default());
    let field = if field == "@timestamp" { "time" } else { field }.to_owned();
    let stat = |which| (Shape::Stat(which), Agg::Stats { field: field.clone() });
    let (shape, agg) = match kind.as_str() {
        "terms" => {
            let size = settings["size"].as_u64().filter(|n| *n > 0).unwrap_or(10).min(SIZE_MAX);
            let size = usize::try_from(size).unwrap_or(10);
            (
                Shape::Terms,
                Agg::Terms {
                    field,
                    size,
                    within: inner,
                },
            )
        }
        "date_histogram" => {
            let every = ["fixed_interval", "calendar_interval", "interval"]
                .iter()
                .find_map(|n| settings[*n].as_str());
            let every = match every.unwrap_or("1h") {
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
            let edge = |end: &str| settings["extended_bounds"][end].as_i64();
            let bounds = edge("min").zip(edge("max"));
            let shape = Shape::Times { bounds, interval };
            (
                shape,
                Agg::Histogram {
                    field,
                    interval_ms: interval,
                    offset_ms: 0,
                    within: inner,
                },
            )
        }
        "cardinality" => (Shape::Distinct, Agg::Cardinality { field }),
        "min" => stat("min"),
        "max" => stat("max"),
        "avg" => stat("avg"),
        "sum" => stat("sum"),
        "value_count" => stat("count"),
        "stats" | "extended_stats" => stat("stats"),
        other => return Err(unknown("aggregation", other)),
    };
    let name = name.to_owned();
    Ok(Planned {
        name,
        kind: shape,
        agg,
        within,
    })
}

fn answers(plan: &[Planned], found: &[Found]) -> Value {
    let one = |(p, f): (&Planned, &Found)| (p.name.clone(), answer(p, f));
    Value::Object(plan.iter().zip(found).map(one).collect())
}

fn answer(plan: &Planned, found: &Found) -> Value {
    let bucket = |mut out: Value, within: &[Found]| {
        if let Value::Object(more) = answers(&plan.within, within) {
            more.into_iter().for_each(|(name, value)| out[name.as_str()] = value);
        }
        out
    };
    match (&plan.kind, found) {
        (Shape::Terms, Found::Terms { buckets, others, .. }) => {
            let buckets = buckets
                .iter()
                .map(|b| bucket(json!({"key": b.key, "doc_count": b.count}), &b.found));
            json!({"doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets.collect::<Vec<_>>()})
        }
        (Shape::Times { bounds, interval }, Found::Histogram { buckets }) => {
            let mut keyed: Vec<(i64, Value)> = buckets
                .iter()
                .map(|b| {
                    let out = json!({"key": b.key.0, "key_as_string": b.key.0.to_string(), "doc_count": b.count});
                    (b.key.0, bucket(out, &b.found))
                })
                .collect();
            // The edges that were asked for are there, as buckets of nothing.
            for edge in bounds.iter().flat_map(|(a, b)| [*a, *b]) {
                let key = edge.div_euclid(*interval) * interval;
                if !keyed.iter().any(|(k, _)| *k == key) {
                    keyed.push((
                        key,
                        json!({"key": key, "key_as_string": key.to_string(), "doc_count": 0}),
                    ));
                }
            }
            keyed.sort_by_key(|(k, _)| *k);
            json!({"buckets": keyed.into_iter().map(|(_, b)| b).collect::<Vec<_>>()})
        }
        (Shape::Distinct, Found::Cardinality(n)) => json!({"value": n}),
        (Shape::Stat(which), Found::Stats(s)) => match *which {
            "min" => json!({"value": s.min}),
            "max" => json!({"value": s.max}),
            "avg" => json!({"value": s.avg()}),
            "sum" => json!({"value": s.sum}),
            "count" => json!({"value": s.count}),
            _ => json!({"count": s.count, "min": s.min, "max": s.max, "avg": s.avg(), "sum": s.sum}),
        },
        _ => Value::Null,
    }
}
