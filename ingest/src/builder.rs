//! Builds an OCSF event, value by value.
//!
//! Empty texts, nulls, empty lists and objects are left out. What every event has (class, type, metadata, raw text,
//! times, flags) the builder fills in itself.

use std::net::{IpAddr, Ipv4Addr};

use bumpalo::collections::Vec as ArenaVec;
use model::value::{Member, int_text, tag};
use model::{Arena, Cells, Event, Labels, Millis, OCSF_VERSION, Object, PathId, RawRecord, Value, known};
use smallvec::SmallVec;

use crate::class::Class;
use crate::fields::scalar;
use crate::format::Input;
use crate::keep::{Keep, ToObject, ToValue};
use crate::time_text;

/// Levels that `unmapped` may hold below itself.
pub const UNMAPPED_DEPTH_MAX: usize = 8;
/// Keys that `unmapped` may hold, at all levels together.
pub const UNMAPPED_KEYS_MAX: usize = 256;
/// A clock further from ours than this is labelled `clock_skew`.
pub const CLOCK_SKEW_MS_MAX: i64 = 120_000;

/// An event further behind than this is labelled `time.late`: policies keep their state no longer by default.
pub const LATE_MS_MIN: i64 = 24 * 3_600_000;

/// Values for which there is room at once.
const CELLS: usize = 40;

