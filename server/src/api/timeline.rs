//! `GET /api/v1/timeline` and `GET /api/v1/context/{record}`: what happened, in order.

use axum::Json;
use axum::extract::{Path, Query, State};
use detect::reference::person_of;
use search::{Request, Sort};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::search::{PAGE_MAX, shown};
use super::{ApiError, Authenticated};
use crate::app::App;
use crate::asking::{self, LedgerText, at_path, refusal};
use crate::pseudonyms::Eyes;
use crate::questions::Asking;
use crate::timeline::{SESSIONS_MAX, Subject, Timeline, marks, quoted};

/// Whose timeline, and when.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// Employee id, name, login or address of mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    /// Any name or address of a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// An address, or a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    /// A session's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// Only these records.
    q: String,
    /// From this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Entries of a page, 1 to 1000, default 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    /// The `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl Asked {
    fn subject(&self) -> Result<Subject, ApiError> {
        let given = [
            self.person.clone().map(Subject::Person),
            self.host.clone().map(Subject::Host),
            self.ip.clone().map(Subject::Address),
            self.session.clone().map(Subject::Session),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(ApiError::bad_request("give one of person, host, ip, session".into())),
        }
    }
}

/// Answers. The question is recorded first.
pub async fn timeline(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    asking: Asking,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    let eyes = Eyes::of(&app, &caller)?;
    let subject = asked.subject()?;
    let limit = asked.limit.unwrap_or(200);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit {limit}: give 1 to {PAGE_MAX}")));
    }
    let mut request = asking::request(&app, &asked.q, asked.from.as_deref(), asked.to.as_deref())?;
    request.limit = limit;
    request.sort = Sort::Oldest;
    request.after = asked.after.as_deref().map(str::parse).transpose().map_err(refusal)?;
    let (text, _waiting) = LedgerText::new(&app, &asking, &caller.name(), "timeline", json!(asked))?;
    app.spine.act("timeline", &caller, json!(asked)).await?;
    let answer = tokio::task::spawn_blocking(move || told(&app, &subject, request, &text, &eyes));
    answer.await.map_err(ApiError::internal)?.map(Json)
}

fn told(app: &App, subject: &Subject, request: Request, text: &LedgerText, eyes: &Eyes) -> Result<Value, ApiError> {
    let range = Request {
        after: None,
        ..request.clone()
    };
    let mut timeline = Timeline::of(app, subject, &range, request.query.clone(), text)?;
    let request = Request {
        query: timeline.query.clone(),
        ..request
    };
    let answer = app.searcher.search(&request, text).map_err(refusal)?;
    let entries = answer.hits.iter().map(|hit| {
        let mut entry = shown(app, hit, text, &Eyes::All)?;
        let sessions = timeline.sessions_of(app, &entry["event"], hit.time);
        entry["sessions"] = sessions.iter().map(|n| json!(n + 1)).collect();
        entry["marks"] = json!(marks(&entry["event"]));
        eyes.event(&mut entry["event"]);
        Ok(entry)
    });
    let entries = entries.collect::<Result<Vec<_>, ApiError>>()?;
    for session in &mut timeline.sessions {
        eyes.names(&mut session.actors);
        eyes.names(&mut session.accounts);
    }
    let sessions = timeline.sessions.iter().enumerate().map(|(n, s)| s.shown(n + 1));
    let total = match answer.total {
        search::Total::Exact(n) | search::Total::AtMost(n) => n,
    };
    Ok(json!({
        "total": total,
        "total_is_exact": matches!(answer.total, search::Total::Exact(_)),
        "sessions": sessions.collect::<Vec<_>>(),
        "sessions_total": timeline.sessions_total,
        "sessions_max": SESSIONS_MAX,
        "gaps": timeline.gaps,
        "entries": entries,
        "next": answer.next.map(|c| c.to_string()),
        "searched": text.searched(&answer.searched),
    }))
}

/// What is asked to surround a record.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Around {
    /// Records before and after, each 1 to 500, default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    /// `session`, `host`, `person`, `user`, `source`, `all`; default the first of session, host, source that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    same: Option<String>,
}

