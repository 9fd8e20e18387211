//! Bytes in, OCSF out.
//!
//! [`source`] takes records from where they come; [`replay`] reads them from files. The [`normalizer`] makes of
//! each [`model::RawRecord`] one [`model::Event`] or more: it picks a [`format`](mod@format) (by configuration, by
//! topic, or by [`detection`]), which builds events with the [`builder`]. [`mod@join`] puts records together that are parts of
//! one event, [`dedup`] tells repeated deliveries,
//! [`batcher`] groups events for the detector. Everything but `source` and the reading of files is pure: no clock,
//! no network, no failure. A log line is never an error: what cannot be parsed becomes a Base Event with the label
//! `quarantined:<reason>`.

mod address;
pub mod batcher;
pub mod builder;
pub mod class;
pub mod command_line;
pub mod dedup;
pub mod detection;
pub mod explain;
pub mod fields;
pub mod format;
pub mod join;
pub mod json;
pub mod json_columns;
pub mod json_reader;
pub mod keep;
pub mod mapping;
pub mod mask;
pub mod normalizer;
pub mod replay;
mod seek;
pub mod settings;
pub mod source;
pub mod syslog;
pub mod time_text;
pub mod truncation;

pub use builder::EventBuilder;
pub use format::{Format, Input, Quarantine};
pub use keep::{Keep, ToObject, ToValue};
pub use normalizer::{Normalized, Normalizer};
pub use settings::{Settings, SourceSettings};
