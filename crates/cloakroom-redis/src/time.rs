//! The server's clock, as far as this process knows it.
//!
//! Every script answers with the server's time. Between two such answers it is estimated: the last answer plus what has
//! passed since then on this machine's monotonic clock. Only plain reads are judged by the estimate; every write is
//! judged by the server, in the script that makes it.
//!
//! Why that is sound for reads: an answer's time was read after it was asked for and before it arrived, and each answer
//! holds the estimate within those bounds, so it is off by no more than a quick answer takes, and by a millisecond of
//! drift. A session may so be served, or taken for expired, that much beside its deadline, which is what happens to any
//! answer on its way; Redis removes it by itself at the deadline, and no write follows from what a read decided: the
//! script that makes one judges the deadline again. A jump of the server's clock is followed with the next answer, and at
//! the latest after [`FRESH`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::{Clock, Timestamp};
use parking_lot::Mutex;

/// An estimate older than this is to be refreshed: the next read asks for the time along with the value.
const FRESH: Duration = Duration::from_secs(10);
/// Scripts tell whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);

pub(crate) enum ServerTime {
    /// Estimated.
    Estimated(Mutex<Option<Sample>>),
    /// A test's own clock, in place of the server's.
    Manual(Arc<dyn Clock>),
}

/// The server's clock stood at `server`, as far as is known, when this machine's stood at `here`.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    here: Instant,
    server: Timestamp,
}

impl Sample {
    fn at(&self, here: Instant) -> Timestamp {
        self.server.after(here.saturating_duration_since(self.here))
    }
}

impl ServerTime {
    pub(crate) fn new(manual: Option<Arc<dyn Clock>>) -> Self {
        manual.map_or_else(|| ServerTime::Estimated(Mutex::new(None)), ServerTime::Manual)
    }

    /// The time now; `None` when the estimate is missing or too old.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.at(Instant::now())
    }

    /// The time now, from however old an answer.
    pub(crate) fn estimate(&self) -> Option<Timestamp> {
        match self {
            ServerTime::Manual(clock) => Some(clock.now()),
            ServerTime::Estimated(sample) => sample.lock().map(|sample| sample.at(Instant::now())),
        }
    }

    /// As [`now`](Self::now), for whoever has looked at the clock just before.
    pub(crate) fn at(&self, here: Instant) -> Option<Timestamp> {
        match self {
            ServerTime::Manual(clock) => Some(clock.now()),
            ServerTime::Estimated(sample) => {
                let sample = (*sample.lock())?;
                (here.saturating_duration_since(sample.here) <= FRESH).then(|| sample.at(here))
            }
        }
    }

    /// An answer that was asked for at `asked` and arrived at `arrived` told this time.
    pub(crate) fn observe(&self, asked: Instant, arrived: Instant, server: Timestamp) {
        let ServerTime::Estimated(kept) = self else { return };
        // It was read after we asked and before the answer arrived, to the millisecond.
        let (earliest, latest) = (server, server.after(arrived.saturating_duration_since(asked) + ROUNDING));
        let mut kept = kept.lock();
        let estimate = kept.map_or(earliest, |old| old.at(arrived));
        *kept = Some(Sample { here: arrived, server: estimate.clamp(earliest, latest) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Timestamp {
        Timestamp::from_millis(n)
    }

    #[test]
    fn the_quickest_answer_counts() {
        let time = ServerTime::new(None);
        let t0 = Instant::now();
        let at = |n| t0 + Duration::from_millis(n);
        assert_eq!(time.at(t0), None);
        // The server's clock is 1,000 ahead. Read at 5, arrived at 20.
        time.observe(at(0), at(20), ms(1_005));
        assert_eq!(time.at(at(30)), Some(ms(1_015)));
        // A quick one is closer.
        time.observe(at(40), at(42), ms(1_041));
        assert_eq!(time.at(at(50)), Some(ms(1_049)));
        // A slow one does not take that back.
        time.observe(at(60), at(160), ms(1_061));
        assert_eq!(time.at(at(160)), Some(ms(1_159)));
        // Too old to be trusted.
        assert_eq!(time.at(at(160) + FRESH + Duration::from_millis(1)), None);
    }

    #[test]
    fn a_clock_that_jumped_back_is_followed() {
        let time = ServerTime::new(None);
        let t0 = Instant::now();
        let at = |n| t0 + Duration::from_millis(n);
        time.observe(at(0), at(1), ms(100_000));
        time.observe(at(10), at(12), ms(90_000));
        // Read between 10 and 12, at 90,000.
        assert!((ms(90_008)..=ms(90_011)).contains(&time.at(at(20)).unwrap()));
    }
}
