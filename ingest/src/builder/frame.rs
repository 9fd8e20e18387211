//! What every event begins and ends with.

use bumpalo::collections::Vec as ArenaVec;
use model::value::int_text;
use model::{Arena, Cell, Cells, Event, Millis, OCSF_VERSION, Object, RawRecord, Value, known};
use smallvec::SmallVec;

use super::outcome::SEVERITIES;
use super::{CELLS, CLOCK_SKEW_MS_MAX, EventBuilder, LATE_MS_MIN};
use crate::class::Class;
use crate::format::Input;

/// Tells which profiles an event has from what else is worked out of its paths, with the class's number.
const PROFILES: u32 = 1 << 24;

impl<'a> EventBuilder<'a> {
    /// The event, whole.
    #[must_use]
    pub fn finish(mut self) -> Event<'a> {
        let record = self.parts.record;
        let time = match self.parts.time {
            Some(time) => time,
            None => {
                self.label("time.missing");
                record.received_at
            }
        };
        for label in skew_labels(time, record.received_at) {
            let is_late = self.parts.written_later && label != "time.future";
            self.label(if is_late { "time.written_later" } else { label });
        }
        let arena = self.parts.keep.arena;
        let uid = uid(arena, record);
        let class = self.parts.class;
        self.put(known::TIME, Value::Int(time.0));

        let told = self.parts.cells.recall(PROFILES + class.uid, |cells| {
            let host = (class.actor_by_profile && cells.has(known::ACTOR))
                || (class.device_by_profile && cells.has(known::DEVICE));
            let control = cells.has(known::ACTION_ID) || cells.has(known::DISPOSITION_ID);
            let told = [
                control,
                host,
                cells.has(known::CLOUD),
                cells.has(known::DATA_CLASSIFICATIONS),
            ];
            told.iter().rev().fold(0, |bits, told| bits << 1 | u16::from(*told))
        });
        for (n, profile) in ["security_control", "host", "cloud", "data_classification"]
            .iter()
            .enumerate()
        {
            if told & 1 << n != 0 {
                self.parts.profiles.push(Value::String(profile));
            }
        }
        if !self.parts.profiles.is_empty() {
            let profiles = std::mem::replace(&mut self.parts.profiles, ArenaVec::new_in(arena.bump()));
            self.put(known::METADATA_PROFILES, Value::Array(profiles.into_bump_slice()));
        }
        self.put(known::METADATA_UID, Value::String(uid));
        self.put(known::METADATA_LOGGED_TIME, Value::Int(record.received_at.0));
        if !self.parts.cells.has(known::METADATA_LOG_NAME) {
            self.put(known::METADATA_LOG_NAME, Value::String(&record.coordinate.topic));
        }
        if let Some(cut) = &record.truncated {
            self.put(known::METADATA_IS_TRUNCATED, Value::Bool(true));
            if let Ok(size) = i32::try_from(cut.bytes) {
                self.put(known::METADATA_UNTRUNCATED_SIZE, size.into());
            }
            self.parts.labels.push("record_truncated");
        }
        if !self.parts.labels.is_empty() {
            let labels = self.parts.labels.iter().map(|l| Value::String(l));
            let labels = arena.bump().alloc_slice_fill_iter(labels);
            self.put(known::METADATA_LABELS, Value::Array(labels));
        }
        if !self.parts.keep.text.is_empty() {
            self.put(known::RAW_DATA, Value::String(self.parts.keep.text));
        }
        let (cells, outline) = self.parts.cells.finish();
        Event {
            arena,
            uid,
            class_uid: class.uid,
            time,
            cells,
            outline,
            unmapped: Object::of_tagged(
                arena,
                std::mem::replace(&mut self.parts.unmapped, ArenaVec::new_in(arena.bump())).into_bump_slice(),
                &self.parts.unmapped_names,
            ),
            native: self.parts.native,
            system: self.parts.system,
            commands: self.parts.commands,
            logsource: self.parts.logsource,
        }
    }
}

/// The labels of [`skew_labels`].
pub(crate) const SKEW_LABELS: &[&str] = &["clock_skew", "time.future", "time.late"];

/// What an event's time says beside that of its receipt.
pub(crate) fn skew_labels(time: Millis, received_at: Millis) -> impl Iterator<Item = &'static str> {
    let behind = received_at - time;
    let skewed = behind.saturating_abs() > CLOCK_SKEW_MS_MAX;
    [
        (skewed, "clock_skew"),
        (behind < -CLOCK_SKEW_MS_MAX, "time.future"),
        (behind > LATE_MS_MIN, "time.late"),
    ]
    .into_iter()
    .filter_map(|(is_so, label)| is_so.then_some(label))
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

/// The first fields of every event; those that are known later hold their place.
pub(super) fn head<'a>(
    input: &Input<'a>,
    class: &'static Class,
    activity: u8,
    vendor: &str,
    product: &str,
) -> Cells<'a> {
    let keep = input.keep();
    let type_uid = i64::from(class.uid) * 100 + i64::from(activity);
    let cell = |path, value| Cell { path, value };
    let all = [
        cell(known::CLASS_UID, class.uid.into()),
        cell(known::CLASS_NAME, Value::String(class.name)),
        cell(known::CATEGORY_UID, class.category_uid.into()),
        cell(known::ACTIVITY_ID, activity.into()),
        cell(known::ACTIVITY_NAME, Value::String(class.activity_name(activity))),
        cell(known::TYPE_UID, Value::Int(type_uid)),
        cell(known::TIME, Value::Int(0)),
        cell(known::SEVERITY_ID, Value::Int(1)),
        cell(known::SEVERITY, Value::String(SEVERITIES[1])),
        cell(known::METADATA_VERSION, Value::String(OCSF_VERSION)),
        cell(known::METADATA_PRODUCT_VENDOR, Value::String(keep.text(vendor))),
        cell(known::METADATA_PRODUCT_NAME, Value::String(keep.text(product))),
        cell(known::METADATA_LOG_FORMAT, Value::String(input.format)),
    ];
    // Which of them there are tells one kind of event from another.
    let kind = u16::from(vendor.is_empty()) | u16::from(product.is_empty()) << 1 | u16::from(type_uid == 99) << 2;
    if kind == 0 {
        return Cells::start(input.arena, CELLS, kind, &all);
    }
    let mut cells: SmallVec<[Cell<'a>; 16]> = SmallVec::new();
    for cell in all.iter().filter(|cell| !cell.value.is_empty()) {
        cells.push(*cell);
        if cell.path == known::TYPE_UID && type_uid == 99 {
            // The one type whose number says nothing.
            let name = Value::String("Base Event: Other");
            cells.push(Cell {
                path: known::TYPE_NAME,
                value: name,
            });
        }
    }
    Cells::start(input.arena, CELLS, kind, &cells)
}
