//! The process dies at every place of the way from a record to its alert, and goes on: what is found then is what an
//! undisturbed run finds.
//!
//! `cargo test -p crash --features failpoints`; without the feature there is nothing to die at, and no test.

/// The places, in the order in which a group of records comes to them.
pub const PLACES: &[&str] = &[
    "detect::record",
    "detect::judged",
    "detect::told",
    "detect::spilled",
    "detect::let_go",
    "detect::delta",
    "commit::begin",
    "commit::opened",
    "commit::checked",
    "state::put",
    "state::all_put",
    "state::deleted",
    "state::position",
    "state::positioned",
    "commit::finding",
    "alert::written",
    "alert::clauses",
    "alert::history",
    "outbox::enqueued",
    "commit::last",
    "commit::done",
];
