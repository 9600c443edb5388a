//! How much the store may hold, and how much it does.

use std::sync::atomic::{AtomicI64, Ordering};

use super::slab::SLOT_BYTES;
use super::slot::Slot;
use crate::store::{StoreError, StoreErrorKind};

/// Bytes of hash table for each entry: the number of a slot, half a hash and a control byte, at a load between 44 % and 88 %.
const TABLE_BYTES: usize = 13;
/// A bound is near when this many sessions, of this many bytes each, would reach it.
const NEAR: (i64, i64) = (64, 4096);

/// Counters over all shards, with their bounds. No write is counted that exceeds one.
pub(super) struct Bounds {
    /// Sessions, those that have expired and are not yet removed included.
    sessions: Counter,
    /// Sessions, markers and aliases.
    entries: Counter,
    /// Memory.
    bytes: Counter,
}

struct Counter {
    now: AtomicI64,
    max: i64,
}

/// What a write adds to the counters, or takes away.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Change {
    sessions: i64,
    entries: i64,
    bytes: i64,
}

/// The bound that a write would exceed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Full {
    Sessions(i64),
    Entries(i64),
    Bytes(i64),
}

impl Bounds {
    pub(super) fn new(max_sessions: usize, max_bytes: usize) -> Self {
        let max_sessions = i64::try_from(max_sessions).unwrap_or(i64::MAX);
        Bounds {
            sessions: Counter::new(max_sessions),
            // Room to remember one ending for each session there may be.
            entries: Counter::new(max_sessions.saturating_mul(2)),
            bytes: Counter::new(i64::try_from(max_bytes).unwrap_or(i64::MAX)),
        }
    }

    /// Counts a write before it is made, unless that would exceed a bound: then nothing is counted, and the
    /// write must not be made.
    pub(super) fn count(&self, change: Change) -> Result<(), Full> {
        if !self.sessions.add(change.sessions) {
            return Err(Full::Sessions(self.sessions.max));
        }
        if !self.entries.add(change.entries) {
            self.sessions.take_back(change.sessions);
            return Err(Full::Entries(self.entries.max));
        }
        if !self.bytes.add(change.bytes) {
            self.sessions.take_back(change.sessions);
            self.entries.take_back(change.entries);
            return Err(Full::Bytes(self.bytes.max));
        }
        Ok(())
    }

    /// Whether it is time to look for what has expired before this many bytes are written, as a new entry or
    /// in place of an older state of one.
    pub(super) fn is_near(&self, new_entry: bool, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes.is_near(bytes.saturating_add(NEAR.0 * NEAR.1))
            || new_entry && (self.sessions.is_near(NEAR.0) || self.entries.is_near(NEAR.0))
    }

    pub(super) fn sessions(&self) -> u64 {
        self.sessions.get()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

impl Counter {
    fn new(max: i64) -> Self {
        Counter { now: AtomicI64::new(0), max }
    }

    /// Adds, unless that leads over the bound. Taking away always succeeds, and so does adding nothing, which
    /// most writes do and which touches no shared memory.
    fn add(&self, change: i64) -> bool {
        if change <= 0 {
            if change < 0 {
                self.now.fetch_add(change, Ordering::Relaxed);
            }
            return true;
        }
        let add = |now: i64| now.checked_add(change).filter(|sum| *sum <= self.max);
        self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// As before a change that was added and is not made. What it took away is there after all, also where others have used the room
    /// in between: past the bound, then, until something goes.
    fn take_back(&self, change: i64) {
        self.now.fetch_sub(change, Ordering::Relaxed);
    }

    fn is_near(&self, headroom: i64) -> bool {
        self.now.load(Ordering::Relaxed) > self.max.saturating_sub(headroom)
    }

    fn get(&self) -> u64 {
        u64::try_from(self.now.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl Change {
    /// `new` takes the place of `old`.
    pub(super) fn replace(old: Option<&Slot>, new: &Slot) -> Self {
        let removed = old.map_or(Change::default(), Change::remove);
        let added = Change::remove(new);
        Change {
            sessions: removed.sessions - added.sessions,
            entries: removed.entries - added.entries,
            bytes: removed.bytes - added.bytes,
        }
    }

    /// `old` is removed.
    pub(super) fn remove(old: &Slot) -> Self {
        let bytes = SLOT_BYTES + TABLE_BYTES + old.heap_bytes();
        Change {
            sessions: -i64::from(old.is_live()),
            entries: -1,
            bytes: -i64::try_from(bytes).unwrap_or(i64::MAX),
        }
    }

    pub(super) fn and(self, other: Change) -> Self {
        Change {
            sessions: self.sessions + other.sessions,
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl From<Full> for StoreError {
    fn from(full: Full) -> Self {
        let what = match full {
            Full::Sessions(max) => format!(
                "the memory store is full: it holds {max} sessions (max_sessions), none of which has expired; \
                 new ones are refused until some end"
            ),
            Full::Entries(max) => format!(
                "the memory store is full: it holds {max} sessions and endings that are to be remembered (twice \
                 max_sessions); what would add to them is refused until markers expire"
            ),
            Full::Bytes(max) => format!(
                "the memory store is full: its sessions take {max} bytes (max_bytes) and none has expired; what \
                 would add to them is refused until some end or shrink"
            ),
        };
        StoreError::new(StoreErrorKind::Full, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Change = Change { sessions: -1, entries: 1, bytes: 0 };
    const BEGIN: Change = Change { sessions: 1, entries: 0, bytes: 0 };

    #[test]
    fn a_write_that_is_refused_is_not_counted_whatever_others_did_meanwhile() {
        let bounds = Bounds::new(1, 1_000);
        for full in [END, Change { entries: 0, bytes: 1_001, ..END }] {
            bounds.count(Change { sessions: 1, entries: 2, bytes: 0 }).unwrap();
            assert!(bounds.count(full).is_err());
            assert_eq!(bounds.sessions(), 1);
            assert!(bounds.count(BEGIN).is_err());
            bounds.count(Change { sessions: -1, entries: -2, bytes: 0 }).unwrap();
        }
        // Between a write and its being taken back somebody used the room that it seemed to make.
        bounds.sessions.add(1);
        bounds.sessions.add(-1);
        bounds.count(BEGIN).unwrap();
        bounds.sessions.take_back(-1);
        assert_eq!(bounds.sessions(), 2);
        assert!(bounds.count(BEGIN).is_err());
    }
}
