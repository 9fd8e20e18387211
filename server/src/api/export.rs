//! Exports: `POST /api/v1/exports`, its parts, its end. See `docs/search.md`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use model::LedgerIndex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::{ApiError, Authenticated};
use crate::app::App;
use crate::asking::{self, LedgerText};
use crate::export::{Asked, Job, Jobs, Mask};
use crate::pseudonyms::Eyes;
use crate::questions::Asking;
use crate::spine::{Actor, Append};

/// Pieces of a part that may wait for a slow reader.
const QUEUE: usize = 4;
/// How long a finished export waits for the checkpoint that covers it, in steps of 100 ms.
const CHECKPOINT_STEPS: usize = 100;

/// Begins one. It is recorded first: who exports what, in which format, how masked.
pub async fn begin(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Json(mut asked): Json<Asked>,
) -> Result<Json<Value>, ApiError> {
    // Whatever was asked for: who may not see people exports none.
    if Eyes::of(&app, &caller)?.are_covered() {
        asked.mask = Mask::Personal;
    }
    asked.check()?;
    // What cannot be searched cannot be exported.
    let request = asking::request(&app, &asked.q, asked.from.as_deref(), asked.to.as_deref())?;
    let durable = *app.spine.durable().borrow();
    let up_to = LedgerIndex(app.searchable.load(std::sync::atomic::Ordering::Relaxed)).min(app.searcher.position());
    let job = Job::new(&asked, &request, up_to, durable, &caller.name(), app.clock.now());
    app.spine
        .act(
            "export",
            &caller,
            json!({"id": job.id, "export": asked, "up_to": up_to}),
        )
        .await?;
    let jobs = jobs(&app);
    jobs.expire(app.clock.now()).map_err(ApiError::internal)?;
    jobs.save(&job).map_err(ApiError::internal)?;
    Ok(Json(job.shown()))
}

/// How far one has come.
pub async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.demand_records()?;
    Ok(Json(jobs(&app).load(&id)?.shown()))
}

/// One part, as a stream: the next one, or one that was made before, again.
pub async fn part(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    asking: Asking,
    Path((id, number)): Path<(String, usize)>,
) -> Result<Response, ApiError> {
    caller.demand_records()?;
    let job = jobs(&app).load(&id)?;
    job.demand(&caller.name())?;
    if number > job.parts.len() || (number == job.parts.len() && job.is_whole()) {
        return Err(ApiError::not_found(format!(
            "export {id} has {} parts{}",
            job.parts.len(),
            if job.is_whole() {
                ", all of it"
            } else {
                "; the next is made when it is asked for"
            }
        )));
    }
    let format = job.asked.format;
    let asked = json!({"id": id, "part": number, "export": job.asked});
    let (text, waiting) = LedgerText::new(&app, &asking, &job.by, "export", asked)?;
    let (pieces, stream) = mpsc::channel::<Result<Bytes, std::io::Error>>(QUEUE);
    tokio::task::spawn_blocking(move || {
        let send = |bytes: Vec<u8>| pieces.blocking_send(Ok(Bytes::from(bytes))).is_ok();
        if let Err(error) = crate::export::write_part(&app, job, number, &text, send) {
            tracing::error!(error = error.message(), export = id, part = number, "Export stopped.");
            // The body ends unfinished: the reader cannot take it for whole.
            let _ = pieces.blocking_send(Err(std::io::Error::other(error.message().to_owned())));
        }
    });
    // Who hangs up lets go of the body, and of the question with it.
    let body = ReceiverStream::new(stream).map(move |piece| {
        let _ = &waiting;
        piece
    });
    let mut answer = Body::from_stream(body).into_response();
    let kind = match format {
        search::export::Format::Ndjson => "application/x-ndjson",
        search::export::Format::Csv => "text/csv; charset=utf-8",
        _ => "application/octet-stream",
    };
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(answer)
}

/// Ends one whose parts are all made: the manifest, and the proof that the ledger tells of it.
pub async fn finish(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.demand_records()?;
    let mut job = jobs(&app).load(&id)?;
    job.demand(&caller.name())?;
    if !job.is_whole() {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("export {id} is not whole; ask for part {}", job.parts.len()),
        ));
    }
    if job.act.is_none() {
        covered(&app, job.up_to).await;
        let manifest = job.manifest(&app)?;
        let mut act = json!({"act": "export.finish", "time": app.clock.now().0, "actor": Actor::from(&caller), "detail": {
            "id": id, "manifest_sha256": crate::export::sha256(manifest.as_bytes()), "rows": job.rows(), "parts": job.parts.len(),
            "package": id, "case": job.asked.case}});
        if job.asked.case.is_none() {
            act["detail"].as_object_mut().and_then(|detail| detail.remove("case"));
        }
        let at = app.spine.append(Append::Act(act)).await?;
        job.manifest = Some(manifest);
        job.act = Some(at.start);
        jobs(&app).save(&job).map_err(ApiError::internal)?;
    }
    let Some(act) = job.act else {
        return Err(ApiError::internal("an act has no place"));
    };
    for _ in 0..CHECKPOINT_STEPS {
        if let Ok(proof) = app.reader.proof_bundle(act) {
            return Ok(Json(json!({"manifest": job.manifest, "proof": proof})));
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "no checkpoint covers the export yet; ask again".to_owned(),
    ))
}

/// Waits for the checkpoint that covers the leaves below this one; one is signed each second.
async fn covered(app: &App, up_to: LedgerIndex) {
    for _ in 0..CHECKPOINT_STEPS {
        if app
            .reader
            .last_checkpoint()
            .is_ok_and(|c| c.is_some_and(|c| c.size >= up_to.0))
        {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn jobs(app: &App) -> Jobs {
    Jobs(app.exports.clone())
}
