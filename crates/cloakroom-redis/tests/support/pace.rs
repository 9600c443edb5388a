//! For tests of how soon something happens: a clock that goes only as fast as the machine lets those go who wait for their turn.
//!
//! A machine that is busy elsewhere, or stands still for a moment, makes everything late, and no limit on the clock on the wall is wide
//! enough for that. Here a turn that comes late counts as one that came in time: whatever takes a few turns on an idle machine takes a few
//! on a busy one. What waits for something, a timer or a try that comes too late, takes as many as ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// From one turn to the next; the clock shows nothing finer.
const TURN: Duration = Duration::from_millis(10);

/// Runs on the runtime that it was made on, for as long as one of its copies is there.
#[derive(Clone)]
pub struct Pace(Arc<Clock>);

struct Clock {
    turns: Arc<AtomicU64>,
    counting: tokio::task::AbortHandle,
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.counting.abort();
    }
}

/// A moment by such a clock.
#[derive(Clone)]
pub struct Moment {
    pace: Pace,
    at: Duration,
}

impl Pace {
    pub fn here() -> Self {
        let turns = Arc::new(AtomicU64::new(0));
        let counted = turns.clone();
        let counting = tokio::spawn(async move {
            loop {
                tokio::time::sleep(TURN).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Pace(Arc::new(Clock { turns, counting: counting.abort_handle() }))
    }

    pub fn now(&self) -> Moment {
        Moment { pace: self.clone(), at: self.since_it_was_made() }
    }

    fn since_it_was_made(&self) -> Duration {
        TURN * u32::try_from(self.0.turns.load(Ordering::Relaxed)).unwrap()
    }

    /// What comes of this within so much time; nothing where it takes longer.
    pub async fn within<A>(&self, limit: Duration, it: impl Future<Output = A>) -> Option<A> {
        let began = self.now();
        let over = async {
            while began.elapsed() < limit {
                tokio::time::sleep(TURN).await;
            }
        };
        tokio::select! {
            biased;
            done = it => Some(done),
            () = over => None,
        }
    }
}

impl Moment {
    pub fn elapsed(&self) -> Duration {
        self.pace.since_it_was_made() - self.at
    }
}
