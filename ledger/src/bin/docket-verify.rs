//! Verifies a Docket ledger without Docket.
fn main() {}
