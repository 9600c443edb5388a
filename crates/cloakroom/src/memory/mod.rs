//! The store in the process's own memory.
//!
//! | file | idea |
//! |---|---|
//! | `mod` | the store's operations: which of them stay inside one shard |
//! | `builder` | settings |
//! | `shard` | entries by key and by time, under one lock |
//! | `step` | several shards and the user index in one atomic step |
//! | `users` | the user index |
//! | `bounds` | how much the store may hold |
//! | `recent` | records that need not be unpacked again |
//! | `slot`, `slab` | entries, packed; places for them |
//! | `wheel` | which entries are due |

mod bounds;
mod builder;
mod recent;
mod shard;
mod slab;
mod slot;
mod step;
mod users;
mod wheel;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::bounds::Bounds;
pub use self::builder::MemoryStoreBuilder;
use self::shard::{Abandoned, OneShard, Shard};
use self::step::{Locks, Step};
use self::users::Users;
use crate::clock::{Clock, Timestamp};
use crate::ids::{StoreKey, UserId};
use crate::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreError, StoreFuture,
    StoreStats, Summary, Touch, Touched, protocol,
};

/// Shards of the store. A session and its successors share a slot tag, and so a shard.
const SHARDS: usize = 64;
/// Slots that are looked at while a lock is held, at most: some ten microseconds.
const SLICE: usize = 64;
/// Slots that a write looks at, beside what it came for. More than an entry costs the wheel in its life, so that
/// a store keeps clean by being written to.
const WRITE_SLICE: usize = 8;
/// A purge hands the thread back after this long and says that there is more to do. The caller may be an
/// executor's thread, which has other requests to serve.
const PURGE_TIME: Duration = Duration::from_millis(2);

/// Sessions in the memory of this process: for tests, and for a service that is one process and may forget its
/// visitors when it restarts. Clones are handles on the same data.
///
/// - **Fast**: every operation is answered at once ([`StoreFuture::ready`]); reading a session shares its data
///   instead of copying it, and allocates nothing where it was read, or changed in place, just before.
/// - **Bounded**: by [`max_sessions`](MemoryStoreBuilder::max_sessions) and
///   [`max_bytes`](MemoryStoreBuilder::max_bytes). When full, *new* sessions are refused with
///   [`StoreErrorKind::Full`](crate::store::StoreErrorKind::Full) and nothing that was acknowledged is thrown
///   out. Sessions that exist go on: reading, committing and ending them works, and so does changing their ids;
///   what would grow the store beyond its bytes is refused as full.
/// - **Expiring** without looking at everything: a timing wheel knows what is due. [`Store::purge`] removes it in
///   slices of microseconds, and each write removes a few more.
///
/// A session without a user takes some 220 bytes beside its data.
///
/// ```
/// use cloakroom::MemoryStore;
/// let store = MemoryStore::builder().max_sessions(50_000).build();
/// # drop(store);
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    shards: Box<[Mutex<Shard>; SHARDS]>,
    users: Users,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    /// The shard at which the next purge begins.
    next_purge: AtomicUsize,
}

impl MemoryStore {
    /// An empty store with the default bounds.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A store with other bounds or another clock.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::new()
    }

    fn from_builder(builder: MemoryStoreBuilder) -> Self {
        let MemoryStoreBuilder { max_sessions, max_bytes, clock } = builder;
        let now = clock.now();
        MemoryStore(Arc::new(Inner {
            shards: Box::new(std::array::from_fn(|_| Mutex::new(Shard::new(now)))),
            users: Users::new(),
            bounds: Bounds::new(max_sessions, max_bytes),
            clock,
            next_purge: AtomicUsize::new(0),
        }))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("sessions", &self.0.bounds.sessions()).finish_non_exhaustive()
    }
}

