//! Files that are followed while somebody writes, rotates and cuts them: every line once.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use ingest::source::file::{Follower, Pattern, Settings, Watch};
use model::Millis;

use crate::bytes::choices;
use crate::format::RECEIVED_AT;
use crate::{Target, evidence};

/// Bytes that are written to files.
const WRITTEN_BYTES: usize = 1024;
/// Bytes of a line that are kept.
const LINE_BYTES: usize = 64;

/// How packed files begin: gzip (RFC 1952), zstd (RFC 8878).
const PACKED: [&[u8]; 2] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd]];
/// How the first file begins.
const FIRST: &[u8] = b"the first file\n";

/// The follower of files.
pub fn targets() -> Vec<Target> {
    vec![Target::new("files-followed", WRITTEN_BYTES, followed)]
}

fn followed(data: &[u8]) {
    let ([acts, cuts, packed], text) = choices::<3>(data);
    // NULs at a file's beginning are passed over: a truncated file begins with them.
    let text = &text
        .iter()
        .map(|b| if *b == 0 { b'0' } else { *b })
        .collect::<Vec<u8>>()[..];
    let folder = evidence::scratch();
    let path = folder.path().join("app.log");
    if packed & 1 == 1 {
        // A packed file of anything at all: read or told as trouble.
        let name = ["app.log.1.gz", "app.log.1.zst", "app.log.1"][usize::from(packed >> 1) % 3];
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut follower = follower(&path, Vec::new());
    let mut now = RECEIVED_AT;
    // Files are told apart by how they begin, too.
    append(&path, FIRST);
    let mut given: Vec<Vec<u8>> = Vec::new();
    let third = text.len() * usize::from(cuts & 15) / 32;
    let (first, rest) = text.split_at(third);
    let (second, last) = rest.split_at(rest.len() * usize::from(cuts >> 4) / 16);
    if PACKED.iter().any(|begin| rest.starts_with(begin)) {
        // A successor that begins as packed files do is unpacked, or told as trouble.
        return;
    }
    for (n, part) in [first, second, last].into_iter().enumerate() {
        append(&path, part);
        if acts >> (2 * n) & 1 == 1 {
            look(&mut follower, &mut now, &mut given);
        }
        match acts >> (2 * n + 1) & 1 {
            // Renamed, and a new one made; a file that was never seen is not looked for under other names.
            1 if n == 0 && acts & 1 == 0 => {}
            1 if n == 0 => {
                append(&path, b"\n");
                fs::rename(&path, folder.path().join("app.log.9")).unwrap();
                File::create(&path).unwrap();
            }
            // Stopped and started again.
            1 => {
                look(&mut follower, &mut now, &mut given);
                let positions = follower.positions();
                follower = self::follower(&path, positions);
            }
            _ => {}
        }
    }
    append(&path, b"\n");
    for _ in 0..4 {
        look(&mut follower, &mut now, &mut given);
    }
    if packed & 1 == 1 {
        return;
    }
    let mut plain: Vec<Vec<u8>> = Vec::new();
    let mut written = [FIRST, first].concat();
    if acts & 3 == 3 {
        written.push(b'\n');
    }
    written.extend_from_slice(rest);
    for line in written.split(|b| *b == b'\n') {
        let mut line = line;
        while let [shorter @ .., b'\r'] = line {
            line = shorter;
        }
        if line.len() > LINE_BYTES || !line.trim_ascii().is_empty() {
            plain.push(line[..line.len().min(LINE_BYTES)].to_vec());
        }
    }
    // A file that was rotated before it was seen may be read after its successor.
    given.sort();
    plain.sort();
    assert_eq!(shown(&given), shown(&plain));
}

fn shown(lines: &[Vec<u8>]) -> Vec<String> {
    lines.iter().map(|l| l.escape_ascii().to_string()).collect()
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn follower(path: &Path, positions: Vec<ingest::source::file::Position>) -> Follower {
    let pattern = Pattern::parse(path.to_str().unwrap()).unwrap();
    let watch = Watch {
        pattern,
        source: "s".into(),
    };
    Follower::new(vec![watch], Settings::new(LINE_BYTES), positions)
}

fn look(follower: &mut Follower, now: &mut Millis, given: &mut Vec<Vec<u8>>) {
    *now = Millis(now.0 + 20_000);
    follower.scan(*now);
    loop {
        let lines = follower.read(1 << 20, *now);
        follower.acknowledge();
        if lines.is_empty() {
            break;
        }
        for line in lines {
            assert!(line.payload.len() <= LINE_BYTES);
            assert_eq!(
                line.truncated.is_some(),
                line.truncated.iter().any(|t| t.bytes > LINE_BYTES as u64)
            );
            given.push(line.payload.to_vec());
        }
    }
}
