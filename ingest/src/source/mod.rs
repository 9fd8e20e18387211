//! Where records come in: Kafka, files that are followed, and the framings of byte streams.

pub mod file;
pub mod framing;
pub mod kafka;
