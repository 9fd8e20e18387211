//! What Grafana's Elasticsearch data source asks, answered from the index: `_search`, `_msearch`, `_count`, `_field_caps`
//! and `_mapping`, for any index name (a pattern that names a source narrows to it). What is not understood is refused by
//! name, never passed over.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use search::query::field::{FIELDS, Kind};
use search::{Agg, Found, Request};
use serde_json::{Map, Value, json};

mod aggs;
mod hits;
mod numbers;
mod query;

use super::{ApiError, Authenticated, aggregate};
use crate::app::App;
use crate::asking::{self, LedgerText, refusal};
use crate::auth::Caller;
use crate::pseudonyms::Eyes;
use crate::questions::Asking;
use crate::timeline::quoted;
use aggs::Planned;
use hits::{Order, Shown};

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
    asking: Asking,
    index: Option<Path<String>>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let asked = if body.is_empty() { json!({}) } else { object(&body)? };
    one(
        &app,
        &caller,
        &asking,
        index.as_deref().map_or("*", |i| i.as_str()),
        asked,
    )
    .await
    .map(Json)
}

/// `POST /_msearch`
pub async fn msearch(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    of_path: Option<Path<String>>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let of_path = of_path.as_deref().map_or("*", |i| i.as_str());
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
            other => other.as_str().unwrap_or(of_path).to_owned(),
        };
        let answer = match object(pair[1]) {
            Ok(asked) => one(&app, &caller, &Asking::unnamed(), &index, asked).await,
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
    asking: Asking,
    index: Option<Path<String>>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let mut asked = if body.is_empty() { json!({}) } else { object(&body)? };
    asked["size"] = 0.into();
    let answer = one(
        &app,
        &caller,
        &asking,
        index.as_deref().map_or("*", |i| i.as_str()),
        asked,
    )
    .await?;
    Ok(Json(
        json!({"count": answer["hits"]["total"]["value"], "_shards": shards()}),
    ))
}

/// `GET /_field_caps`, `/{index}/_field_caps`
pub async fn field_caps(
    Authenticated(caller): Authenticated,
    axum::extract::Query(wanted): axum::extract::Query<Wanted>,
) -> Result<Json<Value>, ApiError> {
    caller.demand_records()?;
    let mut fields = Map::new();
    let is_wanted = |name: &str| {
        let patterns = wanted.fields.as_deref().unwrap_or("*");
        patterns.split(',').any(|p| hits::fits(p.trim(), name))
    };
    for (name, kind, groups) in fields_of_index().filter(|(name, ..)| is_wanted(name)) {
        fields.insert(
            name.to_owned(),
            json!({kind: {"type": kind, "metadata_field": false, "searchable": true, "aggregatable": groups}}),
        );
    }
    Ok(Json(json!({"indices": ["docket"], "fields": fields})))
}

/// Which fields are asked for.
#[derive(Debug, serde::Deserialize)]
pub struct Wanted {
    fields: Option<String>,
}

