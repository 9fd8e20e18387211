//! Why a record became what it became: the format that was chosen and those that were not, what its labels mean, why it was
//! quarantined and what to do, and where each value of its events comes from (`docket normalize --explain`).
//!
//! Nothing here is part of normalizing: it asks the formats again, and finds values again by what they say.

use model::{Arena, RawRecord};
use serde::Serialize;

use crate::Normalizer;
use crate::detection;
use crate::format::{FORMATS, Input};

mod meaning;
mod origin;

pub use meaning::{Remedy, label, quarantine};
pub use origin::{Origin, Trace};

/// What became of a record, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The record's id.
    pub record: String,
    /// The format that read it; `unknown` where none did.
    pub format: &'static str,
    /// Why that one.
    pub reason: String,
    /// Every format that would have taken it, the surest first.
    pub candidates: Vec<Candidate>,
    /// Why it, or a part of it, could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<Quarantined>,
    /// Its events.
    pub events: Vec<Explained>,
}

/// A format that knows the record's bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// Its name.
    pub format: &'static str,
    /// How sure it is, 1 to 100.
    pub score: u8,
    /// By what it knows them.
    pub reason: &'static str,
    /// Why another was taken; `None` of the one that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Why a record could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct Quarantined {
    /// The word that is counted by.
    pub reason: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whose move it is, and which.
    pub remedy: &'static str,
}

/// An event of the record.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// `metadata.uid`.
    pub uid: String,
    /// `Authentication: Logon`.
    pub what: String,
    /// Its labels and what they mean.
    pub labels: Vec<Labelled>,
    /// Its values, and where they come from.
    pub fields: Vec<Trace>,
    /// Fields of the source that stand nowhere but in the raw text.
    pub only_raw: Vec<String>,
}

/// A label of an event.
#[derive(Clone, Debug, Serialize)]
pub struct Labelled {
    /// The label.
    pub label: String,
    /// What it means.
    pub meaning: &'static str,
}

impl Normalizer {
    /// Normalizes a record, and says why it became what it became.
    #[must_use]
    pub fn explain(&self, record: &RawRecord) -> Explanation {
        let arena = Arena::new();
        let input = Input::new(&arena, record, self.settings_of(&record.source));
        let known = detection::by_source(&input);
        let normalized = self.normalize(&arena, record);
        let mut candidates: Vec<Candidate> = FORMATS
            .iter()
            .filter_map(|format| {
                let found = (format.matches)(&input)?;
                Some(Candidate {
                    format: format.name,
                    score: found.score,
                    reason: found.reason,
                    lost: None,
                })
            })
            .collect();
        // Of equals the first in order stays the first.
        candidates.sort_by_key(|c| std::cmp::Reverse(c.score));
        let chosen = known.unwrap_or_else(|| detection::by_bytes(&input));
        let chosen_name = chosen.format.map_or("unknown", |f| f.name);
        let best = candidates.first().map_or(0, |c| c.score);
        for candidate in candidates.iter_mut().filter(|c| c.format != chosen_name) {
            candidate.lost = Some(match known {
                Some(known) => format!("bytes are not asked where the format is known: {}", known.reason),
                None if candidate.score == best => format!("as sure as {chosen_name}, which comes first"),
                None => format!("{} is less than {best}", candidate.score),
            });
        }
        let mut reason = chosen.reason.to_owned();
        if chosen_name != normalized.format {
            reason = format!("{reason} ({chosen_name}); inside of it {}", normalized.format);
        } else if known.is_some() && !candidates.iter().any(|c| c.format == chosen_name) {
            reason.push_str("; its bytes do not look like it");
        }
        Explanation {
            record: record.coordinate.to_string(),
            format: normalized.format,
            reason,
            candidates,
            quarantined: normalized.quarantined.map(|q| {
                let remedy = quarantine(q.0);
                Quarantined {
                    reason: q.0,
                    meaning: remedy.meaning,
                    remedy: remedy.remedy,
                }
            }),
            events: normalized.events.iter().map(|e| origin::explained(e, &input)).collect(),
        }
    }
}
