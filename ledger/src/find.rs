//! Finds a record by its coordinate. Offsets of a partition only rise, so headers tell where it can be.

use std::fs::File;

use model::{Coordinate, LedgerIndex};

use crate::disk::{Disk, SegmentView};
use crate::frame::{self, Found, Header, SEGMENT};
use crate::{Error, leaf};

/// The leaf below `size` that holds the record.
pub(crate) fn find(disk: &mut Disk, wanted: &Coordinate, size: u64) -> Result<Option<LedgerIndex>, Error> {
    let unsealed = disk.unsealed()?;
    if let Some(index) = in_segments(disk, wanted, unsealed)? {
        return Ok((index < size).then_some(LedgerIndex(index)));
    }
    let mut index = unsealed;
    while index < size {
        let run = disk.run(index, usize::MAX)?;
        if run.is_empty() {
            break;
        }
        for leaf in run {
            if is(&leaf, wanted) {
                return Ok((index < size).then_some(LedgerIndex(index)));
            }
            index += 1;
        }
    }
    Ok(None)
}

fn in_segments(disk: &mut Disk, wanted: &Coordinate, unsealed: u64) -> Result<Option<u64>, Error> {
    // The last segment before which the partition had not reached the offset.
    let (mut low, mut high) = (0, unsealed.div_ceil(SEGMENT));
    while low < high {
        let middle = low + (high - low) / 2;
        if reached_before(disk, wanted, middle * SEGMENT)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let Some(first) = low.checked_sub(1).map(|n| n * SEGMENT) else {
        return Ok(None);
    };
    let segment = SegmentView::open(disk.dir(), first)?;
    let (mut at, mut next) = (segment.first_at(), first);
    while next < unsealed.min(first + SEGMENT) {
        let header = match Header::read(&segment.path, &segment.file, at, next)? {
            Found::Whole(header) => header,
            _ => {
                return Err(Error::integrity(
                    &segment.path,
                    at,
                    Some(next),
                    "a frame's header does not hold",
                ));
            }
        };
        let span = header.positions.span(&wanted.topic, wanted.partition);
        if span.is_some_and(|s| (s.first..s.next).contains(&wanted.offset)) {
            let leaves = segment.leaves(&header)?;
            if let Some(n) = leaves.iter().position(|leaf| is(leaf, wanted)) {
                return Ok(Some(header.first + n as u64));
            }
        }
        (at, next) = (header.next_at(), header.end());
    }
    Ok(None)
}

/// Whether the partition had got past the offset before the segment that begins at `first`.
fn reached_before(disk: &Disk, wanted: &Coordinate, first: u64) -> Result<bool, Error> {
    let path = frame::path(disk.dir(), first);
    let file = File::open(&path).map_err(Error::io(&path))?;
    match frame::read_segment_header(&path, &file, first)? {
        Found::Whole((before, _)) => Ok(before
            .span(&wanted.topic, wanted.partition)
            .is_some_and(|s| s.next > wanted.offset)),
        _ => Err(Error::integrity(
            &path,
            0,
            Some(first),
            "the segment's header does not hold",
        )),
    }
}

fn is(leaf: &bytes::Bytes, wanted: &Coordinate) -> bool {
    leaf::head(leaf)
        .is_ok_and(|h| h.offset == wanted.offset && h.partition == wanted.partition && *h.topic == *wanted.topic)
}
