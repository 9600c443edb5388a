//! How long the writer waits for the next requests.
//!
//! The writer has just answered some callers. Those who go on writing come back within microseconds, and it pays to
//! wait for them: one flush of the disk then serves them all, instead of one for the first and another for the
//! rest. Nobody waits long for it: at most a quarter of what the last transaction took, and not at all where one
//! caller was answered.

use std::time::{Duration, Instant};

use crate::queue::Queue;

/// The longest wait for those who were just answered.
const LONGEST: Duration = Duration::from_millis(1);

/// What the last round showed.
pub(crate) struct Pace {
    /// Requests in the last batch: so many callers may be back soon.
    wanted: usize,
    /// Wait for them until then.
    patience: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Pace { wanted: 1, patience: Instant::now() }
    }

    /// Takes the next batch from the queue; `false` when it is closed and empty.
    ///
    /// Sleeps while there is nothing. Looking out for the next request instead, which would save being woken, takes the
    /// processor from those who are to bring it, and was slower for one caller as for many.
    pub(crate) fn take<T>(&mut self, queue: &Queue<T>, into: &mut Vec<T>) -> bool {
        queue.take(into, self.wanted, self.patience)
    }

    /// A batch of so many was answered, after so long.
    pub(crate) fn served(&mut self, requests: usize, took: Duration) {
        self.wanted = requests;
        self.patience = Instant::now() + (took / 4).min(LONGEST);
    }
}
