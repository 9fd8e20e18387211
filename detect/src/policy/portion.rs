//! How much of what a source sends is of one kind.

/// A rule fires where its events are more than so much of all events of their source, in a span of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// The spans follow each other: from a whole multiple of this on, milliseconds.
    pub every_ms: i64,
    /// Events of the source that a span must have, or it is not judged.
    pub at_least: u64,
    /// Events of the rule that it must have.
    pub part_at_least: u64,
    /// The part that is allowed, in ten-thousandths of the whole.
    pub more_than: u32,
}

impl Portion {
    /// The start of the span that a moment is in, milliseconds.
    #[must_use]
    pub fn start(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.every_ms).saturating_mul(self.every_ms)
    }

    /// Whether so many are too many of all.
    #[must_use]
    pub fn is_more(&self, part: u64, all: u64) -> bool {
        let enough = all >= self.at_least && part >= self.part_at_least;
        enough && u128::from(part) * 10_000 > u128::from(all) * u128::from(self.more_than)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_compared_exactly() {
        let portion = Portion {
            every_ms: 1_000,
            at_least: 100,
            part_at_least: 1,
            more_than: 100,
        };
        assert!(portion.is_more(2, 100) && !portion.is_more(1, 100));
        assert!(!portion.is_more(99, 99));
        let five = Portion {
            part_at_least: 5,
            ..portion
        };
        assert!(!five.is_more(4, 100) && five.is_more(5, 100));
        let tenth = Portion {
            more_than: 10,
            ..portion
        };
        assert!(!tenth.is_more(1, 1_000) && tenth.is_more(1, 999));
        assert_eq!([portion.start(1_999), portion.start(-1)], [1_000, -1_000]);
    }
}
