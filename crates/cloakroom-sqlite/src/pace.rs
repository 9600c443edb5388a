//! How long the writer waits for the next requests, and how.
//!
//! The writer has just answered some callers. Those who go on writing come back within microseconds, and it pays to
//! wait for them: one flush of the disk then serves them all, instead of one for the first and another for the
//! rest. Nobody waits long for it: at most a quarter of what the last transaction took, and not at all where one
//! caller was answered.

use std::time::{Duration, Instant};

use crate::queue::Queue;

/// The longest wait for those who were just answered.
const LONGEST: Duration = Duration::from_millis(1);
/// How long to look out for the next request before going to sleep: about what sleeping and being woken costs.
const SPIN: Duration = Duration::from_micros(40);

/// What the last rounds showed.
pub(crate) struct Pace {
    /// Requests in the last batch: so many callers may be back soon.
    wanted: usize,
    /// Wait for them until then.
    patience: Instant,
    /// How often lately the next request came before it would have been worth to go to sleep.
    prompt: u8,
    alone: bool,
}

impl Pace {
    pub(crate) fn new() -> Self {
        // On a single core whoever spins keeps the callers from running.
        let alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
        Pace { wanted: 1, patience: Instant::now(), prompt: 0, alone }
    }

    /// Takes the next batch from the queue; `false` when it is closed and empty.
    pub(crate) fn take<T>(&mut self, queue: &Queue<T>, into: &mut Vec<T>) -> bool {
        let idle = Instant::now();
        let spin_until = idle + SPIN;
        if self.prompt >= PROMPT && !self.alone {
            queue.spin(self.wanted, spin_until);
        }
        let taken = queue.take(into, self.wanted, self.patience);
        let came_soon = Instant::now() < spin_until;
        self.prompt =
            if came_soon { (self.prompt + 1).min(2 * PROMPT) } else { self.prompt.saturating_sub(1) };
        taken
    }

    /// A batch of so many was answered, after so long.
    pub(crate) fn served(&mut self, requests: usize, took: Duration) {
        self.wanted = requests;
        self.patience = Instant::now() + (took / 4).min(LONGEST);
    }
}

/// Spinning begins after so many prompt requests and ends after as many tardy ones.
const PROMPT: u8 = 4;
