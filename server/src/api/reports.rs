//! The daily report (LA-11), its signature, and who has which package of evidence (LA-13).

use std::collections::BTreeMap;

use alert::{Filter, Page};
use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::Millis;
use serde::Deserialize;
use serde_json::{Value, json};

use super::alerts::blocking;
use super::{ApiError, Authenticated};
use crate::app::App;
use crate::auth::Right;

/// Alerts of one day that are counted.
const ALERTS_MAX: usize = 1_000_000;
/// Characters of a package's name, a holder or a purpose.
const TEXT_MAX: usize = 500;

/// Where the day is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Zone {
    /// IANA time zone; UTC by default.
    tz: Option<String>,
}

/// The word that goes with a signature.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Word {
    comment: String,
}

/// Who has a package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custody {
    package: String,
    holder: String,
    #[serde(default)]
    purpose: String,
}

fn day_of(text: &str) -> Result<Date, ApiError> {
    text.parse::<Date>()
        .map_err(|_| ApiError::bad_request(format!("`{text}` is no day; give it as 2026-03-02")))
}

fn span(day: Date, zone: &Zone) -> Result<(Millis, Millis), ApiError> {
    let name = zone.tz.as_deref().unwrap_or("UTC");
    let zone = TimeZone::get(name)
        .map_err(|_| ApiError::bad_request(format!("`{name}` is no time zone; give an IANA name, `Asia/Shanghai`")))?;
    let start = |day: Date| Some(Millis(day.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond()));
    let tomorrow = day.tomorrow().ok();
    match (start(day), tomorrow.and_then(start)) {
        (Some(from), Some(to)) => Ok((from, to)),
        _ => Err(ApiError::bad_request(format!("{day} lies beyond what can be dated"))),
    }
}

/// `GET /api/v1/reports/{day}`: what was raised on a day, and what became of it.
pub async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(day): Path<String>,
    Query(zone): Query<Zone>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadAlerts)?;
    let day = day_of(&day)?;
    let (from, to) = span(day, &zone)?;
    app.spine
        .act("report.view", &caller, json!({"day": day.to_string()}))
        .await?;
    let report = blocking(&app, move |store| {
        let filter = Filter {
            since: Some(from),
            ..Filter::default()
        };
        let mut counts: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
        let (mut before, mut read, mut total) = (None, 0, 0u64);
        while read < ALERTS_MAX {
            let page = Page { limit: 1_000, before };
            let alerts = store.list(&filter, page)?;
            read += alerts.len();
            let Some(last) = alerts.last() else { break };
            before = Some(last.seq);
            for alert in alerts.iter().filter(|a| a.raised_at < to) {
                total += 1;
                let mut count = |of: &'static str, what: &str| {
                    *counts.entry(of).or_default().entry(what.to_owned()).or_default() += 1;
                };
                count("severity", &alert.finding.severity.name().to_lowercase());
                count("status", alert.status.name());
                alert.finding.clauses.iter().for_each(|c| count("clause", c));
                count("policy", &alert.finding.policy.title);
            }
        }
        Ok(json!({"total": total, "counts": counts}))
    })
    .await?;
    Ok(Json(
        json!({"day": day.to_string(), "from": from.to_string(), "to": to.to_string(), "alerts": report}),
    ))
}

/// `POST /api/v1/reports/{day}/sign`: the caller has read the report.
pub async fn sign(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(day): Path<String>,
    word: Option<Json<Word>>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadAlerts)?;
    let day = day_of(&day)?.to_string();
    let comment = word.map(|w| w.0.comment).unwrap_or_default();
    short("comment", &comment)?;
    app.spine
        .act("report.sign", &caller, json!({"day": day, "comment": comment}))
        .await?;
    Ok(Json(json!({"day": day, "signed_by": caller.name()})))
}

/// `POST /api/v1/custody`: who has a package of evidence from now on.
pub async fn custody(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Json(said): Json<Custody>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    for (name, text) in [("package", &said.package), ("holder", &said.holder)] {
        if text.trim().is_empty() {
            return Err(ApiError::bad_request(format!("`{name}` is empty; say which")));
        }
        short(name, text)?;
    }
    short("purpose", &said.purpose)?;
    let detail = json!({"package": said.package, "holder": said.holder, "purpose": said.purpose});
    app.spine.act("custody.record", &caller, detail.clone()).await?;
    Ok(Json(detail))
}

fn short(name: &str, text: &str) -> Result<(), ApiError> {
    match text.chars().count() {
        0..=TEXT_MAX => Ok(()),
        n => Err(ApiError::bad_request(format!(
            "`{name}` has {n} characters, at most {TEXT_MAX}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_that_of_its_zone() {
        let day = day_of("2026-03-02").unwrap();
        let zone = |tz: &str| Zone {
            tz: Some(tz.to_owned()),
        };
        let (from, to) = span(day, &zone("Asia/Shanghai")).unwrap();
        assert_eq!(
            (from.to_string(), to - from),
            ("2026-03-01T16:00:00.000Z".to_owned(), 86_400_000)
        );
        // Clocks go forward.
        let (from, to) = span(day_of("2026-03-29").unwrap(), &zone("Europe/Berlin")).unwrap();
        assert_eq!(to - from, 82_800_000);
        assert!(span(day, &zone("Mars/Olympus")).is_err());
        assert!(day_of("yesterday").is_err());
    }
}
