//! YAML → policies. Each file reads one part of the language, and reports what is wrong with it.

mod absence;
mod condition;
mod correlation;
mod extension;
mod lookup;
mod message;
mod policy;
mod reference;

pub(crate) use extension::DocumentKind;
pub(crate) use policy::{filter, policy};
pub(crate) use reference::duration_ms;
