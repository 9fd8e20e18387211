//! Hits, as Elasticsearch shows them: in which order, and what of them.

use model::Millis;
use search::query::field;
use search::{By, Cursor, Request, Searched, Sort, Total};
use serde_json::{Map, Value, json};

use super::query::plain;
use super::unknown;
use crate::api::ApiError;
use crate::api::search::shown;
use crate::app::App;
use crate::asking::{LedgerText, at_path, refusal};
use crate::pseudonyms::Eyes;

/// In which order, and where it goes on.
pub enum Order {
    /// By time.
    Time(Sort, Option<Cursor>),
    /// By a field.
    By(By),
}

impl Order {
    /// As `sort` and `search_after` say. The second key of a sort may be the document's own place, which is the tie-break here.
    pub fn of(sort: &Value, after: &Value) -> Result<Order, ApiError> {
        let items: Vec<&Value> = match sort {
            Value::Null => Vec::new(),
            Value::Array(items) => items.iter().collect(),
            one => vec![one],
        };
        let mut keys = Vec::new();
        for item in items {
            match item {
                Value::String(name) => keys.push((plain(name), None)),
                Value::Object(of) => {
                    for (name, order) in of {
                        let order = order.get("order").unwrap_or(order).as_str();
                        keys.push((plain(name), order));
                    }
                }
                _ => return Err(unknown("sort", &item.to_string())),
            }
        }
        let is_place = |name: &str| matches!(name, "_doc" | "_shard_doc" | "_score" | "_id");
        let is_time = |name: &str| matches!(name, "@timestamp" | "time" | "timestamp");
        let first = keys.iter().position(|(name, _)| !is_place(name));
        for (name, _) in keys.iter().skip(first.map_or(0, |n| n + 1)) {
            if !is_place(name) && !is_time(name) {
                return Err(ApiError::bad_request(format!(
                    "sort: `{name}` as a second key is not understood here; equals stand as they do in the ledger"
                )));
            }
        }
        let place = match after {
            Value::Null => None,
            Value::Array(keys) => Some(keys.last().and_then(Value::as_str).ok_or_else(wrong_place)?),
            _ => return Err(wrong_place()),
        };
        let (name, order) = first.map_or(("@timestamp", None), |n| keys[n]);
        let descending = match order {
            None => is_time(name),
            Some("asc") => false,
            Some("desc") => true,
            Some(other) => return Err(unknown("order", other)),
        };
        if is_time(name) {
            let sort = if descending { Sort::Newest } else { Sort::Oldest };
            return Ok(Order::Time(sort, place.map(str::parse).transpose().map_err(refusal)?));
        }
        let place = place.map(str::parse).transpose().map_err(refusal)?;
        Ok(Order::By(By::new(name, descending, place).map_err(refusal)?))
    }
}

fn wrong_place() -> ApiError {
    ApiError::bad_request("search_after: give the `sort` of the last hit, as it was answered".into())
}

/// What of a hit is shown.
pub struct Shown {
    source: bool,
    includes: Vec<String>,
    excludes: Vec<String>,
    /// Names, and how a time is written.
    fields: Vec<(String, Option<String>)>,
}

