//! The table `periods`: days, months and quarters, for what is due regularly.
//!
//! `{period, name, start, end, next}`: `period` is `day` (working days alone), `month` or `quarter`; `end` is the first moment after it, `next`
//! the start of the next working day on or after `end`. It is there wherever `work_calendar` is, in its zone and for all
//! sites' days, from 2025 to 2031, unless a table of that name is given.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::WorkCalendar;

/// The table's name.
pub(super) const TABLE: &str = "periods";
/// The first day, and the first day after the last one.
const FROM: Date = Date::constant(2025, 1, 1);
const UNTIL: Date = Date::constant(2032, 1, 1);
/// Days without work in a row, beyond which the next working day is not known.
const REST_MAX: usize = 31;

fn next_working(calendar: &WorkCalendar, from: Date) -> Option<Date> {
    from.series(jiff::Span::new().days(1))
        .take(REST_MAX)
        .find(|day| calendar.works_on(*day))
}

/// The rows of the table.
pub(super) fn rows(calendar: &WorkCalendar) -> Vec<Value> {
    let mut out = Vec::new();
    let mut row = |period: &str, name: String, start: Date, end: Date| {
        if let Some(next) = next_working(calendar, end) {
            let (start, end, next) = (start.to_string(), end.to_string(), next.to_string());
            out.push(json!({"period": period, "name": name, "start": start, "end": end, "next": next}));
        }
    };
    for day in FROM.series(jiff::Span::new().days(1)).take_while(|d| *d < UNTIL) {
        let Ok(tomorrow) = day.tomorrow() else { break };
        if calendar.works_on(day) {
            row("day", day.to_string(), day, tomorrow);
        }
        if day == day.last_of_month() {
            let (year, month) = (day.year(), day.month());
            row("month", format!("{year}-{month:02}"), day.first_of_month(), tomorrow);
            if month % 3 == 0 {
                let start = Date::new(year, month - 2, 1).unwrap_or(day);
                row("quarter", format!("{year}-Q{}", month / 3), start, tomorrow);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn months_quarters_and_working_days_follow_each_other() {
        let calendar = json!({"tz": "Asia/Shanghai", "hours": ["09:00", "18:00"]});
        let calendar = WorkCalendar::parse(&[Arc::new(calendar)]).unwrap();
        let rows = rows(&calendar);
        let of = |period: &str, name: &str| {
            let is = |r: &&Value| r["period"] == period && r["name"] == name;
            rows.iter().find(is).cloned().unwrap_or_default()
        };
        let quarter = of("quarter", "2026-Q3");
        assert_eq!(
            (&quarter["start"], &quarter["end"]),
            (&json!("2026-07-01"), &json!("2026-10-01"))
        );
        // The last of October 2026 is a Saturday, as is the last day before the next working day.
        assert_eq!(of("month", "2026-10")["next"], "2026-11-02");
        assert_eq!(of("day", "2026-03-06")["next"], "2026-03-09");
        assert_eq!(of("day", "2026-03-07"), Value::Null);
        assert_eq!(rows.iter().filter(|r| r["period"] == "month").count(), 84);
    }
}
