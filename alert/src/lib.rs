//! Findings become alerts, and alerts become deliveries.
//!
//! One SQLite file, `alerts.sqlite`, holds the detector's state, its position in the ledger, the alerts with their
//! history, and the outbox. [`Store::commit`] writes a delta of all of them in one transaction, so that after any
//! crash the detector goes on from a position that agrees with every alert and every notification still to be sent.
//!
//! A [`Courier`] empties the outbox into one [`Channel`]; each kind of channel is a file of [`channels`].
//! Every moment is passed in: nothing here reads a clock.

mod alert;
pub mod channels;
mod courier;
mod error;
mod lifecycle;
mod outbox;
mod query;
mod raise;
mod schema;
mod store;

pub use alert::{Alert, AlertEvent, Detail, Status, UnknownName, Verdict};
pub use channels::{Channel, Notice, Outcome, Sending};
pub use courier::Courier;
pub use error::Error;
pub use outbox::{Delivery, DeliveryState, Retry};
pub use query::{Filter, Page};
pub use raise::Committed;
pub use store::{ENGINE, FILE_NAME, Store};
