//! The detector: policies as written (Sigma plus `docket:`), compiled, evaluated over columns, joined with
//! reference tables, correlated in event time.
//!
//! Pure: state in, state delta out; no I/O, no clock.
//! [`sigma`] (a rule as written) → [`policy`] (a policy as checked) → [`RuleSet`] (compiled)
//! → [`Hit`] (a rule holds for a row) → [`engine`] (lookups, correlations, absences, findings).
//! [`plain`] is the slow evaluator that the fast one is held to; [`explain`] tells why it says what it says.

mod compile;
pub mod engine;
mod error;
mod evaluate;
pub mod explain;
pub mod plain;
pub mod policy;
pub mod reference;
mod report;
pub mod sigma;
mod yaml;

pub use compile::{Hit, RuleSet};
pub use error::{Place, PolicyError, Problem};
