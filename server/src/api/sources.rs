//! `GET /api/v1/sources`: what became of each source's records, whether it speaks, and what is wrong with it.

use axum::Json;
use axum::extract::{Path, State};
use model::Millis;
use serde_json::{Value, json};

use super::{ApiError, Authenticated, records};
use crate::accounts::{Account, Accounts, SKEW_MS_MAX, Span};
use crate::app::{App, lock};
use crate::auth::Right;

/// Quarantined records that are shown of one source.
const SAMPLES: usize = 10;
/// Characters of a record that are shown of it.
const SAMPLE_CHARS: usize = 300;

/// Every source that is known: received of, declared, configured, or refused.
pub async fn list(State(app): State<App>, Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    if !caller.may(Right::ReadRecords) {
        caller.demand(Right::Administer)?;
    }
    let now = app.clock.now();
    let rows: Vec<Value> = {
        let accounts = lock(&app.accounts);
        let names = names(&app, &accounts);
        names.iter().map(|s| summary(&app, &accounts, s, now)).collect()
    };
    Ok(Json(json!({"sources": rows})))
}

/// `GET /api/v1/sources/{id}`: the same of one source, with its minutes and hours; for who may read records, with those
/// that were quarantined last.
pub async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(source): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let reads = caller.may(Right::ReadRecords);
    if !reads {
        caller.demand(Right::Administer)?;
    }
    let mut row = {
        let accounts = lock(&app.accounts);
        if !names(&app, &accounts).contains(&source) {
            return Err(ApiError::not_found(format!(
                "nothing came from a source `{source}`, and neither the configuration nor `source_register` names it"
            )));
        }
        let mut row = summary(&app, &accounts, &source, app.clock.now());
        let account = accounts.get(&source);
        row["minutes"] = account.into_iter().flat_map(|a| a.minutes()).map(span).collect();
        row["hours"] = account.into_iter().flat_map(|a| a.hours()).map(span).collect();
        row
    };
    if reads {
        app.spine.act("source.view", &caller, json!({"source": source})).await?;
        let samples = tokio::task::spawn_blocking(move || samples(&app, &source))
            .await
            .map_err(ApiError::internal)?;
        row["quarantined_last"] = samples?;
    }
    Ok(Json(row))
}

fn names(app: &App, accounts: &Accounts) -> std::collections::BTreeSet<String> {
    let mut names: std::collections::BTreeSet<String> = accounts.iter().map(|(source, _)| source.to_string()).collect();
    names.extend(accounts.declared().map(str::to_owned));
    names.extend(app.configured.iter().map(|(source, _)| source.clone()));
    names.extend(app.intake.losses.sources());
    names
}

fn span((start, s): (Millis, &Span)) -> Value {
    json!({
        "start": start.to_string(),
        "received": s.received,
        "stored": s.stored,
        "quarantined": s.quarantined,
        "deduplicated": s.deduplicated,
        "skew_ms": s.skew_ms,
    })
}

/// What is told of a source: `lag_ms` is how long after it was received the last record was judged, `lag_records` what
/// Kafka holds of it that was not read yet, `silent_s` how long ago the last record was received, `refused` what did not
/// come in since the start, `cadence_s` how long it may be silent and `cadence` how that is known.
fn summary(app: &App, accounts: &Accounts, source: &str, now: Millis) -> Value {
    let never = Account::default();
    let account = accounts.get(source);
    let a = account.unwrap_or(&never);
    let watched = accounts.watched(source);
    let declared_s = accounts.max_silence_s(source);
    let silent = account.map(|a| (now - a.last_received).max(0) / 1000);
    let cadence_s = watched.and_then(|w| w.every_ms).map(|ms| ms / 1000).or(declared_s);
    let overdue = match watched {
        Some(w) => w.silent || w.due.is_some_and(|due| due < now),
        None => declared_s.is_some_and(|max| silent.is_none_or(|s| s > max)),
    };
    let state = match account {
        None => "never seen",
        Some(_) if overdue => "silent",
        Some(_) => "speaking",
    };
    let skew_ms = a.skew_ms();
    json!({
        "source": source,
        "state": state,
        "silent_since": account.filter(|_| overdue).map(|a| a.last_received.to_string()),
        "received": a.received,
        "stored": a.stored,
        "quarantined": a.quarantined,
        "deduplicated": a.deduplicated,
        "reasons": a.reasons,
        "labels": a.labels,
        "refused": app.intake.losses.of(source),
        "last_received": account.map(|a| a.last_received.to_string()),
        "per_minute": a.rate(now, 1),
        "per_minute_5m": a.rate(now, 5),
        "lag_ms": a.lag_ms,
        "lag_records": lag_records(app, source),
        "skew_ms": skew_ms,
        "skewed": skew_ms.is_some_and(|ms| ms.abs() > SKEW_MS_MAX),
        "clock_advice": advice(app, source, a),
        "silent_s": silent,
        "max_silence_s": declared_s,
        "cadence_s": cadence_s,
        "cadence": watched.and_then(|w| w.cadence.clone()).or(declared_s.map(|_| "declared".to_owned())),
        "overdue": overdue,
    })
}

