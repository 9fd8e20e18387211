//! The memory that what is under way may take, all together.
//!
//! Whoever is about to hold bytes for a shipper grows its share first. Where there is no room a request is told to
//! come again, and a connection is not read on: memory is bounded however many shippers there are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in blocks of this many.
const BLOCK_BYTES: usize = 1024;
/// What a record costs beside its payload.
pub const RECORD_COST_BYTES: usize = 256;

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as much is being taken already as memory is set aside for ([limits] held_bytes)")]
pub struct Full;

/// A bound on bytes, shared by all who hold some. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Budget {
        Budget(Arc::new(Semaphore::new(bytes / BLOCK_BYTES)))
    }

    /// A share of nothing yet.
    pub fn share(&self) -> Held {
        Held {
            budget: self.clone(),
            permit: None,
            bytes: 0,
        }
    }
}

/// A share of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Held {
    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds `more` bytes.
    ///
    /// # Errors
    /// [`Full`]: nothing changed.
    pub fn grow(&mut self, more: usize) -> Result<(), Full> {
        let blocks = self.blocks_for(more);
        if blocks > 0 {
            let got = self.budget.0.clone().try_acquire_many_owned(blocks).map_err(|_| Full)?;
            self.take(got);
        }
        self.bytes += more;
        Ok(())
    }

    /// Holds `more` bytes, as soon as there is room, or not at all.
    ///
    /// # Errors
    /// [`Full`]: there was no room all the while.
    pub async fn grow_within(&mut self, more: usize, patience: Duration) -> Result<(), Full> {
        let blocks = self.blocks_for(more);
        if blocks > 0 {
            let room = self.budget.0.clone().acquire_many_owned(blocks);
            let got = tokio::time::timeout(patience, room).await.map_err(|_| Full)?;
            self.take(got.map_err(|_| Full)?);
        }
        self.bytes += more;
        Ok(())
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            return;
        }
        let surplus = self.permits() - bytes.div_ceil(BLOCK_BYTES);
        self.bytes = bytes;
        if let Some(permit) = &mut self.permit {
            drop(permit.split(surplus));
        }
    }

    fn permits(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn blocks_for(&self, more: usize) -> u32 {
        let blocks = (self.bytes + more).div_ceil(BLOCK_BYTES).saturating_sub(self.permits());
        u32::try_from(blocks).unwrap_or(u32::MAX)
    }

    fn take(&mut self, got: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(permit) => permit.merge(got),
            None => self.permit = Some(got),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_budget() {
        let budget = Budget::new(10 * BLOCK_BYTES);
        let (mut a, mut b) = (budget.share(), budget.share());
        a.grow(1).unwrap();
        a.grow(BLOCK_BYTES - 1).unwrap();
        assert_eq!(budget.0.available_permits(), 9);
        b.grow(9 * BLOCK_BYTES).unwrap();
        assert_eq!(a.grow(1), Err(Full));
        assert_eq!(a.bytes(), BLOCK_BYTES);
        b.shrink_to(BLOCK_BYTES + 1);
        assert_eq!(budget.0.available_permits(), 7);
        a.grow(1).unwrap();
        drop((a, b));
        assert_eq!(budget.0.available_permits(), 10);
    }
}
