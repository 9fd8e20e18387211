//! Reference tables that nobody has renewed: joins on them go on, and are wrong.
//!
//! Looked at at the start and each hour; told once a day as an act `reference.stale`, which a policy makes a finding of.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use model::Millis;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::spine::Spine;

const LOOK: Duration = Duration::from_secs(3600);
const DAY_MS: i64 = 86_400_000;
/// A calendar that lists its working days is renewed before the last of them.
const CALENDAR_LEFT_MS: i64 = 7 * DAY_MS;

/// What is looked at.
pub struct Staleness {
    /// The folder of the tables.
    pub dir: PathBuf,
    /// How old a table's file may be, milliseconds.
    pub age_ms_max: i64,
    /// The time.
    pub clock: Clock,
}

impl Staleness {
    /// Looks until the server stops.
    pub async fn run(self, spine: Spine, mut stop: watch::Receiver<bool>) {
        let mut told: Option<Millis> = None;
        loop {
            let now = self.clock.now();
            if told.is_none_or(|at| now - at >= DAY_MS) {
                told = Some(now);
                let (dir, age_ms_max) = (self.dir.clone(), self.age_ms_max);
                let found = tokio::task::spawn_blocking(move || stale(&dir, age_ms_max, now)).await;
                for detail in found.unwrap_or_default() {
                    tracing::warn!(table = %detail["table"], reason = %detail["reason"], "Reference table is stale.");
                    if let Err(error) = spine.act("reference.stale", "docket", detail).await {
                        tracing::warn!(%error, "Stale table not recorded.");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.wait_for(|s| *s) => return,
            }
        }
    }
}

/// The tables of a folder that are stale, and why; those that cannot be read are the loading's business.
pub fn stale(dir: &Path, age_ms_max: i64, now: Millis) -> Vec<Value> {
    let mut out = Vec::new();
    for path in crate::reference::files(dir).unwrap_or_default() {
        let table = crate::reference::table_of(&path);
        if let Some(modified) = modified(&path).filter(|m| now - *m > age_ms_max) {
            let days = (now - modified) / DAY_MS;
            let reason = format!("its file is {days} days old, {} are allowed", age_ms_max / DAY_MS);
            out.push(json!({"table": table, "modified": modified.to_string(), "reason": reason}));
        }
    }
    let calendar = crate::reference::load(Some(dir)).ok();
    let until = calendar.as_ref().and_then(|t| t.calendar()?.listed_until());
    if let Some(until) = until.filter(|until| *until - now < CALENDAR_LEFT_MS) {
        let reason = format!("the working days that it lists end before {until}");
        out.push(json!({"table": "work_calendar", "reason": reason}));
    }
    out
}

/// When a file was last written.
pub fn modified(path: &Path) -> Option<Millis> {
    let modified = path.metadata().and_then(|m| m.modified()).ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    Some(Millis(i64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_is_old_or_ends_soon_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("hr_roster.json", "[]");
        write(
            "work_calendar.json",
            r#"[{"tz": "UTC", "hours": ["09:00", "17:00"], "working_days": ["2026-03-02", "2026-03-31"]}]"#,
        );
        write("notes.txt", "no table");
        let file = std::fs::File::options()
            .write(true)
            .open(dir.path().join("hr_roster.json"))
            .unwrap();
        let at = |text: &str| Millis::parse(text).unwrap();
        let modified = at("2026-02-01T00:00:00Z");
        let time = |at: Millis| SystemTime::UNIX_EPOCH + Duration::from_millis(at.0.unsigned_abs());
        file.set_modified(time(modified)).unwrap();
        let file = std::fs::File::options()
            .write(true)
            .open(dir.path().join("work_calendar.json"))
            .unwrap();
        file.set_modified(time(at("2026-03-01T00:00:00Z"))).unwrap();
        let told = |now: &str| {
            let found = stale(dir.path(), 35 * DAY_MS, at(now));
            found
                .iter()
                .map(|d| format!("{}: {}", d["table"].as_str().unwrap(), d["reason"].as_str().unwrap()))
                .collect::<Vec<_>>()
        };
        assert!(told("2026-03-08T00:00:00Z").is_empty());
        assert_eq!(
            told("2026-03-08T00:00:01Z"),
            ["hr_roster: its file is 35 days old, 35 are allowed"]
        );
        let all = told("2026-03-26T00:00:00Z");
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(
            all[1],
            "work_calendar: the working days that it lists end before 2026-04-01T00:00:00.000Z"
        );
    }
}
