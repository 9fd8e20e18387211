//! What others take to parse the same records: a line `json FILE` or `syslog FILE` on standard input is answered with the
//! processor time of one pass over the file's records, in nanoseconds. A record is its length (4 bytes, little-endian)
//! and its bytes; it is in memory before the clock starts.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead as _, Write as _};

use rustix::time::{ClockId, clock_gettime};

fn main() {
    let mut corpora: HashMap<String, Vec<u8>> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Some((peer, path)) = line.split_once(' ') else { continue };
        let corpus = corpora
            .entry(path.to_owned())
            .or_insert_with(|| std::fs::read(path).expect("the corpus can be read"));
        let records = split(corpus);
        let start = clock_gettime(ClockId::ThreadCPUTime);
        let mut unread = 0;
        for record in &records {
            unread += usize::from(!match peer {
                "json" => black_box(serde_json::from_slice::<serde_json::Value>(record)).is_ok(),
                _ => {
                    black_box(syslog_loose::parse_message(
                        std::str::from_utf8(record).unwrap_or(""),
                        syslog_loose::Variant::Either,
                    ));
                    true
                }
            });
        }
        let end = clock_gettime(ClockId::ThreadCPUTime);
        let nanoseconds = (end.tv_sec - start.tv_sec) * 1_000_000_000 + (end.tv_nsec - start.tv_nsec);
        println!("{nanoseconds} {} {unread}", records.len());
        std::io::stdout().flush().expect("somebody listens");
    }
}

fn split(mut corpus: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some((length, rest)) = corpus.split_first_chunk::<4>() {
        let (record, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        records.push(record);
        corpus = rest;
    }
    records
}
