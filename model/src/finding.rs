//! What a policy says of the records: one violation, with its evidence.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Coordinate, Millis, OCSF_VERSION};

mod context;
mod ocsf;
mod text;

pub use context::{Asset, Context, LookedFor, Person};

/// OCSF `severity_id`, 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// 1
    Informational = 1,
    /// 2
    Low = 2,
    /// 3
    Medium = 3,
    /// 4
    High = 4,
    /// 5
    Critical = 5,
}

impl Severity {
    /// OCSF `severity_id`.
    #[must_use]
    pub fn id(self) -> u8 {
        self as u8
    }

    /// OCSF `severity`.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["Informational", "Low", "Medium", "High", "Critical"][usize::from(self.id()) - 1]
    }
}

/// Whether an event violates (Detection Finding 2004), a state does (Compliance Finding 2003), or several steps are an incident (2004 and, beside it, Incident Finding 2005).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// An event violates.
    Detection,
    /// An absence, or a check of a table.
    Compliance,
    /// Several findings, or steps, that are one incident; somebody has to lead the answer to it.
    Incident,
}

/// OCSF `status_id` of a finding as the detector sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingStatus {
    /// 1: it holds.
    New,
    /// 3: it holds, and an approved exception covers it.
    Suppressed,
    /// 4: a late record refuted it.
    Resolved,
}

impl FindingStatus {
    /// OCSF `status_id`.
    #[must_use]
    pub fn id(self) -> u8 {
        match self {
            FindingStatus::New => 1,
            FindingStatus::Suppressed => 3,
            FindingStatus::Resolved => 4,
        }
    }
}

/// A clause of a specification, `AU-10`.
pub type Clause = String;

/// Which policy, in which version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRef {
    /// The rule's id (a UUID) or, without one, its name.
    pub id: String,
    /// The rule's title.
    pub title: String,
    /// The first 12 hex digits of SHA-256 of the rule's text.
    pub version: String,
}

/// A row of a reference table that the judgement used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceRow {
    /// The table.
    pub table: String,
    /// The table's version: the first 12 hex digits of SHA-256 of its content.
    pub version: String,
    /// The row.
    pub row: Value,
}

/// One violation. Its `uid` is computed from policy, group and dedup bucket alone, so that later records
/// revise the finding under the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// OCSF `finding_info.uid`, also the alert's id: 32 hex digits.
    pub uid: String,
    /// Which policy fired.
    pub policy: PolicyRef,
    /// What it is.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// Whether it still holds.
    pub status: FindingStatus,
    /// The clauses violated.
    pub clauses: Vec<Clause>,
    /// Controls by framework: `iso`, `nist`, `pci`, `mlps`.
    pub controls: BTreeMap<String, Vec<String>>,
    /// Sigma tags (`attack.t1078`).
    pub tags: Vec<String>,
    /// When the violation was complete (event time).
    pub time: Millis,
    /// Event time of the first evidence.
    pub first_seen: Millis,
    /// Event time of the last evidence.
    pub last_seen: Millis,
    /// The account, where the finding concerns a single one.
    pub account: Option<String>,
    /// The employee id of the person.
    pub person: Option<String>,
    /// The group key: field and value.
    pub group: Vec<(String, String)>,
    /// All the evidence, in order of record id, each once.
    pub evidence: Vec<Coordinate>,
    /// Why it fired: one sentence with actual and allowed values.
    pub message: String,
    /// The reference rows used.
    pub rows: Vec<ReferenceRow>,
    /// Labels: `late`, …
    pub labels: Vec<String>,
    /// Who, what, in which session, and what would have allowed it.
    #[serde(default, skip_serializing_if = "Context::is_empty")]
    pub context: Context,
}

impl Finding {
    /// The finding told to somebody who reads it aloud: the message, and the sentences of its context.
    #[must_use]
    pub fn description(&self) -> Cow<'_, str> {
        if self.context.is_empty() {
            return Cow::Borrowed(&self.message);
        }
        Cow::Owned(format!(
            "{}. {}",
            self.message.trim_end_matches('.'),
            self.surroundings()
        ))
    }

    /// The sentences of its context: `Person: …. Asset: …. Session: …. Looked for in …: ….`; empty where nothing is known.
    #[must_use]
    pub fn surroundings(&self) -> String {
        let sentences = context::Sentences {
            context: &self.context,
            person: self.person.as_deref(),
        };
        sentences.to_string().trim_start().to_owned()
    }

    /// The incident that the finding opens, as OCSF Incident Finding 2005; `None` of other findings. Nobody has taken it on yet: it is the
    /// security team's.
    #[must_use]
    pub fn to_incident(&self) -> Option<Value> {
        if self.kind != FindingKind::Incident {
            return None;
        }
        let (activity, status) = match self.status {
            FindingStatus::New => (1, "New"),
            FindingStatus::Suppressed => (1, "On Hold"),
            FindingStatus::Resolved => (3, "Resolved"),
        };
        let who = self.person.as_ref().or(self.account.as_ref());
        Some(json!({
            "activity_id": activity, "category_uid": 2, "class_uid": 2005, "type_uid": 200_500 + activity,
            "time": self.time.0, "severity_id": self.severity.id(), "severity": self.severity.name(),
            "status_id": self.status.id(), "status": status,
            "message": self.message,
            "desc": format!("{}: {}", self.policy.title, who.map_or("nobody is named", String::as_str)),
            "assignee_group": {"name": "security"},
            "finding_info_list": [self.info_value()],
            "metadata": {
                "version": OCSF_VERSION, "uid": format!("{}.incident", self.uid),
                "product": {"name": "Docket", "vendor_name": "Docket"},
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_stands_beside_its_finding() {
        let mut finding = Finding {
            uid: "u".to_owned(),
            policy: PolicyRef {
                id: "p".to_owned(),
                title: "Chain".to_owned(),
                version: "v".to_owned(),
            },
            kind: FindingKind::Incident,
            severity: Severity::Critical,
            status: FindingStatus::New,
            clauses: vec!["DS-26".to_owned()],
            controls: BTreeMap::new(),
            tags: Vec::new(),
            time: Millis(7),
            first_seen: Millis(5),
            last_seen: Millis(7),
            account: None,
            person: Some("E1".to_owned()),
            group: Vec::new(),
            evidence: vec![Coordinate::new("t", 0, 1)],
            message: "m".to_owned(),
            rows: Vec::new(),
            labels: Vec::new(),
            context: Context::default(),
        };
        let told = finding.to_ocsf();
        assert_eq!(told["class_uid"], 2004);
        let incident = finding.to_incident().unwrap();
        assert_eq!(
            (&incident["class_uid"], &incident["type_uid"]),
            (&json!(2005), &json!(200_501))
        );
        assert_eq!(incident["finding_info_list"], json!([told["finding_info"]]));
        assert_eq!(incident["status"], "New");
        finding.status = FindingStatus::Resolved;
        assert_eq!(finding.to_incident().unwrap()["type_uid"], 200_503);
        finding.kind = FindingKind::Detection;
        assert!(finding.to_incident().is_none());
    }
}
