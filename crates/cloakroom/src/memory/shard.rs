//! One shard: the entries whose keys begin alike, under one lock.

use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::MutexGuard;

use super::bounds::{Bounds, Change, Full};
use super::recent::Recent;
use super::slab::Slab;
use super::slot::Slot;
use super::users::Users;
use super::wheel::Wheel;
use super::{SHARDS, WRITE_SLICE, shard_of};
use crate::clock::Timestamp;
use crate::ids::{StoreKey, UserId};
use crate::record::Record;
use crate::store::protocol::{Entry, Table};
use crate::store::{StoreError, StoreErrorKind, StoreFuture, Summary};

/// Entries, found by key, by time, or one after the other.
pub(super) struct Shard {
    /// Where the slots are, by the hash of their keys.
    table: HashTable<Entered>,
    slab: Slab,
    wheel: Wheel,
    /// Told of whatever happens to a slot.
    recent: Recent,
}

/// A slot in the table, with enough of its key's hash to file it anew without a look at the slot.
#[derive(Clone, Copy)]
struct Entered {
    slot: u32,
    hash: u32,
}

impl Entered {
    fn new(key: &StoreKey, slot: u32) -> Self {
        let [.., a, b, c, d] = key.hash64().to_be_bytes();
        Entered { slot, hash: u32::from_be_bytes([a, b, c, d]) }
    }

    /// The table takes its bits from both ends of a hash.
    fn hash(&self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}

/// What a slice of tidying did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Tidied {
    /// Slots that were looked at: the measure of how long the lock was held.
    pub(super) visited: usize,
    pub(super) removed: usize,
    /// Whether there may be more to look at by now.
    pub(super) more: bool,
}

impl Shard {
    pub(super) fn new(now: Timestamp) -> Self {
        Shard {
            table: HashTable::new(),
            slab: Slab::default(),
            wheel: Wheel::new(now),
            recent: Recent::default(),
        }
    }

    /// The number of the slot that holds what is under `key`.
    fn find(&self, key: &StoreKey) -> Option<u32> {
        let sought = Entered::new(key, 0);
        let same =
            |it: &Entered| it.hash == sought.hash && self.slab.get(it.slot).and_then(Slot::key) == Some(key);
        self.table.find(sought.hash(), same).map(|found| found.slot)
    }

    pub(super) fn get(&self, key: &StoreKey) -> Option<&Slot> {
        self.slab.get(self.find(key)?)
    }

    /// The record under `key`, if it is a session that is alive at `now`.
    fn live(&mut self, key: &StoreKey, now: Timestamp) -> Option<Arc<Record>> {
        let index = self.find(key)?;
        let live = self.slab.get(index)?.live(now)?;
        Some(self.recent.record(index, || live.record()))
    }

    /// Puts a slot under its key, its change having been counted. `at` is where the key was found, `record` what was packed into
    /// the slot, where that is at hand.
    #[inline]
    fn put(
        &mut self,
        key: &StoreKey,
        new: Slot,
        record: Option<Arc<Record>>,
        at: Option<u32>,
        now: Timestamp,
    ) {
        self.wheel.observe(now);
        let deadline = new.purge_at();
        if let Some(index) = at {
            self.recent.replace(index, record);
            let Some(slot) = self.slab.get_mut(index) else { return };
            let earlier = deadline < slot.purge_at();
            *slot = new;
            if earlier {
                self.wheel.unfile(&mut self.slab, index);
                self.wheel.file(&mut self.slab, index, deadline);
            }
        } else if let Some(index) = self.slab.insert(new) {
            let entered = Entered::new(key, index);
            self.table.insert_unique(entered.hash(), entered, Entered::hash);
            self.wheel.file(&mut self.slab, index, deadline);
        }
    }

    /// Puts a slot under its key, its change having been counted.
    pub(super) fn replace(&mut self, key: &StoreKey, new: Slot, now: Timestamp) {
        self.put(key, new, None, self.find(key), now);
    }

    /// Looks at up to `budget` slots that may be past their time, and removes up to `limit` that are.
    pub(super) fn tidy(
        &mut self,
        now: Timestamp,
        (budget, limit): (usize, usize),
        users: &Users,
        bounds: &Bounds,
    ) -> Tidied {
        self.wheel.observe(now);
        let mut done = Tidied::default();
        while done.visited < budget && done.removed < limit {
            let Some(index) = self.wheel.take(&mut self.slab) else { return done };
            done.visited += 1;
            let due = self.slab.get(index).map_or(Timestamp::NEVER, Slot::purge_at);
            if now < due {
                self.wheel.file(&mut self.slab, index, due);
            } else if self.remove(index, users, bounds) {
                done.removed += 1;
            } else {
                // Somebody holds the lock of its user, and waiting for it here would be out of order.
                self.wheel.file(
                    &mut self.slab,
                    index,
                    Timestamp::from_millis(now.as_millis().saturating_add(1)),
                );
            }
        }
        done.more = self.wheel.is_due();
        done
    }

    /// Whether [`Shard::tidy`] would find something to do. Cheap.
    pub(super) fn is_untidy(&mut self, now: Timestamp) -> bool {
        self.wheel.observe(now);
        self.wheel.is_due()
    }

