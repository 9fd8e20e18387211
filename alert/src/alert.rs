//! An alert: a finding that people handle.

use std::fmt;
use std::str::FromStr;

use model::{Finding, Millis};
use serde::{Deserialize, Serialize};

use crate::Delivery;

/// Where an alert stands.
///
/// People move it `new → acknowledged → closed` and back by reopening; the engine moves it to `suppressed`,
/// `resolved` and `superseded`, and back to `new` when the finding holds again. What a person closed stays closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has looked at it.
    New,
    /// Somebody is at it.
    Acknowledged,
    /// Somebody has judged it.
    Closed,
    /// It holds, and an approved exception covers it.
    Suppressed,
    /// A later record refuted it.
    Resolved,
    /// The same violation is another alert now; not listed unless asked for.
    Superseded,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 6] = [
        Status::New,
        Status::Acknowledged,
        Status::Closed,
        Status::Suppressed,
        Status::Resolved,
        Status::Superseded,
    ];

    /// The word for it, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::New => "new",
            Status::Acknowledged => "acknowledged",
            Status::Closed => "closed",
            Status::Suppressed => "suppressed",
            Status::Resolved => "resolved",
            Status::Superseded => "superseded",
        }
    }

    /// Whether it waits for a person.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Status::New | Status::Acknowledged)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Status {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Status, UnknownName> {
        Status::ALL
            .into_iter()
            .find(|s| s.name() == text)
            .ok_or_else(|| UnknownName {
                given: text.to_owned(),
                allowed: "new, acknowledged, closed, suppressed, resolved, superseded",
            })
    }
}

/// What a person found a closed alert to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The rule was broken.
    TruePositive,
    /// The rule was not broken: the policy or its tables are wrong.
    FalsePositive,
    /// The rule was broken, and it does no harm.
    Benign,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 3] = [Verdict::TruePositive, Verdict::FalsePositive, Verdict::Benign];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::TruePositive => "true_positive",
            Verdict::FalsePositive => "false_positive",
            Verdict::Benign => "benign",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Verdict {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Verdict, UnknownName> {
        Verdict::ALL
            .into_iter()
            .find(|v| v.name() == text)
            .ok_or_else(|| UnknownName {
                given: text.to_owned(),
                allowed: "true_positive, false_positive, benign",
            })
    }
}

/// The word names no status, verdict or state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {allowed}")]
pub struct UnknownName {
    /// What was given.
    pub given: String,
    /// What is allowed.
    pub allowed: &'static str,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// The finding's uid: 32 hex digits.
    pub id: String,
    /// Its number in order of raising, from 1; the cursor of [`crate::Page::before`].
    pub seq: i64,
    /// Where it stands.
    pub status: Status,
    /// What it was found to be, once closed.
    pub verdict: Option<Verdict>,
    /// Who acknowledged or closed it last.
    pub owner: Option<String>,
    /// When it was first written.
    pub raised_at: Millis,
    /// When the engine or a person changed it last.
    pub updated_at: Millis,
    /// How often the finding was revised since.
    pub revision: u32,
    /// The finding's last revision.
    pub finding: Finding,
}

/// One step of an alert's history. Mere additions of evidence are counted by [`Alert::revision`], not listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertEvent {
    /// When.
    pub at: Millis,
    /// Who: an account of Docket, or [`crate::ENGINE`].
    pub who: String,
    /// What: `raised`, `acknowledged`, `closed`, `reopened`, `suppressed`, `resolved`, `superseded`, `severity`.
    pub action: String,
    /// The status before; none where it was raised.
    pub from: Option<Status>,
    /// The status after.
    pub to: Status,
    /// The verdict, where closed.
    pub verdict: Option<Verdict>,
    /// What was said about it; may be empty.
    pub comment: String,
}

/// An alert with all that happened to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detail {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// Its history, oldest first.
    pub events: Vec<AlertEvent>,
    /// Its notifications, oldest first.
    pub deliveries: Vec<Delivery>,
}