impl Shown {
    /// As `_source`, `fields` and `docvalue_fields` say.
    pub fn of(asked: &Value) -> Result<Shown, ApiError> {
        let names = |value: &Value| -> Result<Vec<String>, ApiError> {
            let one = |v: &Value| {
                v.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| unknown("_source", &v.to_string()))
            };
            match value {
                Value::Null => Ok(Vec::new()),
                Value::Array(items) => items.iter().map(one).collect(),
                other => Ok(vec![one(other)?]),
            }
        };
        let (source, includes, excludes) = match &asked["_source"] {
            Value::Bool(shown) => (*shown, Vec::new(), Vec::new()),
            Value::Object(of) => {
                let of = |a, b| names(of.get(a).or_else(|| of.get(b)).unwrap_or(&Value::Null));
                (true, of("includes", "include")?, of("excludes", "exclude")?)
            }
            other => (true, names(other)?, Vec::new()),
        };
        let mut fields = Vec::new();
        // Of a field that is named in both, `fields` says how it is written.
        for list in ["docvalue_fields", "fields"] {
            for field in asked[list].as_array().into_iter().flatten() {
                let name = field.get("field").unwrap_or(field).as_str();
                let name = name.ok_or_else(|| unknown(list, &field.to_string()))?;
                fields.push((name.to_owned(), field["format"].as_str().map(str::to_owned)));
            }
        }
        Ok(Shown {
            source,
            includes,
            excludes,
            fields,
        })
    }

    /// Leaves of the event what is asked for.
    fn source(&self, event: &Value) -> Value {
        let mut out = event.clone();
        if !self.includes.is_empty() || !self.excludes.is_empty() {
            self.prune(&mut out, &mut String::new(), 0);
        }
        out
    }

    /// Whether something stays.
    fn prune(&self, value: &mut Value, path: &mut String, depth: usize) -> bool {
        if self.excludes.iter().any(|p| fits(p, path)) {
            return false;
        }
        let wanted = self.includes.is_empty() || self.includes.iter().any(|p| fits(p, path));
        if wanted && self.excludes.is_empty() || depth > 32 {
            return wanted;
        }
        if let Value::Array(items) = value {
            items.retain_mut(|item| self.prune(item, path, depth + 1));
            return wanted || !items.is_empty();
        }
        let Value::Object(of) = value else { return wanted };
        let before = path.len();
        of.retain(|name, inner| {
            if before > 0 {
                path.push('.');
            }
            path.push_str(name);
            // All of what is wanted is wanted.
            let stays = match wanted {
                true => !self.excludes.iter().any(|p| fits(p, path)) && self.inner(inner, path, depth),
                false => self.prune(inner, path, depth + 1),
            };
            path.truncate(before);
            stays
        });
        wanted || !of.is_empty()
    }

    /// Of what is wanted whole, what is left out within.
    fn inner(&self, value: &mut Value, path: &mut String, depth: usize) -> bool {
        let all = Shown {
            source: true,
            includes: Vec::new(),
            excludes: self.excludes.clone(),
            fields: Vec::new(),
        };
        all.prune(value, path, depth + 1)
    }

    fn fields(&self, event: &Value, time: Millis) -> Value {
        let mut out = Map::new();
        if self.fields.is_empty() {
            out.insert("@timestamp".to_owned(), json!([time.0]));
        }
        if self.fields.iter().any(|(name, _)| name == "*") {
            flat(event, &mut String::new(), &mut out, 0);
        }
        for (name, format) in self.fields.iter().filter(|(name, _)| name != "*") {
            let values = match plain(name) {
                "@timestamp" | "time" => vec![match format.as_deref() {
                    Some(format) if format.starts_with("strict_date") => json!(time.to_string()),
                    _ => json!(time.0),
                }],
                name => {
                    let mut found = Vec::new();
                    paths(name).iter().for_each(|p| at_path(event, p, &mut found));
                    found.into_iter().map(Value::String).collect()
                }
            };
            if !values.is_empty() {
                out.insert(name.clone(), Value::Array(values));
            }
        }
        Value::Object(out)
    }
}

/// Where a field of ours stands in an event; any other name is a path.
fn paths(name: &str) -> Vec<&str> {
    let known = field::find(name)
        .map(|f| search::paths_of(f.name))
        .filter(|p| !p.is_empty());
    known.unwrap_or_else(|| vec![name])
}

