//! Picks the format of a record, and makes events of it.

use std::sync::Arc;

use model::{Arena, Event, PlainEvent, RawRecord, Value, known};

use crate::detection::{self, Choice};
use crate::format::{Input, Quarantine, base_event, collector, hec, json_lines};
use crate::join::{Piece, Whole};
use crate::{Settings, dedup, json};

/// A record, normalized; its events are [`Event`]s or [`PlainEvent`]s.
#[derive(Clone, Debug)]
pub struct Normalized<E> {
    /// The format's name; `unknown` where none was found.
    pub format: &'static str,
    /// Why this format.
    pub reason: &'static str,
    /// One event or more.
    pub events: Vec<E>,
    /// Why it, or a part of it, could not be parsed.
    pub quarantined: Option<Quarantine>,
}

/// Makes events of records. Cheap to clone; shared by threads.
#[derive(Clone, Debug, Default)]
pub struct Normalizer {
    settings: Arc<Settings>,
}

impl Normalizer {
    /// A normalizer of these sources.
    #[must_use]
    pub fn new(settings: Settings) -> Normalizer {
        Normalizer {
            settings: Arc::new(settings),
        }
    }

    /// What the record is a part of; `None`: an event of its own.
    #[must_use]
    pub fn piece(&self, record: &RawRecord) -> Option<Piece> {
        Piece::of(record, self.settings.of(&record.source))
    }

    /// Makes events of records that were put together, in `arena`.
    #[must_use]
    pub fn normalize_whole<'a>(&'a self, arena: &'a Arena, whole: &'a Whole) -> Normalized<Event<'a>> {
        let mut normalized = self.normalize(arena, &whole.record);
        whole.label(&mut normalized.events);
        normalized
    }

    /// What is known of a source.
    pub(crate) fn settings_of(&self, source: &str) -> &crate::SourceSettings {
        self.settings.of(source)
    }

    /// Makes events of a record, in `arena`. The same record gives the same events, always.
    #[must_use]
    pub fn normalize<'a>(&'a self, arena: &'a Arena, record: &'a RawRecord) -> Normalized<Event<'a>> {
        let mut input = Input::new(arena, record, self.settings.of(&record.source));
        let known = detection::by_source(&input);
        // Several objects in one record are each an event of their own; what is one is not parsed here, because
        // the format may want to parse it otherwise.
        let choice = known.unwrap_or_else(|| detection::by_bytes(&input));
        let mut normalized = match read(&mut input, choice) {
            Err(json::SEVERAL) => several(&mut input, known),
            other => one(&input, choice, other),
        };
        hec::describe(&mut normalized.events, &input);
        number(&mut normalized.events);
        normalized
    }
}

impl Normalizer {
    /// As [`Normalizer::normalize`], with events that own what they hold: to show, not to judge by.
    #[must_use]
    pub fn normalize_plain(&self, record: &RawRecord) -> Normalized<PlainEvent> {
        let arena = Arena::new();
        self.normalize(&arena, record).to_plain()
    }

    /// As [`Normalizer::normalize_whole`], with events that own what they hold.
    #[must_use]
    pub fn normalize_whole_plain(&self, whole: &Whole) -> Normalized<PlainEvent> {
        let arena = Arena::new();
        self.normalize_whole(&arena, whole).to_plain()
    }
}

impl Normalized<Event<'_>> {
    /// With events that own what they hold.
    #[must_use]
    pub fn to_plain(&self) -> Normalized<PlainEvent> {
        Normalized {
            format: self.format,
            reason: self.reason,
            events: self.events.iter().map(Event::to_plain).collect(),
            quarantined: self.quarantined,
        }
    }
}

fn read<'a>(input: &mut Input<'a>, choice: Choice) -> Result<Vec<Event<'a>>, Quarantine> {
    let Some(format) = choice.format else {
        return Err(match input.object() {
            // No format claims an array or a row of objects as a whole.
            Err(json::SEVERAL) => json::SEVERAL,
            Err(reason) if input.text.starts_with('{') => reason,
            _ if input.text.is_empty() => Quarantine("empty"),
            _ => Quarantine("unknown_format"),
        });
    };
    input.format = format.name;
    // A source's lines may come in a collector's envelope; its format stays its own.
    if format.name != collector::FORMAT.name
        && collector::may_be(input.text)
        && (format.matches)(input).is_none()
        && let Some(envelope) = collector::unwrap(input)
        && envelope.fits(input, format)
    {
        return collector::events(input, envelope, Some(format));
    }
    match (format.normalize)(input) {
        Ok(events) if events.is_empty() => Err(Quarantine("no_event")),
        other => other,
    }
}