/// An event in the making.
#[derive(Debug)]
pub struct EventBuilder<'a> {
    keep: Keep<'a>,
    record: &'a RawRecord,
    class: &'static Class,
    activity: u8,
    time: Option<Millis>,
    cells: Cells<'a>,
    unmapped: ArenaVec<'a, Member<'a>>,
    /// A bit for a byte of each name in `unmapped`.
    unmapped_tags: [u64; 4],
    unmapped_keys: usize,
    labels: SmallVec<[&'a str; 4]>,
    profiles: SmallVec<[&'static str; 4]>,
    written_later: bool,
    severe: bool,
    native: Object<'a>,
    system: Option<&'a str>,
    configured_system: bool,
    commands: &'a [&'a str],
    logsource: Labels<'a>,
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
        let system = input.settings.system.as_deref();
        let keep = input.keep();
        let mut builder = EventBuilder {
            keep,
            record: input.record,
            class,
            activity,
            time: None,
            cells: head(input.arena, class, activity),
            unmapped: ArenaVec::new_in(input.arena.bump()),
            unmapped_tags: [0; 4],
            unmapped_keys: 0,
            labels: input.flags.iter().copied().collect(),
            profiles: SmallVec::new(),
            written_later: false,
            severe: false,
            native: Object::default(),
            system,
            configured_system: system.is_some(),
            commands: &[],
            logsource: Labels::default(),
        };
        builder.put(known::METADATA_VERSION, Value::String(OCSF_VERSION));
        if !vendor.is_empty() {
            builder.put(known::METADATA_PRODUCT_VENDOR, vendor.to_value(keep));
        }
        if !product.is_empty() {
            builder.put(known::METADATA_PRODUCT_NAME, product.to_value(keep));
        }
        builder.put(known::METADATA_LOG_FORMAT, Value::String(input.format));
        if !input.duplicates.is_empty() {
            let lost = input.duplicates.iter().map(|(key, value)| {
                Value::Object(input.arena.object(&[("key", Value::String(key)), ("value", *value)]))
            });
            builder.unmapped("duplicate_keys", input.arena.list_of(lost));
        }
        builder
    }

    /// Where the event lives.
    #[must_use]
    pub fn arena(&self) -> &'a Arena {
        self.keep.arena
    }

    /// What makes texts live as long as the event.
    #[must_use]
    pub fn keep(&self) -> Keep<'a> {
        self.keep
    }

    /// Puts a value at a dotted path; `metadata.…` and `unmapped.…` work too. Empty values are left out, a value
    /// that is there is replaced.
    #[inline]
    pub fn set(&mut self, path: &str, value: impl ToValue<'a>) -> &mut Self {
        let value = value.to_value(self.keep);
        if value.is_empty() {
            return self;
        }
        if let Some(rest) = path.strip_prefix("unmapped.") {
            return self.unmapped(rest, value);
        }
        let id = self.keep.arena.path(path);
        self.put_or_keep(id, path, value)
    }

    /// [`EventBuilder::set`] at the path `object`, a dot, `field`, which need not be put together.
    #[inline]
    pub fn set_in(&mut self, object: &str, field: &str, value: impl ToValue<'a>) -> &mut Self {
        let value = value.to_value(self.keep);
        if value.is_empty() {
            return self;
        }
        let id = self.keep.arena.path_in(object, field);
        self.put_or_keep(id, field, value)
    }

    /// [`EventBuilder::set`] where there is a value.
    #[inline]
    pub fn set_some<V: ToValue<'a>>(&mut self, path: &str, value: Option<V>) -> &mut Self {
        match value {
            Some(value) => self.set(path, value),
            None => self,
        }
    }

    #[inline]
    fn put(&mut self, path: PathId, value: Value<'a>) {
        self.cells.put(path, value);
    }

    #[inline]
    fn put_or_keep(&mut self, id: Option<PathId>, path: &str, value: Value<'a>) -> &mut Self {
        match id {
            Some(id) => {
                self.put(id, value);
                self
            }
            // There are more paths than a format can name.
            None => self.unmapped(path, value),
        }
    }

    /// Puts a value at a path below `metadata`.
    pub fn metadata(&mut self, path: &str, value: impl ToValue<'a>) -> &mut Self {
        self.set_in("metadata", path, value)
    }

    /// Keeps what has no OCSF home, under the source's own name (dots in it stay dots). Bounded; what goes over is
    /// left out (the raw record has it) and the event labelled `unmapped_truncated`.
    pub fn unmapped(&mut self, name: &str, value: impl ToValue<'a>) -> &mut Self {
        let value = value.to_value(self.keep);
        if value.is_empty() {
            return self;
        }
        if self.unmapped_keys >= UNMAPPED_KEYS_MAX {
            return self.label("unmapped_truncated");
        }
        self.unmapped_keys += 1;
        let value = match value {
            Value::Object(_) | Value::Array(_) => {
                let mut cut = false;
                let value = bounded(
                    self.keep.arena,
                    value,
                    UNMAPPED_DEPTH_MAX - 1,
                    &mut self.unmapped_keys,
                    &mut cut,
                );
                if cut {
                    self.label("unmapped_truncated");
                }
                value
            }
            scalar => scalar,
        };
        let tag = usize::from(tag(name));
        let (word, bit) = (&mut self.unmapped_tags[tag / 64], 1 << (tag % 64));
        let may_be_there = *word & bit != 0;
        *word |= bit;
        if may_be_there && let Some((_, there)) = self.unmapped.iter_mut().find(|(n, _)| *n == name) {
            *there = value;
        } else {
            if self.unmapped.capacity() == 0 {
                self.unmapped.reserve(16);
            }
            self.unmapped.push((self.keep.text(name), value));
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
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            // What is read so is written so.
            debug_assert_eq!(ip.to_string(), text);
            self.set(path, text);
            return true;
        }
        let (address, port) = address(text);
        match address {
            Some(ip) => {
                self.set(path, ip);
                if let (Some(port), Some(object)) = (port, path.strip_suffix(".ip")) {
                    self.set_in(object, "port", port);
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
        if text.parse::<Ipv4Addr>().is_ok() {
            return self.set_in(object, "ip", text);
        }
        match address(text) {
            (Some(ip), port) => {
                self.set_in(object, "ip", ip);
                if let Some(port) = port {
                    self.set_in(object, "port", port);
                }
                self
            }
            (None, _) => self.set_in(object, "hostname", text),
        }
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
    pub fn time_of(&mut self, input: &Input<'_>, value: &Value<'_>) -> bool {
        let Some(text) = scalar(value).filter(|_| !value.is_boolean()) else {
            return false;
        };
        self.put(known::METADATA_ORIGINAL_TIME, (&*text).to_value(self.keep));
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
        self.set("metadata.original_event_uid", uid)
    }

    /// An approval's number: `unmapped.ticket_id` and an enrichment.
    pub fn ticket(&mut self, id: &str) -> &mut Self {
        if id.is_empty() {
            return self;
        }
        self.unmapped("ticket_id", id);
        let id = self.keep.text(id);
        let arena = self.keep.arena;
        let data = arena.object(&[("ticket_id", id.into())]);
        let enrichment = arena.object(&[
            ("name", "ticket_id".into()),
            ("value", id.into()),
            ("data", data.into()),
        ]);
        self.set("enrichments", arena.list(&[enrichment.into()]))
    }

    /// A parse flag, once.
    pub fn label(&mut self, label: impl AsRef<str>) -> &mut Self {
        let label = label.as_ref();
        if !self.labels.contains(&label) {
            self.labels.push(self.keep.text(label));
        }
        self
    }

    /// The source's own fields.
    pub fn native(&mut self, native: impl ToObject<'a>) -> &mut Self {
        self.native = native.to_object(self.keep);
        self
    }

    /// The account register's system (`docket.system`), unless the source's settings name one: those win, so that a
    /// source cannot speak of another one's accounts.
    pub fn system(&mut self, system: &str) -> &mut Self {
        if !self.configured_system {
            self.system = (!system.is_empty()).then(|| self.keep.text(system));
        }
        self
    }

    /// The simple commands of the command line (`docket.command`).
    pub fn commands(&mut self, commands: Vec<String>) -> &mut Self {
        let arena = self.keep.arena;
        self.commands = arena
            .bump()
            .alloc_slice_fill_iter(commands.iter().map(|c| arena.text(c)));
        self
    }

    /// Sigma's labels.
    pub fn logsource(&mut self, product: &str, category: &str, service: &str) -> &mut Self {
        let text = |t: &str| self.keep.text(t);
        self.logsource = Labels::new(text(product), text(category), text(service));
        self
    }

    /// Sigma's labels, ready made.
    pub fn set_logsource(&mut self, logsource: Labels<'a>) -> &mut Self {
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
    #[inline]
    pub fn has(&self, path: &str) -> bool {
        self.keep.arena.path(path).is_some_and(|path| self.cells.has(path))
    }

    /// [`EventBuilder::has`] of the path `object`, a dot, `field`.
    #[must_use]
    #[inline]
    pub fn has_in(&self, object: &str, field: &str) -> bool {
        self.keep
            .arena
            .path_in(object, field)
            .is_some_and(|path| self.cells.has(path))
    }

    /// The event, whole.
    #[must_use]
    pub fn finish(mut self) -> Event<'a> {
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
        let arena = self.keep.arena;
        let uid = uid(arena, record);
        let class = self.class;
        self.put(known::TIME, Value::Int(time.0));

        let mut profiles = std::mem::take(&mut self.profiles);
        if self.cells.has(known::ACTION_ID) || self.cells.has(known::DISPOSITION_ID) {
            profiles.push("security_control");
        }
        if (class.actor_by_profile && self.cells.has(known::ACTOR))
            || (class.device_by_profile && self.cells.has(known::DEVICE))
        {
            profiles.push("host");
        }
        if self.cells.has(known::CLOUD) {
            profiles.push("cloud");
        }
        if self.cells.has(known::DATA_CLASSIFICATIONS) {
            profiles.push("data_classification");
        }
        if !profiles.is_empty() {
            let profiles = arena.list_of(profiles.iter().map(|p| Value::String(p)));
            self.put(known::METADATA_PROFILES, profiles);
        }
        self.put(known::METADATA_UID, Value::String(uid));
        self.put(known::METADATA_LOGGED_TIME, Value::Int(record.received_at.0));
        if !self.cells.has(known::METADATA_LOG_NAME) {
            self.put(known::METADATA_LOG_NAME, Value::String(&record.coordinate.topic));
        }
        if let Some(cut) = &record.truncated {
            self.put(known::METADATA_IS_TRUNCATED, Value::Bool(true));
            if let Ok(size) = i32::try_from(cut.bytes) {
                self.put(known::METADATA_UNTRUNCATED_SIZE, size.into());
            }
            self.labels.push("record_truncated");
        }
        if !self.labels.is_empty() {
            let labels = arena.list_of(self.labels.iter().map(|l| Value::String(l)));
            self.put(known::METADATA_LABELS, labels);
        }
        if !self.keep.text.is_empty() {
            self.put(known::RAW_DATA, Value::String(self.keep.text));
        }
        Event {
            arena,
            uid,
            class_uid: class.uid,
            time,
            cells: self.cells.finish(),
            unmapped: Object::new(arena, &self.unmapped),
            native: self.native,
            system: self.system,
            commands: self.commands,
            logsource: self.logsource,
        }
    }
}

/// `<topic>/<partition>/<offset>`
fn uid<'a>(arena: &'a Arena, record: &RawRecord) -> &'a str {
    let coordinate = &record.coordinate;
    let mut uid = bumpalo::collections::String::with_capacity_in(coordinate.topic.len() + 32, arena.bump());
    uid.push_str(&coordinate.topic);
    uid.push('/');
    uid.push_str(int_text(coordinate.partition.into(), &mut [0; 20]));
    uid.push('/');
    uid.push_str(int_text(coordinate.offset, &mut [0; 20]));
    uid.into_bump_str()
}

/// An address, perhaps with a port: `1.2.3.4`, `1.2.3.4:55`, `::1`, `[::1]:55`, `fe80::1%eth0` (the zone is cut off),
/// `::ffff:1.2.3.4` (IPv4). Nothing else is one: no octal, no short forms, no names.
#[must_use]
pub fn address(text: &str) -> (Option<IpAddr>, Option<u16>) {
    if !text.contains(':') && !text.starts_with('[') {
        return (text.parse::<Ipv4Addr>().ok().map(IpAddr::V4), None);
    }
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
fn head<'a>(arena: &'a Arena, class: &'static Class, activity: u8) -> Cells<'a> {
    let type_uid = i64::from(class.uid) * 100 + i64::from(activity);
    let mut cells = Cells::new(arena, CELLS);
    cells.push(known::CLASS_UID, class.uid.into());
    cells.push(known::CLASS_NAME, Value::String(class.name));
    cells.push(known::CATEGORY_UID, class.category_uid.into());
    cells.push(known::ACTIVITY_ID, activity.into());
    cells.push(known::ACTIVITY_NAME, Value::String(class.activity_name(activity)));
    cells.push(known::TYPE_UID, Value::Int(type_uid));
    if type_uid == 99 {
        // The one type whose number says nothing.
        cells.push(known::TYPE_NAME, Value::String("Base Event: Other"));
    }
    cells.push(known::TIME, Value::Int(0));
    cells.push(known::SEVERITY_ID, Value::Int(1));
    cells.push(known::SEVERITY, Value::String(SEVERITIES[1]));
    cells
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

/// `value` with at most `depth` levels below it and what is left of the keys; deeper levels as JSON text.
fn bounded<'a>(arena: &'a Arena, value: Value<'a>, depth: usize, keys: &mut usize, cut: &mut bool) -> Value<'a> {
    // Nearly every value stays as it is.
    let mut counted = *keys;
    if is_within(&value, depth, &mut counted) {
        *keys = counted;
        return value;
    }
    match value {
        Value::Object(fields) if depth == 0 => {
            *cut = true;
            Value::String(arena.format(format_args!("{fields}")))
        }
        Value::Array(_) if depth == 0 => {
            *cut = true;
            Value::String(arena.format(format_args!("{value}")))
        }
        Value::Object(fields) => {
            let mut kept = Vec::new();
            for (k, v) in fields {
                if *keys >= UNMAPPED_KEYS_MAX {
                    *cut = true;
                    break;
                }
                if v.is_null() {
                    continue;
                }
                *keys += 1;
                kept.push((k, bounded(arena, *v, depth - 1, keys, cut)));
            }
            Value::Object(arena.object(&kept))
        }
        Value::Array(items) => arena.list_of(items.iter().map(|v| bounded(arena, *v, depth - 1, keys, cut))),
        scalar => scalar,
    }
}

/// Whether nothing of a value must be left out; counts its keys.
fn is_within(value: &Value<'_>, depth: usize, keys: &mut usize) -> bool {
    match value {
        Value::Object(fields) => {
            depth > 0
                && fields.values().all(|v| {
                    *keys += 1;
                    *keys <= UNMAPPED_KEYS_MAX && !v.is_null() && is_within(v, depth - 1, keys)
                })
        }
        Value::Array(items) => depth > 0 && items.iter().all(|v| is_within(v, depth - 1, keys)),
        _ => true,
    }
}
