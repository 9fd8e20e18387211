//! The ledger: every raw record, in the order in which it came, so that nobody can change it unseen.
//!
//! A record becomes a *leaf* ([`leaf`]); the leaves are hashed into an RFC 6962 Merkle tree; *checkpoints*, signed
//! about each second, say which root the first n leaves have. Everything is in one folder:
//!
//! | file | what | layout |
//! |---|---|---|
//! | `tail/<first leaf>` | the newest leaves, uncompressed, fsynced in groups | `tail.rs` |
//! | `segments/<first leaf>` | the other leaves, 65,536 a file, in zstd frames of 256 | `frame.rs` |
//! | `tile/<level>/<n>` | hashes of the tree (C2SP tlog-tiles, levels 1 and up, full tiles) | `tile.rs` |
//! | `checkpoints` | all checkpoints (C2SP signed notes), oldest first | `checkpoint.rs` |
//! | `ledger.vkey`, `ledger.key` | the verifier key, the signing key (mode 0600) | `note.rs` |
//! | `LOCK` | locked by the one writer | |
//!
//! One [`Ledger`] writes, any number of [`Reader`]s read beside it, [`fsck`] checks everything. `docket-verify`, a
//! binary of this crate, does so for auditors. Read in this order: `merkle.rs`, `proof.rs`, `note.rs`,
//! `checkpoint.rs`, `leaf.rs`, `tail.rs`, `frame.rs`, `tile.rs`; then `ledger.rs`, `recover.rs` and `fsck.rs`.
//!
//! **What a crash can do.** The tail's last file may end in leaves of which not all reached the disk, a segment in
//! frames of leaves that the tail still has, `checkpoints` in a part of a checkpoint. [`Ledger::open`] cuts these,
//! after the last checkpoint only. Anything else that does not hold is an [`Error::Integrity`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bundle;
mod checkpoint;
mod disk;
mod error;
mod export;
mod find;
mod frame;
mod fsck;
pub mod leaf;
mod ledger;
mod merkle;
mod note;
mod positions;
mod proof;
mod reader;
mod recent;
mod recover;
mod seal;
mod tail;
pub mod tile;
mod tree;

pub use bundle::ProofBundle;
pub use checkpoint::{Checkpoint, Checkpoints};
pub use error::{Error, Failure};
pub use export::{Export, verify_export};
pub use frame::{GROUP, SEGMENT};
pub use fsck::{Gap, Progress, Report, fsck};
pub use ledger::Ledger;
pub use merkle::{Hash, RightEdge, empty_root, leaf_hash, node_hash, root_of};
pub use note::{NoteError, VerifierKey};
pub use proof::{verify_consistency, verify_inclusion};
pub use reader::Reader;
