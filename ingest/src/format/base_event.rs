//! What no format could read: an OCSF Base Event that carries the raw text.

use model::Event;

use crate::builder::EventBuilder;
use crate::class;
use crate::format::{Input, Quarantine};

/// The event of a record that could not be parsed.
#[must_use]
pub fn event(input: &Input<'_>, format: &str, reason: Quarantine) -> Event {
    let mut b = EventBuilder::new(input, &class::BASE_EVENT, 0, "Unknown", "Unknown");
    b.metadata("log_format", format);
    b.label(format!("quarantined:{reason}"));
    b.finish()
}
