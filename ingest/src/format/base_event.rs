//! What no format could read: an OCSF Base Event that carries the raw text.

use crate::builder::EventBuilder;
use crate::class;
use crate::format::{Input, Quarantine};
use model::Event;

/// The event of a record that could not be parsed: searchable by its text, with the label `quarantined:<reason>`.
/// Its time is when it was received.
#[must_use]
pub fn quarantined<'a>(input: &Input<'a>, reason: Quarantine) -> Event<'a> {
    // The product is unknown; the source's id is what we have for its name.
    let source = &*input.record.source;
    let mut b = EventBuilder::new(
        input,
        &class::BASE_EVENT,
        0,
        "",
        if source.is_empty() { "unknown" } else { source },
    );
    b.time(input.record.received_at)
        .label_of(&format!("quarantined:{reason}"));
    b.finish()
}
