//! The tree's nodes, from tiles, frames' headers and leaves; so that a proof over a large ledger hashes little.

use std::collections::BTreeMap;

use crate::Error;
use crate::disk::Disk;
use crate::merkle::{Hash, leaf_hash, root_of};
use crate::tile::{self, TILE_HASHES};

/// Tiles that are kept in memory, of 8 KiB each.
const TILES_MAX: usize = 1024;

/// Tiles by level and number; one that is not full holds the hashes that were needed so far.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    tiles: BTreeMap<(u32, u64), Vec<Hash>>,
}

impl Tree {
    /// The root over the leaves `index << height .. (index + 1) << height`, all of which must be there.
    pub(crate) fn node(&mut self, disk: &mut Disk, height: u32, index: u64) -> Result<Hash, Error> {
        let (level, width) = (height / 8, 1 << (height % 8));
        let start = index * width;
        let (n, from) = (start / TILE_HASHES, (start % TILE_HASHES) as usize);
        let hashes = self.tile(disk, level, n, from + width as usize)?;
        Ok(root_of(&hashes[from..from + width as usize]))
    }

    /// The first `need` hashes, or more, of a tile.
    fn tile(&mut self, disk: &mut Disk, level: u32, n: u64, need: usize) -> Result<&[Hash], Error> {
        let mut hashes = self.tiles.remove(&(level, n)).unwrap_or_default();
        if hashes.len() < need
            && level > 0
            && let Some(full) = tile::read(disk.dir(), level, n)?
        {
            hashes = full;
        }
        while hashes.len() < need {
            let next = n * TILE_HASHES + hashes.len() as u64;
            if level == 0 {
                let room = TILE_HASHES as usize - hashes.len();
                let leaves = disk.run(next, room)?;
                if leaves.is_empty() {
                    return Err(Error::OutOfRange {
                        given: next,
                        size: next,
                    });
                }
                hashes.extend(leaves.iter().map(|leaf| leaf_hash(leaf)));
            } else if level == 1 && (next + 1) * TILE_HASHES <= disk.unsealed()? {
                hashes.push(disk.group_root(next * TILE_HASHES)?);
            } else {
                // One level down, at most seven times.
                let below = self.tile(disk, level - 1, next, TILE_HASHES as usize)?;
                hashes.push(root_of(&below[..TILE_HASHES as usize]));
            }
        }
        if self.tiles.len() >= TILES_MAX {
            self.tiles.clear();
        }
        Ok(self.tiles.entry((level, n)).or_insert(hashes))
    }
}
