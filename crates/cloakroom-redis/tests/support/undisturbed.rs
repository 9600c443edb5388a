//! For tests of what has to happen within a time: whether the machine let anybody have that time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// Rounds that may be spoilt.
const ROUNDS: usize = 12;

/// Runs this, and once more where it failed while the machine was too busy: while a task that only looks at the clock came later to
/// its turn than `late`. A failure in a round in which nobody was late is one.
pub async fn undisturbed<R>(late: Duration, round: impl Fn() -> R)
where
    R: Future<Output = ()> + Send + 'static,
{
    for left in (0..ROUNDS).rev() {
        let latest = AtomicU64::new(0);
        let looks_at_the_clock = async {
            loop {
                let began = Instant::now();
                tokio::time::sleep(TICK).await;
                let micros = began.elapsed().saturating_sub(TICK).as_micros();
                latest.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        };
        let done = tokio::select! {
            done = tokio::spawn(round()) => done,
            () = looks_at_the_clock => unreachable!("it goes on"),
        };
        let Err(failed) = done else { return };
        let latest = Duration::from_micros(latest.load(Ordering::Relaxed));
        if left == 0 || latest <= late {
            std::panic::resume_unwind(failed.into_panic());
        }
        eprintln!("the machine was busy elsewhere for {latest:?}: that round does not count");
    }
}
