//! Counters of what the engine did, readable at any time and printable for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS: [u64; 10] = [50, 100, 250, 500, 1_000, 2_500, 10_000, 50_000, 250_000, 1_000_000];

/// A number that only goes up.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A [`Counter`] of what the store had a part in. An answer of its that was there at once is counted with what it was asked for: each
/// counter that a request goes through costs it an exchange of memory.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    others: Counter,
    at_once: Counter,
}

impl Acts {
    pub(crate) fn one(&self) {
        self.others.one();
    }

    /// One whose answer was there at once: it counts in [`Metrics::store_latency`] as well.
    pub(crate) fn one_at_once(&self) {
        self.at_once.one();
    }

    fn now(&self) -> u64 {
        self.others.now() + self.at_once.now()
    }
}

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    /// Each call counts in one of them: they are added up when they are read.
    buckets: [Counter; BUCKETS.len()],
    beyond: Counter,
    /// Answers that were there at once, but for those that an [`Acts`] counts.
    instant: Counter,
    micros: Counter,
}

impl Timing {
    pub(crate) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.add(micros);
        match BUCKETS.iter().position(|bound| micros <= *bound).and_then(|n| self.buckets.get(n)) {
            Some(bucket) => bucket.one(),
            None => self.beyond.one(),
        }
    }

    /// With so many answers that were there at once and are counted elsewhere.
    fn snapshot(&self, instant: u64) -> TimingSnapshot {
        let mut buckets = [0; BUCKETS.len()];
        let mut so_far = self.instant.now() + instant;
        for (sum, bucket) in buckets.iter_mut().zip(&self.buckets) {
            so_far += bucket.now();
            *sum = so_far;
        }
        TimingSnapshot { count: so_far + self.beyond.now(), micros: self.micros.now(), buckets }
    }

    /// An answer that was there at once.
    pub(crate) fn instant(&self) {
        self.instant.one();
    }
}

/// How long calls took, since the manager was made: a histogram, as [`MetricsSnapshot`] holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TimingSnapshot {
    /// How many there were.
    pub count: u64,
    /// Their sum, in microseconds.
    pub micros: u64,
    /// How many took no longer than the bound of the same place in [`TimingSnapshot::BOUNDS`]; cumulative.
    pub buckets: [u64; BUCKETS.len()],
}

impl TimingSnapshot {
    /// Upper bounds of the buckets, in microseconds.
    pub const BOUNDS: [u64; BUCKETS.len()] = BUCKETS;

    /// What was added since an earlier snapshot of the same manager.
    #[must_use]
    pub fn since(&self, earlier: &TimingSnapshot) -> TimingSnapshot {
        let mut buckets = self.buckets;
        for (now, then) in buckets.iter_mut().zip(earlier.buckets) {
            *now = now.saturating_sub(then);
        }
        TimingSnapshot {
            count: self.count.saturating_sub(earlier.count),
            micros: self.micros.saturating_sub(earlier.micros),
            buckets,
        }
    }

    /// The duration that this part of the calls, 0 to 1, stayed below: estimated within its bucket, as Prometheus'
    /// `histogram_quantile` does. `None` without calls; the last bound for what lies beyond it.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = part.clamp(0.0, 1.0) * self.count as f64;
        let (mut lower, mut below) = (0, 0);
        for (within, bound) in self.buckets.into_iter().zip(BUCKETS) {
            if within as f64 >= rank {
                let here = within.saturating_sub(below).max(1) as f64;
                let share = ((rank - below as f64) / here).clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64((lower as f64 + share * (bound - lower) as f64) / 1e6));
            }
            (lower, below) = (bound, within);
        }
        Some(Duration::from_micros(lower))
    }
}

macro_rules! counters {
    (@kind) => { Counter };
    (@kind $kind:ident) => { $kind };
    ($($name:ident $(($kind:ident))?: $help:literal,)*) => {
        /// The live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $(pub(crate) $name: counters!(@kind $($kind)?),)*
            pub(crate) store_latency: Timing,
            pub(crate) lock_wait: Timing,
        }

        /// The counters at one moment, each since the manager was made.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $(#[doc = $help] pub $name: u64,)*
            /// Time until the store answered.
            pub store_latency: TimingSnapshot,
            /// Time until a lease was held.
            pub lock_wait: TimingSnapshot,
        }

        impl Metrics {
            pub(crate) fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot {
                    $($name: self.$name.now(),)*
                    store_latency: self.store_latency(),
                    lock_wait: self.lock_wait.snapshot(0),
                }
            }

            /// The text exposition format of Prometheus, version 0.0.4.
            pub(crate) fn prometheus(&self) -> String {
                let mut out = String::new();
                $(counter(&mut out, stringify!($name), $help, self.$name.now());)*
                timing(&mut out, "store_latency_seconds", "Time until the store answered.", &self.store_latency());
                timing(&mut out, "lock_wait_seconds", "Time until a lease was held.", &self.lock_wait.snapshot(0));
                out
            }
        }
    };
}

