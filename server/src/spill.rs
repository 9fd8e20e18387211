//! Files for state of the detector that does not fit into memory. They are nobody's but this process's: they have no name,
//! and are gone with it; what is durable is in `alerts.sqlite`.
//!
//! A file is a segment: written to its end, read anywhere, and dropped when nothing in it is needed any more. What
//! is let go together is mostly forgotten together, so that segments empty by themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use detect::engine::{Place, Spill};

/// Bytes of a segment, about.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Segments in a folder.
pub struct Segments {
    folder: PathBuf,
    open: BTreeMap<u32, Segment>,
    /// The one that is written.
    last: u32,
}

struct Segment {
    file: File,
    end: u64,
    /// Bytes that are still needed.
    needed: u64,
}

impl Segments {
    /// Segments in a folder on the disk that has room.
    pub fn new(folder: &Path) -> Segments {
        Segments {
            folder: folder.to_owned(),
            open: BTreeMap::new(),
            last: 0,
        }
    }

    fn segment(&mut self) -> io::Result<(u32, &mut Segment)> {
        if self.open.get(&self.last).is_none_or(|s| s.end >= SEGMENT_BYTES) {
            let file = unnamed(&self.folder)?;
            self.last = self.last.wrapping_add(1);
            let (end, needed) = (0, 0);
            self.open.insert(self.last, Segment { file, end, needed });
        }
        let last = self.last;
        let segment = self.open.get_mut(&last);
        segment
            .map(|s| (last, s))
            .ok_or_else(|| io::Error::other("the segment is gone"))
    }
}

/// A file that is gone when it is closed.
fn unnamed(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!(
        "spill-{}-{:08x}.tmp",
        std::process::id(),
        rand::random::<u32>()
    ));
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

impl Spill for Segments {
    fn write(&mut self, bytes: &[u8]) -> io::Result<Place> {
        let count = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let (number, segment) = self.segment()?;
        let place = Place {
            segment: number,
            offset: segment.end,
            bytes: count,
        };
        segment.file.write_all_at(bytes, place.offset)?;
        segment.end += u64::from(count);
        segment.needed += u64::from(count);
        Ok(place)
    }

    fn read(&mut self, place: Place) -> io::Result<Vec<u8>> {
        let segment = self
            .open
            .get(&place.segment)
            .ok_or_else(|| io::Error::other("the segment is gone"))?;
        let mut bytes = vec![0; place.bytes as usize];
        segment.file.read_exact_at(&mut bytes, place.offset)?;
        Ok(bytes)
    }

    fn free(&mut self, place: Place) {
        let last = self.last;
        if let Some(segment) = self.open.get_mut(&place.segment) {
            segment.needed = segment.needed.saturating_sub(u64::from(place.bytes));
            if segment.needed == 0 && place.segment != last {
                self.open.remove(&place.segment);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_there_is_read_and_empty_segments_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut segments = Segments::new(folder.path());
        let block = vec![7u8; 24 << 20];
        let places: Vec<Place> = (0..5)
            .map(|n| segments.write(&[&[n], &block[..]].concat()).unwrap())
            .collect();
        assert_eq!(segments.open.len(), 2, "{places:?}");
        for (n, place) in places.iter().enumerate() {
            assert_eq!(segments.read(*place).unwrap()[0], n as u8);
        }
        places[..3].iter().for_each(|p| segments.free(*p));
        assert_eq!(segments.open.len(), 1);
        assert!(segments.read(places[0]).is_err());
        assert_eq!(segments.read(places[4]).unwrap().len(), block.len() + 1);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no name is left");
    }
}
