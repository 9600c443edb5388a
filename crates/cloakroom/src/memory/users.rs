//! The user index: which keys hold sessions of a user.
//!
//! It is exact: it is changed while its shard *and* the session's shard are locked, in the step that changes
//! the session. Locks are taken in the order users before sessions, each ascending; whoever needs one out of
//! order asks without waiting, and starts over if it is not to be had.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};

use crate::ids::{StoreKey, UserId};

/// Shards of the index.
pub(super) const SHARDS: usize = 64;

pub(super) struct Users {
    // The names are the application's, perhaps its users' own choice: a keyed hash, so that nobody can choose
    // names that collide.
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

/// The users of one shard.
#[derive(Default)]
pub(super) struct Shard(HashTable<Sessions>);

struct Sessions {
    user: UserId,
    keys: Keys,
}

/// Most users have one session. For the others, removing one must not cost a walk over all of them.
enum Keys {
    One(StoreKey),
    Many(Box<HashTable<StoreKey>>),
}

/// A user's name with its hash, which says the shard too.
#[derive(Clone, Copy)]
pub(super) struct Hashed<'a> {
    pub(super) user: &'a UserId,
    hash: u64,
}

impl Hashed<'_> {
    pub(super) fn shard(&self) -> usize {
        // The table uses the upper seven bits and the lower ones.
        (self.hash >> 32) as usize % SHARDS
    }
}

impl Users {
    pub(super) fn new() -> Self {
        Users { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    pub(super) fn hash<'a>(&self, user: &'a UserId) -> Hashed<'a> {
        Hashed { user, hash: self.hasher.hash_one(user) }
    }

    /// Waits for the lock of a shard.
    pub(super) fn lock(&self, shard: usize) -> Option<MutexGuard<'_, Shard>> {
        Some(self.shards.get(shard)?.lock())
    }

    /// Takes the lock of a shard if it is free.
    pub(super) fn try_lock(&self, shard: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(shard)?.try_lock()
    }

    pub(super) fn add(&self, shard: &mut Shard, user: Hashed<'_>, key: StoreKey) {
        let entry = shard.0.entry(user.hash, |s| s.user == *user.user, |s| self.hasher.hash_one(&s.user));
        match entry {
            hashbrown::hash_table::Entry::Vacant(place) => {
                place.insert(Sessions { user: user.user.clone(), keys: Keys::One(key) });
            }
            hashbrown::hash_table::Entry::Occupied(mut sessions) => sessions.get_mut().keys.add(key),
        }
    }

    pub(super) fn remove(&self, shard: &mut Shard, user: Hashed<'_>, key: &StoreKey) {
        let Ok(mut sessions) = shard.0.find_entry(user.hash, |s| s.user == *user.user) else { return };
        if sessions.get_mut().keys.remove(key) {
            sessions.remove();
            shard.shrink(&self.hasher);
        }
    }

    pub(super) fn keys(&self, shard: &Shard, user: Hashed<'_>) -> Vec<StoreKey> {
        shard.0.find(user.hash, |s| s.user == *user.user).map_or_else(Vec::new, |s| s.keys.sorted())
    }
}

impl Shard {
    /// Gives memory back when most of it is unused.
    fn shrink(&mut self, hasher: &RandomState) {
        if self.0.capacity() > 64 && self.0.len() < self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len() * 2, |s| hasher.hash_one(&s.user));
        }
    }
}

impl Keys {
    fn add(&mut self, key: StoreKey) {
        match self {
            Keys::One(one) if *one == key => {}
            Keys::One(one) => {
                let mut many = HashTable::with_capacity(3);
                many.insert_unique(one.hash64(), *one, StoreKey::hash64);
                many.insert_unique(key.hash64(), key, StoreKey::hash64);
                *self = Keys::Many(Box::new(many));
            }
            Keys::Many(many) => {
                many.entry(key.hash64(), |k| *k == key, StoreKey::hash64).or_insert(key);
            }
        }
    }

    /// Whether no key is left.
    fn remove(&mut self, key: &StoreKey) -> bool {
        match self {
            Keys::One(one) => one == key,
            Keys::Many(many) => {
                if let Ok(found) = many.find_entry(key.hash64(), |k| k == key) {
                    found.remove();
                }
                if let (1, Some(last)) = (many.len(), many.iter().next().copied()) {
                    *self = Keys::One(last);
                }
                false
            }
        }
    }

    /// In the order of keys, which is the order in which their shards are locked.
    fn sorted(&self) -> Vec<StoreKey> {
        match self {
            Keys::One(key) => vec![*key],
            Keys::Many(many) => {
                let mut keys: Vec<_> = many.iter().copied().collect();
                keys.sort_unstable();
                keys
            }
        }
    }
}
