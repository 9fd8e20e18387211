//! Proofs over a ledger of several segments, checked by code that is not the ledger's.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Verifier;
use ledger::{Reader, SEGMENT, leaf_hash, root_of, verify_consistency, verify_inclusion};
use model::LedgerIndex;
use sha2::{Digest, Sha256};

use crate::made::{NOW, ORIGIN, fsck, hashes, key, open, records};

#[test]
fn a_ledger_of_three_segments_proves_and_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let all = records(0..2 * SEGMENT + 700);
    for part in all.chunks(9_000) {
        ledger.append(part).unwrap();
        ledger.sync().unwrap();
        ledger.checkpoint(NOW).unwrap().unwrap();
    }
    let (root, positions) = (ledger.root(), ledger.positions());
    drop(ledger);
    let leaves = hashes(&all);
    assert_eq!(root, root_of(&leaves));
    let ledger = open(dir.path()).unwrap();
    assert_eq!((ledger.root(), ledger.positions()), (root, positions));
    assert_eq!(ledger.greatest_received_at(), Some(all[all.len() - 1].received_at));
    let size = all.len() as u64;
    let check = || {
        let reader = Reader::open(dir.path()).unwrap();
        for index in [
            0,
            255,
            256,
            SEGMENT - 1,
            SEGMENT,
            2 * SEGMENT + 511,
            2 * SEGMENT + 512,
            size - 1,
        ] {
            let i = LedgerIndex(index);
            assert_eq!(reader.entry(i).unwrap().record, all[index as usize]);
            assert_eq!(reader.find(&all[index as usize].coordinate).unwrap(), Some(i));
            assert_eq!(leaf_hash(&reader.leaf_bytes(i).unwrap()), leaves[index as usize]);
            for size in [index + 1, size] {
                let path = reader.inclusion_proof(i, LedgerIndex(size)).unwrap();
                let root = reader.root(LedgerIndex(size)).unwrap();
                assert!(verify_inclusion(&leaves[index as usize], index, size, &path, &root));
            }
            let old = root_of(&leaves[..index as usize]);
            let path = reader.consistency_proof(i, LedgerIndex(size)).unwrap();
            assert!(verify_consistency(index, &old, size, &root, &path));
        }
        assert_eq!(reader.find(&"audit.linux/0/999999".parse().unwrap()).unwrap(), None);
        assert_eq!(reader.find(&"audit.none/0/0".parse().unwrap()).unwrap(), None);
    };
    check();
    assert_eq!(fsck(dir.path(), &key(dir.path())), "");
    let report = ledger::fsck(dir.path(), &key(dir.path()), &mut |_| {}).unwrap();
    assert_eq!(
        (report.leaves, report.segments, report.tiles, report.gaps_total),
        (size, 3, 2, 0)
    );
    // A tile is what tlog-tiles says: the roots of its groups, one after the other.
    let tile = dir.path().join("tile/1/001");
    let stored = fs::read(&tile).unwrap();
    let groups: Vec<u8> = leaves[SEGMENT as usize..2 * SEGMENT as usize]
        .chunks(256)
        .flat_map(root_of)
        .collect();
    assert_eq!(stored, groups);
    // It is derived: without it proofs are made from the frames' headers; an altered one is seen.
    fs::remove_file(&tile).unwrap();
    check();
    let mut altered = stored;
    altered[4000] ^= 1;
    fs::write(&tile, &altered).unwrap();
    assert!(fsck(dir.path(), &key(dir.path())).contains("tile"));
}

#[test]
fn a_bundle_holds_for_anyone_with_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    ledger.append(&records(0..300)).unwrap();
    ledger.sync().unwrap();
    let reader = ledger.reader();
    assert!(
        reader.proof_bundle(LedgerIndex(7)).is_err(),
        "no checkpoint covers it yet"
    );
    ledger.checkpoint(NOW).unwrap().unwrap();
    let key = key(dir.path());
    for index in [0, 7, 255, 256, 299] {
        let bundle = reader.proof_bundle(LedgerIndex(index)).unwrap();
        let (record, checkpoint) = bundle.verify(&key).unwrap();
        assert_eq!(record, crate::made::record(index));
        assert_eq!((checkpoint.size, checkpoint.time), (300, Some(NOW)));
        let mut wrong = bundle.clone();
        wrong.index ^= 1;
        assert!(wrong.verify(&key).is_err());
        let mut wrong = bundle.clone();
        wrong.leaf = reader.proof_bundle(LedgerIndex(9)).unwrap().leaf;
        assert!(wrong.verify(&key).is_err());
        let mut wrong = bundle.clone();
        wrong.checkpoint = wrong.checkpoint.replace("\n300\n", "\n301\n");
        assert!(wrong.verify(&key).is_err());
    }
    assert!(reader.proof_bundle(LedgerIndex(300)).is_err());
}