/// `GET /_mapping`, `/{index}/_mapping`
pub async fn mapping(Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    caller.demand_records()?;
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

/// What a search may say; what is not here is refused.
const KNOWN: &[&str] = &[
    "query",
    "size",
    "from",
    "sort",
    "search_after",
    "aggs",
    "aggregations",
    "_source",
    "fields",
    "docvalue_fields",
    // Says nothing here: the total is always told, nothing is stored or scored, nothing is marked in a text.
    "track_total_hits",
    "track_scores",
    "stored_fields",
    "highlight",
    "version",
    "seq_no_primary_term",
    "explain",
    "timeout",
];

fn known(asked: &Value) -> Result<(), ApiError> {
    for (name, value) in asked.as_object().into_iter().flatten() {
        let is_empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if !KNOWN.contains(&name.as_str()) && !is_empty {
            return Err(unknown("", name));
        }
    }
    Ok(())
}

async fn one(app: &App, caller: &Caller, asking: &Asking, index: &str, asked: Value) -> Result<Value, ApiError> {
    let eyes = Eyes::of(app, caller)?;
    known(&asked)?;
    let mut query = query::query(app, &asked["query"], 0)?;
    if !matches!(index, "*" | "_all" | "docket" | "docket-*" | "") {
        let names: Vec<String> = index
            .split(',')
            .map(|n| n.trim().trim_end_matches("-*"))
            .map(quoted)
            .collect();
        query = query.and(asking::query(app, &format!("source:({})", names.join(" OR ")))?);
    }
    let number = |name: &str, default| match &asked[name] {
        Value::Null => Ok(default),
        given => given
            .as_u64()
            .ok_or_else(|| ApiError::bad_request(format!("{name}: give a number"))),
    };
    let (size, from) = (number("size", 10)?, number("from", 0)?);
    if size.saturating_add(from) > SIZE_MAX {
        return Err(ApiError::bad_request(format!(
            "from {from} and size {size}: at most {SIZE_MAX} together; `search_after` takes any further"
        )));
    }
    let aggs = asked.get("aggs").or_else(|| asked.get("aggregations"));
    let plan = aggs::plan(app, aggs.unwrap_or(&Value::Null), 0)?;
    plan.iter()
        .try_for_each(|p| p.each_agg(&mut |agg| aggregate::seen(agg, &eyes)))?;
    let order = Order::of(&asked["sort"], &asked["search_after"])?;
    if let Order::By(by) = &order {
        eyes.demand_order(&by.field)?;
    }
    let show = Shown::of(&asked)?;
    let mut request = Request {
        limit: usize::try_from(size + from).unwrap_or(0),
        ..Request::new(query)
    };
    if let Order::Time(sort, after) = &order {
        (request.sort, request.after) = (*sort, *after);
    }
    let (text, _waiting) = LedgerText::new(app, asking, &caller.name(), "elasticsearch", asked.clone())?;
    app.spine
        .act("search", caller, json!({"elasticsearch": asked, "index": index}))
        .await?;
    let app = app.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let began = std::time::Instant::now();
        let skip = usize::try_from(from).unwrap_or(0);
        let found = hits::find(&app, &request, &order, &show, skip, (&text, &eyes))?;
        let mut out = json!({"timed_out": false, "_shards": shards(), "status": 200,
            "hits": {"total": {"value": found.total, "relation": found.relation}, "max_score": null, "hits": found.hits},
            "docket": text.searched(&found.searched)});
        if !plan.is_empty() {
            out["aggregations"] = counted(&app, &request, &plan, &text, &eyes)?;
        }
        out["took"] = u64::try_from(began.elapsed().as_millis()).unwrap_or(0).into();
        Ok::<_, ApiError>(out)
    });
    answer.await.map_err(ApiError::internal)?
}

/// The aggregations' answers; each filter of a `filters` is a question of its own.
fn counted(app: &App, request: &Request, plan: &[Planned], text: &LedgerText, eyes: &Eyes) -> Result<Value, ApiError> {
    let count = |request: &Request, plan: &[Planned]| -> Result<(Vec<Found>, u64), ApiError> {
        let asked: Vec<Agg> = plan.iter().filter_map(Planned::agg).cloned().collect();
        let mut all = app.searcher.aggregate(request, &asked, text).map_err(refusal)?;
        aggregate::covered(&asked, &mut all.found, eyes);
        Ok((all.found, all.total))
    };
    let plain: Vec<Planned> = plan.iter().filter(|p| p.agg().is_some()).cloned().collect();
    let mut out = Map::new();
    if !plain.is_empty() {
        let (found, _) = count(request, &plain)?;
        if let Value::Object(answers) = aggs::answers(&plain, &found) {
            out.extend(answers);
        }
    }
    for planned in plan {
        let Some(filters) = planned.filters() else { continue };
        let mut buckets = Map::new();
        for (name, filter) in filters {
            let narrowed = Request {
                query: request.query.clone().and(filter.clone()),
                ..request.clone()
            };
            let (found, total) = count(&narrowed, &planned.within)?;
            let mut bucket = aggs::answers(&planned.within, &found);
            bucket["doc_count"] = total.into();
            buckets.insert(name.clone(), bucket);
        }
        out.insert(planned.name.clone(), json!({"buckets": buckets}));
    }
    Ok(Value::Object(out))
}

fn unknown(what: &str, name: &str) -> ApiError {
    let shown: String = name.chars().take(60).collect();
    let what = if what.is_empty() {
        String::new()
    } else {
        format!("{what} ")
    };
    ApiError::bad_request(format!("{what}`{shown}` is not understood here"))
}
