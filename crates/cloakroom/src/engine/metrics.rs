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

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    buckets: [Counter; BUCKETS.len()],
    count: Counter,
    micros: Counter,
}

impl Timing {
    pub(crate) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count.one();
        self.micros.add(micros);
        // Cumulative, as Prometheus wants them: the last bound that it exceeds ends the loop.
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS) {
            if micros <= bound {
                bucket.one();
            }
        }
    }

    /// An answer that was there at once.
    pub(crate) fn instant(&self) {
        self.record(Duration::ZERO);
    }
}

macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// The live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $(pub(crate) $name: Counter,)*
            pub(crate) store_latency: Timing,
            pub(crate) lock_wait: Timing,
        }

        /// The counters at one moment, each since the manager was made.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $(#[doc = $help] pub $name: u64,)*
        }

        impl Metrics {
            pub(crate) fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot { $($name: self.$name.now(),)* }
            }

            /// The text exposition format of Prometheus, version 0.0.4.
            pub(crate) fn prometheus(&self) -> String {
                let mut out = String::new();
                $(counter(&mut out, stringify!($name), $help, self.$name.now());)*
                timing(&mut out, "store_latency_seconds", "Time until the store answered.", &self.store_latency);
                timing(&mut out, "lock_wait_seconds", "Time until a lease was held.", &self.lock_wait);
                out
            }
        }
    };
}

counters! {
    opened: "Requests that opened their session.",
    sessions_created: "Sessions that were started.",
    sessions_renewed: "Ids that were replaced because they were due.",
    sessions_regenerated: "Ids that were replaced on request, logins included.",
    sessions_ended: "Sessions that were destroyed or revoked.",
    sessions_expired: "Requests that came with the id of an expired session.",
    logins: "Sessions that were bound to a user.",
    evicted: "Sessions that were ended by the cap on sessions per user.",
    commits: "Commits that the store acknowledged.",
    merges: "Commits that were merged with another request's changes.",
    conflicts_refused: "Requests whose changes rested on a value that another request had changed.",
    overwritten: "Keys overwritten although another request had changed them.",
    malformed_ids: "Cookies that cannot be an id of this server.",
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
    purged: "Entries removed from the store because their time was past.",
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    let _ = writeln!(out, "# HELP cloakroom_{name}_total {help}");
    let _ = writeln!(out, "# TYPE cloakroom_{name}_total counter");
    let _ = writeln!(out, "cloakroom_{name}_total {value}");
}

fn timing(out: &mut String, name: &str, help: &str, timing: &Timing) {
    let _ = writeln!(out, "# HELP cloakroom_{name} {help}");
    let _ = writeln!(out, "# TYPE cloakroom_{name} histogram");
    for (bucket, bound) in timing.buckets.iter().zip(BUCKETS) {
        let seconds = Duration::from_micros(bound).as_secs_f64();
        let _ = writeln!(out, "cloakroom_{name}_bucket{{le=\"{seconds}\"}} {}", bucket.now());
    }
    let count = timing.count.now();
    let _ = writeln!(out, "cloakroom_{name}_bucket{{le=\"+Inf\"}} {count}");
    let _ =
        writeln!(out, "cloakroom_{name}_sum {}", Duration::from_micros(timing.micros.now()).as_secs_f64());
    let _ = writeln!(out, "cloakroom_{name}_count {count}");
}
