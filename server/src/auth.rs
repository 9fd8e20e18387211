//! Who calls, and what they may do. The API denies by default.
//!
//! A token is 32 random bytes, shown once as `dkt_<hex>`; `tokens.json` in the data folder holds its
//! SHA-256 alone. A caller on the socket of the data folder is the machine's own user: whoever can open the
//! socket can read the files beside it, so it may do everything, and everything it does is recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use anyhow::Context as _;
use model::Millis;
use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a token's holder is. A token has one role, so nobody is both auditor and admin by one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends records, reads nothing.
    Shipper,
    /// Works on alerts.
    Analyst,
    /// Reads all records and alerts, changes nothing.
    Auditor,
    /// Users, configuration and health; no records.
    Admin,
}

/// What one may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Send records.
    Ship,
    /// See alerts.
    ReadAlerts,
    /// Acknowledge and close alerts.
    HandleAlerts,
    /// Search and see records.
    ReadRecords,
    /// Create tokens, see sources and metrics.
    Administer,
}

impl Role {
    fn may(self, right: Right) -> bool {
        match self {
            Role::Shipper => right == Right::Ship,
            Role::Analyst => matches!(right, Right::ReadAlerts | Right::HandleAlerts),
            Role::Auditor => matches!(right, Right::ReadAlerts | Right::ReadRecords),
            Role::Admin => right == Right::Administer,
        }
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The holder of a token.
    Token {
        /// The token's name.
        name: String,
        /// Its role.
        role: Role,
    },
    /// A user of this machine, by the socket in the data folder.
    Local {
        /// The user's id.
        uid: u32,
    },
}

impl Caller {
    /// Whether the caller may do this.
    pub fn may(&self, right: Right) -> bool {
        match self {
            Caller::Token { role, .. } => role.may(right),
            Caller::Local { .. } => true,
        }
    }

    /// The name under which its acts are recorded.
    pub fn name(&self) -> String {
        match self {
            Caller::Token { name, .. } => name.clone(),
            Caller::Local { uid } => format!("local:{uid}"),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    name: String,
    role: Role,
    created_at: Millis,
}

/// The tokens, by the hex SHA-256 of their text.
#[derive(Debug, Clone)]
pub struct Tokens {
    path: PathBuf,
    by_hash: Arc<RwLock<BTreeMap<String, Stored>>>,
}

impl Tokens {
    /// Reads `tokens.json` of a data folder; without one there are no tokens.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn open(data_dir: &Path) -> anyhow::Result<Tokens> {
        let path = data_dir.join("tokens.json");
        let by_hash = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        Ok(Tokens {
            path,
            by_hash: Arc::new(RwLock::new(by_hash)),
        })
    }

    /// Makes a token and returns its text, which is not kept.
    ///
    /// # Errors
    /// The name is taken or odd, or the file cannot be written.
    pub fn create(&self, name: &str, role: Role, now: Millis) -> anyhow::Result<String> {
        let fine = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
        anyhow::ensure!(
            fine,
            "token name `{name}`: give 1 to 64 of the characters A-Z a-z 0-9 . _ - @"
        );
        let mut secret = [0u8; 32];
        rand::rng().fill_bytes(&mut secret);
        let token = format!("dkt_{}", hex::encode(secret));
        let mut tokens = self.by_hash.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        anyhow::ensure!(
            !tokens.values().any(|t| t.name == name),
            "there is a token named `{name}` already; give another name"
        );
        tokens.insert(
            hash(&token),
            Stored {
                name: name.into(),
                role,
                created_at: now,
            },
        );
        write_whole(&self.path, &serde_json::to_vec_pretty(&*tokens)?)?;
        Ok(token)
    }

    /// Whose token this is.
    pub fn caller(&self, token: &str) -> Option<Caller> {
        let tokens = self.by_hash.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        tokens.get(&hash(token)).map(|t| Caller::Token {
            name: t.name.clone(),
            role: t.role,
        })
    }
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// Replaces a file by a whole new one, readable by its owner alone.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_again_by_its_hash_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        let token = tokens.create("collector-1", Role::Shipper, Millis(1)).unwrap();
        assert!(tokens.create("collector-1", Role::Admin, Millis(1)).is_err());
        assert!(
            !std::fs::read_to_string(dir.path().join("tokens.json"))
                .unwrap()
                .contains(&token[4..])
        );
        let again = Tokens::open(dir.path()).unwrap();
        assert_eq!(
            again.caller(&token),
            Some(Caller::Token {
                name: "collector-1".into(),
                role: Role::Shipper
            })
        );
        assert_eq!(again.caller("dkt_00"), None);
    }

    #[test]
    fn duties_are_separate() {
        let all = [
            Right::Ship,
            Right::ReadAlerts,
            Right::HandleAlerts,
            Right::ReadRecords,
            Right::Administer,
        ];
        let rights = |role: Role| all.iter().filter(|r| role.may(**r)).count();
        assert_eq!(
            [Role::Shipper, Role::Analyst, Role::Auditor, Role::Admin].map(rights),
            [1, 2, 2, 1]
        );
        assert!(!Role::Admin.may(Right::ReadRecords) && !Role::Auditor.may(Right::HandleAlerts));
    }
}
