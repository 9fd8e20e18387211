//! What people do with an alert. Who and when is kept; nothing of the history is ever changed.

use model::Millis;
use rusqlite::{TransactionBehavior, params};

use crate::query::resolve;
use crate::{Alert, Error, Status, Store, Verdict};

/// Bytes of the name of who did it.
const WHO_BYTES_MAX: usize = 256;
/// Bytes of a comment.
const COMMENT_BYTES_MAX: usize = 16 << 10;

/// A step that a person takes.
struct Step {
    action: &'static str,
    from: &'static [Status],
    to: Status,
}

const ACKNOWLEDGE: Step = Step {
    action: "acknowledged",
    from: &[Status::New],
    to: Status::Acknowledged,
};
/// A refuted or suppressed alert may be closed as well, to put the verdict on record.
const CLOSE: Step = Step {
    action: "closed",
    from: &[Status::New, Status::Acknowledged, Status::Suppressed, Status::Resolved],
    to: Status::Closed,
};
const REOPEN: Step = Step {
    action: "reopened",
    from: &[Status::Closed],
    to: Status::New,
};

impl Store {
    /// `who` takes the alert on. `id` may be a unique prefix, here and below.
    ///
    /// # Errors
    /// The caller's: no such alert, more than one, not new, or `who` is empty; the disk's.
    pub fn ack(&mut self, id: &str, who: &str, comment: &str, now: Millis) -> Result<Alert, Error> {
        self.step(id, &ACKNOWLEDGE, who, None, comment, now)
    }

    /// `who` judges the alert.
    ///
    /// # Errors
    /// The caller's: no such alert, more than one, already closed, or `who` is empty; the disk's.
    pub fn close(&mut self, id: &str, who: &str, verdict: Verdict, comment: &str, now: Millis) -> Result<Alert, Error> {
        self.step(id, &CLOSE, who, Some(verdict), comment, now)
    }

    /// `who` takes the verdict back: the alert is new again.
    ///
    /// # Errors
    /// The caller's: no such alert, more than one, not closed, or `who` is empty; the disk's.
    pub fn reopen(&mut self, id: &str, who: &str, comment: &str, now: Millis) -> Result<Alert, Error> {
        self.step(id, &REOPEN, who, None, comment, now)
    }

    fn step(
        &mut self,
        id: &str,
        step: &Step,
        who: &str,
        verdict: Option<Verdict>,
        comment: &str,
        now: Millis,
    ) -> Result<Alert, Error> {
        bounded("who", who, WHO_BYTES_MAX)?;
        bounded("comment", comment, COMMENT_BYTES_MAX)?;
        if who.trim().is_empty() {
            return Err(Error::Nobody { field: "who" });
        }
        let Store { connection, path, .. } = self;
        let sqlite = |source| Error::Sqlite {
            path: path.clone(),
            source,
        };
        // Immediate: nobody else can take the same step between the look and the write.
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sqlite)?;
        let mut alert = resolve(&tx, path, id)?;
        if !step.from.contains(&alert.status) {
            let (status, action, allowed) = (alert.status, step.action, step.from);
            return Err(Error::Transition {
                id: alert.id,
                action,
                status,
                allowed,
            });
        }
        let write = || -> Result<(), rusqlite::Error> {
            let sql = "UPDATE alerts SET status = ?2, verdict = ?3, owner = ?4, updated_at = ?5 WHERE id = ?1";
            let verdict = verdict.map(Verdict::name);
            tx.execute(sql, params![alert.id, step.to.name(), verdict, who, now.0])?;
            let sql = "INSERT INTO alert_events (alert, at, who, action, before, after, verdict, comment)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let (before, after) = (alert.status.name(), step.to.name());
            tx.execute(
                sql,
                params![alert.id, now.0, who, step.action, before, after, verdict, comment],
            )?;
            Ok(())
        };
        write().map_err(sqlite)?;
        tx.commit().map_err(sqlite)?;
        alert.status = step.to;
        alert.verdict = verdict;
        alert.owner = Some(who.to_owned());
        alert.updated_at = now;
        Ok(alert)
    }
}

fn bounded(field: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    if text.len() > limit {
        return Err(Error::TooLong {
            field,
            given: text.len(),
            limit,
        });
    }
    Ok(())
}
