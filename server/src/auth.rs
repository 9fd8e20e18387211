//! Who calls, and what they may do. The API denies by default.
//!
//! A token is 32 random bytes, shown once as `dkt_<hex>`; `tokens.json` in the data folder holds its
//! SHA-256 alone. A caller on the socket of the data folder is the machine's own user: whoever can open the
//! socket can read the files beside it, so it may do everything, and everything it does is recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::Millis;
use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::kept;

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
    /// Reads all records without seeing whose they are: names of people are replaced by words. Changes nothing.
    Reviewer,
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
    /// Search and see records without what is personal in them.
    ReadCovered,
    /// See who the people of a record are.
    SeePeople,
    /// Create tokens, see sources and metrics.
    Administer,
}

impl Role {
    fn may(self, right: Right) -> bool {
        match self {
            Role::Shipper => right == Right::Ship,
            Role::Analyst => matches!(right, Right::ReadAlerts | Right::HandleAlerts),
            Role::Auditor => matches!(
                right,
                Right::ReadAlerts | Right::ReadRecords | Right::ReadCovered | Right::SeePeople
            ),
            Role::Reviewer => right == Right::ReadCovered,
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
        /// The sources that it may send records of; none named: of any.
        sources: Vec<String>,
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

    /// Whether the caller may send records of this source.
    pub fn may_ship(&self, source: &str) -> bool {
        let named = match self {
            Caller::Token { sources, .. } => sources.is_empty() || sources.iter().any(|s| s == source),
            Caller::Local { .. } => true,
        };
        named && self.may(Right::Ship)
    }

    /// The source of a token that is for one source alone.
    pub fn only_source(&self) -> Option<&str> {
        match self {
            Caller::Token { sources, .. } if sources.len() == 1 => Some(&sources[0]),
            _ => None,
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

/// How a token's text begins.
const PREFIX: &str = "dkt_";
/// Sources that a token may be limited to.
const SOURCES_MAX: usize = 1000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    name: String,
    role: Role,
    created_at: Millis,
    /// Of a shipper: the sources that it may send records of; none named: of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
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
        let advice = "restore it; if it is removed, tokens have to be made anew";
        let by_hash: BTreeMap<_, _> = kept::read(&path, advice)?.unwrap_or_default();
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
        self.create_for(name, role, &[], now)
    }

    /// Makes a token for these sources alone; see [`Tokens::create`].
    ///
    /// # Errors
    /// As there; or a role that sends nothing is given sources.
    pub fn create_for(&self, name: &str, role: Role, sources: &[String], now: Millis) -> anyhow::Result<String> {
        anyhow::ensure!(
            sources.is_empty() || role == Role::Shipper,
            "sources are given for a token that sends no records; give them with role shipper"
        );
        anyhow::ensure!(
            sources.len() <= SOURCES_MAX,
            "{} sources for one token, at most {SOURCES_MAX}",
            sources.len()
        );
        for source in sources {
            crate::gateway::http::check_shippable(source)?;
        }
        let fine = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
        anyhow::ensure!(
            fine,
            "token name `{name}`: give 1 to 64 of the characters A-Z a-z 0-9 . _ - @"
        );
        let mut secret = [0u8; 32];
        rand::rng().fill_bytes(&mut secret);
        let token = format!("{PREFIX}{}", hex::encode(secret));
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
                sources: sources.to_vec(),
            },
        );
        kept::write_whole(&self.path, &serde_json::to_vec_pretty(&*tokens)?)?;
        Ok(token)
    }

    /// Whose token this is.
    pub fn caller(&self, token: &str) -> Option<Caller> {
        let tokens = self.by_hash.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        tokens.get(&hash(token)).map(|t| Caller::Token {
            name: t.name.clone(),
            role: t.role,
            sources: t.sources.clone(),
        })
    }
}

/// The token of a request, in whichever way its shipper sends one: `Bearer`, `Splunk` or `ApiKey`, or as the password
/// of `Basic`. An API key may also be `id:token` in Base64, as Elasticsearch's are.
pub fn token_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = credentials.trim();
    let password = || {
        let text = String::from_utf8(BASE64.decode(credentials).ok()?).ok()?;
        text.split_once(':').map(|(_, password)| password.to_owned())
    };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "splunk" => Some(credentials.to_owned()),
        "basic" => password(),
        "apikey" if credentials.starts_with(PREFIX) => Some(credentials.to_owned()),
        "apikey" => password(),
        _ => None,
    }
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
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
                role: Role::Shipper,
                sources: Vec::new(),
            })
        );
        assert_eq!(again.caller("dkt_00"), None);
    }

    #[test]
    fn a_token_may_be_for_some_sources_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        let create = |name: &str, role, sources: &[&str]| {
            let sources: Vec<String> = sources.iter().map(|s| (*s).to_owned()).collect();
            tokens.create_for(name, role, &sources, Millis(1))
        };
        let token = create("a", Role::Shipper, &["crm", "erp"]).unwrap();
        let caller = Tokens::open(dir.path()).unwrap().caller(&token).unwrap();
        assert!(caller.may_ship("crm") && caller.may_ship("erp") && !caller.may_ship("crm2"));
        assert_eq!(caller.only_source(), None);
        let one = create("b", Role::Shipper, &["crm"]).unwrap();
        assert_eq!(tokens.caller(&one).unwrap().only_source(), Some("crm"));
        assert!(create("c", Role::Auditor, &["crm"]).is_err());
        assert!(create("d", Role::Shipper, &["docket"]).is_err());
        let auditor = create("e", Role::Auditor, &[]).unwrap();
        assert!(!tokens.caller(&auditor).unwrap().may_ship("crm"));
    }

    #[test]
    fn a_token_is_sent_in_the_shippers_own_way() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            token_of(&headers)
        };
        let coded = BASE64.encode("elastic:dkt_1");
        for sent in ["Bearer dkt_1", "bearer  dkt_1 ", "Splunk dkt_1", "ApiKey dkt_1"] {
            assert_eq!(of(sent).as_deref(), Some("dkt_1"), "{sent}");
        }
        for scheme in ["Basic", "ApiKey"] {
            assert_eq!(of(&format!("{scheme} {coded}")).as_deref(), Some("dkt_1"));
        }
        for wrong in ["", "dkt_1", "Basic dkt_1", "Digest dkt_1"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
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
