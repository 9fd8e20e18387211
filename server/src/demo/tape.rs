//! What is written down, and when.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use model::Millis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::Value;

/// Milliseconds of a second.
pub(super) const SECOND: i64 = 1_000;
/// Milliseconds of a minute.
pub(super) const MINUTE: i64 = 60 * SECOND;
/// Milliseconds of an hour.
pub(super) const HOUR: i64 = 60 * MINUTE;
/// Milliseconds of a day.
pub(super) const DAY: i64 = 24 * HOUR;
/// China keeps one time all the year.
const OFFSET_HOURS: i8 = 8;

/// A record: when it was received, the source, the line.
pub(super) type Record = (Millis, &'static str, String);

/// A day by its local date, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(pub i64);

impl Day {
    /// The day of a moment.
    pub(super) fn of(at: Millis) -> Day {
        Day((at.0 + i64::from(OFFSET_HOURS) * HOUR).div_euclid(DAY))
    }

    /// The moment of a local time of the day.
    pub(super) fn at(self, hour: i64, minute: i64) -> Millis {
        Millis(self.0 * DAY - i64::from(OFFSET_HOURS) * HOUR + hour * HOUR + minute * MINUTE)
    }

    /// Monday to Friday.
    pub(super) fn is_working(self) -> bool {
        // 1970-01-01 was a Thursday.
        !matches!((self.0 + 4).rem_euclid(7), 0 | 6)
    }

    /// The day after.
    pub(super) fn next(self) -> Day {
        Day(self.0 + 1)
    }

    /// One of `items`, another each day.
    pub(super) fn turn<T>(self, items: &[T]) -> &T {
        &items[self.0.rem_euclid(items.len() as i64) as usize]
    }
}

/// A moment as a source writes it, in local time; `format` as in `strftime`.
pub(super) fn text(at: Millis, format: &str) -> String {
    let at = Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.to_zoned(TimeZone::fixed(Offset::constant(OFFSET_HOURS)))
        .strftime(format)
        .to_string()
}

/// RFC 3339 with milliseconds, as the web systems and the reference tables write times.
pub(super) fn rfc3339(at: Millis) -> String {
    text(at, "%Y-%m-%dT%H:%M:%S%.3f%:z")
}

/// JSON as Python's `json.dumps` writes it, with a space after each `:` and `,`.
pub(super) fn python_json(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut out = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    // Neither a value nor a vector can refuse.
    value.serialize(&mut out).expect("a JSON value is written to memory");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }
    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }
    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// Records being made, and the dice.
pub(super) struct Tape {
    rng: StdRng,
    records: Vec<Record>,
}

impl Tape {
    /// An empty tape whose dice fall as `seed` and `part` say.
    pub(super) fn new(seed: u64, part: u64) -> Tape {
        Tape {
            rng: StdRng::seed_from_u64(seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            records: Vec::new(),
        }
    }

    /// Writes a line that a source logged at `at`; it is received a moment later, in the source's order.
    pub(super) fn write(&mut self, at: Millis, source: &'static str, line: String) {
        let way_ms = match source {
            "jumpserver" => 180,
            "linux" => 240,
            "actiontrail" => 2_600,
            _ => 310,
        };
        self.records.push((at + way_ms, source, line));
    }

    /// What was written.
    pub(super) fn records(self) -> Vec<Record> {
        self.records
    }

    /// A number from `low` up to but without `high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.rng.random_range(low..high)
    }

    /// One of `items`.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.rng.random_range(0..items.len())]
    }

    /// So many hex digits.
    pub(super) fn hex(&mut self, digits: usize) -> String {
        (0..digits)
            .map(|_| char::from(b"0123456789abcdef"[self.rng.random_range(0..16)]))
            .collect()
    }

    /// A random UUID.
    pub(super) fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!(
            "{}-{}-4{}-a{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..]
        )
    }

    /// A moment of the day at which people work; mornings and afternoons more than noon.
    pub(super) fn office_time(&mut self, day: Day, last_hour: i64) -> Millis {
        const HOURS: [i64; 20] = [
            9, 9, 10, 10, 10, 11, 11, 11, 12, 13, 13, 14, 14, 14, 15, 15, 15, 16, 16, 17,
        ];
        let hour = *self.pick(&HOURS);
        let hour = if hour > last_hour { last_hour } else { hour };
        let (from, to) = if hour == 9 { (16 * MINUTE, HOUR) } else { (0, HOUR) };
        day.at(hour, 0) + self.between(from, to)
    }
}
