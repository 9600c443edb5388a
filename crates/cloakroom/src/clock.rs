//! Time as the stores see it.
//!
//! Deadlines belong to the record and are judged by the clock of the *store*: two nodes with clocks an hour
//! apart must agree on whether a session has ended. Embedded stores (memory, SQLite) take a [`Clock`],
//! so that a test can move the time by hand.

use std::fmt;
use std::time::{Duration, Instant};
#[cfg(not(target_os = "linux"))]
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time: whole milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Later than everything: "never" for a deadline.
    pub const NEVER: Timestamp = Timestamp(u64::MAX);

    /// The point `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment plus `d`; [`Timestamp::NEVER`] where that overflows.
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Timestamp(self.0.saturating_add(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long until `later`; zero when it has passed.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Timestamp::NEVER { f.write_str("never") } else { write!(f, "{}ms", self.0) }
    }
}

/// The moment on this process's clock that is `d` from now. Applications write "never" as [`Duration::MAX`], which is later
/// than an `Instant` can say: it is as good as never thirty years from now. For stores, which are given such durations as well.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let never = cloakroom::clock::deadline_in(Duration::MAX);
/// assert!(never > Instant::now() + Duration::from_secs(3600));
/// ```
#[must_use]
pub fn deadline_in(d: Duration) -> Instant {
    deadline_after(Instant::now(), d)
}

/// The same, so long after `began`.
#[must_use]
pub fn deadline_after(began: Instant, d: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    began.checked_add(d.min(NEVER)).unwrap_or(began)
}

/// Where an embedded store takes the time from.
pub trait Clock: Send + Sync + 'static {
    /// The current moment. It may jump backwards; nothing in a store relies on it being monotonic.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock. On Linux the coarse one (`CLOCK_REALTIME_COARSE`, clock_gettime(2)), which is up to a tick
/// of the kernel behind, 1 to 10 ms: deadlines and leases are no finer than that, and each step of a store reads it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> Timestamp {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        // Before 1970 it is 1970; nanoseconds are less than a second.
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
        Timestamp::from_millis(
            seconds.unwrap_or(0).saturating_mul(1_000).saturating_add(nanos.unwrap_or(0) / 1_000_000),
        )
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}
