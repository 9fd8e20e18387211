//! Findings and deltas for the tests.

#![allow(dead_code, reason = "each test program uses its part")]

use model::{
    Coordinate, Delta, Finding, FindingKind, FindingStatus, LedgerIndex, Millis, PolicyRef, ReferenceRow, Severity,
};

/// The id of finding `n`.
pub fn id(n: u32) -> String {
    format!("{n:08x}{}", "0".repeat(24))
}

/// A finding that holds.
pub fn finding(n: u32) -> Finding {
    Finding {
        uid: id(n),
        policy: PolicyRef {
            id: "p-1".into(),
            title: "Logon past the bastion".into(),
            version: "0123456789ab".into(),
        },
        kind: FindingKind::Detection,
        severity: Severity::High,
        status: FindingStatus::New,
        clauses: vec!["AU-10".into()],
        controls: [("iso".to_owned(), vec!["8.2".to_owned()])].into(),
        tags: vec!["attack.t1021.004".into()],
        time: Millis(1_779_999_990_000),
        first_seen: Millis(1_779_999_990_000),
        last_seen: Millis(1_779_999_990_000),
        account: Some("wu.di".into()),
        person: Some("E7".into()),
        group: vec![("user.name".into(), "wu.di".into())],
        evidence: vec![Coordinate::new("audit.linux", 0, i64::from(n))],
        message: "wu.di logged on to 库-01\nfrom 10.9.9.9".into(),
        rows: vec![ReferenceRow {
            table: "network_zones".into(),
            version: "ab".into(),
            row: serde_json::json!({"n": 1.50}),
        }],
        labels: vec![],
        context: model::Context::default(),
    }
}

/// The finding with another status.
pub fn with_status(mut finding: Finding, status: FindingStatus) -> Finding {
    finding.status = status;
    finding
}

/// The finding, given way to another.
pub fn superseded(finding: Finding) -> Finding {
    let mut finding = with_status(finding, FindingStatus::Resolved);
    finding.labels.push("superseded".into());
    finding
}

/// A delta.
pub fn delta(position: u64, put: &[(&[u8], &[u8])], delete: &[&[u8]]) -> Delta {
    Delta {
        position: LedgerIndex(position),
        put: put.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect(),
        delete: delete.iter().map(|k| k.to_vec()).collect(),
    }
}
