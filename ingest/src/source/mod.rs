//! Where records come in: Kafka, and the framings of byte streams.

pub mod framing;
pub mod kafka;
