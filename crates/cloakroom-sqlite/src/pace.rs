//! How long the writer waits for the next requests.
//!
//! The writer has just answered some callers. Those who go on writing come back within microseconds, and it pays to
//! wait for them: one flush of the disk then serves them all, instead of one for the first and another for the
//! rest. Nobody waits long for it: at most a quarter of what the last transaction took, and not at all where one
//! caller was answered.
//!
//! The writer does not sit idle until the last one is back. Once a share of them is there it begins the transaction
//! and runs those, while the others are on their way.

use std::time::{Duration, Instant};

use crate::queue::Queue;

/// Requests in one transaction, at most.
const MAX_BATCH: usize = 1024;

/// The longest wait for those who were just answered.
const LONGEST: Duration = Duration::from_millis(1);

/// In so many shares those are taken who are expected: each costs a wake-up.
const SHARES: usize = 4;

/// What the last round showed.
pub(crate) struct Pace {
    /// Requests in the last batch: so many callers may be back soon.
    expected: usize,
    /// Wait for them until then.
    patience: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Pace { expected: 1, patience: Instant::now() }
    }

    /// Takes the first of the next batch from the queue; `false` when it is closed and empty.
    ///
    /// Sleeps while there is nothing. Looking out for the next request instead, which would save being woken, takes the
    /// processor from those who are to bring it, and was slower for one caller as for many.
    pub(crate) fn take<T>(&self, queue: &Queue<T>, batch: &mut Vec<T>) -> bool {
        queue.take(batch, self.share(), self.patience, MAX_BATCH)
    }

    /// Adds those to a batch that came meanwhile, and waits a little for those who are still expected; `false` when the
    /// batch is complete.
    pub(crate) fn take_more<T>(&self, queue: &Queue<T>, batch: &mut Vec<T>) -> bool {
        let missing = self.expected.saturating_sub(batch.len());
        if missing == 0 {
            return false;
        }
        queue.take_in_time(
            batch,
            self.share().min(missing),
            self.patience,
            MAX_BATCH.saturating_sub(batch.len()),
        )
    }

    /// A batch of so many was answered, after so long.
    pub(crate) fn served(&mut self, requests: usize, took: Duration) {
        self.expected = requests;
        self.patience = Instant::now() + (took / 4).min(LONGEST);
    }

    fn share(&self) -> usize {
        self.expected.div_ceil(SHARES)
    }
}
