//! How long the normalizer takes for the lines of a file: `cargo run --release --example normalize_speed FILE…`.

use std::path::Path;
use std::time::Instant;

use ingest::Normalizer;
use ingest::replay::{Options, open};
use model::Millis;

fn main() {
    let normalizer = Normalizer::default();
    for file in std::env::args().skip(1) {
        let options = Options::new(Millis(1_772_463_192_000));
        let records: Vec<_> = match open(Path::new(&file), options) {
            Ok(records) => records.flatten().collect(),
            Err(error) => {
                eprintln!("{error}");
                continue;
            }
        };
        let rounds = 20_000 / records.len().max(1) + 1;
        let start = Instant::now();
        let mut events = 0;
        for _ in 0..rounds {
            events += records
                .iter()
                .map(|r| normalizer.normalize(r).events.len())
                .sum::<usize>();
        }
        let took = start.elapsed();
        println!(
            "{file}: {events} events, {:.2} µs each",
            took.as_secs_f64() * 1e6 / events.max(1) as f64
        );
    }
}
