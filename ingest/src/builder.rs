//! Builds an OCSF event, value by value.
//!
//! Empty texts, nulls, empty lists and objects are left out. What every event has (class, type, metadata, raw text,
//! times, flags) the builder fills in itself.

use std::collections::BTreeSet;

use bumpalo::collections::Vec as ArenaVec;
use model::value::{Member, is_same, tag};
use model::{Arena, Begun, Cells, Labels, Millis, Object, PathId, RawRecord, Value};

pub use crate::address::{address, is_ipv4};
use crate::class::Class;
use crate::command_line::{addresses, data_files};
use crate::format::Input;
use crate::format::sql_tables::tables;
use crate::keep::{Keep, ToObject, ToValue};

mod bounds;
mod endpoint;
mod frame;
mod outcome;
mod time;

use bounds::bounded;
use frame::head;
pub(crate) use frame::{SKEW_LABELS, skew_labels};

/// Levels that `unmapped` may hold below itself.
pub const UNMAPPED_DEPTH_MAX: usize = 8;
/// Keys that `unmapped` may hold, at all levels together.
pub const UNMAPPED_KEYS_MAX: usize = 256;
/// Names of tables and columns that are kept of an event.
const TABLE_NAMES_MAX: usize = 64;
/// A clock further from ours than this is labelled `clock_skew`.
pub const CLOCK_SKEW_MS_MAX: i64 = 120_000;

/// An event further behind than this is labelled `time.late`: policies keep their state no longer by default.
pub const LATE_MS_MIN: i64 = 24 * 3_600_000;

/// Values for which there is room at once.
const CELLS: usize = 40;

/// An event in the making. It stands in the arena, so that to hand it on costs nothing.
#[derive(Debug)]
pub struct EventBuilder<'a> {
    parts: &'a mut Parts<'a>,
}

