//! The rule files of the public SigmaHQ repository, where the archive lies beside the checkout.

use std::io::Read;
use std::path::Path;

use detect::policy::SourceFile;

/// The rule files of the archive beside the checkout, `folder` being a crate's that lies `up` levels below the
/// checkout's parent; `None` where it is absent.
pub fn rules(folder: &str, up: usize) -> Option<Vec<SourceFile>> {
    let path = Path::new(folder)
        .join("../".repeat(up))
        .join("shared/data/sigmahq_rules.tar.zst");
    let Ok(packed) = std::fs::read(&path) else {
        println!("skipped: no shared/data/sigmahq_rules.tar.zst beside the checkout");
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

/// The files of `rules/` (3,141), without threat hunting, compliance and emerging threats.
pub fn core(files: &[SourceFile]) -> Vec<SourceFile> {
    files
        .iter()
        .filter(|f| path(f).starts_with("rules/"))
        .cloned()
        .collect()
}

/// Of those, linux, web, cloud, application and identity (603).
pub fn servers(files: &[SourceFile]) -> Vec<SourceFile> {
    let kinds = ["linux", "web", "cloud", "application", "identity"];
    core(files)
        .into_iter()
        .filter(|f| path(f).split('/').nth(1).is_some_and(|k| kinds.contains(&k)))
        .collect()
}

fn path(file: &SourceFile) -> &str {
    file.name.trim_start_matches("./")
}
