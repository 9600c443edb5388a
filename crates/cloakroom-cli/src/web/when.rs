//! Points in time as people say them.

use std::time::Duration;

use cloakroom::clock::{Clock, SystemClock, Timestamp};

/// A moment, for a page: how long ago it was, and exactly when.
pub(crate) struct When {
    /// "3 min ago".
    pub(crate) ago: String,
    /// For `<time datetime>`: 2026-11-20T21:04:00Z.
    pub(crate) machine: String,
    /// For people who hover: 2026-11-20 21:04 UTC.
    pub(crate) exact: String,
}

impl When {
    pub(crate) fn of(moment: Timestamp) -> Self {
        When::seen_at(SystemClock.now(), moment)
    }

    fn seen_at(now: Timestamp, moment: Timestamp) -> Self {
        let millis = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
        let date = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        When {
            ago: match moment.until(now).as_secs() {
                0..5 => "just now".to_owned(),
                seconds => format!("{} ago", rough(Duration::from_secs(seconds))),
            },
            machine: date.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            exact: date.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        }
    }
}

/// A duration in its largest unit: "3 min".
pub(crate) fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// The part of a second, as a stopwatch would show it: "84 µs", "1.2 ms".
pub(crate) fn fine(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros @ 1000..10_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        micros @ 10_000..1_000_000 => format!("{} ms", micros / 1000),
        micros => format!("{:.1} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_roughly_and_exactly() {
        let then = Timestamp::from_millis(1_763_672_645_000);
        let after = |seconds| When::seen_at(then.after(Duration::from_secs(seconds)), then);
        assert_eq!(after(0).ago, "just now");
        assert_eq!(after(59).ago, "59 s ago");
        assert_eq!(after(3599).ago, "59 min ago");
        assert_eq!(after(7200).ago, "2 h ago");
        assert_eq!(after(864_000).ago, "10 days ago");
        assert_eq!(after(0).machine, "2025-11-20T21:04:05Z");
        assert_eq!(after(0).exact, "2025-11-20 21:04 UTC");
    }

    #[test]
    fn a_clock_that_jumped_back_is_no_reason_to_panic() {
        let then = Timestamp::from_millis(1000);
        assert_eq!(When::seen_at(Timestamp::default(), then).ago, "just now");
        assert_eq!(When::seen_at(then, Timestamp::NEVER).ago, "just now");
    }

    #[test]
    fn short_times_keep_their_unit() {
        assert_eq!(fine(Duration::from_micros(84)), "84 µs");
        assert_eq!(fine(Duration::from_micros(1234)), "1.2 ms");
        assert_eq!(fine(Duration::from_millis(45)), "45 ms");
        assert_eq!(fine(Duration::from_millis(1500)), "1.5 s");
    }
}
