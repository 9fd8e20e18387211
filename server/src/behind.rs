//! What Docket has not read yet: a source whose records wait in Kafka is not silent.
//!
//! While a topic has been lagging for [`LAGS_MS`], or the broker is away, an act `source.behind` names its sources again and
//! again; the policy of silence (LA-09) then lets their clocks begin anew. The act is a record, so that a replay judges as
//! the live run did; and it ends by itself, so that nothing is held up by a Docket that was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ingest::source::kafka::{Health, KafkaHandle};
use serde_json::json;
use tokio::sync::watch;

use crate::spine::Spine;

/// How often the connection is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How long a topic lags, or the broker is away, before that is told: one that is read as it comes lags now and then.
const LAGS_MS: u128 = 10_000;
/// How often it is told while it lasts; less than the wait of a policy.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// What is known of the topics.
pub struct Behind {
    /// Which source a topic is, where its name does not say.
    sources: BTreeMap<String, String>,
    /// Sources that were ever read from Kafka.
    known: BTreeSet<String>,
    since: BTreeMap<String, Instant>,
    told: Option<Instant>,
}

impl Behind {
    /// `sources`: by topic, as configured; `topics`: those that the ledger holds records of.
    pub fn new<'a>(sources: BTreeMap<String, String>, topics: impl Iterator<Item = &'a str>) -> Behind {
        let mut behind = Behind {
            sources,
            known: BTreeSet::new(),
            since: BTreeMap::new(),
            told: None,
        };
        behind.known = topics
            .filter(|t| !t.starts_with("local."))
            .map(|t| behind.source(t))
            .collect();
        behind.known.remove(model::TOPIC_DOCKET);
        behind
    }

    /// Looks until the server stops.
    pub async fn run(mut self, handle: KafkaHandle, spine: Spine, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.wait_for(|s| *s) => return,
            }
            let health = handle.health();
            let Some((sources, records)) = self.look(&health, Instant::now()) else {
                continue;
            };
            tracing::info!(
                ?sources,
                records,
                connected = health.connected,
                "Sources not read up to their ends."
            );
            let detail = json!({"sources": sources, "records": records, "connected": health.connected});
            if let Err(error) = spine.act("source.behind", "docket", detail).await {
                tracing::warn!(%error, "Lag not recorded.");
            }
        }
    }

    /// The sources to be told of now, and how many records wait.
    fn look(&mut self, health: &Health, now: Instant) -> Option<(BTreeSet<String>, i64)> {
        let mut lag: BTreeMap<String, i64> = BTreeMap::new();
        for p in &health.partitions {
            *lag.entry(self.source(&p.topic)).or_default() += p.lag();
        }
        self.known.extend(lag.keys().cloned());
        let late = |source: &&String| !health.connected || lag.get(*source).is_some_and(|n| *n > 0);
        let late: BTreeSet<String> = self.known.iter().filter(late).cloned().collect();
        self.since.retain(|source, _| late.contains(source));
        for source in late {
            self.since.entry(source).or_insert(now);
        }
        let lagging = self
            .since
            .iter()
            .filter(|(_, since)| (now - **since).as_millis() >= LAGS_MS);
        let sources: BTreeSet<String> = lagging.map(|(source, _)| source.clone()).collect();
        if sources.is_empty() {
            self.told = None;
            return None;
        }
        if self.told.is_some_and(|told| now - told < TOLD_EVERY) {
            return None;
        }
        self.told = Some(now);
        let records = sources.iter().filter_map(|s| lag.get(s)).sum();
        Some((sources, records))
    }

    fn source(&self, topic: &str) -> String {
        source_of(&self.sources, topic)
    }
}

/// The source that a topic is: as configured, else as its name says.
pub fn source_of(sources: &BTreeMap<String, String>, topic: &str) -> String {
    let at_broker = topic.split('@').next().unwrap_or(topic);
    let named = || ingest::detection::topic_source(topic).unwrap_or(at_broker).to_owned();
    sources.get(at_broker).cloned().unwrap_or_else(named)
}

#[cfg(test)]
mod tests {
    use ingest::source::kafka::PartitionHealth;

    use super::*;

    fn health(connected: bool, partitions: &[(&str, i64)]) -> Health {
        let partitions = partitions.iter().map(|(topic, lag)| PartitionHealth {
            topic: (*topic).into(),
            partition: 0,
            position: 7,
            high_watermark: 7 + lag,
        });
        Health {
            connected,
            partitions: partitions.collect(),
            ..Health::default()
        }
    }

    #[test]
    fn what_lags_for_long_is_told_again_and_again() {
        let configured = BTreeMap::from([("old-topic".to_owned(), "crm".to_owned())]);
        let mut behind = Behind::new(configured, ["audit.linux@2", "local.web", "docket"].into_iter());
        let start = Instant::now();
        let mut look = |seconds: u64, health: &Health| {
            let told = behind.look(health, start + Duration::from_secs(seconds));
            told.map(|(sources, records)| (sources.into_iter().collect::<Vec<_>>().join(" "), records))
        };
        let some = |sources: &str, records| Some((sources.to_owned(), records));
        let lags = health(true, &[("old-topic", 5), ("audit.linux@2", 0)]);
        assert_eq!(look(0, &lags), None);
        assert_eq!(look(9, &lags), None);
        assert_eq!(look(10, &lags), some("crm", 5));
        assert_eq!(look(20, &lags), None, "it was told");
        assert_eq!(look(40, &lags), some("crm", 5));
        assert_eq!(look(50, &health(true, &[("old-topic", 0)])), None);
        assert_eq!(look(52, &lags), None, "it had caught up");
        // With the broker away nobody knows how much waits, of any source.
        assert_eq!(look(60, &health(false, &[])), None);
        assert_eq!(look(62, &health(false, &[])), some("crm", 0));
        assert_eq!(look(92, &health(false, &[])), some("crm linux", 0));
    }
}
