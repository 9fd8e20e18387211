//! Picks the format of a record, and makes events of it.

use std::sync::Arc;

use model::{Event, RawRecord};

use crate::Settings;
use crate::format::{self, Input, Quarantine, base_event};

/// A record, normalized.
#[derive(Clone, Debug)]
pub struct Normalized {
    /// The format's name.
    pub format: &'static str,
    /// Why this format.
    pub reason: &'static str,
    /// One event or more.
    pub events: Vec<Event>,
    /// Why it could not be parsed, where it could not.
    pub quarantined: Option<Quarantine>,
    /// What a repeated delivery of the record has too ([`crate::dedup`]); `None`: never a duplicate.
    pub dedup: Option<[u8; 16]>,
}

/// Makes events of records.
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

    /// Makes events of a record.
    #[must_use]
    pub fn normalize(&self, record: &RawRecord) -> Normalized {
        let input = Input::new(record, self.settings.of(&record.source));
        let reason = Quarantine("unknown_format");
        let _ = format::FORMATS;
        let events = vec![base_event::event(&input, "unknown", reason)];
        Normalized {
            format: "unknown",
            reason: "nothing matched",
            events,
            quarantined: Some(reason),
            dedup: None,
        }
    }
}