/// The shard of a key. The tag leads, so that shards in order are keys in order.
fn shard_of(key: &StoreKey) -> usize {
    let [first, ..] = key.tag();
    usize::from(first) * SHARDS / 256
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        StoreFuture::ready(self.0.load(key))
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        StoreFuture::ready(keys.into_iter().map(|key| self.0.load(key)).collect())
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        self.0.make_room(true, request.payload.len());
        let Some(bind) = &request.bind else {
            let (mut table, now) = self.0.enter(&request.key);
            let answer = protocol::create(&mut table, now, request);
            return table.leave(answer);
        };
        let locks = Locks::default().with_key(&request.key).with_user(&self.0.users, &bind.user);
        StoreFuture::ready(self.0.step(locks, |table, now| protocol::create(table, now, request.clone())))
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.0.make_room(false, request.payload.len());
        let (mut table, now) = self.0.enter(&request.key);
        let answer = protocol::commit(&mut table, now, request);
        table.leave(answer)
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.0.make_room(true, request.payload.len());
        let locks = Locks::default().with_key(&request.from).with_key(&request.to);
        let locks = request.bind.iter().fold(locks, |locks, bind| locks.with_user(&self.0.users, &bind.user));
        StoreFuture::ready(self.0.step(locks, |table, now| protocol::rename(table, now, request.clone())))
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        let (mut table, now) = self.0.enter(&request.key);
        let answer = protocol::touch(&mut table, now, request);
        table.leave(answer)
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        let locks = Locks::default().with_key(&request.key);
        StoreFuture::ready(self.0.step(locks, |table, now| protocol::end(table, now, request)))
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        let (mut table, now) = self.0.enter(&request.key);
        let answer = protocol::acquire(&mut table, now, request);
        table.leave(answer)
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        let (mut table, now) = self.0.enter(&request.key);
        let answer = protocol::renew(&mut table, now, request);
        table.leave(answer)
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        let (mut table, now) = self.0.enter(&request.key);
        let answer = protocol::release(&mut table, now, request);
        table.leave(answer)
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        let locks = Locks::default().with_user(&self.0.users, &user);
        StoreFuture::ready(self.0.step(locks, |table, now| protocol::list_user(table, now, &user)))
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        let locks = Locks::default().with_user(&self.0.users, &request.user);
        StoreFuture::ready(self.0.step(locks, |table, now| protocol::revoke(table, now, request.clone())))
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        StoreFuture::ready(Ok(self.0.scan(&from)))
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        StoreFuture::ready(Ok(self.0.purge(limit)))
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        let bounds = &self.0.bounds;
        StoreFuture::ready(Ok(StoreStats { live: Some(bounds.sessions()), bytes: Some(bounds.bytes()) }))
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        StoreFuture::ready(Ok(self.0.clock.now()))
    }
}

impl Inner {
    fn load(&self, key: StoreKey) -> Result<Loaded, StoreError> {
        let (mut table, now) = self.enter(&key);
        let answer = protocol::load(&mut table, now, key);
        if !matches!(answer, Err(Abandoned::Leaves)) {
            return Ok(answer?);
        }
        // Only where a foreign id scheme gave an old id another slot tag than its successor's.
        drop(table);
        let locks = Locks::default().with_key(&key);
        self.step(locks, |table, now| protocol::load(table, now, key))
    }

    /// Begins a step that stays inside the shard of `key`.
    fn enter(&self, key: &StoreKey) -> (OneShard<'_>, Timestamp) {
        let number = shard_of(key);
        let shard = self.shard(number).lock();
        // Read under the lock, so that the order of steps and of their times agree.
        let now = self.clock.now();
        (OneShard::new(shard, number, now, &self.users, &self.bounds), now)
    }

    fn shard(&self, number: usize) -> &Mutex<Shard> {
        let [first, ..] = &*self.shards;
        // There is one for every number that `shard_of` gives.
        self.shards.get(number).unwrap_or(first)
    }

    /// Runs a step over several shards, as often as it takes to get all the locks it needs.
    fn step<T>(
        &self,
        mut locks: Locks,
        mut step: impl FnMut(&mut Step<'_>, Timestamp) -> Result<T, step::Abandoned>,
    ) -> Result<T, StoreError> {
        loop {
            let mut table = Step::begin(&*self.shards, &self.users, locks);
            let now = self.clock.now();
            let answer = step(&mut table, now);
            match answer.and_then(|answer| table.finish(now, &self.bounds).map(|()| answer)) {
                Ok(answer) => return Ok(answer),
                Err(step::Abandoned::Retry(more)) => locks = more,
                Err(step::Abandoned::Full(full)) => return Err(full.into()),
            }
        }
    }

    /// Removes what has expired when the store is near a bound, before something new is refused for its sake.
    fn make_room(&self, new_entry: bool, bytes: usize) {
        if self.bounds.is_near(new_entry, bytes) {
            self.purge(SLICE);
        }
    }

    /// Removes up to `limit` entries that are past their time, for [`PURGE_TIME`] at most.
    fn purge(&self, limit: usize) -> Purged {
        let began = Instant::now();
        let now = self.clock.now();
        let first = self.next_purge.load(Ordering::Relaxed);
        let mut removed = 0;
        for shard in first..first.wrapping_add(SHARDS) {
            let shard = self.shard(shard % SHARDS);
            loop {
                // The lock is let go after each slice.
                let tidied = shard.lock().tidy(now, (SLICE, limit - removed), &self.users, &self.bounds);
                removed += tidied.removed;
                if !tidied.more {
                    break;
                }
                if removed >= limit || began.elapsed() >= PURGE_TIME {
                    return Purged { removed, more: true };
                }
            }
            self.next_purge.fetch_add(1, Ordering::Relaxed);
        }
        Purged { removed, more: false }
    }

    fn scan(&self, from: &ScanFrom) -> ScanPage {
        let limit = from.limit.max(1);
        let now = self.clock.now();
        let first = from.after.as_ref().map_or(0, shard_of);
        let mut sessions: Vec<Summary> = Vec::new();
        for shard in self.shards.iter().skip(first) {
            // One more than fits, so that a next page is promised only if something is on it.
            let missing = limit.saturating_add(1) - sessions.len();
            sessions.extend(shard.lock().page(now, from.after.as_ref(), missing));
            if sessions.len() > limit {
                sessions.truncate(limit);
                let next = sessions.last().map(|last| last.key);
                return ScanPage { sessions, next };
            }
        }
        ScanPage { sessions, next: None }
    }
}
