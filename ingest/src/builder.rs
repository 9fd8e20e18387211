//! Builds an OCSF event, value by value.
//!
//! Empty texts, nulls, empty lists and objects are left out. What every event has (class, type, metadata, raw text,
//! times, flags) the builder fills in itself.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use model::{Event, LogSource, Millis, OCSF_VERSION, RawRecord};
use serde_json::{Map, Value, json};

use crate::class::Class;
use crate::fields::scalar;
use crate::format::Input;
use crate::time_text;

/// Levels that `unmapped` may hold below itself.
pub const UNMAPPED_DEPTH_MAX: usize = 8;
/// Keys that `unmapped` may hold, at all levels together.
pub const UNMAPPED_KEYS_MAX: usize = 256;
/// A clock further from ours than this is labelled `clock_skew`.
pub const CLOCK_SKEW_MS_MAX: i64 = 120_000;

/// An event further behind than this is labelled `time.late`: policies keep their state no longer by default.
pub const LATE_MS_MIN: i64 = 24 * 3_600_000;

/// An event in the making.
#[derive(Debug)]
pub struct EventBuilder<'a> {
    record: &'a RawRecord,
    class: &'static Class,
    activity: u8,
    text: Cow<'a, str>,
    time: Option<Millis>,
    ocsf: Map<String, Value>,
    metadata: Map<String, Value>,
    unmapped: Map<String, Value>,
    unmapped_keys: usize,
    labels: Vec<Cow<'static, str>>,
    profiles: Vec<&'static str>,
    written_later: bool,
    severe: bool,
    native: Map<String, Value>,
    system: Option<Arc<str>>,
    configured_system: Option<&'a Arc<str>>,
    commands: Vec<String>,
    logsource: LogSource,
}

