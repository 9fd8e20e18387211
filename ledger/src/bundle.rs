//! One record with all that is needed to check it offline, as JSON.
//!
//! ```json
//! { "leaf": "<base64>", "index": 17, "size": 300, "proof": ["<base64 of 32 bytes>", …],
//!   "checkpoint": "<signed note>", "vkey": "<name>+<hash>+<base64>" }
//! ```
//!
//! `leaf_hash(leaf)` with `proof` gives the root that `checkpoint` signs for `size` leaves. The `vkey` is what the
//! ledger's folder names: it says who signed only when it is compared with a key from elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use model::{LedgerIndex, RawRecord};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::merkle::{Hash, leaf_hash};
use crate::note::VerifierKey;
use crate::{leaf, proof};

/// One record with all that is needed to check it offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofBundle {
    /// The leaf's bytes, in base64.
    pub leaf: String,
    /// Its index.
    pub index: u64,
    /// The number of leaves that the checkpoint covers.
    pub size: u64,
    /// The audit path, from the leaf up, each hash in base64.
    pub proof: Vec<String>,
    /// The signed note of the checkpoint.
    pub checkpoint: String,
    /// The verifier key that the ledger's folder names.
    pub vkey: String,
}

impl ProofBundle {
    pub(crate) fn new(
        leaf: &[u8],
        index: LedgerIndex,
        proof: &[Hash],
        checkpoint: &Checkpoint,
        vkey: String,
    ) -> ProofBundle {
        ProofBundle {
            leaf: BASE64.encode(leaf),
            index: index.0,
            size: checkpoint.size,
            proof: proof.iter().map(|h| BASE64.encode(h)).collect(),
            checkpoint: checkpoint.note.clone(),
            vkey,
        }
    }

    /// Checks that the record is in the ledger that `key` signed; gives the record and the checkpoint.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn verify(&self, key: &VerifierKey) -> Result<(RawRecord, Checkpoint), String> {
        let checkpoint = Checkpoint::verify(&self.checkpoint, key)?;
        if checkpoint.size != self.size {
            return Err(format!(
                "the proof is for {} leaves, the checkpoint of {}",
                self.size, checkpoint.size
            ));
        }
        let bytes = |text: &str| BASE64.decode(text).map_err(|e| format!("not base64: {e}"));
        let leaf = Bytes::from(bytes(&self.leaf)?);
        let mut path = Vec::with_capacity(self.proof.len().min(64));
        for hash in &self.proof {
            path.push(Hash::try_from(bytes(hash)?).map_err(|_| "a hash of the proof is not of 32 bytes")?);
        }
        if !proof::verify_inclusion(&leaf_hash(&leaf), self.index, self.size, &path, &checkpoint.root) {
            return Err("the proof does not lead from the record to the root that was signed".to_owned());
        }
        let record = leaf::decode(&leaf).map_err(|e| e.to_string())?;
        Ok((record, checkpoint))
    }
}
