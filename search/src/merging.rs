//! Which segments of a hot generation are merged: those of commits, once, where commits are large.

use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::indexer::{MergeCandidate, MergePolicy};

/// Events of a segment that is not merged any more while it is hot.
const FULL: u32 = 24_000;
/// Segments below that which are too many, however small.
const SMALL_MAX: usize = 48;
/// Events of a segment that is hardly one: commits of a quiet site.
const TINY: u32 = 256;
/// As many of these are merged at once.
const TINY_MAX: usize = 12;

/// Merges segments once there is a full one's worth of them, so that at 1,000 records a second and two commits a second or
/// more each record is merged once.
#[derive(Debug)]
pub(crate) struct Once;

impl MergePolicy for Once {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        let sizes: Vec<(u32, SegmentId)> = segments.iter().map(|s| (s.num_docs(), s.id())).collect();
        choose(sizes).into_iter().map(MergeCandidate).collect()
    }
}

fn choose<I: Ord + Copy>(mut segments: Vec<(u32, I)>) -> Vec<Vec<I>> {
    segments.retain(|(docs, _)| *docs < FULL);
    segments.sort_unstable();
    let tiny = segments.partition_point(|(docs, _)| *docs < TINY);
    let of = |some: &[(u32, I)]| vec![some.iter().map(|(_, id)| *id).collect()];
    if tiny >= TINY_MAX {
        return of(&segments[..tiny]);
    }
    let (mut sum, mut count) = (0, 0);
    // The least first; more than a full one's worth is for the next time.
    for (docs, _) in &segments {
        sum += docs;
        count += 1;
        if sum >= FULL {
            break;
        }
    }
    match count > 1 && (sum >= FULL || count >= SMALL_MAX) {
        true => of(&segments[..count]),
        false => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits of so many events until there are a million: how often the most merged event was, and the segments at most.
    fn run(commit: u32) -> (u32, usize) {
        let (mut segments, mut next, mut most): (Vec<(u32, usize, u32)>, _, _) = (Vec::new(), 0, 0);
        for _ in 0..1_000_000 / commit {
            segments.push((commit, next, 0));
            next += 1;
            for chosen in choose(segments.iter().map(|s| (s.0, s.1)).collect()) {
                let of: Vec<_> = segments.iter().filter(|s| chosen.contains(&s.1)).copied().collect();
                segments.retain(|s| !chosen.contains(&s.1));
                let merged = of.iter().map(|s| s.2).max().unwrap_or_default() + 1;
                segments.push((of.iter().map(|s| s.0).sum(), next, merged));
                next += 1;
            }
            most = most.max(segments.len());
        }
        (segments.iter().map(|s| s.2).max().unwrap_or_default(), most)
    }

    #[test]
    fn large_commits_are_merged_once_and_small_ones_leave_few_segments() {
        for (commit, merges) in [(15_000, 1), (5_000, 1), (1_400, 1), (500, 1), (250, 2)] {
            let (most, segments) = run(commit);
            assert!(
                most <= merges && segments < 96,
                "{commit}: merged {most} times, {segments} segments"
            );
        }
        let (_, segments) = run(20);
        assert!(segments < 96, "{segments}");
    }
}
