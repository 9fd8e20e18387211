//! A Sigma rule as written (specification 2.1).

mod class;
mod condition;
mod detection;
mod encode;
mod matcher;
mod modifier;
mod number;
mod pattern;
mod rule;
pub mod taxonomy;

pub(crate) use class::nearest_class;
pub use class::{ocsf_class_name, ocsf_class_uid};
pub(crate) use condition::{Ast, parse_condition};
pub(crate) use detection::{detection_set, logsource};
pub use matcher::{Compare, End, Match, TimePart, address};
pub use modifier::Placeholders;
pub use number::Number;
pub use pattern::{DASHES, Part, Pattern, lower, lower_char};
pub use rule::{Detection, DetectionSet, Expr, FINDINGS, Item, Rule};
