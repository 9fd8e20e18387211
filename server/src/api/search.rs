//! `GET /api/v1/search`: the query language over the index; each hit is shown from the ledger.

use std::error::Error;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use model::{LedgerIndex, Millis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, Authenticated, records};
use crate::app::App;
use crate::auth::Right;

/// Hits on one page at most; there is no cap on pages.
const PAGE_MAX: usize = 1000;

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// The query; empty finds everything.
    q: String,
    /// From this time on (RFC 3339, epoch ms, or `24h` before now).
    from: Option<String>,
    /// Before this time.
    to: Option<String>,
    /// `newest` (default) or `oldest` first.
    sort: Option<String>,
    /// Hits on a page, 1 to 1000, default 50.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Answers a search. The search is recorded first.
pub async fn search(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    let request = asked.request(app.clock.now())?;
    app.spine.act("search", &caller, json!(asked)).await?;
    tokio::task::spawn_blocking(move || answer(&app, &request))
        .await
        .map_err(ApiError::internal)?
        .map(Json)
}

fn answer(app: &App, request: &search::Request) -> Result<Value, ApiError> {
    let raw = |leaves: &[LedgerIndex], uid: &str| -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
        let event = records::event(app, leaves, uid)?;
        Ok(event["raw_data"].as_str().map(str::to_owned))
    };
    let answer = app.searcher.search(request, &raw).map_err(refusal)?;
    let hits: Result<Vec<Value>, ledger::Error> = answer
        .hits
        .iter()
        .map(|hit| {
            let mut event = records::event(app, &hit.leaves, &hit.uid)?;
            records::set_processed(&mut event, hit.processed);
            let received = event["metadata"]["logged_time"].as_i64().map(|t| Millis(t).to_string());
            Ok(
                json!({"record": hit.uid, "ledger_index": hit.index, "time": hit.time.to_string(),
                "received_at": received, "processed_at": hit.processed.map(|t| t.to_string()), "event": event}),
            )
        })
        .collect();
    let hits = hits.map_err(|e| {
        let status = if e.is_integrity() {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        ApiError::new(status, format!("a hit could not be read from the ledger: {e}"))
    })?;
    Ok(json!({
        "total": total(answer.total),
        "total_is_exact": matches!(answer.total, search::Total::Exact(_)),
        "hits": hits,
        "next": answer.next.map(|c| c.to_string()),
        "searched": {
            "events": answer.searched.events,
            "up_to": answer.searched.up_to,
            "from": request.from.map(|t| t.to_string()),
            "to": request.to.map(|t| t.to_string()),
        },
    }))
}

impl Asked {
    fn request(&self, now: Millis) -> Result<search::Request, ApiError> {
        let time = |text: &Option<String>| text.as_deref().map(|t| moment(t, now)).transpose();
        let limit = self.limit.unwrap_or(50);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(ApiError::bad_request(format!(
                "limit {limit}: give 1 to {PAGE_MAX}; `after` takes the next page"
            )));
        }
        let sort = match self.sort.as_deref() {
            None | Some("newest") => search::Sort::Newest,
            Some("oldest") => search::Sort::Oldest,
            Some(other) => return Err(ApiError::bad_request(format!("sort `{other}`: give newest or oldest"))),
        };
        let after = self.after.as_deref().map(str::parse).transpose();
        let mut request =
            search::Request::new(search::Query::parse(&self.q, Some(now)).map_err(|e| refusal(e.into()))?);
        request.from = time(&self.from)?;
        request.to = time(&self.to)?;
        request.sort = sort;
        request.limit = limit;
        request.after = after.map_err(refusal)?;
        Ok(request)
    }
}

fn total(total: search::Total) -> u64 {
    match total {
        search::Total::Exact(n) | search::Total::AtMost(n) => n,
    }
}

/// What the asker can mend is their error, the rest is ours.
fn refusal(error: search::Error) -> ApiError {
    match error {
        search::Error::Query(_) | search::Error::Cursor { .. } => ApiError::bad_request(error.to_string()),
        other => ApiError::internal(other),
    }
}

/// RFC 3339, epoch milliseconds, or an age (`90s`, `15m`, `24h`, `7d`).
pub fn moment(text: &str, now: Millis) -> Result<Millis, ApiError> {
    let age = || {
        let (number, unit) = text.split_at(text.len().checked_sub(1)?);
        let ms = match unit {
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        Some(Millis(
            now.0.saturating_sub(number.parse::<i64>().ok()?.saturating_mul(ms)),
        ))
    };
    // `split_at` must not cut a character in two.
    let age = if text.is_ascii() { age() } else { None };
    age.map_or_else(
        || Millis::parse(text).map_err(|e| ApiError::bad_request(format!("{e}, or an age such as 24h"))),
        Ok,
    )
}
