//! Which format a record is in.
//!
//! In this order: what the source's settings say; a format that the topic names (`audit.<format>`,
//! `local.<format>`); a format that has the source's id for a name or alias; else the bytes decide. A record of a
//! source whose format is known is never read in another one: whoever may write to the web server's topic must
//! not be able to speak for the bastion.

use model::{RawRecord, TOPIC_DOCKET};

use crate::SourceSettings;
use crate::format::{self, FORMATS, Format, Input};

/// A format, and why it was chosen.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The format; none where nothing matched.
    pub format: Option<&'static Format>,
    /// Why.
    pub reason: &'static str,
}

/// The format that is known before the bytes are looked at.
#[must_use]
pub fn by_source(input: &Input<'_>) -> Option<Choice> {
    of_source(input.record, input.settings)
}

/// As [`by_source`], of a record that nobody has looked into.
#[must_use]
pub fn of_source(record: &RawRecord, settings: &SourceSettings) -> Option<Choice> {
    let topic = &*record.coordinate.topic;
    // The reserved topic is written by the ledger's writer only; nobody else can name it.
    if topic == TOPIC_DOCKET {
        return Some(Choice {
            format: Some(&format::docket_acts::FORMAT),
            reason: "the reserved topic",
        });
    }
    if let Some(name) = &settings.format {
        let format = format::by_name(name);
        let reason = if format.is_some() {
            "configured"
        } else {
            "configured, but there is no format of that name"
        };
        return Some(Choice { format, reason });
    }
    let named = |name: &str, reason| {
        let format = format::by_name(name).filter(|f| f.name != format::docket_acts::FORMAT.name)?;
        Some(Choice {
            format: Some(format),
            reason,
        })
    };
    topic_source(topic)
        .and_then(|name| named(name, "the topic names it"))
        .or_else(|| named(&record.source, "the source names it"))
}

/// The format that the bytes look most like; of equals the first in [`FORMATS`].
#[must_use]
pub fn by_bytes(input: &Input<'_>) -> Choice {
    if let Some(format) = format::hec::named(input) {
        return Choice {
            format: Some(format),
            reason: "the sourcetype of its HEC envelope, and its bytes look like it",
        };
    }
    match best(input, |_| true) {
        Some((format, found)) => Choice {
            format: Some(format),
            reason: found.reason,
        },
        None => Choice {
            format: None,
            reason: "nothing matched",
        },
    }
}

/// The most like of the formats that are `allowed`; of equals the first.
pub(crate) fn best(input: &Input<'_>, allowed: impl Fn(&Format) -> bool) -> Option<(&'static Format, format::Match)> {
    let mut best: Option<(&'static Format, format::Match)> = None;
    for format in FORMATS.iter().copied().filter(|f| allowed(f)) {
        if let Some(found) = (format.matches)(input)
            && best.is_none_or(|(_, there)| found.score > there.score)
        {
            best = Some((format, found));
        }
    }
    best
}

/// The source that a topic is for: `audit.linux` and `local.linux@2` are for `linux`.
#[must_use]
pub fn topic_source(topic: &str) -> Option<&str> {
    let name = topic.strip_prefix("audit.").or_else(|| topic.strip_prefix("local."))?;
    Some(name.split('@').next().unwrap_or(name))
}
