//! Where records come in: Kafka, files that are followed, the framings of byte streams, and the bodies of requests.

pub mod body;
pub mod bulk;
pub mod file;
pub mod framing;
pub mod hec;
pub mod held;
pub mod journal;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod otlp;
