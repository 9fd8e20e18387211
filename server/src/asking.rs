//! What a search needs of the rest of the server: the time, the people, the texts of the ledger, and whether somebody
//! still waits for the answer.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use model::{LedgerIndex, Millis};
use search::{Query, RawText, Reading, Request};
use serde_json::{Value, json};

use crate::api::{ApiError, records};
use crate::app::{App, lock};
use crate::people::Register;
use crate::questions::{Asking, Question, Waiting};

/// The events of the ledger, as they may be shown.
pub struct LedgerText {
    app: App,
    question: Arc<Question>,
    last: Mutex<Option<(String, Arc<Value>)>>,
    /// What the ledger held when it was asked, the asking itself aside.
    durable: LedgerIndex,
}

type Read<T> = Result<T, Box<dyn Error + Send + Sync>>;

impl LedgerText {
    /// Reads until the second is dropped, or the question is cancelled. To be made before the question is recorded: what
    /// came later is not left out.
    ///
    /// # Errors
    /// The asker's: another question of that name is being answered.
    pub fn new(
        app: &App,
        asking: &Asking,
        caller: &str,
        what: &'static str,
        asked: Value,
    ) -> Result<(LedgerText, Waiting), ApiError> {
        let (question, waiting) = asking.begin(app, caller, what, asked)?;
        let text = LedgerText {
            app: app.clone(),
            question,
            last: Mutex::new(None),
            durable: *app.spine.durable().borrow(),
        };
        Ok((text, waiting))
    }

    /// What was asked.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// What an answer looked through, for people and programs: never silent about what it did not.
    pub fn searched(&self, searched: &search::Searched) -> Value {
        // What waits for the rest of its event is not searchable yet.
        let told = LedgerIndex(self.app.searchable.load(Ordering::Relaxed));
        let up_to = searched.up_to.min(told);
        let waiting = self.durable.0.saturating_sub(up_to.0);
        let dropped = searched.dropped.map(|d| {
            json!({
                "events": d.events,
                "first": d.first.to_string(),
                "last": d.last.to_string(),
                "received_before": d.received_before.to_string(),
            })
        });
        json!({
            "events": searched.events,
            "in_range": searched.in_range,
            "from": searched.from.map(|t| t.to_string()),
            "to": searched.to.map(|t| t.to_string()),
            "up_to": up_to,
            "ledger": self.durable,
            "waiting": waiting,
            "dropped": dropped,
            "complete": waiting == 0 && searched.dropped.is_none(),
        })
    }

    fn event(&self, leaves: &[LedgerIndex], uid: &str) -> Result<Arc<Value>, ledger::Error> {
        // Several texts of one event are asked for one after another.
        if let Some((_, event)) = lock(&self.last).as_ref().filter(|(known, _)| known == uid) {
            return Ok(event.clone());
        }
        self.question.read();
        let event = Arc::new(records::event(&self.app, leaves, uid)?);
        *lock(&self.last) = Some((uid.to_owned(), event.clone()));
        Ok(event)
    }
}

impl RawText for LedgerText {
    fn raw(&self, leaves: &[LedgerIndex], uid: &str) -> Read<Option<String>> {
        Ok(self.event(leaves, uid)?["raw_data"].as_str().map(str::to_owned))
    }

    fn texts(&self, field: &str, leaves: &[LedgerIndex], uid: &str) -> Read<Vec<String>> {
        let event = self.event(leaves, uid)?;
        let mut out = Vec::new();
        for path in search::text_paths(field) {
            at_path(&event, path, &mut out);
        }
        Ok(out)
    }

    fn values(&self, path: &str, leaves: &[LedgerIndex], uid: &str) -> Read<Vec<String>> {
        let mut out = Vec::new();
        at_path(&*self.event(leaves, uid)?, path, &mut out);
        Ok(out)
    }

    fn is_stopped(&self) -> bool {
        self.question.is_stopped()
    }

