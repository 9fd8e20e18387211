//! A record, normalized: one OCSF event, beside the source's own fields.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::Millis;

/// Sigma's `logsource` of an event. A missing part matches every rule (routing fails open).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogSource {
    /// For example `linux`, `jumpserver`, `aliyun`.
    pub product: Option<Arc<str>>,
    /// For example `process_creation`, `webserver`.
    pub category: Option<Arc<str>>,
    /// For example `sshd`, `sudo`, `auth`.
    pub service: Option<Arc<str>>,
}

impl LogSource {
    /// A log source from its three labels; an empty label is a missing one.
    #[must_use]
    pub fn new(product: &str, category: &str, service: &str) -> LogSource {
        let label = |s: &str| (!s.is_empty()).then(|| Arc::from(s));
        LogSource {
            product: label(product),
            category: label(category),
            service: label(service),
        }
    }
}

/// One OCSF event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// OCSF `metadata.uid`: the record id, with `#1`, `#2` … for the second and later events of a record.
    pub uid: Arc<str>,
    /// OCSF `class_uid`, for example 3002.
    pub class_uid: u32,
    /// When it happened (OCSF `time`).
    pub time: Millis,
    /// The whole event as OCSF 1.8.0; passes the schema.
    pub ocsf: Map<String, Value>,
    /// The source's own fields under their own names, for rules written for that source.
    pub native: Map<String, Value>,
    /// The account register's `system` that the event's accounts belong to: `jumpserver`, `aliyun`, `crm`,
    /// `host:<asset name>`. Read by policies as `docket.system`.
    pub system: Option<Arc<str>>,
    /// The simple commands of a command line, one each: program name without its folder, arguments without
    /// quotes, `sudo`/`env`/`sh -c` unwrapped, SQL given to a client as `sql: …`. Read as `docket.command`.
    pub commands: Vec<String>,
    /// Where Sigma rules for this event are found.
    pub logsource: LogSource,
}

impl Event {
    /// The value at a dotted path of the OCSF event; the first one where the path crosses an array.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut found = None;
        crate::batch::walk(&self.ocsf, path, &mut |v| {
            if found.is_none() {
                found = Some(v);
            }
        });
        found
    }

    /// The text at a dotted path of the OCSF event.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path).and_then(Value::as_str)
    }
}
