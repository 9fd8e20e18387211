//! Parts of Docket that fail without stopping: a disk that fills, stages that do not go on, Kafka that lags, datagrams that were dropped.
//!
//! Looked at twice a minute; told as an act `logging.fails` when it begins, and again each day while it lasts. A policy makes a
//! finding of it (LA-09).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::LedgerIndex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::app::App;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(30);
/// How long a stage may stand still, or Kafka lag or be away, while records wait.
const STANDS: Duration = Duration::from_secs(300);
/// How often what lasts is told.
const TOLD_EVERY: Duration = Duration::from_secs(86_400);
/// What the kernel dropped, among what did not come in.
const DROPPED: &str = "udp_dropped";

/// What a look sees.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// Percent of the data folder's disk in use, as `df` has it.
    disk_percent: Option<u64>,
    durable: u64,
    judged: u64,
    searchable: u64,
    /// Records that wait in Kafka and whether the broker answers; `None` where none is configured.
    kafka: Option<(i64, bool)>,
    /// Datagrams that the kernel dropped so far, by source.
    dropped: BTreeMap<String, u64>,
}

/// What was seen before.
#[derive(Debug)]
pub struct Failing {
    data_dir: PathBuf,
    disk_percent_max: u64,
    /// Where each stage stood, and since when.
    stood: BTreeMap<&'static str, (u64, Instant)>,
    lags_since: Option<Instant>,
    dropped: BTreeMap<String, u64>,
    told: BTreeMap<String, Instant>,
}

impl Failing {
    /// `disk_percent_max`: how full the disk of the data folder may be.
    pub fn new(data_dir: &Path, disk_percent_max: u64) -> Failing {
        Failing {
            data_dir: data_dir.to_owned(),
            disk_percent_max,
            stood: BTreeMap::new(),
            lags_since: None,
            dropped: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Looks until the server stops.
    pub async fn run(mut self, app: App, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.wait_for(|s| *s) => return,
            }
            let seen = see(&app, &self.data_dir);
            for detail in self.look(&seen, Instant::now()) {
                tracing::warn!(part = %detail["part"], reason = %detail["reason"], "A part of Docket fails.");
                if let Err(error) = app.spine.act("logging.fails", "docket", detail).await {
                    tracing::warn!(%error, "Failure not recorded.");
                }
            }
        }
    }

    /// What is to be told now.
    fn look(&mut self, seen: &Seen, now: Instant) -> Vec<Value> {
        let mut fails: Vec<(String, String)> = Vec::new();
        if let Some(percent) = seen.disk_percent.filter(|percent| *percent > self.disk_percent_max) {
            let reason = format!(
                "the disk of the data folder is {percent} % full, {} are allowed",
                self.disk_percent_max
            );
            fails.push(("disk".to_owned(), reason));
        }
        for (part, at) in [("judgement", seen.judged), ("index", seen.searchable)] {
            let (stood, since) = self.stood.entry(part).or_insert((at, now));
            if *stood != at || at >= seen.durable {
                (*stood, *since) = (at, now);
            } else if now - *since >= STANDS {
                let minutes = (now - *since).as_secs() / 60;
                let reason = format!(
                    "{} records wait, and none has been taken for {minutes} minutes",
                    seen.durable - at
                );
                fails.push((part.to_owned(), reason));
            }
        }
        match seen.kafka {
            Some((lag, connected)) if lag > 0 || !connected => {
                let since = *self.lags_since.get_or_insert(now);
                if now - since >= STANDS {
                    let minutes = (now - since).as_secs() / 60;
                    let what = if connected {
                        format!("{lag} records wait in Kafka")
                    } else {
                        "the Kafka broker does not answer".to_owned()
                    };
                    fails.push(("kafka".to_owned(), format!("{what}, for {minutes} minutes now")));
                }
            }
            _ => self.lags_since = None,
        }
        for (source, dropped) in &seen.dropped {
            let before = self.dropped.insert(source.clone(), *dropped).unwrap_or(0);
            if *dropped > before {
                let reason = format!("the kernel dropped {} datagrams of {source}", dropped - before);
                fails.push((format!("datagrams of {source}"), reason));
            }
        }
        let failing: BTreeSet<&String> = fails.iter().map(|(part, _)| part).collect();
        // Datagrams are dropped at a moment, and are told of once a day all the same.
        self.told
            .retain(|part, told| failing.contains(part) || (part.starts_with("datagrams") && now - *told < TOLD_EVERY));
        fails.retain(|(part, _)| self.told.get(part).is_none_or(|told| now - *told >= TOLD_EVERY));
        self.told.extend(fails.iter().map(|(part, _)| (part.clone(), now)));
        let detail = |(part, reason)| json!({"part": part, "reason": reason});
        fails.into_iter().map(detail).collect()
    }
}

