//! How it went: the status, the severity, what a control did.

use model::{Value, known};

use super::EventBuilder;

pub(super) const SEVERITIES: [&str; 7] = ["Unknown", "Informational", "Low", "Medium", "High", "Critical", "Fatal"];
const ACTIONS: &[(u8, &str)] = &[
    (1, "Allowed"),
    (2, "Denied"),
    (3, "Observed"),
    (4, "Modified"),
    (99, "Other"),
];
const DISPOSITIONS: &[(u8, &str)] = &[
    (1, "Allowed"),
    (2, "Blocked"),
    (8, "Approved"),
    (17, "Logged"),
    (19, "Alert"),
    (25, "Rejected"),
    (26, "Unauthorized"),
    (99, "Other"),
];

impl EventBuilder<'_> {
    /// `status_id` 1 or 2 with its name; a failure raises the severity from 1 to 2.
    pub fn success(&mut self, success: bool) -> &mut Self {
        let (id, name) = if success { (1, "Success") } else { (2, "Failure") };
        self.put(known::STATUS_ID, Value::Int(id));
        self.put(known::STATUS, Value::String(name));
        if !success && !self.parts.severe {
            self.severity(2);
        }
        self
    }

    /// `severity_id` (1 Informational to 5 Critical); 1 by default.
    pub fn severity(&mut self, id: u8) -> &mut Self {
        self.parts.severe = true;
        let name = SEVERITIES.get(usize::from(id)).copied().unwrap_or("Other");
        self.put(known::SEVERITY_ID, Value::Int(id.into()));
        self.put(known::SEVERITY, Value::String(name));
        self
    }

    /// `action_id` and `disposition_id` with their names (profile `security_control`).
    pub fn control(&mut self, action_id: u8, disposition_id: u8) -> &mut Self {
        self.set("action_id", action_id).set("disposition_id", disposition_id);
        self.set_some(
            "action",
            ACTIONS.iter().find(|(id, _)| *id == action_id).map(|(_, name)| *name),
        );
        self.set_some(
            "disposition",
            DISPOSITIONS
                .iter()
                .find(|(id, _)| *id == disposition_id)
                .map(|(_, name)| *name),
        )
    }
}
