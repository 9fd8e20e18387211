//! The nouns of Docket: records, events, batches, findings, positions and time.
//!
//! Read in order, the types are the architecture:
//! [`RawRecord`] (what a source sent) → [`Entry`] (it, in the ledger) → [`Event`] (it, as OCSF)
//! → [`Batch`] (events of one log source, as Arrow columns) → [`Finding`] (what a policy says of them).
//! This crate imports none of ours, does no I/O and reads no clock.

mod altered;
mod arena;
mod batch;
mod cells;
mod columns;
mod event;
mod finding;
mod outline;
mod path;
mod plain;
mod position;
mod record;
mod state;
mod time;
pub mod value;

pub use arena::{Arena, NativeNames};
pub use batch::{ALL_COLUMNS, Batch, Column, EXISTS, Field, Namespace, Row, Uids, Values, Wanted};
pub use cells::{Begun, Cell, Cells};
pub use columns::{OpenBatch, Plan};
pub use event::{Event, Labels, LogSource};
pub use finding::{
    Asset, Clause, Context, Finding, FindingKind, FindingStatus, LookedFor, Person, PolicyRef, ReferenceRow, Severity,
};
pub use outline::Outline;
pub use path::{PathId, known};
pub use plain::PlainEvent;
pub use position::LedgerIndex;
pub use record::{Coordinate, CoordinateError, Entry, RawRecord, Truncation};
pub use state::{Delta, StateKey, StateStore, StateValue};
pub use time::{Millis, TimeError};
pub use value::{Map, Object, Value};

/// The reserved topic of Docket's own acts; partition 0; written by the ledger's writer only.
pub const TOPIC_DOCKET: &str = "docket";

/// The OCSF version of every event and finding that Docket writes.
pub const OCSF_VERSION: &str = "1.8.0";
