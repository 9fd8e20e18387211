//! The ledger from outside: what is written is read back, proved, and not altered unseen.

mod beside;
mod crash;
mod flip;
mod made;
mod model_test;
mod prove;
mod verifier;
