//! Policies as checked: who holds these types need not look again.
//!
//! A [`Policy`] is one document of a policy file: a [`Rule`] (also one that feeds an [`EventTable`]),
//! a [`Correlation`], an [`Absence`], a [`Silence`] or a [`Delay`]. `docs/policies.md` is the contract of the language.

mod absence;
mod collection;
mod condition;
mod correlation;
mod delay;
mod directory;
mod document;
mod link;
mod load;
mod lookup;
mod message;
mod novelty;
mod portion;
mod read;
mod refer;
mod sequence;
mod silence;
mod value;

pub use absence::{Absence, Opens};
pub use condition::{Apart, Condition, Has, Op, Subject, Test, Wanted};
pub use correlation::{
    Compare, Correlation, CorrelationCondition, CorrelationKind, Expression, Feeder, Reach, Share, Usual,
};
pub use delay::{Delay, Of};
pub use document::{
    Body, Calendar, Column, Dedup, EventTable, Policies, Policy, PolicyIndex, Rule, SeverityRaise, Take, WorkingTime,
};
pub use load::{Loaded, SourceFile, load, load_text};
pub use lookup::{Expect, Lookup, Pick};
pub use message::{Message, MessagePart};
pub use novelty::Novelty;
pub use portion::Portion;
pub use read::{duration_ms, schema::SCHEMA};
pub use sequence::{Breach, Sequence};
pub use silence::{Anew, Learn, Silence};
pub use value::{EventField, Literal, Reference, Root, Value};
