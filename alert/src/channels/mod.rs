//! Where alerts are told: one file for each kind of channel.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use model::{Finding, Millis};

pub mod webhook;

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The delivery's number in the outbox.
    pub id: i64,
    /// The idempotency key: the same for every attempt, different for every other notification.
    pub key: String,
    /// What happened: `raised`.
    pub kind: String,
    /// When it was written.
    pub created_at: Millis,
    /// The finding that raised the alert.
    pub finding: Finding,
}

impl Notice {
    /// One line: severity, clauses, title, message.
    #[must_use]
    pub fn summary(&self) -> String {
        let Finding {
            severity,
            clauses,
            policy,
            message,
            ..
        } = &self.finding;
        let clauses = if clauses.is_empty() {
            String::new()
        } else {
            format!(" {}", clauses.join(" "))
        };
        // Names in it come from logs: a line break must not forge a second message.
        let line = format!("[{}]{clauses} {}: {message}", severity.name(), policy.title);
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it.
    Delivered,
    /// Not this time: try again.
    Retry {
        /// What went wrong.
        error: String,
        /// How long the other side asked to wait, in milliseconds.
        after_ms: Option<i64>,
    },
    /// Never: trying again cannot help.
    Refused {
        /// What went wrong.
        error: String,
    },
}

/// An attempt under way.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A place where alerts are told. An attempt ends by itself, within a time that the channel bounds, and an attempt
/// repeated after a crash carries the same [`Notice::key`].
pub trait Channel: Send + Sync + fmt::Debug {
    /// Its name in the configuration; part of the idempotency key.
    fn name(&self) -> &str;

    /// Tries once.
    fn send<'a>(&'a self, notice: &'a Notice) -> Sending<'a>;
}
