//! The ledger from outside: what is written is read back, proved, and not altered unseen.

#![allow(clippy::unwrap_used)]

mod beside;
mod compat;
mod crash;
mod flip;
mod made;
mod model_test;
mod prove;
mod verifier;
