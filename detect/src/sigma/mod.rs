//! A Sigma rule as written (specification 2.1).

mod number;
mod pattern;
mod rule;
pub mod taxonomy;

pub use number::Number;
pub use pattern::{Part, Pattern, lower, lower_char};
pub use rule::Rule;
