//! C2SP signed notes with Ed25519, and the keys for them.
//!
//! A note is text, an empty line, and signature lines `— <name> <base64 of 4-byte key hash and signature>`. The key
//! hash is the first four bytes of `SHA-256(<name> "\n" 0x01 <public key>)`; 0x01 says Ed25519.
//!
//! `ledger.vkey` holds the verifier key, `<name>+<key hash as hex>+<base64 of 0x01 and the 32-byte public key>`;
//! `ledger.key` the signing key, `PRIVATE+KEY+<name>+<key hash>+<base64 of 0x01 and the 32-byte seed>`; both as Go's
//! `golang.org/x/mod/sumdb/note` writes them, so that its tools read them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer};
use sha2::{Digest, Sha256};

use crate::Error;

const ED25519: u8 = 1;
const PRIVATE: &str = "PRIVATE+KEY+";

/// Who may sign: a name and an Ed25519 public key. Displayed and parsed as a note verifier key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    hash: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

/// A name and an Ed25519 private key.
pub(crate) struct SignerKey {
    verifier: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

/// A note that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not text, an empty line and signature lines.
    #[error("not a signed note (text, an empty line, lines of `— name signature`)")]
    Malformed,
    /// None of the signatures is by the key.
    #[error("the note bears no signature of this key")]
    Unsigned,
    /// A signature of the key does not fit the text.
    #[error("the note's signature does not fit its text")]
    WrongSignature,
}

impl VerifierKey {
    fn new(name: &str, key: ed25519_dalek::VerifyingKey) -> Result<VerifierKey, Error> {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
            let what = "an origin has no space and no `+`, and is not empty (`docket.example.org/ledger`)";
            return Err(Error::Key {
                what,
                given: name.to_owned(),
            });
        }
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', ED25519])
            .chain_update(key)
            .finalize();
        Ok(VerifierKey {
            name: name.to_owned(),
            hash: [digest[0], digest[1], digest[2], digest[3]],
            key,
        })
    }

    /// Reads `<name>+<hash>+<base64>`.
    ///
    /// # Errors
    /// [`Error::Key`]: the text is not a verifier key of an Ed25519 key.
    pub fn parse(text: &str) -> Result<VerifierKey, Error> {
        let text = text.trim();
        let wrong = |what| Error::Key {
            what,
            given: text.to_owned(),
        };
        let (name, hash, key) = split(text).ok_or_else(|| wrong("not a verifier key `name+hash+base64`"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| wrong("not an Ed25519 public key"))?;
        let made = VerifierKey::new(name, key)?;
        if made.hash != hash {
            return Err(wrong("the verifier key's hash does not fit its name and key"));
        }
        Ok(made)
    }

    /// The key's name, which is the ledger's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that the note is signed by this key; gives its text. Signatures of other keys are passed over.
    ///
    /// # Errors
    /// The note is malformed, not signed by this key, or the signature is wrong.
    pub fn verify<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = parts(note).ok_or(NoteError::Malformed)?;
        let mut signed = false;
        for line in signatures.lines() {
            let (name, bytes) = line
                .strip_prefix("— ")
                .and_then(|l| l.split_once(' '))
                .and_then(|(name, b)| Some((name, BASE64.decode(b).ok().filter(|b| b.len() >= 5)?)))
                .ok_or(NoteError::Malformed)?;
            if name != self.name || bytes[..4] != self.hash {
                continue;
            }
            let signature = Signature::from_slice(&bytes[4..]).map_err(|_| NoteError::WrongSignature)?;
            self.key
                .verify_strict(text.as_bytes(), &signature)
                .map_err(|_| NoteError::WrongSignature)?;
            signed = true;
        }
        if signed { Ok(text) } else { Err(NoteError::Unsigned) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex::encode(self.hash),
            base64_key(self.key.as_bytes())
        )
    }
}

