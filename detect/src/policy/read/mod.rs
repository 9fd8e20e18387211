//! YAML → policies. Each file reads one part of the language, and reports what is wrong with it.

mod absence;
mod condition;
mod correlation;
mod delay;
mod extension;
mod filter;
mod lookup;
mod message;
mod novelty;
mod policy;
mod portion;
mod reference;
pub(crate) mod schema;
mod sequence;
mod silence;
mod table;
mod usual;

pub(crate) use extension::DocumentKind;
pub(crate) use filter::{Filter, filter};
pub(crate) use policy::policy;
pub use reference::duration_ms;