    fn progress(&self, events: u64, of: u64) {
        self.question.progress(events, of);
    }
}

/// The plain values at a dotted path; those of an array each.
pub fn at_path(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|v| at_path(v, path, out)),
        Value::Object(fields) => {
            if let Some(found) = fields.get(path) {
                at_path(found, "", out);
            } else if let Some((head, rest)) = path.split_once('.')
                && let Some(found) = fields.get(head)
            {
                at_path(found, rest, out);
            }
        }
        _ if !path.is_empty() => {}
        Value::Null => {}
        Value::String(text) => out.push(text.clone()),
        other => out.push(other.to_string()),
    }
}

/// Reads a query as of now, with the people of the tables.
///
/// # Errors
/// The asker's.
pub fn query(app: &App, text: &str) -> Result<Query, ApiError> {
    query_at(app, text, app.clock.now())
}

/// Reads a query as of a moment.
///
/// # Errors
/// The asker's.
pub fn query_at(app: &App, text: &str, now: Millis) -> Result<Query, ApiError> {
    let tables = app.tables();
    let register = Register(&tables);
    let reading = Reading {
        now: Some(now),
        people: Some(&register),
    };
    Query::read(text, &reading).map_err(|e| refusal(e.into()))
}

/// A query of a time range, as a request for its newest hits.
///
/// # Errors
/// The asker's.
pub fn request(app: &App, q: &str, from: Option<&str>, to: Option<&str>) -> Result<Request, ApiError> {
    let now = app.clock.now();
    let time = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(|t| moment(t, now)).transpose();
    let mut request = Request::new(query(app, q)?);
    request.from = time(from)?;
    request.to = time(to)?;
    Ok(request)
}

/// What the asker can mend is their error, the rest is ours.
pub fn refusal(error: search::Error) -> ApiError {
    use search::Error as E;
    match error {
        E::Query(error) => ApiError::in_query(&error),
        // Nobody reads this where the asker has gone.
        E::Cancelled { .. } => ApiError::new(StatusCode::CONFLICT, error.to_string()),
        E::Cursor { .. }
        | E::Aggregation { .. }
        | E::TooManyBuckets { .. }
        | E::TooManyValues { .. }
        | E::TooManyReads { .. }
        | E::TooManyWords
        | E::TooDeep { .. } => ApiError::bad_request(error.to_string()),
        other => ApiError::internal(other),
    }
}

/// RFC 3339, a date or a time of day (UTC), epoch milliseconds, `now-1h`, or an age (`90s`, `15m`, `24h`, `7d`, `2w`).
///
/// # Errors
/// The asker's: it is none of these.
pub fn moment(text: &str, now: Millis) -> Result<Millis, ApiError> {
    let is_age = text
        .strip_suffix(['s', 'm', 'h', 'd', 'w'])
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let found = if is_age {
        search::query::moment(&format!("now-{text}"), Some(now))
    } else {
        search::query::moment(text, Some(now))
    };
    let shown: String = text.chars().take(60).collect();
    found.map(|(first, _)| Millis(first)).ok_or_else(|| {
        ApiError::bad_request(format!(
            "`{shown}` is not a time; give 2026-03-01, 2026-03-01T09:00:00+08:00, epoch milliseconds, or an age such as 15m, 24h, 7d"
        ))
    })
}

/// A length of time, ms: `90s`, `15m`, `24h`, `7d`, `2w`.
///
/// # Errors
/// The asker's: it is none, or nothing.
pub fn length(text: &str) -> Result<i64, ApiError> {
    let Millis(past) = moment(text, Millis(0))
        .ok()
        .filter(|_| text.ends_with(['s', 'm', 'h', 'd', 'w']))
        .unwrap_or_default();
    if past >= 0 {
        return Err(ApiError::bad_request(format!(
            "`{}` is not a length of time; give 15m, 1h, 7d",
            text.chars().take(60).collect::<String>()
        )));
    }
    Ok(-past)
}
