//! A step over several shards: what changes the user index, or moves a session.
//!
//! It locks what it comes across, in one order for all: shards of the user index before shards of sessions,
//! each ascending. What comes up out of order is locked only if it is free; if not, the step is abandoned,
//! everything is let go, and it starts over with that lock among those it takes first. Since a step has a finite
//! number of locks to learn about, it gets through, and since nobody waits out of order, nobody waits for ever.
//!
//! Writes are kept back until the step has decided everything, so that abandoning it leaves no trace.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};

use super::bounds::{Bounds, Change, Full};
use super::shard::Shard;
use super::shard_of;
use super::slot::Slot;
use super::users::{self, Users};
use crate::clock::Timestamp;
use crate::ids::{StoreKey, UserId};
use crate::store::protocol::{Entry, Table};

/// Locks to take before a step begins.
#[derive(Clone, Copy, Default)]
pub(super) struct Locks {
    users: u64,
    shards: u64,
}

const _: () = assert!(super::SHARDS <= 64 && users::SHARDS <= 64);

/// One of the locks.
#[derive(Clone, Copy)]
enum Lock {
    User(usize),
    Shard(usize),
}

/// Why a step was abandoned.
pub(super) enum Abandoned {
    /// Start over with these.
    Retry(Locks),
    /// It would exceed a bound.
    Full(Full),
}

/// The table of a step, with the locks it holds.
pub(super) struct Step<'a> {
    shards: &'a [Mutex<Shard>],
    users: &'a Users,
    wanted: Locks,
    held_users: BTreeMap<usize, MutexGuard<'a, users::Shard>>,
    held_shards: BTreeMap<usize, MutexGuard<'a, Shard>>,
    /// In the order they were made. Few: a linear look is the fastest.
    writes: Vec<(StoreKey, Entry)>,
}

impl Locks {
    /// With the lock of this key's shard.
    pub(super) fn with_key(mut self, key: &StoreKey) -> Self {
        self.shards |= 1 << shard_of(key);
        self
    }

    /// With the lock of this user's part of the index.
    pub(super) fn with_user(mut self, users: &Users, user: &UserId) -> Self {
        self.users |= 1 << users.hash(user).shard();
        self
    }

    fn with(mut self, lock: Lock) -> Self {
        match lock {
            Lock::User(n) => self.users |= 1 << n,
            Lock::Shard(n) => self.shards |= 1 << n,
        }
        self
    }
}

impl<'a> Step<'a> {
    /// Takes the locks and begins.
    pub(super) fn begin(shards: &'a [Mutex<Shard>], users: &'a Users, wanted: Locks) -> Self {
        let mut step = Step {
            shards,
            users,
            wanted,
            held_users: BTreeMap::new(),
            held_shards: BTreeMap::new(),
            writes: Vec::new(),
        };
        step.held_users.extend(bits(wanted.users).filter_map(|n| Some((n, users.lock(n)?))));
        step.held_shards.extend(bits(wanted.shards).filter_map(|n| Some((n, shards.get(n)?.lock()))));
        step
    }

    /// Makes the writes, all of them or, where they would exceed a bound, none.
    pub(super) fn finish(mut self, now: Timestamp, bounds: &Bounds) -> Result<(), Abandoned> {
        let mut writes: Vec<_> = std::mem::take(&mut self.writes)
            .into_iter()
            .map(|(key, entry)| (key, Slot::new(&key, &entry)))
            .collect();
        let change = self.change(&writes)?;
        if let Err(full) = bounds.count(change) {
            // A store that is full ends sessions all the same. Nobody asks it a second time: its answers do not get lost.
            let before = writes.len();
            writes.retain(|(_, slot)| !matches!(slot, Slot::Receipt(_)));
            if writes.len() == before {
                return Err(Abandoned::Full(full));
            }
            let change = self.change(&writes)?;
            bounds.count(change).map_err(Abandoned::Full)?;
        }
        for (key, new) in writes {
            let old_user = self.shard(&key)?.get(&key).and_then(Slot::user).cloned();
            if old_user.as_ref() != new.user() {
                if let Some(user) = &old_user {
                    let user = self.users.hash(user);
                    self.users.remove(self.user_shard(user)?, user, &key);
                }
                if let Some(user) = new.user() {
                    let user = self.users.hash(user);
                    self.users.add(self.user_shard(user)?, user, key);
                }
            }
            self.shard(&key)?.replace(&key, new, now);
        }
        Ok(())
    }

