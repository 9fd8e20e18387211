//! The labelled scenario on other days, in another zone, with other people, hosts, systems, addresses and tickets: the same is
//! found, because policies know none of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::collections::BTreeMap;
use std::path::Path;

use harness::scenario::{is_found, retold};
use harness::shared;
use jiff::civil::{Date, DateTime};
use jiff::{Span, ToSpan};
use regex::{Captures, Regex};
use serde_json::Value;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// The scenario's own offset, in minutes.
const OFFSET: i64 = 480;

/// What is told otherwise.
struct Elsewhere {
    /// Whole weeks that all happens later (or earlier): working days stay working days.
    days: i64,
    /// The zone, and its offset in minutes and as it is written.
    zone: Option<(&'static str, i64, &'static str)>,
    /// Words by what stands for them.
    words: BTreeMap<String, String>,
    moments: [Regex; 4],
    names: Regex,
}

impl Elsewhere {
    fn new(days: i64, zone: Option<(&'static str, i64, &'static str)>, words: BTreeMap<String, String>) -> Elsewhere {
        let mut longest: Vec<String> = words.keys().map(|w| regex::escape(w)).collect();
        longest.sort_by_key(|w| std::cmp::Reverse(w.len()));
        let names = match longest.is_empty() {
            true => "$^".to_owned(),
            false => format!(r"(^|[^A-Za-z0-9])({})($|[^A-Za-z0-9])", longest.join("|")),
        };
        let moments = [
            r"(20\d\d)([-/])(\d\d)[-/](\d\d)([T ])(\d\d):(\d\d):(\d\d)(\.\d+)?(Z?)",
            r#""(20\d\d)-(\d\d)-(\d\d)""#,
            r"^(<\d+>)(Jan|Feb|Mar) ([ \d]\d) (\d\d):(\d\d):(\d\d)",
            r"\b17[67]\d{7}(?:\d{3})?\b",
        ];
        Elsewhere {
            days,
            zone,
            words,
            moments: moments.map(|m| Regex::new(m).unwrap()),
            names: Regex::new(&names).unwrap(),
        }
    }

    /// By how much moments move: the clocks on the walls show the same time of day.
    fn moved(&self) -> Span {
        let minutes = self.zone.map_or(0, |(_, minutes, _)| OFFSET - minutes);
        (self.days * 24 * 60 + minutes).minutes()
    }

    fn epoch(&self, given: i64, unit: i64) -> i64 {
        given + self.moved().get_minutes() * 60 * unit
    }

    /// A text with all its moments and names.
    fn told(&self, text: &str) -> String {
        let days = self.days.days();
        let [clock, date, syslog, epoch] = &self.moments;
        let number = |c: &Captures<'_>, i: usize| c[i].trim().parse::<i16>().unwrap();
        let small = |c: &Captures<'_>, i: usize| number(c, i) as i8;
        let text = clock.replace_all(text, |c: &Captures<'_>| {
            let on = Date::new(number(c, 1), small(c, 3), small(c, 4)).unwrap();
            let at = on.at(small(c, 6), small(c, 7), small(c, 8), 0);
            // What is written in UTC moves with the zone, too.
            let at: DateTime = at + if &c[10] == "Z" { self.moved() } else { days };
            let fraction = c.get(9).map_or("", |f| f.as_str());
            let shown = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
            let (day, time) = shown.split_once(' ').unwrap();
            format!("{}{}{time}{fraction}{}", day.replace('-', &c[2]), &c[5], &c[10])
        });
        let text = date.replace_all(&text, |c: &Captures<'_>| {
            let on = Date::new(number(c, 1), small(c, 2), small(c, 3)).unwrap() + days;
            format!("\"{on}\"")
        });
        let text = syslog.replace_all(&text, |c: &Captures<'_>| {
            let month = 1 + MONTHS.iter().position(|m| *m == &c[2]).unwrap() as i8;
            let on = Date::new(2026, month, small(c, 3)).unwrap() + days;
            let name = MONTHS[on.month() as usize - 1];
            format!("{}{name} {:2} {}:{}:{}", &c[1], on.day(), &c[4], &c[5], &c[6])
        });
        let text = epoch.replace_all(&text, |c: &Captures<'_>| {
            let unit = if c[0].len() == 10 { 1 } else { 1000 };
            self.epoch(c[0].parse().unwrap(), unit).to_string()
        });
        let mut text = text.into_owned();
        if let Some((name, _, written)) = self.zone {
            text = text
                .replace("+08:00", written)
                .replace("+0800", &written.replace(':', ""))
                .replace("Asia/Shanghai", name);
        }
        // Twice, because neighbours share the character between them.
        for _ in 0..2 {
            let named = self.names.replace_all(&text, |c: &Captures<'_>| {
                format!("{}{}{}", &c[1], self.words.get(&c[2]).unwrap(), &c[3])
            });
            text = named.into_owned();
        }
        text
    }

    fn scored(&self, scenario: &Path) -> Option<String> {
        retold(
            scenario,
            |record| {
                record["payload"] = self.told(record["payload"].as_str().unwrap()).into();
                record["ts"] = self.epoch(record["ts"].as_i64().unwrap(), 1000).into();
            },
            |_, text| self.told(text),
        )
    }
}

