//! Checkpoints: signed statements that the first `size` leaves have this root (C2SP tlog-checkpoint).
//!
//! The text of the note is, a line each: the origin, the size in decimal, the root in base64, and the extension
//! line `time <RFC 3339>`, which says when it was signed. The file `checkpoints` holds all of them, oldest first,
//! each followed by one empty line; so a note ends at the first empty line after a signature line (`— …`).
//! They need no checksum: each is signed. A crash may leave a part of the last one, which is cut at open.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::Millis;

use crate::Error;
use crate::merkle::Hash;
use crate::note::{self, SignerKey, VerifierKey};

/// Bytes that one checkpoint may have; a longer one is not ours.
const NOTE_BYTES_MAX: u64 = 16 << 10;

/// A statement that the first `size` leaves have this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's name.
    pub origin: String,
    /// Leaves covered.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// When it was signed, by the clock of the one who signed.
    pub time: Option<Millis>,
    /// The whole signed note.
    pub note: String,
}

impl Checkpoint {
    pub(crate) fn sign(key: &SignerKey, size: u64, root: Hash, now: Millis) -> Checkpoint {
        let origin = key.verifier().name().to_owned();
        let note = key.sign(&format!("{origin}\n{size}\n{}\ntime {now}\n", BASE64.encode(root)));
        Checkpoint {
            origin,
            size,
            root,
            time: Some(now),
            note,
        }
    }

    /// Reads a signed note **without checking its signature**; `None` where it is not a checkpoint.
    #[must_use]
    pub fn parse(note: &str) -> Option<Checkpoint> {
        let (text, _) = note::parts(note)?;
        let mut lines = text.lines();
        let origin = lines.next().filter(|o| !o.is_empty())?.to_owned();
        let size = lines.next()?;
        let size = size.parse().ok().filter(|n: &u64| n.to_string() == size)?;
        let root = BASE64.decode(lines.next()?).ok()?.try_into().ok()?;
        let mut time = None;
        for line in lines {
            if line.is_empty() {
                return None;
            }
            if let Some(text) = line.strip_prefix("time ") {
                time = Some(Millis::parse(text).ok()?);
            }
        }
        Some(Checkpoint {
            origin,
            size,
            root,
            time,
            note: note.to_owned(),
        })
    }

    /// Reads a signed note and checks that `key` signed it, under its own name.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn verify(note: &str, key: &VerifierKey) -> Result<Checkpoint, String> {
        key.verify(note).map_err(|e| e.to_string())?;
        let checkpoint = Checkpoint::parse(note).ok_or("the signed note is not a checkpoint")?;
        if checkpoint.origin != key.name() {
            return Err(format!(
                "the checkpoint is of `{}`, the key of `{}`",
                checkpoint.origin,
                key.name()
            ));
        }
        Ok(checkpoint)
    }
}

/// All checkpoints of a ledger, oldest first. A checkpoint that is being written is not among them.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    read: BufReader<File>,
    at: u64,
}

impl Checkpoints {
    pub(crate) fn open(path: &Path) -> Result<Checkpoints, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Checkpoints {
            path: path.to_owned(),
            read: BufReader::new(file),
            at: 0,
        })
    }

    /// The byte position in the file after the last checkpoint that was given out.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    fn next_note(&mut self) -> Result<Option<String>, Error> {
        let (mut bytes, mut signed) = (Vec::new(), false);
        loop {
            let line = bytes.len();
            let room = NOTE_BYTES_MAX.saturating_sub(line as u64);
            let n = (&mut self.read)
                .take(room)
                .read_until(b'\n', &mut bytes)
                .map_err(Error::io(&self.path))?;
            if n == 0 && room == 0 {
                return Err(Error::integrity(
                    &self.path,
                    self.at,
                    None,
                    "a checkpoint of more than 16 KiB",
                ));
            }
            if bytes.last() != Some(&b'\n') || n == 0 {
                // Not written to its end yet: begin again here next time.
                self.read
                    .seek(SeekFrom::Start(self.at))
                    .map_err(Error::io(&self.path))?;
                return Ok(None);
            }
            let line = &bytes[line..];
            if signed && line == b"\n" {
                break;
            }
            signed = line.starts_with("— ".as_bytes());
        }
        let len = bytes.len() as u64;
        bytes.pop();
        let note = String::from_utf8(bytes);
        let note = note.map_err(|_| Error::integrity(&self.path, self.at, None, "a checkpoint that is not UTF-8"))?;
        self.at += len;
        Ok(Some(note))
    }
}

impl Iterator for Checkpoints {
    type Item = Result<Checkpoint, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        self.next_note().transpose().map(|note| {
            let wrong = || Error::integrity(&self.path, at, None, "not a checkpoint");
            note.and_then(|note| Checkpoint::parse(&note).ok_or_else(wrong))
        })
    }
}

/// The last checkpoint of a file, and where in the file the last whole one ends.
pub(crate) struct Last {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) end: u64,
    /// Bytes after `end`: what a crash left of the next one.
    pub(crate) torn: u64,
}

