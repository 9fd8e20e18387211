//! A record, normalized: one OCSF event, beside the source's own fields.

use std::sync::Arc;

use serde_json::Map;

use crate::cells::{Cell, Cells, is_metadata};
use crate::outline::Outline;
use crate::path::{PathId, known};
use crate::plain::PlainEvent;
use crate::value::{Object, Value};
use crate::{Arena, Millis};

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

/// The labels of a [`LogSource`], borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels<'a> {
    /// As [`LogSource::product`].
    pub product: Option<&'a str>,
    /// As [`LogSource::category`].
    pub category: Option<&'a str>,
    /// As [`LogSource::service`].
    pub service: Option<&'a str>,
}

impl<'a> Labels<'a> {
    /// The three labels; an empty label is a missing one.
    #[must_use]
    pub fn new(product: &'a str, category: &'a str, service: &'a str) -> Labels<'a> {
        let label = |s: &'a str| (!s.is_empty()).then_some(s);
        Labels {
            product: label(product),
            category: label(category),
            service: label(service),
        }
    }

    /// A log source of its own.
    #[must_use]
    pub fn to_logsource(self) -> LogSource {
        LogSource {
            product: self.product.map(Into::into),
            category: self.category.map(Into::into),
            service: self.service.map(Into::into),
        }
    }
}

/// One OCSF event. Borrows from its record and from the [`Arena`] of its group; a clone is free.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Where it lives.
    pub arena: &'a Arena,
    /// OCSF `metadata.uid`: the record id, with `#1`, `#2` … for the second and later events of a record.
    pub uid: &'a str,
    /// OCSF `class_uid`, for example 3002.
    pub class_uid: u32,
    /// When it happened (OCSF `time`).
    pub time: Millis,
    /// The OCSF 1.8.0 event but for `unmapped`, in the order in which it was put. See [`Event::ocsf`].
    pub cells: &'a [Cell<'a>],
    /// Where the cells were made: events of one outline have theirs at the same paths.
    pub outline: Outline,
    /// OCSF `unmapped`: what has no home there, under the source's names (dots in them are no path).
    pub unmapped: Object<'a>,
    /// The source's own fields under their own names, for rules written for that source; perhaps less than all of them
    /// where the arena says that nobody asks.
    pub native: Object<'a>,
    /// The account register's `system` that the event's accounts belong to: `jumpserver`, `aliyun`, `crm`,
    /// `host:<asset name>`. Read by policies as `docket.system`.
    pub system: Option<&'a str>,
    /// The simple commands of a command line, one each: program name without its folder, arguments without
    /// quotes, `sudo`/`env`/`sh -c` unwrapped, SQL given to a client as `sql: …`. Read as `docket.command`.
    pub commands: &'a [&'a str],
    /// Where Sigma rules for this event are found.
    pub logsource: Labels<'a>,
}

impl<'a> Event<'a> {
    /// The whole event as OCSF 1.8.0; passes the schema. Made anew by each call: to show, not to judge by.
    #[must_use]
    pub fn ocsf(&self) -> Map<String, serde_json::Value> {
        let paths = self.arena.paths.borrow();
        let mut event = Map::new();
        let is_last = |c: &&Cell<'_>| is_metadata(paths.ancestors(c.path), c.path);
        for cell in self.cells.iter().filter(|c| !is_last(c) && c.path != known::RAW_DATA) {
            put(&mut event, paths.text(cell.path), cell.value.to_json());
        }
        if !self.unmapped.is_empty() {
            event.insert(
                "unmapped".to_owned(),
                serde_json::Value::Object(self.unmapped.to_json()),
            );
        }
        for cell in self.cells.iter().filter(is_last) {
            put(&mut event, paths.text(cell.path), cell.value.to_json());
        }
        if let Some(raw) = self.cells.iter().find(|c| c.path == known::RAW_DATA) {
            put(&mut event, "raw_data", raw.value.to_json());
        }
        event
    }

    /// The value at a dotted path of the OCSF event; the first one where the path crosses an array.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value<'a>> {
        let id = self.arena.paths.borrow().known(path);
        if let Some(cell) = id.and_then(|id| self.cells.iter().find(|c| c.path == id)) {
            return Some(cell.value);
        }
        let mut found = None;
        crate::plain::walk(&self.ocsf(), path, &mut |v| {
            if found.is_none() {
                found = Some(self.arena.value(v));
            }
        });
        found
    }

    /// The text at a dotted path of the OCSF event.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&'a str> {
        self.get(path)?.as_str()
    }

    /// The value that stands at a path as it was put.
    #[must_use]
    pub fn cell(&self, path: PathId) -> Option<Value<'a>> {
        self.cells.iter().find(|c| c.path == path).map(|c| c.value)
    }

    /// Changes the OCSF event, but for `unmapped`.
    pub fn change(&mut self, change: impl FnOnce(&mut Cells<'a>)) {
        let mut cells = Cells::of(self.arena, self.cells, self.outline);
        change(&mut cells);
        (self.cells, self.outline) = cells.finish();
    }

    /// The event as a value of its own.
    #[must_use]
    pub fn to_plain(&self) -> PlainEvent {
        PlainEvent {
            uid: self.uid.into(),
            class_uid: self.class_uid,
            time: self.time,
            ocsf: self.ocsf(),
            native: self.native.to_json(),
            system: self.system.map(Into::into),
            commands: self.commands.iter().map(|c| (*c).to_owned()).collect(),
            logsource: self.logsource.to_logsource(),
        }
    }
}

impl PartialEq for Event<'_> {
    /// The same to read, wherever they live.
    fn eq(&self, other: &Self) -> bool {
        self.to_plain() == other.to_plain()
    }
}

/// Puts a value at a dotted path, making the objects on the way; a scalar on the way is replaced.
pub(crate) fn put(object: &mut Map<String, serde_json::Value>, path: &str, value: serde_json::Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            if !object.get(head).is_some_and(serde_json::Value::is_object) {
                object.insert(head.to_owned(), serde_json::Value::Object(Map::new()));
            }
            if let Some(serde_json::Value::Object(inner)) = object.get_mut(head) {
                put(inner, rest, value);
            }
        }
    }
}