counters! {
    opened (Acts): "Requests that opened their session.",
    sessions_created: "Sessions that were started.",
    sessions_renewed: "Ids that were replaced because they were due.",
    sessions_regenerated: "Ids that were replaced on request, logins included.",
    sessions_ended: "Sessions that were destroyed or revoked.",
    sessions_expired: "Requests that came with the id of an expired session.",
    logins: "Sessions that were bound to a user.",
    evicted: "Sessions that were ended by the cap on sessions per user.",
    commits (Acts): "Commits that the store acknowledged.",
    merges: "Commits that were merged with another request's changes.",
    conflicts_refused: "Requests whose changes rested on a value that another request had changed.",
    replays: "Requests that were run again after a conflict.",
    overwritten: "Keys overwritten although another request had changed them.",
    malformed_ids: "Cookies that cannot be an id of this server, and requests with too many bytes of them.",
    excess_ids: "Requests with more different ids than are looked up: those that sort last were left out.",
    unknown_ids: "Well-formed ids that no store knows; never adopted.",
    obsolete_ids: "Ids presented after they had been replaced and past their grace.",
    ambiguous_ids: "Requests with several live sessions, served as anonymous.",
    lock_waits: "Times a request had to wait for a lease.",
    lock_timeouts: "Times a lease was not to be had in time.",
    leases_lost: "Writes refused because the lease had run out or was taken over.",
    resurrections_prevented: "Writes of late requests that found their session ended.",
    lost_records: "Records that vanished from the store before their deadline.",
    touches: "Idle deadlines that a read slid.",
    unavailable: "Store calls that failed or were not answered in time.",
    background_dropped: "Touches, commits whose clients had gone, and releases that were not answered at once, that were left out because too much work was under way.",
    background_waits: "Calls that waited until less work was under way, or were refused for it.",
    purged: "Entries removed from the store because their time was past.",
}

impl Metrics {
    /// Time until the store answered, whatever it was counted with.
    fn store_latency(&self) -> TimingSnapshot {
        self.store_latency.snapshot(self.opened.at_once.now() + self.commits.at_once.now())
    }
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    let _ = writeln!(out, "# HELP cloakroom_{name}_total {help}");
    let _ = writeln!(out, "# TYPE cloakroom_{name}_total counter");
    let _ = writeln!(out, "cloakroom_{name}_total {value}");
}

fn timing(out: &mut String, name: &str, help: &str, taken: &TimingSnapshot) {
    let _ = writeln!(out, "# HELP cloakroom_{name} {help}");
    let _ = writeln!(out, "# TYPE cloakroom_{name} histogram");
    for (sum, bound) in taken.buckets.iter().zip(BUCKETS) {
        let seconds = Duration::from_micros(bound).as_secs_f64();
        let _ = writeln!(out, "cloakroom_{name}_bucket{{le=\"{seconds}\"}} {sum}");
    }
    let _ = writeln!(out, "cloakroom_{name}_bucket{{le=\"+Inf\"}} {}", taken.count);
    let _ = writeln!(out, "cloakroom_{name}_sum {}", Duration::from_micros(taken.micros).as_secs_f64());
    let _ = writeln!(out, "cloakroom_{name}_count {}", taken.count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_the_bucket_of_the_call_it_stands_for() {
        let timing = Timing::default();
        assert_eq!(timing.snapshot(0).quantile(0.5), None);
        for micros in [10, 20, 30, 700, 900_000] {
            timing.record(Duration::from_micros(micros));
        }
        let taken = timing.snapshot(0);
        let micros = |part| taken.quantile(part).unwrap().as_micros();
        assert!((1..=50).contains(&micros(0.5)), "{}", micros(0.5));
        assert!((501..=1000).contains(&micros(0.8)), "{}", micros(0.8));
        assert!((250_001..=1_000_000).contains(&micros(1.0)), "{}", micros(1.0));
    }

    #[test]
    fn a_quantile_beyond_the_last_bound_is_that_bound() {
        let timing = Timing::default();
        timing.record(Duration::from_secs(60));
        assert_eq!(timing.snapshot(0).quantile(0.5), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_was_answered_at_once_counts_as_what_was_asked_for_and_as_an_answer() {
        let metrics = Metrics::default();
        metrics.opened.one();
        metrics.opened.one_at_once();
        metrics.commits.one_at_once();
        metrics.store_latency.instant();
        let taken = metrics.snapshot();
        assert_eq!((taken.opened, taken.commits), (2, 1));
        assert_eq!((taken.store_latency.count, taken.store_latency.buckets), (3, [3; BUCKETS.len()]));
        let text = metrics.prometheus();
        for line in [
            "cloakroom_opened_total 2",
            "cloakroom_commits_total 1",
            "cloakroom_store_latency_seconds_count 3",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_difference_of_two_snapshots_is_what_came_between() {
        let timing = Timing::default();
        timing.record(Duration::from_millis(400));
        let earlier = timing.snapshot(0);
        timing.record(Duration::from_micros(40));
        let between = timing.snapshot(0).since(&earlier);
        assert_eq!((between.count, between.micros), (1, 40));
        assert!(between.quantile(1.0).unwrap() <= Duration::from_micros(50));
    }
}
