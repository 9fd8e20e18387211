//! `GET /api/v1/search`: the query language over the index; each hit is shown from the ledger.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use model::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, Authenticated, records};
use crate::app::App;
use crate::asking::{self, LedgerText, refusal};
use crate::pseudonyms::Eyes;
use crate::questions::Asking;

/// Hits on one page at most; there is no cap on pages.
pub const PAGE_MAX: usize = 1000;

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// The query; empty finds everything.
    pub q: String,
    /// From this time on (RFC 3339, epoch ms, or `24h` before now).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `newest` (default) or `oldest` first; or a field that can be grouped by, with `:asc` (default) or `:desc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Hits on a page, 1 to 1000, default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Count exactly even where each candidate has to be read from the ledger.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
}

/// Answers a search. The search is recorded first.
pub async fn search(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    asking: Asking,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    let eyes = Eyes::of(&app, &caller)?;
    let request = asked.request(&app)?;
    let by = asked.by()?;
    if let Some(by) = &by {
        eyes.demand_order(&by.field)?;
    }
    let (text, _waiting) = LedgerText::new(&app, &asking, &caller.name(), "search", json!(asked))?;
    app.spine.act("search", &caller, json!(asked)).await?;
    tokio::task::spawn_blocking(move || match by {
        None => answer(&app, &request, &text, &eyes),
        Some(by) => answer_by(&app, &request, &by, &text, &eyes),
    })
    .await
    .map_err(ApiError::internal)?
    .map(Json)
}

/// Finds, and shows what was found.
pub fn answer(app: &App, request: &search::Request, text: &LedgerText, eyes: &Eyes) -> Result<Value, ApiError> {
    let answer = app.searcher.search(request, text).map_err(refusal)?;
    let hits = answer
        .hits
        .iter()
        .map(|hit| shown(app, hit, text, eyes))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "total": total(answer.total),
        "total_is_exact": matches!(answer.total, search::Total::Exact(_)),
        "hits": hits,
        "next": answer.next.map(|c| c.to_string()),
        "searched": text.searched(&answer.searched),
    }))
}

/// As [`answer`], in the order of a field.
fn answer_by(
    app: &App,
    request: &search::Request,
    by: &search::By,
    text: &LedgerText,
    eyes: &Eyes,
) -> Result<Value, ApiError> {
    let answer = app.searcher.search_by(request, by, text).map_err(refusal)?;
    let hits = answer.hits.iter().map(|(hit, place)| {
        let mut hit = shown(app, hit, text, eyes)?;
        hit["cursor"] = place.to_string().into();
        hit["sort"] = json!(place.value);
        Ok(hit)
    });
    Ok(json!({
        "total": answer.total,
        "total_is_exact": true,
        "hits": hits.collect::<Result<Vec<_>, ApiError>>()?,
        "next": answer.next.map(|c| c.to_string()),
        "searched": text.searched(&answer.searched),
    }))
}

/// A hit, with its event from the ledger; none where nobody waits for it any more.
pub fn shown(app: &App, hit: &search::Hit, text: &LedgerText, eyes: &Eyes) -> Result<Value, ApiError> {
    text.question().demand_asker()?;
    let mut event = records::event(app, &hit.leaves, &hit.uid).map_err(unreadable)?;
    eyes.event(&mut event);
    records::set_processed(&mut event, hit.processed);
    let received = event["metadata"]["logged_time"].as_i64().map(|t| Millis(t).to_string());
    Ok(
        json!({"record": hit.uid, "ledger_index": hit.index, "time": hit.time.to_string(),
        "received_at": received, "processed_at": hit.processed.map(|t| t.to_string()),
        "cursor": hit.cursor.to_string(), "event": event}),
    )
}

/// The ledger did not give back a record.
pub fn unreadable(error: ledger::Error) -> ApiError {
    let status = if error.is_integrity() {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    ApiError::new(status, format!("a hit could not be read from the ledger: {error}"))
}

impl Asked {
    /// As the index understands it.
    pub fn request(&self, app: &App) -> Result<search::Request, ApiError> {
        let limit = self.limit.unwrap_or(50);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(ApiError::bad_request(format!(
                "limit {limit}: give 1 to {PAGE_MAX}; `after` takes the next page"
            )));
        }
        let by = self.by()?;
        let sort = match self.sort.as_deref() {
            Some("oldest") => search::Sort::Oldest,
            _ => search::Sort::Newest,
        };
        let after = self.after.as_deref().filter(|_| by.is_none());
        let after = after.map(str::parse).transpose();
        let mut request = asking::request(app, &self.q, self.from.as_deref(), self.to.as_deref())?;
        request.sort = sort;
        request.limit = limit;
        request.after = after.map_err(refusal)?;
        request.exact_total = self.exact;
        Ok(request)
    }
}

impl Asked {
    /// The field by which hits are sorted, where it is not by time.
    pub fn by(&self) -> Result<Option<search::By>, ApiError> {
        let Some(sort) = self.sort.as_deref().filter(|s| !matches!(*s, "newest" | "oldest" | "")) else {
            return Ok(None);
        };
        let (field, descending) = match sort.rsplit_once(':') {
            Some((field, "asc")) => (field, false),
            Some((field, "desc")) => (field, true),
            Some((_, other)) => {
                let other: String = other.chars().take(40).collect();
                return Err(ApiError::bad_request(format!(
                    "sort `…:{other}`: give newest, oldest, or a field with :asc or :desc"
                )));
            }
            None => (sort, false),
        };
        let after = self.after.as_deref().map(str::parse).transpose().map_err(refusal)?;
        search::By::new(field, descending, after).map(Some).map_err(refusal)
    }
}

fn total(total: search::Total) -> u64 {
    match total {
        search::Total::Exact(n) | search::Total::AtMost(n) => n,
    }
}
