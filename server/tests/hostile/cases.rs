//! The files of `data/hostile`.

use std::path::PathBuf;

use bytes::Bytes;

use crate::harness::shared;

/// Bytes of a record that the server keeps in these tests.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// What the manifest says of files that are counted in words.
const COUNTED: &[(&str, u64)] = &[
    ("empty.log", 0),
    ("only_newlines.log", 0),
    ("bom_first.ndjson", 1),
    ("crlf_cr_mixed.log", 5),
];

/// A file.
pub struct Case {
    pub name: String,
    pub path: PathBuf,
    /// Unpacked.
    pub bytes: Vec<u8>,
    /// How many records the manifest says that it has.
    pub records: Option<u64>,
}

impl Case {
    /// Its records, told in the plainest way: parted at LF, a CR before it left out, and what is white space alone.
    pub fn lines(&self) -> Vec<Bytes> {
        let mut lines: Vec<&[u8]> = self.bytes.split(|b| *b == b'\n').collect();
        let last = lines.pop().unwrap();
        let ended = lines.into_iter().map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let all = ended.chain([last]).filter(|l| !l.trim_ascii().is_empty());
        all.map(Bytes::copy_from_slice).collect()
    }
}

/// All of them, or one line that they are not there.
pub fn cases() -> Option<Vec<Case>> {
    let dir = shared("data/hostile")?;
    let manifest: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let mut cases: Vec<Case> = manifest
        .iter()
        .map(|entry| {
            let name = entry["file"].as_str().unwrap().to_owned();
            let packed = dir.join(format!("{name}.zst"));
            let path = if packed.exists() { packed } else { dir.join(&name) };
            let mut bytes = std::fs::read(&path).unwrap();
            if path.extension().is_some_and(|e| e == "zst") {
                bytes = zstd::decode_all(&bytes[..]).unwrap();
            }
            let counted = COUNTED.iter().find(|c| c.0 == name).map(|c| c.1);
            let records = counted.or(entry["records"].as_u64().filter(|_| name.ends_with("json")));
            Case {
                name,
                path,
                bytes,
                records,
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() > 30);
    Some(cases)
}