/// What an event is made of. Never let go of: all of it lives in the arena.
#[derive(Debug)]
struct Parts<'a> {
    keep: Keep<'a>,
    record: &'a RawRecord,
    class: &'static Class,
    activity: u8,
    time: Option<Millis>,
    cells: Cells<'a>,
    unmapped: ArenaVec<'a, Member<'a>>,
    /// A bit for a byte of each name in `unmapped`.
    unmapped_tags: [u64; 4],
    /// That byte of each of them.
    unmapped_names: ArenaVec<'a, u8>,
    unmapped_keys: usize,
    labels: ArenaVec<'a, &'a str>,
    profiles: ArenaVec<'a, Value<'a>>,
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
        let bump = input.arena.bump();
        let mut labels = ArenaVec::new_in(bump);
        labels.extend_from_slice_copy(&input.flags);
        let parts = bump.alloc_with(|| Parts {
            keep,
            record: input.record,
            class,
            activity,
            time: None,
            cells: head(input, class, activity, vendor, product),
            unmapped: ArenaVec::new_in(bump),
            unmapped_tags: [0; 4],
            unmapped_names: ArenaVec::new_in(bump),
            unmapped_keys: 0,
            labels,
            profiles: ArenaVec::new_in(bump),
            written_later: false,
            severe: false,
            native: Object::default(),
            system,
            configured_system: system.is_some(),
            commands: &[],
            logsource: Labels::default(),
        });
        let mut builder = EventBuilder { parts };
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
        self.parts.keep.arena
    }

    /// What makes texts live as long as the event.
    #[must_use]
    pub fn keep(&self) -> Keep<'a> {
        self.parts.keep
    }

    /// Puts a value at a dotted path; `metadata.…` and `unmapped.…` work too. Empty values are left out, a value
    /// that is there is replaced.
    #[inline(always)]
    pub fn set(&mut self, path: &'static str, value: impl ToValue<'a>) -> &mut Self {
        let value = value.to_value(self.parts.keep);
        self.put_literal(path, "", value)
    }

    /// [`EventBuilder::set`] at the path `object`, a dot, `field`, which need not be put together.
    #[inline(always)]
    pub fn set_in(&mut self, object: &'static str, field: &'static str, value: impl ToValue<'a>) -> &mut Self {
        let value = value.to_value(self.parts.keep);
        self.put_literal(object, field, value)
    }

    /// [`EventBuilder::set`] of a text that the code writes, which need not be copied to live as long as the event.
    #[inline(always)]
    pub fn word(&mut self, path: &'static str, word: &'static str) -> &mut Self {
        self.put_literal(path, "", Value::String(word))
    }

    /// [`EventBuilder::set`] at a path that the code does not write: one of a mapping.
    pub fn set_at(&mut self, path: &str, value: impl ToValue<'a>) -> &mut Self {
        let value = value.to_value(self.parts.keep);
        if value.is_empty() {
            return self;
        }
        if let Some(rest) = path.strip_prefix("unmapped.") {
            return self.unmapped(rest, value);
        }
        match self.parts.keep.arena.path(path) {
            Some(id) => self.put(id, value),
            // There are more paths than a format can name.
            None => return self.unmapped(path, value),
        }
        self
    }

    /// [`EventBuilder::set`] where there is a value.
    #[inline(always)]
    pub fn set_some<V: ToValue<'a>>(&mut self, path: &'static str, value: Option<V>) -> &mut Self {
        match value {
            Some(value) => self.set(path, value),
            None => self,
        }
    }

    /// [`EventBuilder::set_in`] where there is a value.
    #[inline(always)]
    pub fn set_some_in<V: ToValue<'a>>(
        &mut self,
        object: &'static str,
        field: &'static str,
        value: Option<V>,
    ) -> &mut Self {
        match value {
            Some(value) => self.set_in(object, field, value),
            None => self,
        }
    }

    #[inline]
    fn put(&mut self, path: PathId, value: Value<'a>) {
        self.parts.cells.put(path, value);
    }

    #[inline(never)]
    fn put_literal(&mut self, object: &'static str, field: &'static str, value: Value<'a>) -> &mut Self {
        if value.is_empty() || self.parts.cells.put_again(object, field, value) {
            return self;
        }
        self.put_first(object, field, value)
    }

    /// Puts a value at a path where none was put before in an event that was filled so far like this one.
    #[inline(never)]
    fn put_first(&mut self, object: &'static str, field: &'static str, value: Value<'a>) -> &mut Self {
        if object.starts_with("unmapped") {
            if let Some(rest) = object.strip_prefix("unmapped.") {
                debug_assert!(field.is_empty(), "names in `unmapped` are one part");
                return self.unmapped(rest, value);
            }
            if object == "unmapped" && !field.is_empty() {
                return self.unmapped(field, value);
            }
        }
        if !self.parts.cells.put_literal(object, field, value) {
            // There are more paths than a format can name.
            return self.unmapped(if field.is_empty() { object } else { field }, value);
        }
        self
    }

    /// Puts a value at a path below `metadata`.
    pub fn metadata(&mut self, path: &'static str, value: impl ToValue<'a>) -> &mut Self {
        self.set_in("metadata", path, value)
    }

    /// [`EventBuilder::metadata`] of a text that the code writes.
    pub fn metadata_word(&mut self, path: &'static str, word: &'static str) -> &mut Self {
        self.put_literal("metadata", path, Value::String(word))
    }

    /// Keeps what has no OCSF home, under the source's own name (dots in it stay dots). Bounded; what goes over is
    /// left out (the raw record has it) and the event labelled `unmapped_truncated`.
    pub fn unmapped(&mut self, name: &str, value: impl ToValue<'a>) -> &mut Self {
        let value = value.to_value(self.parts.keep);
        if value.is_empty() {
            return self;
        }
        if self.parts.unmapped_keys >= UNMAPPED_KEYS_MAX {
            return self.label("unmapped_truncated");
        }
        self.parts.unmapped_keys += 1;
        let value = match value {
            Value::Object(_) | Value::Array(_) => {
                let mut cut = false;
                let value = bounded(
                    self.parts.keep.arena,
                    value,
                    UNMAPPED_DEPTH_MAX - 1,
                    &mut self.parts.unmapped_keys,
                    &mut cut,
                );
                if cut {
                    self.label("unmapped_truncated");
                }
                value
            }
            scalar => scalar,
        };
        let tag = tag(name);
        let (word, bit) = (&mut self.parts.unmapped_tags[usize::from(tag >> 6)], 1 << (tag & 63));
        let may_be_there = *word & bit != 0;
        *word |= bit;
        if may_be_there && let Some((_, there)) = self.parts.unmapped.iter_mut().find(|(n, _)| *n == name) {
            *there = value;
        } else {
            if self.parts.unmapped.capacity() == 0 {
                self.parts.unmapped.reserve(16);
                self.parts.unmapped_names.reserve(16);
            }
            self.parts.unmapped_names.push(tag);
            self.parts.unmapped.push((self.parts.keep.text(name), value));
        }
        self
    }

    /// [`EventBuilder::unmapped`] where there is a value.
    pub fn unmapped_some(&mut self, name: &str, value: Option<impl ToValue<'a>>) -> &mut Self {
        match value {
            Some(value) => self.unmapped(name, value),
            None => self,
        }
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
        let id = self.parts.keep.text(id);
        let arena = self.parts.keep.arena;
        let data = arena.object(&[("ticket_id", id.into())]);
        let enrichment = arena.object(&[
            ("name", "ticket_id".into()),
            ("value", id.into()),
            ("data", data.into()),
        ]);
        self.set("enrichments", arena.list(&[enrichment.into()]))
    }

    /// A parse flag, once.
    pub fn label(&mut self, label: &'static str) -> &mut Self {
        if !self.parts.labels.iter().any(|there| is_same(there, label)) {
            self.parts.labels.push(label);
        }
        self
    }

    /// [`EventBuilder::label`] of a label that the code does not write.
    pub fn label_of(&mut self, label: &str) -> &mut Self {
        if !self.parts.labels.contains(&label) {
            self.parts.labels.push(self.parts.keep.text(label));
        }
        self
    }

    /// The source's own fields.
    pub fn native(&mut self, native: impl ToObject<'a>) -> &mut Self {
        self.parts.native = native.to_object(self.parts.keep);
        self
    }

    /// The account register's system (`docket.system`), unless the source's settings name one: those win, so that a
    /// source cannot speak of another one's accounts.
    pub fn system(&mut self, system: &str) -> &mut Self {
        if !self.parts.configured_system {
            self.parts.system = (!system.is_empty()).then(|| self.parts.keep.text(system));
        }
        self
    }

    /// [`EventBuilder::system`] of two parts: `host:` and its name.
    pub fn system_of(&mut self, kind: &str, name: &str) -> &mut Self {
        if !self.parts.configured_system {
            self.parts.system = Some(self.parts.keep.arena.concat(&[kind, name]));
        }
        self
    }

    /// The simple commands of the command line (`docket.command`), the tables that statements among them name (`unmapped.tables`),
    /// and the data files and addresses that they name (`unmapped.files`, `unmapped.addresses`).
    pub fn commands(&mut self, commands: Vec<String>) -> &mut Self {
        let statements = commands.iter().filter_map(|c| c.strip_prefix("sql: "));
        let tables: BTreeSet<String> = statements.flat_map(tables).take(TABLE_NAMES_MAX).collect();
        if !tables.is_empty() {
            self.unmapped("tables", tables.into_iter().collect::<Vec<String>>());
        }
        for (name, named) in [("files", data_files(&commands)), ("addresses", addresses(&commands))] {
            if !named.is_empty() {
                self.unmapped(name, named.into_iter().collect::<Vec<String>>());
            }
        }
        let arena = self.parts.keep.arena;
        self.parts.commands = arena
            .bump()
            .alloc_slice_fill_iter(commands.iter().map(|c| arena.text(c)));
        self
    }

    /// Sigma's labels.
    pub fn logsource(&mut self, product: &str, category: &str, service: &str) -> &mut Self {
        let text = |t: &str| self.parts.keep.text(t);
        self.parts.logsource = Labels::new(text(product), text(category), text(service));
        self
    }

    /// Sigma's labels, ready made.
    pub fn set_logsource(&mut self, logsource: Labels<'a>) -> &mut Self {
        self.parts.logsource = logsource;
        self
    }

    /// The class's uid.
    #[must_use]
    pub fn class_uid(&self) -> u32 {
        self.parts.class.uid
    }

    /// The activity's id.
    #[must_use]
    pub fn activity(&self) -> u8 {
        self.parts.activity
    }

    /// Declares a profile that the builder cannot tell from the event's own fields.
    pub fn profile(&mut self, profile: &'static str) -> &mut Self {
        self.parts.profiles.push(Value::String(profile));
        self
    }

    /// [`Cells::replay`]: does again what `what` put into an event that was filled like this one.
    #[must_use]
    pub(crate) fn replay(&mut self, what: u32) -> Option<Begun> {
        self.parts.cells.replay(what)
    }

    /// [`Cells::remember`].
    pub(crate) fn remember(&mut self, begun: Begun, words: &[&'static str]) {
        self.parts.cells.remember(begun, words);
    }

    /// Whether something was put at a dotted path.
    #[must_use]
    #[inline]
    pub fn has(&self, path: &'static str) -> bool {
        self.has_in(path, "")
    }

    /// [`EventBuilder::has`] of the path `object`, a dot, `field`.
    #[must_use]
    #[inline]
    pub fn has_in(&self, object: &'static str, field: &'static str) -> bool {
        self.parts.cells.has_literal(object, field)
    }

    /// [`EventBuilder::has`] of a path that the code does not write.
    #[must_use]
    pub fn has_at(&self, path: &str) -> bool {
        self.parts
            .keep
            .arena
            .path(path)
            .is_some_and(|path| self.parts.cells.has(path))
    }
}