impl<'a> EventBuilder<'a> {
    /// An event of `input`'s record; `vendor` and `product` made the source.
    #[must_use]
    pub fn new(
        input: &Input<'a>,
        class: &'static Class,
        activity: u8,
        vendor: &str,
        product: &str,
    ) -> EventBuilder<'a> {
        let record = input.record;
        let mut builder = EventBuilder {
            record,
            class,
            activity,
            text: input.text.clone(),
            time: None,
            ocsf: head(class, activity),
            metadata: Map::with_capacity(16),
            unmapped: Map::new(),
            unmapped_keys: 0,
            labels: input.flags.iter().map(|f| Cow::Borrowed(*f)).collect(),
            profiles: Vec::new(),
            written_later: false,
            severe: false,
            native: Map::new(),
            system: input.settings.system.clone(),
            configured_system: input.settings.system.as_ref(),
            commands: Vec::new(),
            logsource: LogSource::default(),
        };
        builder.metadata("version", OCSF_VERSION);
        builder.metadata("product.vendor_name", vendor);
        builder.metadata("product.name", product);
        builder.metadata("log_format", input.format);
        if !input.duplicates.is_empty() {
            let lost = input
                .duplicates
                .iter()
                .map(|(key, value)| json!({"key": key, "value": value}));
            builder.unmapped("duplicate_keys", lost.collect::<Value>());
        }
        builder
    }

    /// Puts a value at a dotted path; `metadata.…` and `unmapped.…` work too. Empty values are left out, a value
    /// that is there is replaced.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        if is_empty(&value) {
            return self;
        }
        if let Some(rest) = path.strip_prefix("metadata.") {
            put(&mut self.metadata, rest, value);
        } else if let Some(rest) = path.strip_prefix("unmapped.") {
            return self.unmapped(rest, value);
        } else {
            put(&mut self.ocsf, path, value);
        }
        self
    }

    /// [`EventBuilder::set`] where there is a value.
    pub fn set_some<V: Into<Value>>(&mut self, path: &str, value: Option<V>) -> &mut Self {
        match value {
            Some(value) => self.set(path, value),
            None => self,
        }
    }

    /// Puts a value at a path below `metadata`.
    pub fn metadata(&mut self, path: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        if !is_empty(&value) {
            put(&mut self.metadata, path, value);
        }
        self
    }

    /// Keeps what has no OCSF home, under the source's own name (dots in it stay dots). Bounded; what goes over is
    /// left out (the raw record has it) and the event labelled `unmapped_truncated`.
    pub fn unmapped(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        if is_empty(&value) {
            return self;
        }
        if self.unmapped_keys >= UNMAPPED_KEYS_MAX {
            return self.label("unmapped_truncated");
        }
        self.unmapped_keys += 1;
        let mut cut = false;
        let value = bounded(value, UNMAPPED_DEPTH_MAX - 1, &mut self.unmapped_keys, &mut cut);
        self.unmapped.insert(name.to_owned(), value);
        if cut {
            self.label("unmapped_truncated");
        }
        self
    }

    /// Puts an address at `path` in canonical form (IPv4-mapped IPv6 as IPv4). What is none goes to `unmapped`
    /// under the path, with the label `ip_invalid`; with a port (`1.2.3.4:55`, `[::1]:55`) the port goes to the
    /// sibling `port`. Says whether an address was there.
    pub fn ip(&mut self, path: &str, text: &str) -> bool {
        let text = text.trim();
        if text.is_empty() || text == "-" {
            return false;
        }
        let (address, port) = address(text);
        match address {
            Some(ip) => {
                self.set(path, ip.to_string());
                if let (Some(port), Some(object)) = (port, path.strip_suffix(".ip")) {
                    self.set(&format!("{object}.port"), port);
                }
                true
            }
            None => {
                self.unmapped(path, text);
                self.label("ip_invalid");
                false
            }
        }
    }

    /// Puts an address or else a host name into the endpoint at `object` (`src_endpoint`, `device`).
    pub fn host(&mut self, object: &str, text: &str) -> &mut Self {
        let text = text.trim();
        if text.is_empty() || text == "-" {
            return self;
        }
        if address(text).0.is_some() {
            self.ip(&format!("{object}.ip"), text);
        } else {
            self.set(&format!("{object}.hostname"), text);
        }
        self
    }

    /// When it happened; without a call `received_at` is taken, with the label `time.missing`.
    pub fn time(&mut self, time: Millis) -> &mut Self {
        self.time = Some(time);
        self
    }

    /// The record was written long after the event's time, as the source works: that is no fault of a clock.
    pub fn written_later(&mut self) -> &mut Self {
        self.written_later = true;
        self
    }

    /// The time as the source wrote it, and its zone's offset where it had one.
    pub fn original_time(&mut self, text: &str, offset_minutes: Option<i32>) -> &mut Self {
        self.metadata("original_time", text);
        self.set_some("timezone_offset", offset_minutes)
    }

    /// Takes the time from a value as the source wrote it: text in any form that [`time_text`] reads, or an epoch
    /// number (seconds, milli-, micro- or nanoseconds told apart by magnitude), with its original text, offset and
    /// labels. Says whether it was a time; where it was none, the text is kept and the label `time.unreadable` set.
    pub fn time_of(&mut self, input: &Input<'_>, value: &Value) -> bool {
        let Some(text) = scalar(value).filter(|_| !value.is_boolean()) else {
            return false;
        };
        self.metadata("original_time", &*text);
        match time_text::parse_any(&text, self.record.received_at, &input.settings.time_zone) {
            Some(parsed) => {
                self.set_some("timezone_offset", parsed.offset_minutes);
                for label in parsed.labels() {
                    self.label(label);
                }
                self.time = Some(parsed.time);
                true
            }
            None => {
                self.label("time.unreadable");
                false
            }
        }
    }

    /// `status_id` 1 or 2 with its name; a failure raises the severity from 1 to 2.
    pub fn success(&mut self, success: bool) -> &mut Self {
        let (id, name) = if success { (1, "Success") } else { (2, "Failure") };
        self.set("status_id", id).set("status", name);
        if !success && !self.severe {
            self.severity(2);
        }
        self
    }

    /// `severity_id` (1 Informational to 5 Critical); 1 by default.
    pub fn severity(&mut self, id: u8) -> &mut Self {
        self.severe = true;
        self.set("severity_id", id)
            .set("severity", SEVERITIES.get(usize::from(id)).copied().unwrap_or("Other"))
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

    /// The source's own id of the event.
    pub fn original_uid(&mut self, uid: &str) -> &mut Self {
        self.metadata("original_event_uid", uid)
    }

    /// An approval's number: `unmapped.ticket_id` and an enrichment.
    pub fn ticket(&mut self, id: &str) -> &mut Self {
        if id.is_empty() {
            return self;
        }
        self.unmapped("ticket_id", id);
        self.set(
            "enrichments",
            json!([{"name": "ticket_id", "value": id, "data": {"ticket_id": id}}]),
        )
    }

    /// A parse flag, once.
    pub fn label(&mut self, label: impl Into<Cow<'static, str>>) -> &mut Self {
        let label = label.into();
        if !self.labels.contains(&label) {
            self.labels.push(label);
        }
        self
    }

    /// The source's own fields.
    pub fn native(&mut self, native: Map<String, Value>) -> &mut Self {
        self.native = native;
        self
    }

    /// The account register's system (`docket.system`), unless the source's settings name one: those win, so that a
    /// source cannot speak of another one's accounts.
    pub fn system(&mut self, system: &str) -> &mut Self {
        if self.configured_system.is_none() {
            self.system = (!system.is_empty()).then(|| Arc::from(system));
        }
        self
    }

    /// The simple commands of the command line (`docket.command`).
    pub fn commands(&mut self, commands: Vec<String>) -> &mut Self {
        self.commands = commands;
        self
    }

    /// Sigma's labels.
    pub fn logsource(&mut self, product: &str, category: &str, service: &str) -> &mut Self {
        self.logsource = LogSource::new(product, category, service);
        self
    }

    /// Sigma's labels, ready made.
    pub fn set_logsource(&mut self, logsource: LogSource) -> &mut Self {
        self.logsource = logsource;
        self
    }

    /// The class's uid.
    #[must_use]
    pub fn class_uid(&self) -> u32 {
        self.class.uid
    }

    /// The activity's id.
    #[must_use]
    pub fn activity(&self) -> u8 {
        self.activity
    }

    /// Declares a profile that the builder cannot tell from the event's own fields.
    pub fn profile(&mut self, profile: &'static str) -> &mut Self {
        self.profiles.push(profile);
        self
    }

    /// Whether something was put at a dotted path.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let mut object = &self.ocsf;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            match object.get(part) {
                None => return false,
                Some(_) if parts.peek().is_none() => return true,
                Some(Value::Object(inner)) => object = inner,
                Some(_) => return false,
            }
        }
        false
    }

    /// The event, whole.
    #[must_use]
    pub fn finish(mut self) -> Event {
        let record = self.record;
        let time = match self.time {
            Some(time) => time,
            None => {
                self.label("time.missing");
                record.received_at
            }
        };
        let behind = record.received_at - time;
        if behind.saturating_abs() > CLOCK_SKEW_MS_MAX && !self.written_later {
            self.label("clock_skew");
        }
        if behind < -CLOCK_SKEW_MS_MAX {
            self.label("time.future");
        } else if behind > LATE_MS_MIN && !self.written_later {
            self.label("time.late");
        }
        let uid: Arc<str> = record.coordinate.to_string().into();
        let class = self.class;
        let mut event = self.ocsf;
        event.insert("time".into(), time.0.into());
        if !self.unmapped.is_empty() {
            event.insert("unmapped".into(), Value::Object(self.unmapped));
        }

        let mut profiles = std::mem::take(&mut self.profiles);
        if event.contains_key("action_id") || event.contains_key("disposition_id") {
            profiles.push("security_control");
        }
        if (class.actor_by_profile && event.contains_key("actor"))
            || (class.device_by_profile && event.contains_key("device"))
        {
            profiles.push("host");
        }
        if event.contains_key("cloud") {
            profiles.push("cloud");
        }
        if event.contains_key("data_classifications") {
            profiles.push("data_classification");
        }
        if !profiles.is_empty() {
            self.metadata.insert("profiles".into(), profiles.into());
        }
        self.metadata.insert("uid".into(), (*uid).into());
        self.metadata.insert("logged_time".into(), record.received_at.0.into());
        self.metadata
            .entry("log_name")
            .or_insert_with(|| (*record.coordinate.topic).into());
        if let Some(cut) = &record.truncated {
            self.metadata.insert("is_truncated".into(), true.into());
            if let Ok(size) = i32::try_from(cut.bytes) {
                self.metadata.insert("untruncated_size".into(), size.into());
            }
            self.labels.push("record_truncated".into());
        }
        if !self.labels.is_empty() {
            self.metadata.insert(
                "labels".into(),
                self.labels.iter().map(|l| Value::from(l.as_ref())).collect(),
            );
        }
        event.insert("metadata".into(), Value::Object(self.metadata));
        if !self.text.is_empty() {
            event.insert("raw_data".into(), self.text.into_owned().into());
        }
        Event {
            uid,
            class_uid: class.uid,
            time,
            ocsf: event,
            native: self.native,
            system: self.system,
            commands: self.commands,
            logsource: self.logsource,
        }
    }
}

