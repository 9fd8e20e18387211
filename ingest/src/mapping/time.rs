//! The form that a mapping says its times have.

use jiff::fmt::strtime;
use model::Millis;
use serde_json::Value;

/// How times are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// Any that is known; epoch numbers by their magnitude.
    Auto,
    /// A number of this many nanoseconds since the epoch.
    Epoch(i64),
    /// A pattern of strptime: `%d.%m.%Y %H:%M:%S`.
    Pattern(Box<str>),
}

impl TimeForm {
    /// The form of that name or pattern.
    pub(super) fn named(text: &str) -> Option<TimeForm> {
        Some(match text {
            "auto" => TimeForm::Auto,
            "seconds" => TimeForm::Epoch(1_000_000_000),
            "milliseconds" => TimeForm::Epoch(1_000_000),
            "microseconds" => TimeForm::Epoch(1_000),
            "nanoseconds" => TimeForm::Epoch(1),
            pattern if pattern.contains('%') => {
                // An unknown letter shows when something is written with it.
                let when = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
                strtime::format(pattern, &when).ok()?;
                TimeForm::Pattern(pattern.into())
            }
            _ => return None,
        })
    }

    /// A time that the usual reading takes; as it is where it does not have the form.
    pub(super) fn canonical(&self, value: Value) -> Value {
        match self {
            TimeForm::Auto => value,
            TimeForm::Epoch(unit_ns) => match super::text_of(&value).and_then(|t| epoch(&t, *unit_ns)) {
                Some(Millis(ms)) => ms.into(),
                None => value,
            },
            TimeForm::Pattern(pattern) => match value.as_str().and_then(|t| by_pattern(pattern, t)) {
                Some(text) => text.into(),
                None => value,
            },
        }
    }
}

/// `1772463192.418` of a unit of so many nanoseconds; in integers, so that no digit is lost.
fn epoch(text: &str, unit_ns: i64) -> Option<Millis> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let fraction = fraction.get(..fraction.len().min(9))?;
    let whole_ns = i128::from(whole.parse::<i64>().ok()?) * i128::from(unit_ns);
    let part: i128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u32>().ok()?.into()
    };
    let fraction_ns = part * i128::from(unit_ns) / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    i64::try_from((whole_ns + fraction_ns).div_euclid(1_000_000))
        .ok()
        .map(Millis)
}

fn by_pattern(pattern: &str, text: &str) -> Option<String> {
    let read = strtime::parse(pattern, text.trim()).ok()?;
    let when = read.to_datetime().ok()?;
    let offset = read.offset().map_or_else(String::new, |o| {
        let minutes = o.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    });
    Some(format!("{when}{offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_in_the_form_that_was_told() {
        for (form, given, want) in [
            ("auto", json!("2026-03-02 22:53:12"), json!("2026-03-02 22:53:12")),
            ("seconds", json!(1_772_463_192), json!(1_772_463_192_000_i64)),
            ("seconds", json!("1772463192.418"), json!(1_772_463_192_418_i64)),
            ("milliseconds", json!(5), json!(5)),
            (
                "microseconds",
                json!(1_772_463_192_418_999_i64),
                json!(1_772_463_192_418_i64),
            ),
            (
                "%d.%m.%Y %H:%M:%S",
                json!("02.03.2026 22:53:12"),
                json!("2026-03-02T22:53:12"),
            ),
            (
                "%d/%b/%Y %H:%M %z",
                json!("02/Mar/2026 22:53 +0100"),
                json!("2026-03-02T22:53:00+01:00"),
            ),
            ("%d.%m.%Y", json!("yesterday"), json!("yesterday")),
            ("seconds", json!("soon"), json!("soon")),
        ] {
            let form = TimeForm::named(form).expect(form);
            assert_eq!(form.canonical(given.clone()), want, "{form:?} {given}");
        }
        for wrong in ["hours", "%!", ""] {
            assert_eq!(TimeForm::named(wrong), None, "{wrong}");
        }
    }
}
