//! `POST /api/v1/renormalize`: quarantined records, normalized again by the parsers of this server.
//!
//! What would be understood now is named in acts of the ledger ([`crate::pipeline::mended`]); the line does the rest, as it
//! does everything else: once.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::LedgerIndex;
use serde_json::{Value, json};

use super::replay::{Asked, alone, quarantined};
use super::{ApiError, Authenticated, records};
use crate::app::App;
use crate::auth::Right;
use crate::pipeline::mended::{ACT, BYTES_MAX, Mended, RECORDS_MAX};
use crate::spine::Append;

/// How long the line may take to come up to the ledger's end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Answers when it is judged and searchable.
pub async fn renormalize(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Json(asked): Json<Asked>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::Administer)?;
    asked.check()?;
    if !app.ready.load(Ordering::Relaxed) {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "records are normalized again by a running server with its settings; start it (`docket serve`)",
        ));
    }
    let _running = alone()?;
    // What an earlier act mended must not be counted again.
    let durable = *app.spine.durable().borrow();
    if !caught_up(&app, durable).await {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the index lies behind the ledger; try again when it has caught up (`/readyz`)",
        ));
    }
    let (found, asked) = {
        let app = app.clone();
        let find = move || Ok::<_, ApiError>((Found::look(&app, &asked)?, asked));
        tokio::task::spawn_blocking(find).await.map_err(ApiError::internal)??
    };
    let mut end = LedgerIndex(0);
    // Nothing to mend is an act, too.
    let acts = if found.acts.is_empty() {
        vec![Vec::new()]
    } else {
        found.acts
    };
    for records in &acts {
        let act = json!({
            "act": ACT,
            "time": app.clock.now(),
            "actor": {"name": caller.name()},
            "detail": {"asked": asked, "records": records.len()},
            "renormalize": records,
        });
        end = app.spine.append(Append::Act(act)).await?.end;
    }
    let done = caught_up(&app, end).await;
    Ok(Json(json!({
        "records": found.records,
        "renormalized": found.mended,
        "still_quarantined": found.records - found.mended,
        "done": done,
    })))
}

/// Whether everything below is judged and searchable, before patience ends.
async fn caught_up(app: &App, end: LedgerIndex) -> bool {
    let started = Instant::now();
    loop {
        let searchable = LedgerIndex(app.searchable.load(Ordering::Relaxed));
        if searchable >= end && app.progress.position() >= end {
            return true;
        }
        if started.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What is quarantined, and would not be now.
#[derive(Default)]
struct Found {
    /// Events that are quarantined.
    records: u64,
    mended: u64,
    /// In pieces that an act may name.
    acts: Vec<Vec<Mended>>,
    bytes: usize,
}

impl Found {
    fn look(app: &App, asked: &Asked) -> Result<Found, ApiError> {
        let mut found = Found::default();
        for quarantined in quarantined(app, asked, &asked.range(app)?)?.into_values() {
            found.records += 1;
            let whole = records::joined(app, &quarantined.leaves).map_err(ApiError::internal)?;
            let Some(whole) = whole else { continue };
            if app.normalizer.normalize_whole_plain(&whole).quarantined.is_none() {
                found.add(
                    Mended {
                        reason: quarantined.reason,
                        leaves: quarantined.leaves,
                    },
                    whole.record.payload.len(),
                );
            }
        }
        Ok(found)
    }

    fn add(&mut self, record: Mended, bytes: usize) {
        self.mended += 1;
        self.bytes += bytes;
        match self.acts.last_mut() {
            Some(act) if act.len() < RECORDS_MAX && self.bytes <= BYTES_MAX => act.push(record),
            _ => {
                self.acts.push(vec![record]);
                self.bytes = bytes;
            }
        }
    }
}
