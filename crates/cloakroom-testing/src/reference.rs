//! The smallest correct store: one lock around one ordered map.
//!
//! It is the worked example of how a store is written, and the model other stores are compared with. Everything
//! that can be got wrong (the order of checks, idempotence, fencing, markers, the cap) is in
//! [`protocol`], which asks for a [`Table`]: something that reads and writes entries inside one atomic step. Here
//! the step is "while the lock is held"; in a database it is a transaction.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use cloakroom::clock::{Clock, SystemClock, Timestamp};
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreFuture, StoreStats,
    Summary, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};
use parking_lot::Mutex;

/// Sessions in one ordered map under one lock. Clones are handles on the same data.
///
/// Correct and slow: listing a user looks at every session, and there is no bound. Use it as a model, not in
/// production.
#[derive(Clone)]
pub struct ReferenceStore {
    entries: Arc<Mutex<Entries>>,
    clock: Arc<dyn Clock>,
}

/// The table of the protocol.
#[derive(Default)]
struct Entries(BTreeMap<StoreKey, Entry>);

impl Table for Entries {
    // Nothing can go wrong in memory. A database names its driver's error here, and rolls the step back.
    type Error = Infallible;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Infallible> {
        Ok(self.0.get(key).cloned())
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Infallible> {
        self.0.insert(*key, entry);
        Ok(())
    }

    // Looking at every entry is the index that cannot disagree with the data. A store for many sessions keeps a
    // second map (or a column with an index) over `Entry::user`, changed in the same step as the entry.
    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, Infallible> {
        Ok(self.0.iter().filter(|(_, e)| e.user() == Some(user)).map(|(key, _)| *key).collect())
    }
}

impl ReferenceStore {
    /// An empty store on the operating system's clock.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty store on this clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        ReferenceStore { entries: Arc::default(), clock: Arc::new(clock) }
    }

    /// What is stored under `key`, the past included: markers, aliases, sessions past their deadline. For
    /// assertions that the trait gives no view of.
    pub fn entry(&self, key: StoreKey) -> Option<Entry> {
        self.entries.lock().0.get(&key).cloned()
    }

    /// One atomic step. The clock is read inside it, so that the order of steps and of their times agree.
    fn step<T>(&self, step: impl FnOnce(&mut Entries, Timestamp) -> Result<T, Infallible>) -> StoreFuture<T> {
        let mut entries = self.entries.lock();
        let Ok(answer) = step(&mut entries, self.clock.now());
        StoreFuture::ready(Ok(answer))
    }
}

impl Store for ReferenceStore {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.step(|table, now| protocol::load(table, now, key))
    }

    // The default asks one key after the other and boxes a future; one step does it here.
    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        self.step(|table, now| keys.into_iter().map(|key| protocol::load(table, now, key)).collect())
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        self.step(|table, now| protocol::create(table, now, request))
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.step(|table, now| protocol::commit(table, now, request))
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.step(|table, now| protocol::rename(table, now, request))
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.step(|table, now| protocol::touch(table, now, request))
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.step(|table, now| protocol::end(table, now, request))
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.step(|table, now| protocol::acquire(table, now, request))
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.step(|table, now| protocol::renew(table, now, request))
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.step(|table, now| protocol::release(table, now, request))
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        self.step(|table, now| protocol::list_user(table, now, &user))
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        self.step(|table, now| protocol::revoke(table, now, request))
    }

    // What follows is bookkeeping without rules of its own: each store does it as suits its data.

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        self.step(|table, now| {
            let start = from.after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut live = table.0.range((start, Bound::Unbounded)).filter_map(|(key, entry)| match entry {
                Entry::Live { record, .. } if !record.is_expired(now) => Some(Summary::of(*key, record)),
                _ => None,
            });
            let sessions: Vec<Summary> = live.by_ref().take(from.limit).collect();
            // A next page is promised only if something would be on it.
            let next = live.next().and(sessions.last().map(|s| s.key));
            Ok(ScanPage { sessions, next })
        })
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.step(|table, now| {
            let mut due = table.0.iter().filter(|(_, e)| e.purge_at() <= now).map(|(key, _)| *key);
            let batch: Vec<StoreKey> = due.by_ref().take(limit).collect();
            let more = due.next().is_some();
            for key in &batch {
                table.0.remove(key);
            }
            Ok(Purged { removed: batch.len(), more })
        })
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.step(|table, _| {
            let live = table.0.values().filter(|e| matches!(e, Entry::Live { .. })).count();
            Ok(StoreStats { live: u64::try_from(live).ok(), bytes: None })
        })
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        StoreFuture::ready(Ok(self.clock.now()))
    }
}

impl Default for ReferenceStore {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ReferenceStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReferenceStore({} entries)", self.entries.lock().0.len())
    }
}