/// What came before and after a record. The view is recorded first.
pub async fn context(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    asking: Asking,
    Query(around): Query<Around>,
) -> Result<Json<Value>, ApiError> {
    let eyes = Eyes::of(&app, &caller)?;
    let count = around.count.unwrap_or(10);
    if !(1..=500).contains(&count) {
        return Err(ApiError::bad_request(format!("count {count}: give 1 to 500")));
    }
    let detail = json!({"record": id, "context": around});
    let (text, _waiting) = LedgerText::new(&app, &asking, &caller.name(), "context", detail.clone())?;
    app.spine.act("record.view", &caller, detail).await?;
    let answer = tokio::task::spawn_blocking(move || {
        let same = around.same.as_deref();
        surrounded(&app, &id, (count, same), &text, &eyes)
    });
    answer.await.map_err(ApiError::internal)?.map(Json)
}

fn surrounded(
    app: &App,
    id: &str,
    (count, same): (usize, Option<&str>),
    text: &LedgerText,
    eyes: &Eyes,
) -> Result<Value, ApiError> {
    let request = Request::new(asking::query(app, &format!("record:{}", quoted(id)))?);
    let found = app.searcher.search(&request, text).map_err(refusal)?;
    let Some(hit) = found.hits.last() else {
        return Err(ApiError::not_found(format!(
            "no event of a record {id} is in the index"
        )));
    };
    let mut centre = shown(app, hit, text, &Eyes::All)?;
    let (same, condition) = alike(app, &centre["event"], hit.time, same)?;
    eyes.event(&mut centre["event"]);
    let side = |sort| {
        let request = Request {
            sort,
            limit: count,
            after: Some(hit.cursor),
            ..Request::new(asking::query(app, &condition)?)
        };
        let answer = app.searcher.search(&request, text).map_err(refusal)?;
        let entries: Vec<Value> = answer
            .hits
            .iter()
            .map(|h| shown(app, h, text, eyes))
            .collect::<Result<_, _>>()?;
        Ok::<_, ApiError>((entries, answer.next.is_some()))
    };
    let (mut before, more_before) = side(Sort::Newest)?;
    before.reverse();
    let (after, more_after) = side(Sort::Oldest)?;
    Ok(json!({
        "record": centre, "same": same, "query": if eyes.are_covered() { None } else { Some(condition) }, "before": before, "after": after,
        "more_before": more_before, "more_after": more_after, "searched": text.searched(&found.searched),
    }))
}

/// The condition that says: of the same session, host, …
fn alike(app: &App, event: &Value, at: model::Millis, same: Option<&str>) -> Result<(String, String), ApiError> {
    let first = |paths: &[&str]| {
        let mut found = Vec::new();
        paths.iter().for_each(|p| at_path(event, p, &mut found));
        found.into_iter().find(|v| !v.is_empty())
    };
    let condition = |same: &str| -> Result<Option<String>, ApiError> {
        Ok(match same {
            "session" => first(&["actor.session.uid", "session.uid", "metadata.correlation_uid"])
                .map(|v| format!("session:{}", quoted(&v))),
            "host" => first(&["device.hostname", "dst_endpoint.hostname", "device.name"])
                .map(|v| format!("host:{}", quoted(&v))),
            "user" => first(&["actor.user.name", "user.name"]).map(|v| format!("user:{}", quoted(&v))),
            "source" => first(&["metadata.log_name"]).map(|v| format!("log:{}", quoted(&v))),
            "all" => Some(String::new()),
            "person" => {
                let account = first(&["actor.user.name", "user.name"]);
                let mut uid = Vec::new();
                at_path(event, "metadata.uid", &mut uid);
                let systems = system_of(app, uid.first().map_or("", String::as_str))?;
                let tables = app.tables();
                let person = account.and_then(|a| systems.iter().find_map(|s| person_of(&tables, s, &a, at)));
                person.map(|(id, _)| format!("person:{}", quoted(&id)))
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(ApiError::bad_request(format!(
                    "same `{shown}`: give session, host, person, user, source or all"
                )));
            }
        })
    };
    let tried: Vec<&str> = same.map_or(vec!["session", "host", "source", "all"], |s| vec![s]);
    for same in &tried {
        if let Some(found) = condition(same)? {
            return Ok(((*same).to_owned(), found));
        }
    }
    let what = if tried == ["person"] {
        "nobody is known to have"
    } else {
        "the record has no"
    };
    Err(ApiError::bad_request(format!(
        "{what} {}; give another `same`",
        tried[0]
    )))
}

/// The account register's system of a record's accounts, as it was indexed.
fn system_of(app: &App, uid: &str) -> Result<Vec<String>, ApiError> {
    let request = Request::new(asking::query(app, &format!("record:{}", quoted(uid)))?);
    let found = app
        .searcher
        .terms(&request, "system", 3, &search::NoText)
        .map_err(refusal)?;
    Ok(found.buckets.into_iter().map(|b| b.key).collect())
}
