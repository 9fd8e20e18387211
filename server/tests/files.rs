//! Files that are followed while they are written, rotated and the server is killed: every line once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::{Server, await_some};
use model::LedgerIndex;

/// Lines between rotations.
const ROTATE: usize = 150;

/// Writes until told to stop; rotates by renaming and by copying and truncating, in turn.
fn write(log: &Path, written: &AtomicUsize, stop: &AtomicBool) {
    let generation = |n: usize| log.with_file_name(format!("app.log.{n}"));
    let mut file = OpenOptions::new().append(true).create(true).open(log).unwrap();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // In two writes: what is read in between is no line yet.
        write!(file, "line {n} ").unwrap();
        writeln!(file, "of the application").unwrap();
        written.store(n + 1, Ordering::Relaxed);
        if n % ROTATE == ROTATE - 1 {
            for old in (1..100).rev().filter(|o| generation(*o).exists()) {
                fs::rename(generation(old), generation(old + 1)).unwrap();
            }
            if (n / ROTATE).is_multiple_of(2) {
                fs::rename(log, generation(1)).unwrap();
                file = OpenOptions::new().append(true).create(true).open(log).unwrap();
            } else {
                fs::copy(log, generation(1)).unwrap();
                file.set_len(0).unwrap();
            }
        }
        if n % 5 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The application's lines in the ledger of a server that is stopped, with how often each is there.
fn kept(server: &Server) -> BTreeMap<String, u32> {
    let dir = Path::new(&server.data()).join("ledger");
    let ledger = ledger::Ledger::open(&dir, "docket.local/ledger").unwrap();
    let reader = ledger.reader();
    let mut lines = BTreeMap::new();
    let mut next = LedgerIndex(0);
    loop {
        let entries = reader.read(next, 1000, 1 << 20).unwrap();
        let Some(last) = entries.last() else { return lines };
        next = last.index.next();
        for entry in entries.iter().filter(|e| &*e.record.source == "app") {
            let text = String::from_utf8(entry.record.payload.to_vec()).unwrap();
            *lines.entry(text).or_default() += 1;
        }
    }
}

#[test]
fn every_line_once_across_rotations_and_kills() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("app.log");
    let mut server = Server::new(&format!("[[files]]\npath = \"{}\"\nsource = \"app\"\n", log.display()));
    fs::write(&log, "").unwrap();
    server.start();
    let (written, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let writer = std::thread::spawn({
        let (log, written, stop) = (log.clone(), written.clone(), stop.clone());
        move || write(&log, &written, &stop)
    });
    for _ in 0..4 {
        // In the middle of reading; while the server is down, two rotations or more go by.
        let before = await_some("positions", || server.positions()).0;
        await_some("lines to be read", || {
            server.positions().filter(|p| p.0 > before + 200).map(|_| ())
        });
        server.kill();
        let down = written.load(Ordering::Relaxed);
        await_some("rotations while the server is down", || {
            (written.load(Ordering::Relaxed) > down + 2 * ROTATE).then_some(())
        });
        server.start();
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    let count = written.load(Ordering::Relaxed) as u64;
    server.settle(count);
    // A graceful stop and start takes nothing twice, either.
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    server.start();
    fs::write(logs.path().join("later"), "").unwrap();
    OpenOptions::new()
        .append(true)
        .open(&log)
        .unwrap()
        .write_all(b"the last line\n")
        .unwrap();
    server.settle(count + 1);
    await_some("the last line to be searchable", || {
        let found = harness::run(&[
            "search",
            "--data",
            &server.data(),
            "\"the last line\"",
            "--output",
            "ndjson",
        ]);
        (!harness::ndjson(&found.stdout).is_empty()).then_some(())
    });
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let lines = kept(&server);
    let missing: Vec<u64> = (0..count)
        .filter(|n| !lines.contains_key(&format!("line {n} of the application")))
        .collect();
    let twice: Vec<_> = lines.iter().filter(|(_, n)| **n > 1).collect();
    assert!(
        missing.is_empty(),
        "{} of {count} lines are missing: {missing:?}",
        missing.len()
    );
    assert!(twice.is_empty(), "twice: {twice:?}");
    assert_eq!(lines.len() as u64, count + 1);
}