/// Every value of an event, by path.
fn flat(value: &Value, path: &mut String, out: &mut Map<String, Value>, depth: usize) {
    if depth > 32 {
        return;
    }
    match value {
        Value::Object(of) => {
            for (name, inner) in of {
                let before = path.len();
                if before > 0 {
                    path.push('.');
                }
                path.push_str(name);
                flat(inner, path, out, depth + 1);
                path.truncate(before);
            }
        }
        Value::Array(items) => items.iter().for_each(|v| flat(v, path, out, depth + 1)),
        Value::Null => {}
        leaf => {
            let of = out.entry(path.clone()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(of) = of {
                of.push(leaf.clone());
            }
        }
    }
}

/// Whether a name fits a pattern with `*`.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut ended = !pattern.contains('*');
    for part in parts {
        ended = part.is_empty();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    let last = pattern.rsplit('*').next().unwrap_or_default();
    if ended {
        pattern.contains('*') || rest.is_empty()
    } else {
        name.ends_with(last)
    }
}

/// What was found.
pub struct Hits {
    pub total: u64,
    pub relation: &'static str,
    pub hits: Vec<Value>,
    pub searched: Searched,
}

/// Finds, and shows all but the first `skip`.
pub fn find(
    app: &App,
    request: &Request,
    order: &Order,
    show: &Shown,
    skip: usize,
    (text, eyes): (&LedgerText, &Eyes),
) -> Result<Hits, ApiError> {
    let one = |hit: &search::Hit, sort: Value| -> Result<Value, ApiError> {
        let mut event = shown(app, hit, text, eyes)?["event"].take();
        event["@timestamp"] = hit.time.to_string().into();
        let mut out = json!({"_index": "docket", "_id": hit.uid, "_score": null, "sort": sort,
            "fields": show.fields(&event, hit.time)});
        if show.source {
            out["_source"] = show.source(&event);
        }
        Ok(out)
    };
    match order {
        Order::Time(..) => {
            let found = app.searcher.search(request, text).map_err(refusal)?;
            let hits = found.hits.iter().skip(skip);
            let hits = hits.map(|hit| one(hit, json!([hit.time.0, hit.cursor.to_string()])));
            let (total, relation) = match found.total {
                Total::Exact(n) => (n, "eq"),
                Total::AtMost(n) => (n, "lte"),
            };
            Ok(Hits {
                total,
                relation,
                hits: hits.collect::<Result<_, _>>()?,
                searched: found.searched,
            })
        }
        Order::By(by) => {
            let found = app.searcher.search_by(request, by, text).map_err(refusal)?;
            let hits = found.hits.iter().skip(skip);
            let hits = hits.map(|(hit, place)| one(hit, json!([place.value, place.to_string()])));
            Ok(Hits {
                total: found.total,
                relation: "eq",
                hits: hits.collect::<Result<_, _>>()?,
                searched: found.searched,
            })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("*b", "abc", false),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("a*b*", "xab", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn of_the_source_is_shown_what_is_asked_for() {
        let event = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x"});
        let check = |source: Value, expected: Value| {
            let shown = Shown::of(&json!({"_source": source})).unwrap();
            assert_eq!(shown.source(&event), expected, "{source}");
        };
        check(json!(["a.b", "e"]), json!({"a": {"b": 1}, "e": "x"}));
        let list = json!({"l": [{"a": 1, "b": 2}, {"b": 3}], "m": [1]});
        let shown = Shown::of(&json!({"_source": ["l.a"]})).unwrap();
        assert_eq!(shown.source(&list), json!({"l": [{"a": 1}]}));
        check(json!("a"), json!({"a": {"b": 1, "c": 2}}));
        check(json!({"excludes": ["a.*"]}), json!({"a": {}, "d": [1, 2], "e": "x"}));
        check(json!({"includes": ["a"], "excludes": ["a.c"]}), json!({"a": {"b": 1}}));
        check(json!(true), event.clone());
    }

    #[test]
    fn an_order_is_read_or_refused() {
        let order = |sort: Value, after: Value| Order::of(&sort, &after).map_err(|e| e.message().to_owned());
        let grafana =
            json!([{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}]);
        assert!(matches!(
            order(grafana.clone(), Value::Null),
            Ok(Order::Time(Sort::Newest, None))
        ));
        assert!(matches!(
            order(json!([{"@timestamp": "asc"}]), json!([5, "5.1.0"])),
            Ok(Order::Time(Sort::Oldest, Some(_)))
        ));
        assert!(
            matches!(order(json!([{"bytes": {"order": "desc"}}]), Value::Null), Ok(Order::By(by)) if by.descending)
        );
        assert!(matches!(order(json!("host.keyword"), Value::Null), Ok(Order::By(by)) if by.field == "host"));
        for (sort, after) in [
            (grafana, json!([5])),
            (json!([{"host": "asc"}, {"user": "asc"}]), Value::Null),
            (json!([{"nothing": "asc"}]), Value::Null),
        ] {
            assert!(order(sort, after).is_err());
        }
    }
}