    /// Removes a slot that is in no bucket of the wheel, unless its user's part of the index is locked.
    fn remove(&mut self, index: u32, users: &Users, bounds: &Bounds) -> bool {
        let Some(slot) = self.slab.get(index) else { return true };
        let Some(key) = slot.key().copied() else { return true };
        if let Some(user) = slot.user() {
            let user = users.hash(user);
            let Some(mut shard) = users.try_lock(user.shard()) else { return false };
            users.remove(&mut shard, user, &key);
        }
        if let Ok(found) = self.table.find_entry(Entered::new(&key, index).hash(), |it| it.slot == index) {
            found.remove();
        }
        self.recent.replace(index, None);
        let removed = self.slab.remove(index);
        // Taking away cannot exceed a bound.
        let _ = bounds.count(Change::remove(&removed));
        self.shrink();
        true
    }

    /// Gives the table's memory back when most of it is unused.
    fn shrink(&mut self) {
        if self.table.capacity() > 64 && self.table.len() < self.table.capacity() / 8 {
            self.table.shrink_to(self.table.len() * 2, Entered::hash);
        }
    }

    /// The first `limit` sessions behind `after` that are alive, in the order of keys.
    pub(super) fn page(&self, now: Timestamp, after: Option<&StoreKey>, limit: usize) -> Vec<Summary> {
        let behind = |slot: &&Slot| now < slot.purge_at() && slot.is_live() && slot.key() > after;
        let mut slots: Vec<&Slot> = self.slab.iter().filter(behind).collect();
        if slots.len() > limit {
            slots.select_nth_unstable_by_key(limit, |slot| slot.key());
            slots.truncate(limit);
        }
        slots.sort_unstable_by_key(|slot| slot.key());
        slots.into_iter().filter_map(|slot| slot.summary(now)).collect()
    }
}

/// A locked shard as the table of a step that stays inside it and leaves the user index alone.
///
/// That is most steps there are: load, commit, touch, the lease, and the creation of a session without a user.
/// Each writes at most once, at its end, so that there is never anything to undo.
pub(super) struct OneShard<'a> {
    shard: MutexGuard<'a, Shard>,
    number: usize,
    now: Timestamp,
    users: &'a Users,
    bounds: &'a Bounds,
    /// The last key that was asked for and where it is, so that writing it back need not look for it.
    looked_for: Option<(StoreKey, Option<u32>)>,
}

/// Why a step inside one shard was abandoned.
pub(super) enum Abandoned {
    /// It leads to another shard, or to the user index.
    Leaves,
    /// It would exceed a bound.
    Full(Full),
}

impl<'a> OneShard<'a> {
    pub(super) fn new(
        shard: MutexGuard<'a, Shard>,
        number: usize,
        now: Timestamp,
        users: &'a Users,
        bounds: &'a Bounds,
    ) -> Self {
        OneShard { shard, number, now, users, bounds, looked_for: None }
    }

    /// Ends a step that may have written, by removing a few of the shard's entries that are past their time,
    /// where there are any.
    pub(super) fn leave<T>(mut self, answer: Result<T, Abandoned>) -> StoreFuture<T> {
        if self.shard.is_untidy(self.now) {
            self.shard.tidy(self.now, (WRITE_SLICE, WRITE_SLICE), self.users, self.bounds);
        }
        StoreFuture::ready(answer.map_err(StoreError::from))
    }
}

impl From<Abandoned> for StoreError {
    fn from(abandoned: Abandoned) -> Self {
        match abandoned {
            Abandoned::Full(full) => full.into(),
            // No operation that is run this way follows a key or changes a user.
            Abandoned::Leaves => StoreError::new(
                StoreErrorKind::Unavailable,
                "the memory store abandoned a step that led out of its shard; this is a defect of the store",
            ),
        }
    }
}

impl Table for OneShard<'_> {
    type Error = Abandoned;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Abandoned> {
        if shard_of(key) != self.number {
            return Err(Abandoned::Leaves);
        }
        let found = self.shard.find(key);
        self.looked_for = Some((*key, found));
        Ok(found.and_then(|index| self.shard.slab.get(index)).and_then(Slot::entry))
    }

    fn live(&mut self, key: &StoreKey, now: Timestamp) -> Result<Option<Arc<Record>>, Abandoned> {
        if shard_of(key) != self.number {
            return Err(Abandoned::Leaves);
        }
        Ok(self.shard.live(key, now))
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Abandoned> {
        let at = match self.looked_for {
            Some((looked_for, found)) if looked_for == *key => found,
            _ => self.shard.find(key),
        };
        let old = at.and_then(|index| self.shard.slab.get(index));
        let new = Slot::new(key, &entry);
        if shard_of(key) != self.number || old.and_then(Slot::user) != new.user() {
            return Err(Abandoned::Leaves);
        }
        self.bounds.count(Change::replace(old, &new)).map_err(Abandoned::Full)?;
        let record = match entry {
            Entry::Live { record, .. } => Some(record),
            Entry::Alias { .. } | Entry::Marker { .. } | Entry::Receipt { .. } => None,
        };
        self.shard.put(key, new, record, at, self.now);
        Ok(())
    }

    fn keys_of(&mut self, _: &UserId) -> Result<Vec<StoreKey>, Abandoned> {
        Err(Abandoned::Leaves)
    }
}

const _: () = assert!(SHARDS.is_power_of_two() && SHARDS <= 256);
