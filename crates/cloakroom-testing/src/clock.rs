use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom::clock::{Clock, Timestamp};

/// A clock that stands still until it is told to move. Clones share one time.
///
/// ```
/// use std::time::Duration;
/// use cloakroom::clock::Clock;
/// use cloakroom_testing::{ManualClock, ReferenceStore};
///
/// let clock = ManualClock::new();
/// let store = ReferenceStore::with_clock(clock.clone());
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3 * 60 * 60));       // the store's three hours pass at once
/// assert_eq!(before.until(clock.now()), Duration::from_secs(3 * 60 * 60));
/// # drop(store);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Stands at 2026-01-01 00:00:00 UTC.
    pub fn new() -> Self {
        Self::at(Timestamp::from_millis(1_767_225_600_000))
    }

    /// Stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        ManualClock(Arc::new(AtomicU64::new(now.as_millis())))
    }

    /// Moves forward by `d`, in whole milliseconds, and answers with the new time. Stops at
    /// [`Timestamp::NEVER`] instead of wrapping.
    pub fn advance(&self, d: Duration) -> Timestamp {
        let step = |now| Some(Timestamp::from_millis(now).after(d).as_millis());
        let before = match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step) {
            Ok(before) | Err(before) => before,
        };
        Timestamp::from_millis(before).after(d)
    }

    /// Stands at `now` from here on; backwards is allowed, as an operating system's clock may jump.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_time_that_moves_only_when_told() {
        let clock = ManualClock::at(Timestamp::from_millis(5));
        let other = clock.clone();
        assert_eq!(clock.advance(Duration::from_millis(10)), Timestamp::from_millis(15));
        assert_eq!(other.now(), Timestamp::from_millis(15));
        other.set(Timestamp::from_millis(7));
        assert_eq!(clock.now(), Timestamp::from_millis(7));
        assert_eq!(clock.advance(Duration::MAX), Timestamp::NEVER);
        assert_eq!(other.now(), Timestamp::NEVER);
    }
}