/// Reads key and checkpoints as the C2SP texts have them, with nothing of this crate.
#[test]
fn checkpoints_are_c2sp_signed_notes() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    for part in [0..1, 1..5, 5..300] {
        ledger.append(&records(part)).unwrap();
        ledger.sync().unwrap();
        ledger.checkpoint(NOW).unwrap().unwrap();
        assert_eq!(ledger.checkpoint(NOW).unwrap(), None, "nothing was added");
    }
    let vkey = fs::read_to_string(dir.path().join("ledger.vkey")).unwrap();
    let [name, hash, key] = vkey.trim().splitn(3, '+').collect::<Vec<_>>().try_into().unwrap();
    let key = BASE64.decode(key).unwrap();
    assert_eq!((name, key[0], key.len()), (ORIGIN, 1, 33));
    let expected = Sha256::digest([name.as_bytes(), b"\n", &key[..]].concat());
    assert_eq!(hash, hex::encode(&expected[..4]));
    let public = ed25519_dalek::VerifyingKey::from_bytes(key[1..].try_into().unwrap()).unwrap();
    let file = fs::read_to_string(dir.path().join("checkpoints")).unwrap();
    let notes: Vec<&str> = file.split_inclusive("\n\n").collect();
    // Text and signature in turn, each ended by an empty line.
    assert_eq!(notes.len(), 6);
    for (note, size) in notes.chunks(2).zip([1, 5, 300]) {
        let text = note[0].strip_suffix('\n').unwrap();
        let signature = note[1].strip_prefix(&format!("— {ORIGIN} ")).unwrap().trim_end();
        let signature = BASE64.decode(signature).unwrap();
        assert_eq!(signature[..4], expected[..4]);
        public
            .verify(text.as_bytes(), &signature[4..].try_into().unwrap())
            .unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let root = BASE64.encode(root_of(&hashes(&records(0..size))));
        assert_eq!(
            lines,
            [ORIGIN, &size.to_string(), &root, "time 2026-03-02T01:00:00.250Z"]
        );
    }
}

#[test]
fn missing_offsets_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let all = records(0..300);
    let kept: Vec<_> = all
        .into_iter()
        .filter(|r| !(40..44).contains(&r.coordinate.offset))
        .collect();
    ledger.append(&kept).unwrap();
    ledger.sync().unwrap();
    let report = ledger::fsck(dir.path(), &key(dir.path()), &mut |_| {}).unwrap();
    assert_eq!((report.failure, report.gaps_total), (None, 3));
    let gap = &report.gaps[0];
    assert_eq!(
        (&*gap.topic, gap.partition, gap.from, gap.to),
        ("audit.linux", 0, 40, 44)
    );
}

#[test]
fn large_records_make_small_frames() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let mut all = records(0..520);
    for record in all.iter_mut().step_by(16) {
        record.payload = vec![b'x'; 3 << 20].into();
    }
    for part in all.chunks(100) {
        ledger.append(part).unwrap();
        ledger.sync().unwrap();
    }
    ledger.checkpoint(NOW).unwrap().unwrap();
    let report = ledger::fsck(dir.path(), &key(dir.path()), &mut |_| {}).unwrap();
    assert_eq!((report.failure, report.leaves), (None, 520));
    assert!(report.frames > 8, "{}", report.frames);
    let reader = Reader::open(dir.path()).unwrap();
    let read = reader.read(LedgerIndex(0), usize::MAX, usize::MAX).unwrap();
    assert!(read.iter().map(|e| &e.record).eq(&all));
    assert_eq!(
        reader.read(LedgerIndex(0), 100, 1).unwrap().len(),
        1,
        "one, however large"
    );
    assert_eq!(reader.read(LedgerIndex(1), 100, 4 << 20).unwrap().len(), 31);
    drop(ledger);
    assert_eq!(open(dir.path()).unwrap().root(), root_of(&hashes(&all)));
}