/// An address, perhaps with a port: `1.2.3.4`, `1.2.3.4:55`, `::1`, `[::1]:55`, `fe80::1%eth0` (the zone is cut off),
/// `::ffff:1.2.3.4` (IPv4). Nothing else is one: no octal, no short forms, no names.
#[must_use]
pub fn address(text: &str) -> (Option<IpAddr>, Option<u16>) {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return (Some(ip.to_canonical()), None);
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return (Some(socket.ip().to_canonical()), Some(socket.port()));
    }
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let inner = inner
        .split_once('%')
        .map_or(inner, |(ip, _)| if ip.contains(':') { ip } else { inner });
    (inner.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()), None)
}

/// The first fields of every event; those that are known later hold their place.
fn head(class: &'static Class, activity: u8) -> Map<String, Value> {
    let type_uid = u64::from(class.uid) * 100 + u64::from(activity);
    let mut event = Map::with_capacity(32);
    event.insert("class_uid".into(), class.uid.into());
    event.insert("class_name".into(), class.name.into());
    event.insert("category_uid".into(), class.category_uid.into());
    event.insert("activity_id".into(), activity.into());
    event.insert("activity_name".into(), class.activity_name(activity).into());
    event.insert("type_uid".into(), type_uid.into());
    if type_uid == 99 {
        // The one type whose number says nothing.
        event.insert("type_name".into(), "Base Event: Other".into());
    }
    event.insert("time".into(), 0.into());
    event.insert("severity_id".into(), 1.into());
    event.insert("severity".into(), SEVERITIES[1].into());
    event
}

