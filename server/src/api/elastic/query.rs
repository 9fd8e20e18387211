//! Queries of Elasticsearch's, as ours.

use search::Query;
use serde_json::Value;

use super::{DEPTH_MAX, unknown};
use crate::api::ApiError;
use crate::app::App;
use crate::asking;
use crate::timeline::quoted;

/// A query of Elasticsearch's, as one of ours.
pub fn query(app: &App, asked: &Value, depth: usize) -> Result<Query, ApiError> {
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
pub fn plain(name: &str) -> &str {
    name.strip_suffix(".keyword").unwrap_or(name)
}
