//! Small JSON files of the data folder: read whole, replaced whole.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

/// What a file holds; `None` where there is none. `advice` says what can be done when it is damaged.
///
/// # Errors
/// It is there and cannot be read, or is not what was written.
pub fn read<T: DeserializeOwned>(path: &Path, advice: &str) -> anyhow::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let kept = serde_json::from_slice(&bytes);
            kept.map(Some)
                .with_context(|| format!("{} is damaged; {advice}", path.display()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

/// Replaces a file by a whole new one, readable by its owner alone.
///
/// # Errors
/// The disk's.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_told_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(read::<Vec<u8>>(&path, "").unwrap(), None);
        write_whole(&path, b"[1, 2]").unwrap();
        assert_eq!(read::<Vec<u8>>(&path, "").unwrap(), Some(vec![1, 2]));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        write_whole(&path, b"[1,").unwrap();
        let error = read::<Vec<u8>>(&path, "remove it").unwrap_err().to_string();
        assert_eq!(error, format!("{} is damaged; remove it", path.display()));
    }
}
