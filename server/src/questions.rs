//! Questions that are being answered: how far each is, and a way to stop it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use model::Millis;
use rand::RngCore as _;
use serde_json::{Value, json};

use crate::api::ApiError;
use crate::app::{App, lock};
use crate::auth::Caller;

/// The header in which an asker names their question, so as to look after it while it is answered.
pub const HEADER: &str = "x-docket-query";
/// Characters of such a name.
const ID_MIN: usize = 8;
const ID_MAX: usize = 64;

/// A question.
#[derive(Debug)]
pub struct Question {
    id: String,
    /// `search`, `aggregate`, …
    what: &'static str,
    asked: Value,
    by: String,
    since: Millis,
    /// Events that were looked through, and those that may have to be.
    events: AtomicU64,
    of: AtomicU64,
    /// Records that were read from the ledger.
    read: AtomicU64,
    /// Nobody waits for the answer.
    stopped: AtomicBool,
}

impl Question {
    /// Whether nobody waits for the answer any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// So many events were looked through, of so many. A question of several rounds does not go back.
    pub fn progress(&self, events: u64, of: u64) {
        self.of.fetch_max(of, Ordering::Relaxed);
        self.events.fetch_max(events, Ordering::Relaxed);
    }

    /// A record was read from the ledger.
    pub fn read(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// Fails where nobody waits for the answer any more.
    ///
    /// # Errors
    /// 409, with what was looked through by then.
    pub fn demand_asker(&self) -> Result<(), ApiError> {
        match self.is_stopped() {
            false => Ok(()),
            true => Err(crate::asking::refusal(search::Error::Cancelled {
                events: self.events.load(Ordering::Relaxed),
                of: self.of.load(Ordering::Relaxed),
            })),
        }
    }

    fn shown(&self) -> Value {
        json!({
            "id": self.id, "what": self.what, "asked": self.asked, "by": self.by, "since": self.since.to_string(),
            "looked_through": self.events.load(Ordering::Relaxed), "of": self.of.load(Ordering::Relaxed),
            "read_from_ledger": self.read.load(Ordering::Relaxed), "cancelled": self.is_stopped(),
        })
    }
}

/// Those that are being answered.
#[derive(Debug, Clone, Default)]
pub struct Questions(Arc<Mutex<BTreeMap<String, Arc<Question>>>>);

impl Questions {
    /// What a caller asks at this moment; the machine's own user sees everybody's.
    pub fn of(&self, caller: &Caller) -> Vec<Value> {
        let all = lock(&self.0);
        all.values().filter(|q| is_of(q, caller)).map(|q| q.shown()).collect()
    }

    /// How far one is.
    ///
    /// # Errors
    /// There is none of that name that the caller asked: it is answered, or never was.
    pub fn show(&self, id: &str, caller: &Caller) -> Result<Value, ApiError> {
        Ok(self.find(id, caller)?.shown())
    }

    /// Stops one; says how far it was.
    ///
    /// # Errors
    /// As [`Questions::show`].
    pub fn cancel(&self, id: &str, caller: &Caller) -> Result<Value, ApiError> {
        let question = self.find(id, caller)?;
        question.stopped.store(true, Ordering::Relaxed);
        Ok(question.shown())
    }

    fn find(&self, id: &str, caller: &Caller) -> Result<Arc<Question>, ApiError> {
        let found = lock(&self.0).get(id).filter(|q| is_of(q, caller)).cloned();
        let shown: String = id.chars().take(ID_MAX).collect();
        found.ok_or_else(|| {
            ApiError::not_found(format!(
                "no question `{shown}` of yours is being answered: it was, or never was asked"
            ))
        })
    }
}

fn is_of(question: &Question, caller: &Caller) -> bool {
    question.by == caller.name() || matches!(caller, Caller::Local { .. })
}

/// Held while somebody waits for the answer; dropped with their request, it stops the question.
pub struct Waiting {
    questions: Questions,
    question: Arc<Question>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.question.stopped.store(true, Ordering::Relaxed);
        lock(&self.questions.0).remove(&self.question.id);
    }
}

/// What a request says of its question.
#[derive(Debug, Clone)]
pub struct Asking {
    id: Option<String>,
}

impl Asking {
    /// One that its asker does not name.
    pub fn unnamed() -> Asking {
        Asking { id: None }
    }

    /// The question begins.
    ///
    /// # Errors
    /// Another of that name is being answered.
    pub fn begin(
        &self,
        app: &App,
        caller: &str,
        what: &'static str,
        asked: Value,
    ) -> Result<(Arc<Question>, Waiting), ApiError> {
        let mut random = [0u8; 8];
        rand::rng().fill_bytes(&mut random);
        let question = Arc::new(Question {
            id: self.id.clone().unwrap_or_else(|| hex::encode(random)),
            what,
            asked,
            by: caller.to_owned(),
            since: app.clock.now(),
            events: AtomicU64::new(0),
            of: AtomicU64::new(0),
            read: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let mut all = lock(&app.questions.0);
        if all.contains_key(&question.id) {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                format!(
                    "a question named `{}` is being answered; give another {HEADER}",
                    question.id
                ),
            ));
        }
        all.insert(question.id.clone(), question.clone());
        let waiting = Waiting {
            questions: app.questions.clone(),
            question: question.clone(),
        };
        Ok((question, waiting))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asking, ApiError> {
        let Some(given) = parts.headers.get(HEADER) else {
            return Ok(Asking::unnamed());
        };
        let fine = |id: &&str| {
            (ID_MIN..=ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        match given.to_str().ok().filter(fine) {
            Some(id) => Ok(Asking {
                id: Some(id.to_owned()),
            }),
            None => Err(ApiError::bad_request(format!(
                "{HEADER}: give {ID_MIN} to {ID_MAX} of the characters A-Z a-z 0-9 - _"
            ))),
        }
    }
}
