//! For what takes its time, or has to be done within one: a busy machine must be told apart from a defect.

use std::time::{Duration, Instant};

/// What was asked came too late to show anything.
pub struct TooLate {
    asked: Duration,
    within: Duration,
}

/// From when on something lasts.
#[derive(Clone, Copy)]
pub struct Since(Instant);

impl Since {
    pub fn now() -> Self {
        Since(Instant::now())
    }

    /// All that was asked since then was asked, and answered, while it lasted for certain: it is there for so many milliseconds.
    pub fn within(self, ms: u64) -> Result<(), TooLate> {
        let (asked, within) = (self.0.elapsed(), Duration::from_millis(ms));
        if asked < within { Ok(()) } else { Err(TooLate { asked, within }) }
    }

    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Sleeps until so many milliseconds have passed.
    pub async fn sleep_until(self, ms: u64) {
        tokio::time::sleep_until((self.0 + Duration::from_millis(ms)).into()).await;
    }
}

/// Runs a case whose sessions, ids or leases last for a multiple of so many milliseconds only. Where the machine was too late for that,
/// which the case says before it looks at what came out, it is run once more with all times twice as long.
pub async fn given_time(ms: u64, case: impl AsyncFn(u64) -> Result<(), TooLate>) {
    let mut late = Vec::new();
    for doubled in 0..6 {
        match case(ms << doubled).await {
            Ok(()) => return,
            Err(TooLate { asked, within }) => late.push(format!("{asked:?} where there were {within:?}")),
        }
    }
    panic!("the machine is too slow for this: {late:?}");
}

/// Milliseconds as the probe's options take them.
pub fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