/// Finds the last whole checkpoint by reading the end of the file. Its signature is not checked here.
pub(crate) fn last(path: &Path, file: &File) -> Result<Last, Error> {
    let len = file.metadata().map_err(Error::io(path))?.len();
    let start = len.saturating_sub(4 * NOTE_BYTES_MAX);
    let mut bytes = vec![0; (len - start) as usize];
    file.read_exact_at(&mut bytes, start).map_err(Error::io(path))?;
    let ends = ends(&bytes);
    let end = ends.last().copied().unwrap_or(0);
    let torn = &bytes[end..];
    if ends.is_empty() && start > 0 {
        return Err(Error::integrity(path, start, None, "no checkpoint in the last 64 KiB"));
    }
    let begin = if ends.len() > 1 { ends[ends.len() - 2] } else { 0 };
    let what = "not a checkpoint";
    let wrong = || Error::integrity(path, start + begin as u64, None, what);
    let checkpoint = match &bytes[begin..end] {
        [] => None,
        [note @ .., _] => Some(
            std::str::from_utf8(note)
                .ok()
                .and_then(Checkpoint::parse)
                .ok_or_else(wrong)?,
        ),
    };
    if checkpoint.as_ref().is_some_and(|c| !is_part(torn, c)) {
        return Err(Error::integrity(path, start + end as u64, None, what));
    }
    Ok(Last {
        checkpoint,
        end: start + end as u64,
        torn: torn.len() as u64,
    })
}

/// Whether these bytes can be what a crash left of the checkpoint after `last`: fewer bytes than it has, or such of
/// which parts never reached the disk, which read as zeros. Otherwise it was written to its end, and altered since.
fn is_part(bytes: &[u8], last: &Checkpoint) -> bool {
    // The signature line, with its base64 of 68 bytes, and the empty line after it.
    let signature = "—  ".len() + last.origin.len() + 92 + 2;
    let begins = "\n\n— ".as_bytes();
    match bytes.windows(begins.len()).position(|w| w == begins) {
        _ if bytes.contains(&0) => true,
        Some(at) => bytes.len() < at + 2 + signature,
        // The text may be somewhat longer than the last one, as size and time are. Added on the left: the signature
        // of `last` was not checked yet, its line may be shorter than one.
        None => bytes.len() + signature < last.note.len() + 1 + 40,
    }
}

/// Where notes end: after an empty line that follows a signature line.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let (mut ends, mut at, mut signed) = (Vec::new(), 0, false);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        if signed && line == b"\n" {
            ends.push(at);
        }
        signed = line.starts_with("— ".as_bytes()) && line.ends_with(b"\n");
    }
    ends
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn key() -> SignerKey {
        SignerKey::from_seed("docket.example/ledger", [9; 32]).unwrap()
    }

    fn made(size: u64) -> Checkpoint {
        Checkpoint::sign(&key(), size, [size as u8; 32], Millis(1_772_413_200_250))
    }

    #[test]
    fn a_checkpoint_is_the_text_that_others_read() {
        let made = made(300);
        assert!(made.note.starts_with(
            "docket.example/ledger\n300\nLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCw=\ntime 2026-03-02T01:00:00.250Z\n\n— docket.example/ledger "
        ));
        assert_eq!(Checkpoint::verify(&made.note, key().verifier()), Ok(made.clone()));
        assert!(Checkpoint::verify(&made.note.replace("300", "301"), key().verifier()).is_err());
        let other = SignerKey::from_seed("other", [9; 32]).unwrap();
        assert!(Checkpoint::verify(&other.sign("docket.example/ledger\n1\nAAAA\n"), other.verifier()).is_err());
        let text = made.note.clone();
        for (from, to) in [
            ("300", "0300"),
            ("300", "+300"),
            ("\ntime", "\n\ntime"),
            ("LCws", "LCw"),
            ("time ", "time x"),
        ] {
            assert_eq!(Checkpoint::parse(&text.replace(from, to)), None, "{from} -> {to}");
        }
    }

    #[test]
    fn a_torn_last_checkpoint_is_no_checkpoint_and_an_altered_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints");
        // The second is longer: its size has more digits.
        let (one, two) = (made(1), made(1_000_000));
        let whole = format!("{}\n{}\n", one.note, two.note).into_bytes();
        let first = one.note.len() + 1;
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let last = last(&path, &File::open(&path).unwrap());
            let all: Result<Vec<_>, _> = Checkpoints::open(&path).unwrap().collect();
            (last, all)
        };
        for cut in 0..=whole.len() {
            let (last, all) = read(&whole[..cut]);
            let last = last.unwrap();
            let expected: &[&Checkpoint] = match cut {
                n if n < first => &[],
                n if n < whole.len() => &[&one],
                _ => &[&one, &two],
            };
            assert_eq!(all.unwrap().iter().collect::<Vec<_>>(), expected, "{cut}");
            assert_eq!(last.checkpoint.as_ref(), expected.last().copied(), "{cut}");
            assert_eq!(last.end + last.torn, cut as u64);
        }
        for at in first..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let (last, _) = read(&bytes);
            let unseen = last.is_ok_and(|l| {
                l.checkpoint
                    .is_none_or(|c| c == one || Checkpoint::verify(&c.note, key().verifier()).is_ok())
            });
            assert!(!unseen, "flipped byte {at} unseen");
        }
        // A signature line cut short, and what looks like the beginning of another checkpoint after it.
        let signed = one.note.rfind("— ").unwrap() + "— ".len();
        for short in signed..one.note.trim_end().len() {
            let (last, _) = read(format!("{}\n\nabc", &one.note[..short]).as_bytes());
            let taken = last.is_ok_and(|l| {
                l.checkpoint
                    .is_some_and(|c| Checkpoint::verify(&c.note, key().verifier()).is_ok())
            });
            assert!(!taken, "cut at {short} and taken for signed");
        }
    }
}
