//! What a run of the line did, and what its parts cost.

use std::time::Duration;

/// Processor time by part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Bytes of the input file to records: not a part of the line.
    pub input: Duration,
    /// Records to leaves, hashed, into the tail.
    pub append: Duration,
    /// Write and fsync.
    pub flush: Duration,
    /// Frames and tree tiles.
    pub seal: Duration,
    /// Checkpoints signed.
    pub checkpoint: Duration,
    /// Leaves to records again.
    pub read: Duration,
    /// Records to columns, duplicates looked for: record by record, so that its parts are not told apart.
    pub normalize: Duration,
    /// Columns to findings.
    pub detect: Duration,
    /// Findings and state to SQLite.
    pub commit: Duration,
    /// Columns to documents, handed to Tantivy.
    pub documents: Duration,
    /// Tantivy's own threads, and whatever else the process did.
    pub tantivy: Duration,
}

/// What a run did.
#[derive(Debug)]
pub struct Outcome {
    /// Records through the line.
    pub records: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Events of them.
    pub events: u64,
    /// Fields of which the policies and the index want columns.
    pub wanted: usize,
    /// Findings, revisions counted.
    pub findings: u64,
    /// Alerts raised.
    pub raised: u64,
    /// From the first record to the last commit.
    pub wall: Duration,
    /// Processor time.
    pub costs: Costs,
    /// Documents in the index at each of its commits.
    pub index_commits: Vec<u64>,
    /// Peak resident memory, MiB.
    pub peak_mib: f64,
}
