//! What a finding does to the alerts.

use std::path::Path;

use model::{Finding, FindingStatus, Millis, Severity};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::{ENGINE, Error, Status, outbox};

/// The label of a finding that gave way to another: its completing event moved to another dedup bucket.
const SUPERSEDED: &str = "superseded";

/// The alerts that a commit changed, by id, in the order of the findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// New alerts that hold: these are told on the channels.
    pub raised: Vec<String>,
    /// Alerts whose finding changed and that stand as before (more evidence, another severity).
    pub revised: Vec<String>,
    /// Alerts refuted or superseded.
    pub resolved: Vec<String>,
    /// Refuted alerts that hold again; nobody is told a second time.
    pub reopened: Vec<String>,
    /// Alerts that an approved exception covers now.
    pub suppressed: Vec<String>,
}

struct Held {
    status: Status,
    severity: u8,
    notified: bool,
    finding: String,
}

/// Inserts or revises the alert of one finding.
pub(crate) fn apply(
    tx: &Transaction<'_>,
    path: &Path,
    finding: &Finding,
    channels: &[String],
    now: Millis,
    committed: &mut Committed,
) -> Result<(), Error> {
    let sqlite = |source| Error::Sqlite {
        path: path.to_owned(),
        source,
    };
    let json = serde_json::to_string(finding).map_err(|e| Error::Damaged {
        id: finding.uid.clone(),
        what: "finding",
        given: e.to_string(),
    })?;
    let held = held(tx, &finding.uid).map_err(sqlite)?;
    let held = match held {
        None => None,
        Some((status, ..)) if status.parse::<Status>().is_err() => {
            return Err(Error::Damaged {
                id: finding.uid.clone(),
                what: "status",
                given: status,
            });
        }
        Some((status, severity, notified, finding)) => status.parse().ok().map(|status| Held {
            status,
            severity,
            notified,
            finding,
        }),
    };
    if held.as_ref().is_some_and(|h| h.finding == json) {
        return Ok(());
    }
    let before = held.as_ref().map(|h| h.status);
    let after = next(before, finding);
    let raised = after == Status::New && !held.as_ref().is_some_and(|h| h.notified);
    let write = || -> Result<(), rusqlite::Error> {
        match &held {
            None => insert(tx, finding, after, raised, &json, now)?,
            Some(_) => update(tx, finding, after, raised, &json, now)?,
        }
        fail::fail_point!("alert::written");
        clauses(tx, finding)?;
        fail::fail_point!("alert::clauses");
        history(tx, finding, held.as_ref(), after, raised, now)?;
        fail::fail_point!("alert::history");
        if raised {
            outbox::enqueue(tx, finding, channels, &json, now)?;
            fail::fail_point!("outbox::enqueued");
        }
        Ok(())
    };
    write().map_err(sqlite)?;
    let list = match after {
        _ if raised => &mut committed.raised,
        _ if before == Some(after) => &mut committed.revised,
        Status::New => &mut committed.reopened,
        Status::Suppressed => &mut committed.suppressed,
        _ => &mut committed.resolved,
    };
    list.push(finding.uid.clone());
    Ok(())
}

/// The engine's moves. What a person closed stays closed, whatever the engine finds later.
fn next(before: Option<Status>, finding: &Finding) -> Status {
    match (before, finding.status) {
        (Some(Status::Closed), _) => Status::Closed,
        (_, FindingStatus::Resolved) if finding.labels.iter().any(|l| l == SUPERSEDED) => Status::Superseded,
        (_, FindingStatus::Resolved) => Status::Resolved,
        (_, FindingStatus::Suppressed) => Status::Suppressed,
        (Some(Status::Acknowledged), FindingStatus::New) => Status::Acknowledged,
        (_, FindingStatus::New) => Status::New,
    }
}

type HeldRow = (String, u8, bool, String);

fn held(tx: &Transaction<'_>, id: &str) -> Result<Option<HeldRow>, rusqlite::Error> {
    tx.prepare_cached("SELECT status, severity, notified, finding FROM alerts WHERE id = ?1")?
        .query_row([id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
        .optional()
}

fn insert(
    tx: &Transaction<'_>,
    finding: &Finding,
    status: Status,
    notified: bool,
    json: &str,
    now: Millis,
) -> Result<(), rusqlite::Error> {
    let sql =
        "INSERT INTO alerts (id, status, severity, policy, account, person, raised_at, updated_at, notified, finding)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)";
    tx.prepare_cached(sql)?.execute(params![
        finding.uid,
        status.name(),
        finding.severity.id(),
        finding.policy.id,
        finding.account,
        finding.person,
        now.0,
        notified,
        json
    ])?;
    Ok(())
}

fn update(
    tx: &Transaction<'_>,
    finding: &Finding,
    status: Status,
    raised: bool,
    json: &str,
    now: Millis,
) -> Result<(), rusqlite::Error> {
    let sql = "UPDATE alerts SET status = ?2, severity = ?3, policy = ?4, account = ?5, person = ?6, updated_at = ?7,
                      notified = notified OR ?8, revision = revision + 1, finding = ?9
               WHERE id = ?1";
    tx.prepare_cached(sql)?.execute(params![
        finding.uid,
        status.name(),
        finding.severity.id(),
        finding.policy.id,
        finding.account,
        finding.person,
        now.0,
        raised,
        json
    ])?;
    Ok(())
}

fn clauses(tx: &Transaction<'_>, finding: &Finding) -> Result<(), rusqlite::Error> {
    tx.prepare_cached("DELETE FROM alert_clauses WHERE alert = ?1")?
        .execute([&finding.uid])?;
    let mut put = tx.prepare_cached("INSERT OR IGNORE INTO alert_clauses (clause, alert) VALUES (?1, ?2)")?;
    for clause in &finding.clauses {
        put.execute([clause, &finding.uid])?;
    }
    Ok(())
}

fn history(
    tx: &Transaction<'_>,
    finding: &Finding,
    held: Option<&Held>,
    after: Status,
    raised: bool,
    now: Millis,
) -> Result<(), rusqlite::Error> {
    let before = held.map(|h| h.status);
    if before != Some(after) {
        let action = match after {
            _ if raised => "raised",
            Status::New => "reopened",
            other => other.name(),
        };
        record(tx, &finding.uid, now, ENGINE, action, before, after, "")?;
    }
    if let Some(held) = held.filter(|h| h.severity != finding.severity.id()) {
        let comment = format!("{} → {}", severity_name(held.severity), finding.severity.name());
        record(tx, &finding.uid, now, ENGINE, "severity", before, after, &comment)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row, in their order")]
fn record(
    tx: &Transaction<'_>,
    alert: &str,
    at: Millis,
    who: &str,
    action: &str,
    before: Option<Status>,
    after: Status,
    comment: &str,
) -> Result<(), rusqlite::Error> {
    let sql =
        "INSERT INTO alert_events (alert, at, who, action, before, after, comment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    tx.prepare_cached(sql)?.execute(params![
        alert,
        at.0,
        who,
        action,
        before.map(Status::name),
        after.name(),
        comment
    ])?;
    Ok(())
}

fn severity_name(id: u8) -> &'static str {
    use Severity::{Critical, High, Informational, Low, Medium};
    [Informational, Low, Medium, High, Critical]
        .into_iter()
        .find(|s| s.id() == id)
        .map_or("unknown", Severity::name)
}
