//! The bytes of the ledger, and what `docket-verify` reads: what was altered never passes for what was kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use ledger::{Checkpoint, Ledger, ProofBundle, Reader, VerifierKey, leaf};
use model::{Coordinate, LedgerIndex, RawRecord};

use crate::Target;
use crate::bytes::choices;
use crate::format::{RECEIVED_AT, record};

/// Records of the ledger that is altered: one group sealed, the others in the tail.
const RECORDS: i64 = 300;

/// Every reader of the ledger.
pub fn targets() -> Vec<Target> {
    vec![
        Target::new("ledger-leaf", 1024, a_leaf),
        Target::new("ledger-proof", 4096, a_proof),
        Target::new("ledger-folder", 512, a_folder),
    ]
}

/// What our ledger itself would hand out.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let made = made();
    let folder = made.lay_out(None);
    let bundle = Reader::open(folder.path())
        .and_then(|r| r.proof_bundle(LedgerIndex(7)))
        .unwrap();
    vec![
        ("ledger-proof", serde_json::to_vec(&bundle).unwrap()),
        ("ledger-proof", bundle.checkpoint.into_bytes()),
        ("ledger-proof", bundle.vkey.into_bytes()),
    ]
}

/// What decodes, encodes to the same bytes.
fn a_leaf(data: &[u8]) {
    if let Ok(record) = leaf::decode(&Bytes::copy_from_slice(data)) {
        let mut again = Vec::new();
        leaf::encode(&record, &mut again).unwrap();
        assert_eq!(again, data, "two encodings of one record");
    }
}

/// Notes, keys and proofs of anybody's making: nothing verifies under our key but what our ledger signed.
fn a_proof(data: &[u8]) {
    let made = made();
    let text = String::from_utf8_lossy(data);
    let _ = VerifierKey::parse(&text).map(|k| k.to_string().parse::<String>());
    if let Some(checkpoint) = Checkpoint::parse(&text)
        && Checkpoint::verify(&text, &made.key).is_ok()
    {
        assert!(
            made.checkpoints
                .iter()
                .any(|c| (c.size, c.root) == (checkpoint.size, checkpoint.root)),
            "forged: {text}"
        );
    }
    if let Ok(bundle) = serde_json::from_str::<ProofBundle>(&text) {
        let _ = VerifierKey::parse(&bundle.vkey).map(|own| bundle.verify(&own));
        if let Ok((record, _)) = bundle.verify(&made.key) {
            let index = usize::try_from(bundle.index).unwrap();
            assert_eq!(made.records.get(index), Some(&record), "forged: {text}");
        }
    }
}

/// A folder of which one file was altered: each reader either says so or gives what was kept.
fn a_folder(data: &[u8]) {
    let made = made();
    let ([file, how, at, far], with) = choices::<4>(data);
    let file = &made.files[usize::from(file) % made.files.len()];
    let mut bytes = file.1.clone();
    let at = (usize::from(at) | usize::from(far) << 8) % (bytes.len() + 1);
    match how % 4 {
        0 => bytes.truncate(at),
        1 => bytes = with.to_vec(),
        2 => {
            bytes.splice(at..at, with.iter().copied());
        }
        _ => {
            for (byte, new) in bytes[at..].iter_mut().zip(with) {
                *byte = *new;
            }
        }
    }
    let folder = made.lay_out(Some((&file.0, &bytes)));
    let dir = folder.path();
    let own_key = fs::read_to_string(dir.join("ledger.vkey")).unwrap_or_default();
    let intact = |entries: &[model::Entry]| {
        for entry in entries {
            let kept = made.records.get(usize::try_from(entry.index.0).unwrap());
            assert_eq!(
                kept,
                Some(&entry.record),
                "{} altered, and read without a word",
                file.0.display()
            );
        }
    };
    let report = ledger::fsck(dir, &made.key, &mut |_| {});
    let holds = matches!(&report, Ok(r) if r.failure.is_none());
    if let Ok(reader) = Reader::open(dir) {
        let entries = reader.read(LedgerIndex(0), 1 << 10, 1 << 24);
        if holds && let Ok(entries) = &entries {
            intact(entries);
        }
        let _ = (
            reader.size(),
            reader.last_checkpoint(),
            reader.vkey(),
            reader.root(LedgerIndex(RECORDS as u64)),
        );
        let _ = reader.find(&Coordinate::new("t", 0, 7));
        if let Ok(bundle) = reader.proof_bundle(LedgerIndex(7))
            && let Ok((record, _)) = bundle.verify(&made.key)
        {
            assert_eq!(record, made.records[7], "forged by altering {}", file.0.display());
        }
        let _ = reader.consistency_proof(LedgerIndex(200), LedgerIndex(RECORDS as u64));
    }
    // The writer goes on only where the record is whole up to the last checkpoint.
    if let Ok(ledger) = Ledger::open(dir, ORIGIN)
        && own_key == made.vkey
    {
        let size = ledger.size().0;
        drop(ledger);
        let again = ledger::fsck(dir, &made.key, &mut |_| {});
        if let Ok(report) = again
            && report.failure.is_none()
        {
            assert!(report.leaves <= size);
            let entries = Reader::open(dir).and_then(|r| r.read(LedgerIndex(0), 1 << 10, 1 << 24));
            if let Ok(entries) = entries {
                intact(&entries);
            }
        }
    }
}

const ORIGIN: &str = "docket.example/ledger";

/// A ledger, its files, and what is in it.
struct Made {
    records: Vec<RawRecord>,
    checkpoints: Vec<Checkpoint>,
    vkey: String,
    key: VerifierKey,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Made {
    /// The ledger in a folder of its own, one file of it altered.
    fn lay_out(&self, altered: Option<(&Path, &[u8])>) -> tempfile::TempDir {
        let folder = scratch();
        for (path, original) in &self.files {
            let content = match altered {
                Some((which, bytes)) if which == path => bytes,
                _ => original,
            };
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }
}

/// Made once a process; the key is another one each time, which nothing depends on.
fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = scratch();
        let records: Vec<RawRecord> = (0..RECORDS)
            .map(|n| RawRecord {
                coordinate: Coordinate::new("t", 0, n),
                ..record("s", format!("record {n}").as_bytes())
            })
            .collect();
        let mut ledger = Ledger::open(folder.path(), ORIGIN).unwrap();
        let mut checkpoints = Vec::new();
        for part in records.chunks(200) {
            ledger.append(part).unwrap();
            ledger.sync().unwrap();
            checkpoints.extend(ledger.checkpoint(RECEIVED_AT).unwrap());
        }
        let vkey = ledger.vkey().to_owned();
        drop(ledger);
        let mut files = Vec::new();
        walk(folder.path(), Path::new(""), &mut files);
        files.retain(|(path, _)| !path.ends_with("LOCK"));
        files.sort();
        let key = VerifierKey::parse(&vkey).unwrap();
        let vkey = fs::read_to_string(folder.path().join("ledger.vkey")).unwrap();
        Made {
            records,
            checkpoints,
            vkey,
            key,
            files,
        }
    })
}

fn walk(root: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            walk(root, &path, files);
        } else {
            files.push((path, fs::read(entry.path()).unwrap()));
        }
    }
}

/// A folder in memory where there is one.
pub(crate) fn scratch() -> tempfile::TempDir {
    let fast = Path::new("/dev/shm");
    let folder = match fast.is_dir() {
        true => tempfile::tempdir_in(fast),
        false => tempfile::tempdir(),
    };
    folder.unwrap()
}
