//! Which rows of a table kept from events can matter to an event at all: a row that comes, changes or goes matters to few of those
//! that asked for its key, where the joins say how far apart in time the two may be, or rows say when they are valid.

use model::Millis;

use crate::policy::{Condition, Lookup, Op, Reference, Root, Subject, Test, Value};
use crate::reference::{EventRow, Tables, is_valid};

/// Times between which a moment is written, and read, in one way.
const SANE: std::ops::Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// What a join asks of the time of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Near {
    /// The row's time less the event's, milliseconds, both inclusive.
    from_ms: i64,
    until_ms: i64,
    /// The row has to be valid at the event's time.
    valid: bool,
}

impl Near {
    const ALWAYS: Near = Near {
        from_ms: i64::MIN,
        until_ms: i64::MAX,
        valid: false,
    };

    /// Of a join with a table kept from events; `has_validity`: whose rows may say when they are valid.
    pub fn of(lookup: &Lookup, has_validity: bool) -> Near {
        Near {
            valid: has_validity && lookup.at.is_none() && !lookup.ever,
            ..within(&lookup.condition)
        }
    }

    /// Whether a row may be one that the join wants for an event of a time.
    pub fn may(&self, row: &EventRow, event: Millis, tables: &Tables) -> bool {
        if !SANE.contains(&row.time.0) || !SANE.contains(&event.0) {
            return true;
        }
        let apart = row.time.0 - event.0;
        self.from_ms <= apart && apart <= self.until_ms && (!self.valid || is_valid(&row.row, event, tables.zone()))
    }
}

/// Between which distances in time all rows lie for which a condition may hold.
fn within(condition: &Condition) -> Near {
    let hull = |a: Near, b: Near| Near {
        from_ms: a.from_ms.min(b.from_ms),
        until_ms: a.until_ms.max(b.until_ms),
        ..a
    };
    let both = |a: Near, b: Near| Near {
        from_ms: a.from_ms.max(b.from_ms),
        until_ms: a.until_ms.min(b.until_ms),
        ..a
    };
    match condition {
        Condition::All(all) => all.iter().map(within).fold(Near::ALWAYS, both),
        Condition::Any(any) => any.iter().map(within).reduce(hull).unwrap_or(Near::ALWAYS),
        Condition::None(_) => Near::ALWAYS,
        Condition::Test(test) => by_test(test).unwrap_or(Near::ALWAYS),
    }
}

/// As [`within`], of a test of the row's time against the event's.
fn by_test(test: &Test) -> Option<Near> {
    if !matches!(&test.subject, Subject::Column(column) if &**column == "time") {
        return None;
    }
    let offset = |value: &Value| match value {
        Value::Reference(Reference {
            root: Root::EventTime,
            offset_ms,
            working_days: 0,
            plus: 0,
        }) => Some(*offset_ms),
        _ => None,
    };
    let offsets = test.op.values().iter().map(offset).collect::<Option<Vec<i64>>>()?;
    match &test.op {
        Op::Gt(_) | Op::Gte(_) => Some(Near {
            from_ms: offsets.into_iter().min()?,
            ..Near::ALWAYS
        }),
        Op::Lt(_) | Op::Lte(_) => Some(Near {
            until_ms: offsets.into_iter().max()?,
            ..Near::ALWAYS
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(op: fn(Vec<Value>) -> Op, column: &str, offsets: &[i64]) -> Condition {
        let value = |offset_ms: &i64| {
            Value::Reference(Reference {
                root: Root::EventTime,
                offset_ms: *offset_ms,
                working_days: 0,
                plus: 0,
            })
        };
        Condition::Test(Test {
            subject: Subject::Column(column.into()),
            op: op(offsets.iter().map(value).collect()),
        })
    }

    #[test]
    fn as_far_as_the_joins_say() {
        let span = |c: &Condition| (within(c).from_ms, within(c).until_ms);
        let (min, max) = (i64::MIN, i64::MAX);
        let after = test(Op::Gte, "time", &[-60, -10]);
        let before = test(Op::Lt, "time", &[5, 7]);
        assert_eq!((span(&after), span(&before)), ((-60, max), (min, 7)));
        let both = Condition::All(vec![after.clone(), before.clone()]);
        assert_eq!(span(&both), (-60, 7));
        let wider = Condition::All(vec![test(Op::Gt, "time", &[-300]), test(Op::Lte, "time", &[300])]);
        assert_eq!(span(&Condition::Any(vec![both.clone(), wider])), (-300, 300));
        assert_eq!(
            span(&Condition::All(vec![both.clone(), Condition::Any(vec![])])),
            (-60, 7)
        );
        for unknown in [
            test(Op::Equals, "time", &[0]),
            test(Op::Gte, "seen", &[0]),
            Condition::None(vec![both.clone()]),
            Condition::Any(vec![both, Condition::ALWAYS]),
        ] {
            assert_eq!(span(&unknown), (min, max), "{unknown:?}");
        }
    }
}