fn lag_records(app: &App, source: &str) -> Option<i64> {
    let kafka = app.kafka.as_ref()?;
    let of_source = |topic: &str| topic == source || ingest::detection::topic_source(topic) == Some(source);
    let health = kafka.health();
    let partitions = health.partitions.iter().filter(|p| of_source(&p.topic));
    Some(partitions.map(ingest::source::kafka::PartitionHealth::lag).sum())
}

/// What may be wrong where nearly all times are off by the same whole quarters of an hour. Nothing is changed by itself.
fn advice(app: &App, source: &str, account: &Account) -> Option<String> {
    let minutes = account.offsets.minutes()?;
    let span = |m: i64| format!("{}h{:02}m", m.abs() / 60, m.abs() % 60);
    let side = if minutes > 0 { "behind" } else { "ahead" };
    let assumed = account
        .labels
        .get("time.zone_assumed")
        .is_some_and(|n| *n * 2 > account.stored);
    let now = jiff::Timestamp::from_millisecond(app.clock.now().0).ok()?;
    let offset = app
        .zones
        .of(source)
        .map(|tz| i64::from(tz.to_offset(now).seconds()) / 60);
    let doubt = format!("its times are {} {side} ours, record after record", span(minutes));
    Some(match offset.map(|o| o - minutes) {
        Some(real) if assumed => format!(
            "{doubt}, and are written without a zone: if its clock is right it writes UTC{}{}; set [sources.{source}] timezone",
            if real < 0 { '-' } else { '+' },
            format_args!("{:02}:{:02}", real.abs() / 60, real.abs() % 60)
        ),
        _ => format!("{doubt}: see the zone and the clock of the system that writes them"),
    })
}

/// The records that were quarantined last, masked, and why.
fn samples(app: &App, source: &str) -> Result<Value, ApiError> {
    let text = format!("source:\"{source}\" AND label:quarantined*");
    let query = search::Query::parse(&text, None).map_err(ApiError::internal)?;
    let mut request = search::Request::new(query);
    request.limit = SAMPLES;
    let answer = app
        .searcher
        .search(&request, &search::NoText)
        .map_err(ApiError::internal)?;
    let mut out = Vec::with_capacity(answer.hits.len());
    for hit in &answer.hits {
        let event = records::event(app, &hit.leaves, &hit.uid).map_err(ApiError::internal)?;
        let labels = event["metadata"]["labels"].as_array();
        let reason = labels
            .into_iter()
            .flatten()
            .filter_map(|l| l.as_str()?.strip_prefix("quarantined:"))
            .next();
        let raw: String = event["raw_data"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(SAMPLE_CHARS)
            .collect();
        out.push(json!({
            "record": hit.uid,
            "received_at": event["metadata"]["logged_time"].as_i64().map(|t| Millis(t).to_string()),
            // What a mended parser understands is not quarantined any more; the index still says that it was.
            "reason": reason.unwrap_or("understood by now"),
            "raw": raw,
        }));
    }
    Ok(Value::Array(out))
}