impl SignerKey {
    pub(crate) fn from_seed(name: &str, seed: [u8; 32]) -> Result<SignerKey, Error> {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        Ok(SignerKey {
            verifier: VerifierKey::new(name, key.verifying_key())?,
            key,
        })
    }

    pub(crate) fn parse(text: &str) -> Result<SignerKey, Error> {
        // The text is secret, so an error does not repeat it.
        let wrong = || Error::Key {
            what: "not a signing key `PRIVATE+KEY+name+hash+base64`",
            given: "ledger.key".into(),
        };
        let (name, hash, seed) = text.trim().strip_prefix(PRIVATE).and_then(split).ok_or_else(wrong)?;
        let key = SignerKey::from_seed(name, seed)?;
        if key.verifier.hash == hash {
            Ok(key)
        } else {
            Err(wrong())
        }
    }

    pub(crate) fn secret_text(&self) -> String {
        let VerifierKey { name, hash, .. } = &self.verifier;
        format!(
            "{PRIVATE}{name}+{}+{}",
            hex::encode(hash),
            base64_key(self.key.as_bytes())
        )
    }

    pub(crate) fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note of a text, which must end with a newline.
    pub(crate) fn sign(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let bytes = [&self.verifier.hash[..], &signature[..]].concat();
        format!("{text}\n— {} {}\n", self.verifier.name, BASE64.encode(bytes))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({})", self.verifier)
    }
}

/// A note's text and its signature lines.
pub(crate) fn parts(note: &str) -> Option<(&str, &str)> {
    let at = note.rfind("\n\n")?;
    (note.ends_with('\n') && at + 2 < note.len()).then(|| (&note[..at + 1], &note[at + 2..]))
}

fn base64_key(key: &[u8; 32]) -> String {
    BASE64.encode([&[ED25519], &key[..]].concat())
}

/// `name+hash+base64` into its three parts; base64 may hold a `+` itself.
fn split(text: &str) -> Option<(&str, [u8; 4], [u8; 32])> {
    let mut parts = text.splitn(3, '+');
    let name = parts.next()?;
    let hash = hex::decode(parts.next()?).ok()?.try_into().ok()?;
    let bytes = BASE64.decode(parts.next()?).ok()?;
    match bytes.split_first()? {
        (&ED25519, key) => Some((name, hash, key.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the note of the documentation of golang.org/x/mod/sumdb/note.
    const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_signed_by_go_verifies() {
        let key = VerifierKey::parse(VKEY).unwrap();
        assert_eq!(key.to_string(), VKEY);
        assert!(key.verify(NOTE).unwrap().ends_with("problem is.\n"));
        assert_eq!(
            key.verify(&NOTE.replace("answer", "Answer")),
            Err(NoteError::WrongSignature)
        );
        assert_eq!(
            key.verify(&NOTE.replace("Neumann x", "Neuman x")),
            Err(NoteError::Unsigned)
        );
        assert_eq!(key.verify(NOTE.trim_end()), Err(NoteError::Malformed));
        for wrong in ["", "\n\n", "\n\n\n", "a\n\n— b\n", "a\n\n— PeterNeumann x08go\n"] {
            assert_eq!(key.verify(wrong), Err(NoteError::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn keys_read_back_and_foreign_hashes_are_refused() {
        let key = SignerKey::from_seed("docket.example/ledger", [7; 32]).unwrap();
        let vkey = key.verifier().to_string();
        assert_eq!(VerifierKey::parse(&vkey).unwrap(), *key.verifier());
        assert_eq!(SignerKey::parse(&key.secret_text()).unwrap().verifier(), key.verifier());
        assert!(VerifierKey::parse(&vkey.replace("docket", "dorket")).is_err());
        assert!(!format!("{:?}", SignerKey::parse("PRIVATE+KEY+secret").unwrap_err()).contains("secret"));
        for name in ["", "a b", "a+b", "a\nb"] {
            assert!(SignerKey::from_seed(name, [7; 32]).is_err(), "{name:?}");
        }
        assert!(key.verifier().verify(&key.sign("text\n")).is_ok());
    }
}
