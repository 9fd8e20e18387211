//! What a policy says of the records: one violation, with its evidence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Coordinate, Millis, OCSF_VERSION};

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
}

impl Finding {
    /// The finding as OCSF 1.8.0: Detection Finding 2004 or Compliance Finding 2003.
    #[must_use]
    pub fn to_ocsf(&self) -> Value {
        let class_uid: u64 = match self.kind {
            // What opens an incident is a detection; see `to_incident`.
            FindingKind::Detection | FindingKind::Incident => 2004,
            FindingKind::Compliance => 2003,
        };
        // 1 Create, 3 Close (a finding that was refuted).
        let activity: u64 = if self.status == FindingStatus::Resolved { 3 } else { 1 };
        let mut event = Map::new();
        let mut put = |k: &str, v: Value| event.insert(k.to_owned(), v);
        put("activity_id", json!(activity));
        put("category_uid", json!(2));
        put("class_uid", json!(class_uid));
        put("type_uid", json!(class_uid * 100 + activity));
        put("time", json!(self.time.0));
        put("severity_id", json!(self.severity.id()));
        put("severity", json!(self.severity.name()));
        put("status_id", json!(self.status.id()));
        put("message", json!(self.message));
        let mut metadata = json!({
            "version": OCSF_VERSION,
            "uid": self.uid,
            "product": {"name": "Docket", "vendor_name": "Docket"},
        });
        if !self.labels.is_empty() {
            metadata["labels"] = json!(self.labels);
        }
        if self.account.is_some() || self.person.is_some() {
            let mut user = Map::new();
            user.extend(self.account.iter().map(|a| ("name".to_owned(), json!(a))));
            user.extend(self.person.iter().map(|p| ("uid".to_owned(), json!(p))));
            put("actor", json!({"user": user}));
            metadata["profiles"] = json!(["host"]);
        }
        put("metadata", metadata);
        put("finding_info", self.info());
        if self.kind == FindingKind::Compliance {
            let control = self.clauses.first().map_or("", String::as_str);
            put(
                "compliance",
                json!({"control": control, "standards": ["Docket specifications"], "status_id": 3}),
            );
        }
        if !self.rows.is_empty() {
            put("enrichments", self.rows.iter().map(enrichment).collect());
        }
        Value::Object(event)
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
            "finding_info_list": [self.info()],
            "metadata": {
                "version": OCSF_VERSION, "uid": format!("{}.incident", self.uid),
                "product": {"name": "Docket", "vendor_name": "Docket"},
            },
        }))
    }

    fn info(&self) -> Value {
        let tag = |name: &str, value: &str| json!({"name": name, "value": value});
        let mut tags: Vec<Value> = self.clauses.iter().map(|c| tag("clause", c)).collect();
        for (framework, controls) in &self.controls {
            tags.extend(controls.iter().map(|c| tag(framework, c)));
        }
        tags.extend(self.tags.iter().map(|t| tag("sigma", t)));
        tags.extend(self.group.iter().map(|(k, v)| tag(k, v)));
        let mut info = json!({
            "uid": self.uid,
            "title": self.policy.title,
            "desc": self.message,
            "first_seen_time": self.first_seen.0,
            "last_seen_time": self.last_seen.0,
            "analytic": {"uid": self.policy.id, "name": self.policy.title, "version": self.policy.version, "type_id": 1},
            "tags": tags,
        });
        if !self.evidence.is_empty() {
            info["related_events"] = self.evidence.iter().map(|e| json!({"uid": e.to_string()})).collect();
            info["related_events_count"] = json!(self.evidence.len());
        }
        info
    }
}

fn enrichment(row: &ReferenceRow) -> Value {
    json!({"name": row.table, "value": row.version, "type": "reference", "data": row.row})
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
