//! Empties the outbox into one channel.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use model::Millis;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use crate::{Channel, DeliveryState, Error, Outcome, Retry, Store};

/// Attempts under way at once on one channel.
const ATTEMPTS_MAX: usize = 16;
/// How long the courier sleeps at most: a notification that another process wrote is seen after this, in milliseconds.
const IDLE_MS_MAX: i64 = 1_000;
/// The wait after the store could not be read or written, in milliseconds.
const STORE_WAIT_MS: u64 = 1_000;

/// Sends the notifications of one channel. Each channel has its own courier and store, so that one that hangs holds up
/// no other.
pub struct Courier {
    store: Store,
    channel: Arc<dyn Channel>,
    retry: Retry,
    attempts: JoinSet<Outcome>,
    // By task, so that an attempt that panicked is known too.
    under_way: HashMap<Id, i64>,
}

impl Courier {
    /// A courier with a store of its own.
    #[must_use]
    pub fn new(store: Store, channel: Arc<dyn Channel>, retry: Retry) -> Courier {
        Courier {
            store,
            channel,
            retry,
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    /// Sends until `stop` is ready, then lets the attempts under way end. `wake` is notified after each commit that
    /// raised something; `clock` says what time it is, by the clock of [`Store::commit`]'s `now`.
    ///
    /// A store that cannot be read or written is tried again for ever: the alerts are on record, only their telling
    /// waits. Writing to it blocks the task for the length of a commit.
    pub async fn run(mut self, clock: impl Fn() -> Millis, wake: Arc<Notify>, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let idle = match self.start(clock()) {
                Ok(idle) => idle,
                Err(error) => {
                    tracing::error!(%error, channel = self.channel.name(), "Outbox cannot be read.");
                    Duration::from_millis(STORE_WAIT_MS)
                }
            };
            tokio::select! {
                Some(ended) = self.attempts.join_next_with_id() => self.ended(ended, &clock).await,
                () = wake.notified() => {}
                () = tokio::time::sleep(idle) => {}
                () = &mut stop => break,
            }
        }
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended, &clock).await;
        }
    }

    /// Starts what is due, as far as there is room; says how long nothing else will be due.
    fn start(&mut self, now: Millis) -> Result<Duration, Error> {
        let room = ATTEMPTS_MAX.saturating_sub(self.under_way.len());
        let busy: BTreeSet<i64> = self.under_way.values().copied().collect();
        if room > 0 {
            // Those under way are still pending in the store.
            let due = self.store.due(self.channel.name(), now, room + busy.len())?;
            for notice in due.into_iter().filter(|n| !busy.contains(&n.id)).take(room) {
                let (channel, id) = (self.channel.clone(), notice.id);
                let task = self.attempts.spawn(async move { channel.send(&notice).await });
                self.under_way.insert(task.id(), id);
            }
        }
        if !self.under_way.is_empty() {
            return Ok(Duration::from_millis(IDLE_MS_MAX as u64));
        }
        let next = self.store.next_due(self.channel.name())?;
        let wait = next.map_or(IDLE_MS_MAX, |at| (at - now).clamp(1, IDLE_MS_MAX));
        Ok(Duration::from_millis(wait as u64))
    }

    async fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>, clock: &impl Fn() -> Millis) {
        let (task, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => (
                error.id(),
                Outcome::Retry {
                    error: error.to_string(),
                    after_ms: None,
                },
            ),
        };
        let Some(id) = self.under_way.remove(&task) else { return };
        let mut tries = 0_u32;
        // What was sent and not recorded would be sent again: worth more than one try.
        while let Err(error) = self.record(id, &outcome, clock()) {
            tracing::error!(%error, delivery = id, "Delivery cannot be recorded.");
            tries += 1;
            if tries == 5 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(STORE_WAIT_MS)).await;
        }
    }

    fn record(&mut self, id: i64, outcome: &Outcome, now: Millis) -> Result<(), Error> {
        let channel = self.channel.name();
        match outcome {
            Outcome::Delivered => {
                tracing::debug!(channel, delivery = id, "Notification delivered.");
                self.store.delivered(id, now)
            }
            Outcome::Refused { error } => {
                tracing::error!(channel, delivery = id, error, "Notification refused.");
                self.store.refused(id, now, error)
            }
            Outcome::Retry { error, after_ms } => {
                match self.store.failed(id, now, error, *after_ms, &self.retry)? {
                    DeliveryState::Expired => {
                        tracing::error!(channel, delivery = id, error, "Notification given up.");
                    }
                    _ => tracing::warn!(channel, delivery = id, error, "Notification to be tried again."),
                }
                Ok(())
            }
        }
    }
}
