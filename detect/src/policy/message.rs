//! The sentence of a finding.

use super::Reference;

/// A text with references in braces: `{event.user.name} logged on from {zone.zone|nowhere}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(pub Vec<MessagePart>);

/// A part of a [`Message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagePart {
    /// Text.
    Text(String),
    /// `{reference}`, `{reference|default}` or `{reference|$another|default}`. Many values are written with `, ` between them.
    Value {
        /// What is written: of the first that has a value.
        references: Vec<Reference>,
        /// What is written where none has one; without it, `-`.
        default: Option<String>,
    },
}
