//! What was ever found stays mended: each file of `regressions/<target>/`, and each seed of our own, is read without a
//! broken promise. No fuzzer is needed.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use fuzz::{Target, seeds, targets};

fn broken(target: &Target, input: &[u8]) -> bool {
    catch_unwind(|| (target.run)(input)).is_err()
}

#[test]
fn what_was_found_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let targets = targets();
    let known: BTreeSet<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&folder)
        .expect("regressions")
        .map(|e| e.expect("an entry"))
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !known.contains(name.as_str()) {
            wrong.push(format!("regressions/{name} is of no target"));
        }
    }
    for target in &targets {
        let Ok(inputs) = fs::read_dir(folder.join(&target.name)) else {
            continue;
        };
        for input in inputs.map(|e| e.expect("an entry").path()) {
            if broken(target, &fs::read(&input).expect("an input")) {
                wrong.push(input.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_seed_keeps_the_promises_and_every_target_has_one() {
    let seeds = seeds::seeds(false);
    let mut wrong = Vec::new();
    for target in targets() {
        let own = &seeds[&target.name];
        if own.is_empty() {
            wrong.push(format!("{} has no seed", target.name));
        }
        for (n, seed) in own.iter().enumerate() {
            if broken(&target, seed) {
                wrong.push(format!("seed {n} of {}: {}", target.name, seed.escape_ascii()));
            }
        }
        // Nothing at all, and what no format knows.
        for input in [&b""[..], b"\0", b"\xff\xfe\xfd\xfc\xfb\xfa"] {
            if broken(&target, input) {
                wrong.push(format!("{} on {}", target.name, input.escape_ascii()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