/// The words of a table's column, and what stands for each.
fn renamed(scenario: &Path, table: &str, column: &str, other: impl Fn(usize) -> String) -> BTreeMap<String, String> {
    let rows = std::fs::read(scenario.join(format!("reference/{table}.json"))).unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&rows).unwrap();
    let words = rows.iter().flat_map(|row| match &row[column] {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    });
    let words: std::collections::BTreeSet<String> = words.filter_map(|w| Some(w.as_str()?.to_owned())).collect();
    words
        .into_iter()
        .enumerate()
        .map(|(n, word)| (word, other(n)))
        .collect()
}

#[test]
fn other_days_are_judged_alike() {
    let Some(scenario) = shared("data/scenario") else {
        return;
    };
    // Over the turn of a year, and over a leap day.
    for weeks in [-9, 43, 104] {
        let there = Elsewhere::new(weeks * 7, None, BTreeMap::new());
        is_found(there.scored(&scenario), &format!("{weeks} weeks later"));
    }
}

#[test]
fn an_operator_in_another_zone_is_judged_alike() {
    let Some(scenario) = shared("data/scenario") else {
        return;
    };
    for zone in [("America/New_York", -300, "-05:00"), ("Asia/Kolkata", 330, "+05:30")] {
        let there = Elsewhere::new(0, Some(zone), BTreeMap::new());
        is_found(there.scored(&scenario), zone.0);
    }
}

#[test]
fn other_people_hosts_and_systems_are_judged_alike() {
    let Some(scenario) = shared("data/scenario") else {
        return;
    };
    let mut words = renamed(&scenario, "hr_roster", "logins", |n| {
        format!("q{}x{n}", ["ann", "bo", "cy"][n % 3])
    });
    words.extend(renamed(&scenario, "hr_roster", "employee_id", |n| {
        format!("P{}", 70_000 + n * 3)
    }));
    words.extend(renamed(&scenario, "asset_register", "names", |n| {
        format!("node{n}.dc2")
    }));
    words.extend(renamed(&scenario, "asset_register", "asset_id", |n| format!("inv-{n}")));
    words.extend(renamed(&scenario, "approvals", "ticket_id", |n| {
        format!("REQ{}", 5_000 + n)
    }));
    words.extend(renamed(&scenario, "change_calendar", "change_id", |n| {
        format!("RFC{}", 9_000 + n)
    }));
    words.insert("crm".to_owned(), "salesdesk".to_owned());
    let there = Elsewhere::new(0, None, words);
    is_found(there.scored(&scenario), "other names");
}