fn see(app: &App, data_dir: &Path) -> Seen {
    let LedgerIndex(durable) = *app.spine.durable().borrow();
    let kafka = app.kafka.as_ref().map(|kafka| {
        let health = kafka.health();
        (health.partitions.iter().map(|p| p.lag()).sum(), health.connected)
    });
    let losses = &app.intake.losses;
    let dropped = |source: String| Some((losses.of(&source).get(DROPPED).copied()?, source));
    Seen {
        disk_percent: percent_used(data_dir),
        durable,
        judged: app.progress.position().0,
        searchable: app.searchable.load(std::sync::atomic::Ordering::Relaxed),
        kafka,
        dropped: losses
            .sources()
            .into_iter()
            .filter_map(dropped)
            .map(|(n, s)| (s, n))
            .collect(),
    }
}

/// How much of a folder's disk is in use, of what users may use, as `df` has it.
fn percent_used(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    let usable = used.saturating_add(disk.f_bavail);
    (usable > 0).then(|| (u128::from(used) * 100).div_ceil(u128::from(usable)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(failing: &mut Failing, seen: &Seen, at: Instant) -> Vec<String> {
        let told = failing.look(seen, at);
        told.iter()
            .map(|d| format!("{}: {}", d["part"].as_str().unwrap(), d["reason"].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn what_fails_is_told_once_and_again_after_a_day() {
        let (mut failing, start) = (Failing::new(Path::new("/"), 80), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let full = Seen {
            disk_percent: Some(81),
            ..Seen::default()
        };
        let fine = Seen {
            disk_percent: Some(80),
            ..Seen::default()
        };
        assert!(told(&mut failing, &fine, at(0)).is_empty());
        let line = "disk: the disk of the data folder is 81 % full, 80 are allowed";
        assert_eq!(told(&mut failing, &full, at(60)), [line]);
        assert!(told(&mut failing, &full, at(120)).is_empty());
        assert_eq!(told(&mut failing, &full, at(60 + 86_400)), [line]);
        assert!(told(&mut failing, &fine, at(90_000)).is_empty());
        assert_eq!(told(&mut failing, &full, at(90_060)), [line]);
    }

    #[test]
    fn a_stage_that_stands_while_records_wait_is_told() {
        let (mut failing, start) = (Failing::new(Path::new("/"), 80), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let seen = |durable, judged, searchable| Seen {
            durable,
            judged,
            searchable,
            ..Seen::default()
        };
        assert!(told(&mut failing, &seen(10, 10, 10), at(0)).is_empty());
        // Nothing waits for an hour.
        assert!(told(&mut failing, &seen(10, 10, 10), at(3_600)).is_empty());
        assert!(told(&mut failing, &seen(20, 12, 12), at(3_660)).is_empty());
        assert!(told(&mut failing, &seen(20, 12, 13), at(3_959)).is_empty());
        assert_eq!(
            told(&mut failing, &seen(21, 12, 14), at(3_960)),
            ["judgement: 9 records wait, and none has been taken for 5 minutes"]
        );
        assert_eq!(
            told(&mut failing, &seen(21, 21, 14), at(4_260)),
            ["index: 7 records wait, and none has been taken for 5 minutes"]
        );
    }

    #[test]
    fn kafka_that_lags_and_datagrams_that_were_dropped_are_told() {
        let (mut failing, start) = (Failing::new(Path::new("/"), 80), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let seen = |kafka, dropped: &[(&str, u64)]| Seen {
            kafka,
            dropped: dropped.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect(),
            ..Seen::default()
        };
        assert!(told(&mut failing, &seen(Some((5, true)), &[]), at(0)).is_empty());
        assert!(told(&mut failing, &seen(Some((0, true)), &[]), at(60)).is_empty());
        assert!(told(&mut failing, &seen(Some((5, true)), &[]), at(120)).is_empty());
        assert_eq!(
            told(&mut failing, &seen(Some((7, true)), &[("fw", 3)]), at(420)),
            [
                "kafka: 7 records wait in Kafka, for 5 minutes now",
                "datagrams of fw: the kernel dropped 3 datagrams of fw"
            ]
        );
        assert!(told(&mut failing, &seen(Some((0, true)), &[("fw", 3)]), at(480)).is_empty());
        assert!(told(&mut failing, &seen(None, &[("fw", 9)]), at(540)).is_empty());
        assert_eq!(
            told(&mut failing, &seen(None, &[("fw", 10)]), at(87_000)),
            ["datagrams of fw: the kernel dropped 1 datagrams of fw"]
        );
        assert!(told(&mut failing, &seen(Some((0, false)), &[]), at(90_000)).is_empty());
        assert_eq!(
            told(&mut failing, &seen(Some((0, false)), &[]), at(90_300)),
            ["kafka: the Kafka broker does not answer, for 5 minutes now"]
        );
    }

    #[test]
    fn a_disk_has_a_part_in_use() {
        let percent = percent_used(Path::new("/")).unwrap();
        assert!((1..=100).contains(&percent), "{percent}");
        assert_eq!(percent_used(Path::new("/no/such/folder")), None);
    }
}
