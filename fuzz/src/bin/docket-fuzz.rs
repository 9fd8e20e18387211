//! libFuzzer's binary for every target: `DOCKET_FUZZ=<target> docket-fuzz CORPUS… -max_total_time=…`.
//!
//! `docket-fuzz list` prints the targets, each with the bytes of its inputs; `docket-fuzz seed FOLDER` writes the
//! seeds. `cargo xtask fuzz` does all of this.
#![no_main]
#![allow(unsafe_code, missing_docs)] // libFuzzer calls C functions that this macro makes

use std::process::exit;
use std::sync::OnceLock;

use fuzz::{Target, seeds, targets};

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: begin(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        (target.run)(data);
    }
});

fn begin() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            for target in targets() {
                println!("{}\t{}", target.name, target.bytes_max);
            }
            exit(0);
        }
        ["seed", folder] => match seeds::write(folder.as_ref()) {
            Ok(()) => exit(0),
            Err(error) => refuse(&format!("{folder}: {error}")),
        },
        _ => {}
    }
    let name = std::env::var("DOCKET_FUZZ").unwrap_or_default();
    match seeds::target(&name) {
        Ok(target) => TARGET.get_or_init(|| target),
        Err(why) => refuse(&why),
    };
}

fn refuse(why: &str) -> ! {
    eprintln!("docket-fuzz: {why}");
    exit(2);
}
