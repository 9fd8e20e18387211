//! Policies that fell quiet when they were changed (LA-12): the alerts of the week after a change beside those of the week before.
//!
//! Looked at at the start and each hour. Told once for each change as an act `policy.quiet`, which a policy makes a finding of.
//! `policies-watched.json` in the data folder holds which version of a policy was seen since when.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use alert::{Filter, Store};
use model::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::app::{App, lock};
use crate::kept::{self, write_whole};
use crate::policy_changes;

const LOOK: Duration = Duration::from_secs(3600);
const FILE: &str = "policies-watched.json";
/// How long before and after a change alerts are counted.
const WEEK_MS: i64 = 7 * 86_400_000;
/// Alerts of the week before, or nothing can be said.
const BEFORE_MIN: u64 = 10;

/// A policy as it is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Watched {
    version: String,
    /// When that version was seen first.
    since: Millis,
    /// Its week is over, or it was there when the watching began.
    done: bool,
}

/// Policies by id.
type All = BTreeMap<String, Watched>;

/// Looks until the server stops.
pub async fn run(app: App, data_dir: PathBuf, mut stop: watch::Receiver<bool>) {
    loop {
        let (own, dir) = (app.clone(), data_dir.clone());
        let found = tokio::task::spawn_blocking(move || look(&own, &dir)).await;
        match found {
            Ok(Ok(found)) => {
                for detail in found {
                    tracing::warn!(policy = %detail["policy"], "Policy fell quiet after its change.");
                    if let Err(error) = app.spine.act("policy.quiet", "docket", detail).await {
                        tracing::warn!(%error, "Quiet policy not recorded.");
                    }
                }
            }
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "Changed policies were not looked at."),
            Err(error) => tracing::warn!(%error, "Changed policies were not looked at."),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}

fn look(app: &App, dir: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    let path = dir.join(FILE);
    let before: Option<All> = kept::read(&path, "remove it, and changes from then on are watched")?;
    let now = app.clock.now();
    let mut all = merged(before.as_ref(), &policy_changes::versions(dir)?, now);
    let found = over(&mut all, now, |id, since| raised(&lock(&app.alerts), id, since))?;
    if before.as_ref() != Some(&all) {
        write_whole(&path, &serde_json::to_vec(&all)?)?;
    }
    Ok(found)
}

/// What is watched now that these versions run. Those that run when the watching begins are no change.
fn merged(before: Option<&All>, running: &BTreeMap<String, String>, now: Millis) -> All {
    let watched = |(id, version): (&String, &String)| {
        let known = before.and_then(|b| b.get(id));
        let same = known.filter(|w| w.version == *version).cloned();
        let new = Watched {
            version: version.clone(),
            since: now,
            // What is new has no week before.
            done: known.is_none(),
        };
        (id.clone(), same.unwrap_or(new))
    };
    running.iter().map(watched).collect()
}

/// The changes whose week is over, and after which more than four fifths of the alerts did not come any more. `raised` counts the alerts
/// of a policy since a moment.
fn over(
    all: &mut All,
    now: Millis,
    raised: impl Fn(&str, Millis) -> anyhow::Result<u64>,
) -> anyhow::Result<Vec<Value>> {
    let mut out = Vec::new();
    for (id, watched) in all.iter_mut().filter(|(_, w)| !w.done && now - w.since >= WEEK_MS) {
        watched.done = true;
        let since = watched.since;
        let (week_after, to_now) = (since.plus_ms(WEEK_MS), raised(id, since)?);
        let after = to_now.saturating_sub(raised(id, week_after)?);
        let before = raised(id, since.plus_ms(-WEEK_MS))?.saturating_sub(to_now);
        if before >= BEFORE_MIN && after * 5 < before {
            out.push(json!({
                "policy": id, "version": watched.version, "changed": since.to_string(), "before": before, "after": after, "days": 7,
            }));
        }
    }
    Ok(out)
}

fn raised(store: &Store, policy: &str, since: Millis) -> anyhow::Result<u64> {
    let filter = Filter {
        policy: Some(policy.to_owned()),
        since: Some(since),
        ..Filter::default()
    };
    Ok(store.count(&filter)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_judged_by_the_week_before_and_after_it_once() {
        let versions = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
            all.iter().map(|(id, v)| ((*id).to_owned(), (*v).to_owned())).collect()
        };
        let day = |n: i64| Millis(n * 86_400_000);
        let first = merged(
            None,
            &versions(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]),
            day(0),
        );
        assert!(first.values().all(|w| w.done));
        let mut all = merged(
            Some(&first),
            &versions(&[("a", "2"), ("b", "2"), ("c", "2"), ("d", "1"), ("e", "1")]),
            day(10),
        );
        let watched: Vec<_> = all.iter().filter(|(_, w)| !w.done).map(|(id, _)| id.as_str()).collect();
        assert_eq!(watched, ["a", "b", "c"]);
        // Alerts by day: `a` falls from 10 to 1, `b` to 2, `c` had nine.
        let alerts = |id: &str| -> Vec<i64> {
            match id {
                "a" => [vec![2], vec![4; 10], vec![12], vec![18; 30]].concat(),
                "b" => [vec![4; 10], vec![12, 16]].concat(),
                _ => vec![4; 9],
            }
        };
        let raised = |id: &str, since: Millis| Ok(alerts(id).into_iter().filter(|d| day(*d) >= since).count() as u64);
        assert!(over(&mut all, Millis(day(17).0 - 1), raised).unwrap().is_empty());
        let found = over(&mut all, day(20), raised).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (&found[0]["policy"], &found[0]["before"], &found[0]["after"]),
            (&json!("a"), &json!(10), &json!(1))
        );
        assert!(over(&mut all, day(30), raised).unwrap().is_empty());
        let again = merged(Some(&all), &versions(&[("a", "2")]), day(31));
        assert_eq!(again["a"], all["a"]);
    }
}