    /// What the writes add to the store.
    fn change(&mut self, writes: &[(StoreKey, Slot)]) -> Result<Change, Abandoned> {
        let mut change = Change::default();
        for (key, new) in writes {
            change = change.and(Change::replace(self.shard(key)?.get(key), new));
        }
        Ok(change)
    }

    /// The shard of a key, locked.
    fn shard(&mut self, key: &StoreKey) -> Result<&mut Shard, Abandoned> {
        let n = shard_of(key);
        if !self.held_shards.contains_key(&n) {
            let in_order = self.held_shards.last_key_value().is_none_or(|(last, _)| *last < n);
            let mutex = self.shards.get(n);
            let guard = if in_order { mutex.map(Mutex::lock) } else { mutex.and_then(Mutex::try_lock) };
            let Some(guard) = guard else { return Err(self.retry(Lock::Shard(n))) };
            self.held_shards.insert(n, guard);
        }
        match self.held_shards.get_mut(&n) {
            Some(guard) => Ok(guard),
            None => Err(Abandoned::Retry(self.wanted.with(Lock::Shard(n)))),
        }
    }

    /// The part of the index where a user is, locked.
    fn user_shard(&mut self, user: users::Hashed<'_>) -> Result<&mut users::Shard, Abandoned> {
        let n = user.shard();
        if !self.held_users.contains_key(&n) {
            let in_order = self.held_shards.is_empty()
                && self.held_users.last_key_value().is_none_or(|(last, _)| *last < n);
            let guard = if in_order { self.users.lock(n) } else { self.users.try_lock(n) };
            let Some(guard) = guard else { return Err(self.retry(Lock::User(n))) };
            self.held_users.insert(n, guard);
        }
        match self.held_users.get_mut(&n) {
            Some(guard) => Ok(guard),
            None => Err(Abandoned::Retry(self.wanted.with(Lock::User(n)))),
        }
    }

    /// Starts over with everything that is known to be needed by now.
    fn retry(&self, lock: Lock) -> Abandoned {
        let locks = self.wanted.with(lock);
        let locks = self.held_users.keys().fold(locks, |locks, n| locks.with(Lock::User(*n)));
        Abandoned::Retry(self.held_shards.keys().fold(locks, |locks, n| locks.with(Lock::Shard(*n))))
    }
}

impl Table for Step<'_> {
    type Error = Abandoned;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Abandoned> {
        if let Some((_, entry)) = self.writes.iter().rev().find(|(k, _)| k == key) {
            return Ok(Some(entry.clone()));
        }
        Ok(self.shard(key)?.get(key).and_then(Slot::entry))
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Abandoned> {
        // Every lock that making the write will need is taken here, while starting over is still possible.
        let old = self.shard(key)?.get(key).and_then(Slot::user).cloned();
        if old.as_ref() != entry.user() {
            for user in [old.as_ref(), entry.user()].into_iter().flatten() {
                self.user_shard(self.users.hash(user))?;
            }
        }
        self.writes.push((*key, entry));
        Ok(())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, Abandoned> {
        let (users, user) = (self.users, self.users.hash(user));
        let mut keys = users.keys(self.user_shard(user)?, user);
        // What this step has written already counts; what it has taken away shows when the key is read.
        let written = self.writes.iter().filter(|(_, entry)| entry.user() == Some(user.user));
        keys.extend(written.map(|(key, _)| *key));
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

/// The numbers of the bits that are set, ascending.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let n = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (n < u64::BITS).then_some(n as usize)
    })
}
