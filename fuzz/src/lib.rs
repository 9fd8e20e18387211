//! What reads bytes that somebody else wrote, held to its promises on bytes that nobody foresaw.
//!
//! A [`Target`] takes any bytes and panics where a promise is broken. [`targets`] lists them: one for each log format,
//! so that none can be forgotten, and one for each framing, decoder and reader. Every target looks at more than "no
//! panic": the events of a record are OCSF, the same input gives the same output, what goes in comes out, and the
//! output is bounded by the input. Time and memory are bounded by libFuzzer.
//!
//! `cargo xtask fuzz` runs them, guided by coverage; `cargo test -p fuzz` replays what was ever found
//! (`regressions/<target>/`) and every seed. A promise of a format lives in [`format`](mod@format); of what carries
//! records, in [`framing`]; of texts inside a record, in [`text`]; of what operators and auditors hand us, in
//! [`authored`] and [`evidence`].
#![allow(clippy::unwrap_used)] // a broken promise is told by a panic

pub mod authored;
pub mod bytes;
pub mod event;
pub mod evidence;
pub mod follow;
pub mod format;
pub mod framing;
pub mod join;
pub mod request;
pub mod schema;
pub mod seeds;
mod target;
pub mod text;

pub use target::{Target, named, targets};
