//! The log formats: bytes in, OCSF out; no clock, no network, no failure.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::sync::LazyLock;

use model::value::{Member, is_same, tag};
use model::{Arena, Event, Object, RawRecord};

use crate::SourceSettings;
use crate::json::{self, Parsed};
use crate::keep::Keep;
use crate::mask;
use crate::syslog::{self, Envelope};
use crate::truncation;

pub mod access_log;
pub mod action_trail;
pub mod base_event;
pub mod bastionhost;
pub mod cef;
pub mod cloud_trail;
pub mod collector;
pub mod docket_acts;
mod draft;
pub mod ecs;
pub mod error_log;
mod facts;
pub mod gelf;
pub mod github_audit;
pub mod gitlab_audit;
pub mod hec;
mod host;
mod http;
pub mod json_lines;
pub mod jumpserver;
pub mod kubernetes_audit;
pub mod leef;
pub mod linux_auditd;
pub mod linux_auth;
pub mod mapped;
pub mod mongodb_audit;
pub mod mysql_audit;
pub mod nginx_json;
pub mod okta;
pub mod otlp;
pub mod postgresql;
mod sql_statement;
pub(crate) mod sql_tables;
pub mod syslog_other;
pub mod systemd_journal;
pub mod teleport;
pub mod web_audit;
pub mod windows_events;

/// Every format, in order of detection: the first one with the highest score wins.
pub static FORMATS: &[&Format] = &[
    &docket_acts::FORMAT,
    &mapped::FORMAT,
    &jumpserver::FORMAT,
    &action_trail::FORMAT,
    &bastionhost::FORMAT,
    &teleport::FORMAT,
    &cloud_trail::FORMAT,
    &kubernetes_audit::FORMAT,
    &okta::FORMAT,
    &github_audit::FORMAT,
    &gitlab_audit::FORMAT,
    &otlp::FORMAT,
    &cef::FORMAT,
    &leef::FORMAT,
    &ecs::FORMAT,
    &gelf::FORMAT,
    &web_audit::FORMAT,
    &nginx_json::FORMAT,
    &access_log::FORMAT,
    &error_log::FORMAT,
    &linux_auditd::FORMAT,
    &systemd_journal::FORMAT,
    &mysql_audit::FORMAT,
    &mongodb_audit::FORMAT,
    &postgresql::FORMAT,
    &windows_events::FORMAT,
    &linux_auth::FORMAT,
    &syslog_other::FORMAT,
    &collector::FORMAT,
    &json_lines::FORMAT,
];

/// A log format.
#[derive(Debug)]
pub struct Format {
    /// Its name in configuration and in `metadata.log_format`: `jumpserver`.
    pub name: &'static str,
    /// Other names, and the topics' `audit.<alias>`: `linux`, `webaudit`.
    pub aliases: &'static [&'static str],
    /// How sure it is that the record is its own; `None`: it is not.
    pub matches: fn(&Input<'_>) -> Option<Match>,
    /// Reads the record. Never empty on `Ok`.
    pub normalize: for<'a> fn(&mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine>,
}

/// How sure a format is that a record is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// 1 (anything of this shape) to 100 (cannot be anything else).
    pub score: u8,
    /// Why, for the operator: `the keys eventName and eventSource`.
    pub reason: &'static str,
}

/// Why a record could not be parsed: a short word that is the label's second half and a counter's name
/// (`json_truncated`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quarantine(pub &'static str);

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Names and aliases by their tags, and whose they are; of equals the first in [`FORMATS`] comes first.
static BY_NAME: LazyLock<Vec<Vec<(&str, &Format)>>> = LazyLock::new(|| {
    let mut by_tag = vec![Vec::new(); 256];
    for format in FORMATS.iter().copied() {
        for name in [format.name].into_iter().chain(format.aliases.iter().copied()) {
            by_tag[usize::from(tag(name))].push((name, format));
        }
    }
    by_tag
});

/// The format of that name or alias.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Format> {
    let named = &BY_NAME[usize::from(tag(name))];
    named.iter().find(|(n, _)| is_same(n, name)).map(|(_, format)| *format)
}

/// A record, or a part of it, as a format sees it.
#[derive(Debug)]
pub struct Input<'a> {
    /// The record.
    pub record: &'a RawRecord,
    /// Where its events will live.
    pub arena: &'a Arena,
    /// Its payload as text: without byte order mark and without the line's end (`\r`, `\n`, NUL); bytes that are
    /// not text replaced.
    pub text: &'a str,
    /// What was found in reading it, as labels: `invalid_utf8`, … `EventBuilder` copies them to each event.
    pub flags: Vec<&'static str>,
    /// The source's settings.
    pub settings: &'a SourceSettings,
    /// The name of the format that reads it (`metadata.log_format`).
    pub format: &'static str,
    /// The host that an envelope around the text tells.
    pub host: Option<&'a str>,
    /// Values that lost to a later one of the same key, from the JSON that was taken.
    pub duplicates: Vec<Member<'a>>,
    /// Why a part of the record could not be parsed, where the rest could.
    pub broken: Option<Quarantine>,
    json: OnceCell<Result<Parsed<'a>, Quarantine>>,
    envelope: OnceCell<Envelope<'a>>,
}

