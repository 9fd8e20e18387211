//! Every rule of the public SigmaHQ repository loads and compiles.

use std::io::Read;
use std::path::Path;

use detect::RuleSet;
use detect::policy::{SourceFile, load};

/// The rule files of the archive beside the checkout; `None` where it is absent.
fn rules() -> Option<Vec<SourceFile>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/sigmahq_rules.tar.zst");
    let Ok(packed) = std::fs::read(&path) else {
        println!("skipped: no ../shared/data/sigmahq_rules.tar.zst beside the checkout");
        return None;
    };
    let mut tar = Vec::new();
    zstd::Decoder::new(packed.as_slice())
        .unwrap()
        .read_to_end(&mut tar)
        .unwrap();
    let mut files = Vec::new();
    let (mut at, mut long_name) = (0, None);
    // Tar: headers of 512 bytes, name at 0, size in octal at 124, kind at 156 (`0` file, `L` a long name for the next).
    while let Some(header) = tar.get(at..at + 512).filter(|h| h[0] != 0) {
        let text = |range: std::ops::Range<usize>| {
            let bytes = &header[range];
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124..136), 8).unwrap();
        let content = String::from_utf8(tar[at + 512..at + 512 + size].to_vec()).unwrap();
        if header[156] == b'L' {
            long_name = Some(content.trim_end_matches('\0').to_owned());
        } else if header[156] == b'0' {
            let name = long_name.take().unwrap_or_else(|| text(0..100));
            if SourceFile::is_policy(&name) {
                files.push(SourceFile::new(&name, content));
            }
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    Some(files)
}

#[test]
fn every_sigmahq_rule_compiles() {
    let Some(files) = rules() else { return };
    assert!(files.len() > 3_700, "{} files", files.len());
    let start = std::time::Instant::now();
    let loaded = load(&files, &Default::default());
    let read = start.elapsed();
    let (set, errors) = RuleSet::compile(&loaded.policies);
    println!(
        "{} policies, read in {read:?}, compiled in {:?}",
        loaded.policies.all().len(),
        start.elapsed() - read
    );
    let wrong: Vec<_> = loaded.errors.iter().chain(&errors).filter(|e| !e.is_lint()).collect();
    for e in &wrong {
        println!("{e}");
    }
    for lint in loaded.errors.iter().filter(|e| e.is_lint()).take(20) {
        println!("{lint}");
    }
    assert!(wrong.is_empty());
    assert_eq!(loaded.policies.all().len(), files.len());
    assert!(set.wanted().len() > 300, "{}", set.wanted().len());
}
