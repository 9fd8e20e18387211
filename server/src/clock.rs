//! The one clock. Everything below `server` is told the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use model::Millis;

/// The time: the machine's, or the demo's own.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    simulated: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// A clock that stands at `start` until it is set.
    pub fn simulated(start: Millis) -> Clock {
        Clock {
            simulated: Some(Arc::new(AtomicI64::new(start.0))),
        }
    }

    /// Whether it is the demo's own: what people and Docket itself have to do by some time cannot be asked of it.
    pub fn is_simulated(&self) -> bool {
        self.simulated.is_some()
    }

    /// Moves a simulated clock forward; it never goes back, nor beyond the machine's.
    pub fn set(&self, to: Millis) {
        if let Some(clock) = &self.simulated {
            clock.fetch_max(to.0.min(wall().0), Ordering::Relaxed);
        }
    }

    /// Now, UTC.
    pub fn now(&self) -> Millis {
        self.simulated
            .as_ref()
            .map_or_else(wall, |c| Millis(c.load(Ordering::Relaxed)))
    }
}

/// The machine's time.
pub fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
