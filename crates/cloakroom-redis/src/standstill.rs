//! Whether a server stood still a moment ago.
//!
//! A node of a cluster that says nothing for long may be replaced by its replica. When it goes on it does not know that yet, and
//! answers what it was asked meanwhile, and for a moment whatever else it is asked, as if it served those sessions still: with
//! how they were, and with writes that will be undone. So the others are asked first who serves them: see
//! [`cluster`](crate::cluster).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// In which a server that goes on hears from the others what happened. They tell each other ten times a second.
const A_MOMENT: Duration = Duration::from_secs(1);

pub(crate) struct Standstill {
    since: Instant,
    /// When the last one ended: in microseconds since then. 0: there was none.
    ended: AtomicU64,
}

impl Standstill {
    pub(crate) fn new() -> Self {
        Standstill { since: Instant::now(), ended: AtomicU64::new(0) }
    }

    /// It answers again.
    pub(crate) fn ended(&self) {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        self.ended.fetch_max(micros, Ordering::Release);
    }

    /// Whether it ended after that.
    pub(crate) fn ended_after(&self, asked: Instant) -> bool {
        self.end().is_some_and(|ended| ended >= asked)
    }

    /// Whether what was asked at that time was answered in a standstill's wake.
    pub(crate) fn concerns(&self, asked: Instant) -> bool {
        self.end().is_some_and(|ended| ended + A_MOMENT >= asked)
    }

    fn end(&self) -> Option<Instant> {
        match self.ended.load(Ordering::Acquire) {
            0 => None,
            micros => Some(self.since + Duration::from_micros(micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_before_its_end_or_a_moment_later_is_answered_in_its_wake() {
        let before = Instant::now();
        let standstill = Standstill::new();
        assert!(!standstill.concerns(before) && !standstill.ended_after(before));
        std::thread::sleep(Duration::from_micros(5));
        standstill.ended();
        let after = Instant::now();
        assert!(standstill.concerns(before) && standstill.ended_after(before));
        assert!(standstill.concerns(after + A_MOMENT / 2));
        assert!(!standstill.concerns(after + A_MOMENT * 2));
        std::thread::sleep(Duration::from_micros(5));
        assert!(!standstill.ended_after(Instant::now()));
    }
}
