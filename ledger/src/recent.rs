//! The leaves that were written last, in memory, so that readers in the writer's process need no disk for them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::tail::LEAF_HEADER;

/// Bytes of leaves that are kept.
const RECENT_BYTES_MAX: usize = 32 << 20;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    durable: AtomicU64,
    runs: Mutex<VecDeque<Run>>,
}

/// Leaves that were written together, as they are in the tail.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    first: u64,
    bytes: Bytes,
    /// Where each leaf begins, with its header.
    starts: Arc<[usize]>,
}

impl Recent {
    pub(crate) fn new(durable: u64) -> Recent {
        Recent {
            durable: AtomicU64::new(durable),
            runs: Mutex::default(),
        }
    }

    /// Leaves that are fsynced.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Adds leaves that were fsynced just now.
    pub(crate) fn publish(&self, first: u64, bytes: Bytes, starts: Vec<usize>) {
        let end = first + starts.len() as u64;
        {
            let mut runs = self.runs();
            runs.push_back(Run {
                first,
                bytes,
                starts: starts.into(),
            });
            let mut total: usize = runs.iter().map(|r| r.bytes.len()).sum();
            while total > RECENT_BYTES_MAX && runs.len() > 1 {
                total -= runs.pop_front().map_or(0, |r| r.bytes.len());
            }
        }
        self.durable.store(end, Ordering::Release);
    }

    /// The run that holds a leaf, if it is still here.
    pub(crate) fn run(&self, index: u64) -> Option<Run> {
        let runs = self.runs();
        let after = runs.partition_point(|r| r.first <= index);
        runs.get(after.checked_sub(1)?).filter(|r| index < r.end()).cloned()
    }

    fn runs(&self) -> MutexGuard<'_, VecDeque<Run>> {
        // A thread that panicked here left whole runs behind.
        self.runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Run {
    fn end(&self) -> u64 {
        self.first + self.starts.len() as u64
    }

    /// The leaves from `index` on; `index` must be in the run.
    pub(crate) fn from(&self, index: u64) -> impl Iterator<Item = Bytes> {
        (((index - self.first) as usize)..self.starts.len()).map(|at| {
            let end = self.starts.get(at + 1).copied().unwrap_or(self.bytes.len());
            self.bytes.slice(self.starts[at] + LEAF_HEADER..end)
        })
    }
}
