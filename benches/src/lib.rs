//! What Docket costs, measured: see `README.md`; results in `record/`.
//!
//! `bin/line.rs` drives the stages of the line without a broker or a server; `bin/latency.rs` drives the server as its
//! users do. Both make their records with [`traffic`].

pub mod corpus;
pub mod flat;
pub mod fresh;
pub mod http;
pub mod input;
pub mod peer;
pub mod percentile;
pub mod server;
pub mod stages;
pub mod traffic;
pub mod usage;
pub mod world;
