//! A cache in the process, in front of a store on a server that tells of changes.
//!
//! | file | idea |
//! |---|---|
//! | `mod` | the cache as a store: what is answered from memory, what goes through, what each write makes it forget |
//! | `cache` | records by key, bounded and short-lived; which answers may still be kept when they arrive |
//! | `builder` | settings |

mod builder;
mod cache;

use std::fmt;
use std::sync::{Arc, Weak};

pub use self::builder::NearCacheBuilder;
use self::cache::{Cache, Lookup, Ticket};
use crate::clock::Timestamp;
use crate::ids::{StoreKey, UserId};
use crate::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, PushStore, Release,
    Released, Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreFuture,
    StoreStats, Summary, Touch, Touched,
};

/// Keeps sessions that were read from `S` in this process for a moment, so that the next request reads them without a call.
/// Clones are handles on the same cache.
///
/// ```
/// # fn example<S: cloakroom::store::PushStore>(redis: S) -> Result<(), cloakroom::SessionError> {
/// use cloakroom::{NearCache, SessionConfig, SessionManager};
/// let sessions = SessionManager::new(NearCache::new(redis), SessionConfig::new())?;
/// # Ok(()) }
/// ```
///
/// What may be relied on:
///
/// - **This process reads what it wrote.** A write is forgotten about here before it is answered.
/// - **Others' writes show soon.** The server tells of them, in milliseconds while connected. When the connection is lost
///   everything is forgotten and nothing is kept until there is one again; when it is cut so that neither side notices, what
///   is kept is served for [`lifetime`](NearCacheBuilder::lifetime) at most, 2 s unless told. A revocation or a logout on
///   another machine is a write like any other.
/// - **Nothing is lost or brought back by it.** Each write names the version it replaces, and goes to the store: a request that
///   read something outdated is merged or refused there as any late one. Deciding on one key and writing another needs
///   `lock`, as everywhere; `lock` reads from the store.
///
/// Kept are live sessions only: an unknown id is asked for each time. A session that is due to be touched is read from the
/// store, so that the idle deadline slides from what is there. Costs: a hit no store call and no allocation; a miss the call
/// it would have been.
pub struct NearCache<S> {
    store: Arc<S>,
    cache: Arc<Cache>,
}

/// What a cache has done so far, and what is in it; see [`NearCache::counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NearCacheCounts {
    /// Reads that were answered from memory.
    pub hits: u64,
    /// Reads that went to the store.
    pub misses: u64,
    /// Changes that the store told of.
    pub told: u64,
    /// Sessions in the cache, some of which may be past their time.
    pub entries: usize,
    /// Bytes they take, as [`NearCacheBuilder::max_bytes`] counts.
    pub bytes: usize,
    /// Whether the store tells of changes at present: else everything is a miss.
    pub connected: bool,
}

impl<S: PushStore> NearCache<S> {
    /// A cache with the default bounds in front of `store`.
    pub fn new(store: S) -> Self {
        Self::builder(store).build()
    }

    /// Other bounds.
    pub fn builder(store: S) -> NearCacheBuilder<S> {
        NearCacheBuilder::new(store)
    }

    fn over(store: S, cache: Cache) -> Self {
        let (store, cache) = (Arc::new(store), Arc::new(cache));
        let listener: Weak<Cache> = Arc::downgrade(&cache);
        store.tell(listener);
        NearCache { store, cache }
    }

    /// What the cache has done so far, and what is in it. No store call.
    pub fn counts(&self) -> NearCacheCounts {
        self.cache.counts()
    }

    /// The store behind it.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Reads past the cache, and keeps what may be kept.
    fn read(&self, key: StoreKey, ticket: Ticket) -> StoreFuture<Loaded> {
        let cache = Arc::clone(&self.cache);
        self.store.load(key).inspect(move |loaded| cache.keep(key, ticket, loaded))
    }

    /// Passes a write of these keys on. Whatever becomes of it, they are read from the store from then on.
    fn write<T: Send + 'static>(&self, keys: Keys, answer: StoreFuture<T>) -> StoreFuture<T> {
        let forgets = Forgets { cache: Arc::clone(&self.cache), keys };
        answer.inspect(move |_| drop(forgets))
    }

    /// As [`write`](Self::write), for one that may end sessions beside: those that its answer tells of are forgotten as
    /// well, and everything where nobody knows which they are.
    fn ending<T: Send + 'static>(
        &self,
        keys: Keys,
        answer: StoreFuture<T>,
        ended: impl FnOnce(&T) -> Option<&[Summary]> + Send + 'static,
    ) -> StoreFuture<T> {
        let forgets = Forgets { cache: Arc::clone(&self.cache), keys };
        answer.inspect(move |answer| match answer.as_ref().ok().and_then(ended) {
            Some(sessions) => sessions.iter().for_each(|session| forgets.cache.outdated(&session.key)),
            None => forgets.cache.clear(),
        })
    }
}

/// The keys that a write names.
type Keys = [Option<StoreKey>; 2];

/// Has keys forgotten when it goes, whether a write was answered or given up.
struct Forgets {
    cache: Arc<Cache>,
    keys: Keys,
}

impl Drop for Forgets {
    fn drop(&mut self) {
        self.keys.iter().flatten().for_each(|key| self.cache.outdated(key));
    }
}

impl<S: PushStore> Store for NearCache<S> {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn conventions(&self) -> Option<crate::store::Conventions> {
        self.store.conventions()
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        match self.cache.look_up(&key) {
            Lookup::Hit(snapshot) => StoreFuture::ready(Ok(Loaded::Live(snapshot))),
            Lookup::Miss(ticket) => self.read(key, ticket),
        }
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        // By its contract. Several ids in one request are an attack or an accident: they are not kept.
        self.store.load_many(keys)
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        self.ending([Some(request.key), None], self.store.create(request), |answer| match answer {
            Created::Created { evicted, .. } => Some(evicted),
            Created::Exists => Some(&[]),
        })
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.write([Some(request.key), None], self.store.commit(request))
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        let keys = [Some(request.from), Some(request.to)];
        self.ending(keys, self.store.rename(request), |answer| match answer {
            Renamed::Renamed { evicted, .. } => Some(evicted),
            _ => Some(&[]),
        })
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.write([Some(request.key), None], self.store.touch(request))
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        // It may have been followed to another key.
        self.ending([Some(request.key), None], self.store.end(request), |answer| match answer {
            Ended::Ended(Some(session)) => Some(std::slice::from_ref(session)),
            Ended::Ended(None) => None,
            Ended::NotLive => Some(&[]),
        })
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        // Whoever holds the lock has read the newest; nobody here is to read less from now on.
        self.write([Some(request.key), None], self.store.acquire(request))
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.store.renew(request)
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.store.release(request)
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        self.store.list_user(user)
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        self.ending([None, None], self.store.revoke(request), |answer| {
            (answer.count == answer.ended.len()).then_some(answer.ended.as_slice())
        })
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        self.store.scan(from)
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.store.purge(limit)
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.store.stats()
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        self.store.now()
    }

    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        self.store.released(key)
    }

    fn tell_expired(
        &self,
        listener: std::sync::Weak<dyn crate::store::ExpiryListener>,
        remembered: std::time::Duration,
    ) {
        self.store.tell_expired(listener, remembered);
    }
}

impl<S> Clone for NearCache<S> {
    fn clone(&self) -> Self {
        NearCache { store: Arc::clone(&self.store), cache: Arc::clone(&self.cache) }
    }
}

impl<S> fmt::Debug for NearCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearCache").field("counts", &self.cache.counts()).finish_non_exhaustive()
    }
}
