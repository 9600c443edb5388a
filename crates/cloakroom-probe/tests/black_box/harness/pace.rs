//! For what takes its time, or has to be done within one: a busy machine must be told apart from a defect.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

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
        let too_late = self.too_late(ms);
        if too_late.asked < too_late.within { Ok(()) } else { Err(too_late) }
    }

    /// It can be told by something else that the machine was too late.
    pub fn too_late(self, ms: u64) -> TooLate {
        TooLate { asked: self.0.elapsed(), within: Duration::from_millis(ms) }
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
    panic!("too late, however much time there was: {late:?}");
}

/// Waits until this is so, as long as a busy machine may take for what is merely waited for.
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not come to be that {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Milliseconds as the probe's options take them.
pub fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Something takes no longer than that, and where it did for once, which a busy machine may be the reason of: more often than not.
pub async fn takes_less_than(limit: Duration, what: &str, mut once: impl AsyncFnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 9 {
        took.push(once().await);
        let in_time = took.iter().filter(|took| **took < limit).count();
        if 2 * in_time > took.len() {
            return;
        }
    }
    panic!("{what}: took {took:?}, where it may take {limit:?}");
}

/// How long this takes.
pub async fn time<T>(what: impl Future<Output = T>) -> Duration {
    let began = Instant::now();
    what.await;
    began.elapsed()
}

/// These are still waited for a while after they were asked for.
pub async fn assert_wait<T>(asked: &[(&str, JoinHandle<T>)]) {
    tokio::time::sleep(Duration::from_millis(150)).await;
    for (what, asked) in asked {
        assert!(!asked.is_finished(), "{what} did not wait");
    }
}