fn one<'a>(input: &Input<'a>, choice: Choice, result: Result<Vec<Event<'a>>, Quarantine>) -> Normalized<Event<'a>> {
    let (events, quarantined) = match result {
        Ok(events) => (events, input.broken),
        Err(reason) => (vec![base_event::quarantined(input, reason)], Some(reason)),
    };
    Normalized {
        format: input.format,
        reason: choice.reason,
        events,
        quarantined,
    }
}

fn several<'a>(input: &mut Input<'a>, known: Option<Choice>) -> Normalized<Event<'a>> {
    let whole = &*input;
    let parts = match json::parse_all(whole.arena, whole.text) {
        Ok(parts) => parts,
        Err(reason) => {
            let choice = known.unwrap_or(Choice {
                format: None,
                reason: "several objects, one of them broken",
            });
            return one(whole, choice, Err(reason));
        }
    };
    let mut all: Option<Normalized<Event<'a>>> = None;
    for (text, parsed) in parts {
        let mut part = Input::part(whole, text, parsed);
        part.flags.push("json.several_objects");
        let choice = known.unwrap_or_else(|| detection::by_bytes(&part));
        let result = read(&mut part, choice);
        let mut next = one(&part, choice, result);
        match &mut all {
            None => all = Some(next),
            Some(all) => {
                all.events.append(&mut next.events);
                all.quarantined = all.quarantined.or(next.quarantined);
            }
        }
    }
    // `parse_all` gives at least one part.
    all.unwrap_or_else(|| {
        one(
            whole,
            Choice {
                format: None,
                reason: "nothing matched",
            },
            Err(json::SEVERAL),
        )
    })
}

/// The second and later events of a record are told apart by `#1`, `#2` …
fn number(events: &mut [Event<'_>]) {
    for (n, event) in events.iter_mut().enumerate().skip(1) {
        let uid = event.arena.format(format_args!("{}#{n}", event.uid));
        event.change(|cells| cells.put(known::METADATA_UID, Value::String(uid)));
        event.uid = uid;
    }
}

/// An event that may have an id of its source's.
pub trait OriginalUid {
    /// `metadata.original_event_uid`, where it is text.
    fn original_uid(&self) -> Option<&str>;
}

impl OriginalUid for Event<'_> {
    fn original_uid(&self) -> Option<&str> {
        self.cell(known::METADATA_ORIGINAL_EVENT_UID)?.as_str()
    }
}

impl OriginalUid for PlainEvent {
    fn original_uid(&self) -> Option<&str> {
        self.text("metadata.original_event_uid")
    }
}

impl<E: OriginalUid> Normalized<E> {
    /// What a repeated delivery of `record`, which this was made of, has too ([`crate::dedup`]); `None`: it is never a
    /// duplicate.
    ///
    /// A record is repeated where source, the source's id and bytes are: without an id it never is. What unknown JSON
    /// calls its id is not believed; the batch that the shipper named is.
    #[must_use]
    pub fn dedup(&self, record: &RawRecord) -> Option<[u8; 16]> {
        let believed = self.format != json_lines::FORMAT.name && self.quarantined.is_none();
        let batch = record
            .headers
            .iter()
            .find(|(name, _)| name == dedup::HEADER_BATCH)
            .map(|(_, value)| value.as_ref());
        let uid = self.events.first().and_then(OriginalUid::original_uid);
        match (uid, batch) {
            (Some(uid), _) if believed => Some(dedup::key(&record.source, b"uid", uid.as_bytes(), &record.payload)),
            (_, Some(batch)) => Some(dedup::key(&record.source, b"batch", batch, &record.payload)),
            _ => None,
        }
    }
}
