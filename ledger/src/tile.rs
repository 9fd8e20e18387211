//! Tiles of the tree, as C2SP tlog-tiles lays them out: a tile of level L holds up to 256 hashes of height 8·L.
//!
//! A file `tile/<level>/<n>` is 256 hashes of 32 bytes, nothing else, and is written once, when the tile is full.
//! Level 0 (the leaf hashes) is not stored: the leaves give it. Tiles that are not yet full are not stored: the
//! frames' headers give them. A tile carries no checksum: the root that a checkpoint signs is computed from it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::merkle::{Hash, root_of};

/// Hashes in a full tile; leaves in a group, which has one hash of level 1.
pub const TILE_HASHES: u64 = 256;

/// The file of a full tile: `tile/1/x001/x234/067` for the tile 1,234,067 of level 1.
#[must_use]
pub fn path(dir: &Path, level: u32, n: u64) -> PathBuf {
    let mut parts = vec![format!("{:03}", n % 1000)];
    let mut rest = n / 1000;
    while rest > 0 {
        parts.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    let mut path = dir.join("tile").join(level.to_string());
    path.extend(parts.iter().rev());
    path
}

/// Reads a full tile; `None` where there is no such file.
pub(crate) fn read(dir: &Path, level: u32, n: u64) -> Result<Option<Vec<Hash>>, Error> {
    let path = path(dir, level, n);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path)(e)),
    };
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() as u64 != TILE_HASHES {
        return Err(Error::integrity(
            &path,
            0,
            None,
            format!("a tile of {} bytes, not 8192", bytes.len()),
        ));
    }
    Ok(Some(hashes.to_vec()))
}

/// Writes the full tile `n` of level 1, and the tiles above that it completes. Writing it again changes nothing.
pub(crate) fn write_up(dir: &Path, n: u64, hashes: &[Hash]) -> Result<(), Error> {
    write(dir, 1, n, hashes)?;
    let (mut level, mut n) = (1, n);
    while (n + 1) % TILE_HASHES == 0 {
        let mut above = Vec::with_capacity(TILE_HASHES as usize);
        for below in n + 1 - TILE_HASHES..=n {
            let tile = read(dir, level, below)?.ok_or_else(|| {
                Error::integrity(
                    &path(dir, level, below),
                    0,
                    None,
                    "the tile is missing; tiles above need it",
                )
            })?;
            above.push(root_of(&tile));
        }
        (level, n) = (level + 1, n / TILE_HASHES);
        write(dir, level, n, &above)?;
    }
    Ok(())
}

fn write(dir: &Path, level: u32, n: u64, hashes: &[Hash]) -> Result<(), Error> {
    debug_assert_eq!(hashes.len() as u64, TILE_HASHES);
    let path = path(dir, level, n);
    let folder = path.parent().expect("a tile's path has a folder");
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    replace(&path, hashes.as_flattened())
}

/// Writes a file so that it is there whole, durably, or as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(Error::io(&new))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Error::io(&new))?;
    fs::rename(&new, path).map_err(Error::io(path))?;
    sync_folder_of(path)
}

/// Makes the names in a file's folder durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), Error> {
    let folder = path.parent().expect("a file of the ledger has a folder");
    File::open(folder).and_then(|f| f.sync_all()).map_err(Error::io(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let cases = [
            (1, 0, "tile/1/000"),
            (0, 1_234_067, "tile/0/x001/x234/067"),
            (2, 1000, "tile/2/x001/000"),
        ];
        for (level, n, expected) in cases {
            assert_eq!(path(Path::new(""), level, n), Path::new(expected));
        }
    }

    #[test]
    fn a_full_row_of_tiles_makes_the_tile_above() {
        let dir = tempfile::tempdir().unwrap();
        let tile = |n: u64| vec![[n as u8; 32]; 256];
        for n in 0..256 {
            write_up(dir.path(), n, &tile(n)).unwrap();
        }
        let above = read(dir.path(), 2, 0).unwrap().unwrap();
        assert_eq!(above, (0..256).map(|n| root_of(&tile(n))).collect::<Vec<_>>());
        assert_eq!(read(dir.path(), 1, 256).unwrap(), None);
        fs::write(path(dir.path(), 1, 7), [0; 8191]).unwrap();
        assert!(read(dir.path(), 1, 7).unwrap_err().is_integrity());
    }
}