/// Bytes that the events of one record may repeat of its text.
const REPEATED_BYTES: usize = 256 << 10;
/// Events that one statement or change may be, whatever its length; and how many it may be in any case.
const REPEATS_MAX: usize = 200;
const REPEATS_MIN: usize = 3;

impl<'a> Input<'a> {
    /// How many events may each hold the text of this record: what one statement or change does to many people is an event for each of
    /// them. The others are left to the text itself; the last event is labelled [`LABEL_CUT`].
    pub(crate) fn repeats_max(&self) -> usize {
        (REPEATED_BYTES / self.text.len().max(1)).clamp(REPEATS_MIN, REPEATS_MAX)
    }

    /// Reads the payload as text.
    #[must_use]
    pub fn new(arena: &'a Arena, record: &'a RawRecord, settings: &'a SourceSettings) -> Input<'a> {
        let (text, mut flags) = json::text(&record.payload, settings);
        flags.extend(truncation::labels(&record.payload));
        for (name, value) in &record.headers {
            if name == HEADER_FLAGS {
                flags.extend(TRANSPORT_FLAGS.iter().filter(|f| value.as_ref() == f.as_bytes()));
            }
        }
        let text = match text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => arena.text(&text),
        };
        if mask::holds_number(text) {
            flags.push(LABEL_NUMBER);
        }
        Input {
            record,
            arena,
            text,
            flags,
            settings,
            format: "unknown",
            host: None,
            duplicates: Vec::new(),
            broken: None,
            json: OnceCell::new(),
            envelope: OnceCell::new(),
        }
    }

    /// One of several objects of `whole`'s text, read already.
    #[must_use]
    pub(crate) fn part(whole: &Input<'a>, text: &str, parsed: Parsed<'a>) -> Input<'a> {
        Input {
            json: OnceCell::from(Ok(parsed)),
            ..Input::of_text(whole, text)
        }
    }

    /// A part of `whole`'s text, or what was made of it, as an input of its own.
    #[must_use]
    pub(crate) fn of_text(whole: &Input<'a>, text: &str) -> Input<'a> {
        Input {
            record: whole.record,
            arena: whole.arena,
            text: whole.keep().text(text),
            flags: whole.flags.clone(),
            settings: whole.settings,
            format: whole.format,
            host: whole.host,
            duplicates: Vec::new(),
            broken: None,
            json: OnceCell::new(),
            envelope: OnceCell::new(),
        }
    }

    /// What makes texts live as long as its events.
    #[must_use]
    #[inline]
    pub fn keep(&self) -> Keep<'a> {
        Keep {
            arena: self.arena,
            text: self.text,
        }
    }

    /// The whole text as one JSON object; parsed once.
    ///
    /// # Errors
    /// The text is no JSON object, or one that we do not trust ([`json`]).
    pub fn object(&self) -> Result<Object<'a>, Quarantine> {
        self.parsed().as_ref().map(|p| p.object).map_err(|q| *q)
    }

    /// The text as a line of syslog; read once.
    pub fn envelope(&self) -> &Envelope<'a> {
        self.envelope.get_or_init(|| syslog::parse(self.text))
    }

    /// As [`Input::object`]; the parser's flags are added to `flags`.
    ///
    /// # Errors
    /// As [`Input::object`].
    pub fn take_object(&mut self) -> Result<Object<'a>, Quarantine> {
        self.parsed();
        let parsed = self.json.take().unwrap_or(Err(Quarantine("json_invalid")))?;
        Ok(self.adopt(parsed))
    }

    /// Takes over JSON that was found inside the text, with what was odd about it.
    pub fn adopt(&mut self, parsed: Parsed<'a>) -> Object<'a> {
        self.flags.extend(parsed.flags);
        self.duplicates.extend(parsed.duplicates);
        parsed.object
    }

    fn parsed(&self) -> &Result<Parsed<'a>, Quarantine> {
        self.json.get_or_init(|| json::parse(self.arena, self.text))
    }
}

/// A header by which what carried a record says what it found: one of [`TRANSPORT_FLAGS`].
pub const HEADER_FLAGS: &str = "docket-flags";
/// Label: the record holds the whole number of an identity or a bank card (LA-03).
const LABEL_NUMBER: &str = "personal_number";
/// The last event of a statement or change that means more people than have an event.
pub(crate) const LABEL_CUT: &str = "people.cut";
/// The transport's flags that become labels.
pub const TRANSPORT_FLAGS: &[&str] = &["octet_count_wrong", "kcat_line_unreadable"];