const SEVERITIES: [&str; 7] = ["Unknown", "Informational", "Low", "Medium", "High", "Critical", "Fatal"];
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

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Puts a value at a dotted path, making the objects on the way; a scalar on the way is replaced.
fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            // Insert without allocating the key where it is there.
            match object.get_mut(path) {
                Some(there) => *there = value,
                None => {
                    object.insert(path.to_owned(), value);
                }
            }
        }
        Some((head, rest)) => {
            if !object.get(head).is_some_and(Value::is_object) {
                object.insert(head.to_owned(), Value::Object(Map::new()));
            }
            if let Some(Value::Object(inner)) = object.get_mut(head) {
                put(inner, rest, value);
            }
        }
    }
}

/// `value` with at most `depth` levels below it and what is left of the keys; deeper levels as JSON text.
fn bounded(value: Value, depth: usize, keys: &mut usize, cut: &mut bool) -> Value {
    match value {
        Value::Object(fields) if depth == 0 => {
            *cut = true;
            Value::String(Value::Object(fields).to_string())
        }
        Value::Array(items) if depth == 0 => {
            *cut = true;
            Value::String(Value::Array(items).to_string())
        }
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (k, v) in fields {
                if *keys >= UNMAPPED_KEYS_MAX {
                    *cut = true;
                    break;
                }
                if v.is_null() {
                    continue;
                }
                *keys += 1;
                kept.insert(k, bounded(v, depth - 1, keys, cut));
            }
            Value::Object(kept)
        }
        Value::Array(items) => items.into_iter().map(|v| bounded(v, depth - 1, keys, cut)).collect(),
        scalar => scalar,
    }
}
