//! How long a record can be searched (LA-08): splits leave the index when all of their records were received so many days ago.
//!
//! The ledger keeps what it has; what left the index can be brought back by building the index again. What is changed and
//! what goes is told before it happens, as the acts `retention.change` and `retention.delete`, and where less
//! than three months can be searched, once a day as `retention.short`; policies read them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::{LedgerIndex, Millis};
use search::{IndexWriter, Inventory, Searcher};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{Config, KEEP_DAYS_LAW};
use crate::spine::Spine;

const LOOK: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;
/// Days that have to be searchable at once (LA-08: three months).
const SEARCHABLE_DAYS: i64 = 90;
/// Where the days of the last start are kept, in the data folder.
const FILE: &str = "search-keep-days";
/// Splits that one act names.
const NAMED_MAX: usize = 200;

/// What is kept, and what goes.
pub struct Retention {
    /// Told to the index: what was received before this moment goes.
    pub expired: Arc<AtomicI64>,
    days: Option<u32>,
    because: Option<String>,
    kept: PathBuf,
    clock: Clock,
    searcher: Searcher,
    is_new: bool,
}

impl Retention {
    /// As configured.
    pub fn new(config: &Config, clock: &Clock, index: &IndexWriter) -> Retention {
        Retention {
            expired: Arc::new(AtomicI64::new(i64::MIN)),
            days: config.keep_days,
            because: config.keep_shorter_because.clone(),
            kept: config.data_dir.join(FILE),
            clock: clock.clone(),
            searcher: index.searcher(),
            is_new: index.position() == LedgerIndex(0),
        }
    }

    /// Records that the setting is another one than at the start before.
    ///
    /// # Errors
    /// It cannot be recorded: it is not used then.
    pub async fn tell_change(&self, spine: &Spine) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.kept).unwrap_or_default();
        let before: Option<u32> = text.trim().parse().ok();
        if let Some(detail) = change(before, self.days, self.because.as_deref(), self.is_new) {
            if detail["shorter"] == true {
                tracing::warn!(
                    days = self.days,
                    "Records can be searched for a shorter time than before."
                );
            }
            spine.act("retention.change", "docket", detail).await?;
        }
        std::fs::write(&self.kept, self.days.map_or(String::new(), |d| d.to_string()))?;
        Ok(())
    }

    /// Lets go of what is due until the server stops.
    pub async fn run(self, spine: Spine, mut stop: watch::Receiver<bool>) {
        let Some(days) = self.days else { return };
        let mut told: Option<Millis> = None;
        loop {
            let now = self.clock.now();
            if told.is_none_or(|at| now - at >= DAY_MS) {
                told = Some(now);
                let left = self.searcher.inventory().dropped.map(|d| d.received_before);
                if let Some(detail) = short(left, now)
                    && let Err(error) = spine.act("retention.short", "docket", detail).await
                {
                    tracing::warn!(%error, "That too little can be searched was not recorded.");
                }
            }
            let before = Millis(self.clock.now().0 - i64::from(days) * DAY_MS);
            if let Some(detail) = due(&self.searcher.inventory(), before, days) {
                // What cannot be recorded does not happen.
                match spine.act("retention.delete", "docket", detail).await {
                    Ok(_) => self.expired.store(before.0, Ordering::Relaxed),
                    Err(error) => tracing::warn!(%error, "Splits stay: that they go could not be recorded."),
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.wait_for(|s| *s) => return,
            }
        }
    }
}

/// What there is to tell of a setting.
fn change(before: Option<u32>, days: Option<u32>, because: Option<&str>, is_new: bool) -> Option<Value> {
    let below_law = days.is_some_and(|d| d < KEEP_DAYS_LAW);
    if before == days && !below_law {
        return None;
    }
    let forever = u32::MAX;
    let shorter = !is_new && days.unwrap_or(forever) < before.unwrap_or(forever);
    Some(json!({
        "source": "the search index",
        "days": days,
        "before": before,
        "shorter": shorter || below_law,
        "below_law": below_law,
        "because": because,
    }))
}

/// That records left the index which are younger than what has to be searchable at once.
fn short(left_before: Option<Millis>, now: Millis) -> Option<Value> {
    let days = (now - left_before?) / DAY_MS;
    (days < SEARCHABLE_DAYS).then(|| {
        json!({
            "source": "the search index", "searchable_days": days, "stored_days": "all",
            "required_days": SEARCHABLE_DAYS, "searchable_since": left_before.map(|at| at.to_string()),
        })
    })
}

/// What is to go, told before it goes.
fn due(inventory: &Inventory, before: Millis, days: u32) -> Option<Value> {
    let old = inventory.received_before(before);
    let (first, last) = (old.iter().map(|s| s.first).min()?, old.iter().map(|s| s.last).max()?);
    let names: Vec<String> = old.iter().take(NAMED_MAX).map(|s| s.name()).collect();
    Some(json!({
        "part": format!("{} splits of the search index", old.len()),
        "splits": names,
        "events": old.iter().map(|s| s.events).sum::<u64>(),
        "first": first.to_string(),
        "last": last.to_string(),
        "received_before": before.to_string(),
        "days": days,
        "expired": true,
        "hold": false,
        "ledger": "kept",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use search::SplitInfo;

    #[test]
    fn what_is_shortened_is_told_and_below_the_law_each_time() {
        let shorter = |before, days, is_new| change(before, days, None, is_new).map(|d| d["shorter"] == json!(true));
        assert_eq!(shorter(None, None, true), None);
        assert_eq!(shorter(Some(400), Some(400), false), None);
        assert_eq!(shorter(None, Some(400), true), Some(false));
        assert_eq!(shorter(None, Some(400), false), Some(true));
        assert_eq!(shorter(Some(400), Some(200), false), Some(true));
        assert_eq!(shorter(Some(200), Some(400), false), Some(false));
        assert_eq!(shorter(Some(200), None, false), Some(false));
        assert_eq!(shorter(Some(30), Some(30), false), Some(true));
    }

    #[test]
    fn less_than_three_months_are_told() {
        let day = |n: i64| Millis(n * DAY_MS);
        assert_eq!(short(None, day(100)), None);
        assert_eq!(short(Some(day(10)), day(100)), None);
        let told = short(Some(day(11)), day(100)).unwrap();
        assert_eq!(
            (&told["searchable_days"], &told["required_days"]),
            (&json!(89), &json!(90))
        );
    }

    #[test]
    fn only_splits_of_which_every_record_is_old_go() {
        let split = |generation: u64, received: i64| SplitInfo {
            generation,
            number: 0,
            events: 10,
            first: Millis(1),
            last: Millis(2),
            days: Vec::new(),
            leaves: (LedgerIndex(0), LedgerIndex(9)),
            received: (Millis(0), Millis(received)),
            sources: None,
            bytes: 1,
        };
        let inventory = Inventory {
            position: LedgerIndex(30),
            events: 25,
            hot_events: 5,
            hot_segments: 1,
            splits: vec![split(2, 1_000), split(1, 999)],
            open: 0,
            dropped: None,
        };
        assert_eq!(due(&inventory, Millis(999), 200), None);
        let detail = due(&inventory, Millis(1_000), 200).unwrap();
        assert_eq!(
            (&detail["events"], &detail["splits"]),
            (&json!(10), &json!(["split-000001-0"]))
        );
        assert_eq!(detail["expired"], true);
    }
}
