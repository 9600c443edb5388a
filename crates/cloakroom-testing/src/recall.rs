//! A store that is told what it is to replace.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom::clock::Timestamp;
use cloakroom::record::{Record, Version};
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreFuture, StoreStats,
    Summary, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};

/// Passes everything on to another store, and gives each commit the record that it replaces
/// ([`Commit::base`]), as the engine does: it remembers what it has seen. A store that makes use of the record is to pass
/// the conformance suite with it and without.
#[derive(Clone)]
pub struct RecallStore {
    inner: Arc<dyn Store>,
    seen: Arc<Mutex<Seen>>,
}

type Seen = HashMap<(StoreKey, Version), Arc<Record>>;

impl RecallStore {
    /// Around this store.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        RecallStore { inner, seen: Arc::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: StoreKey, record: &Arc<Record>) {
        self.seen().insert((key, record.version), Arc::clone(record));
    }

    /// Remembers what an answer tells.
    fn then<T: Send + 'static>(
        &self,
        answer: StoreFuture<T>,
        note: impl FnOnce(&Self, &T) + Send + 'static,
    ) -> StoreFuture<T> {
        let this = self.clone();
        StoreFuture::boxed(async move {
            let answer = answer.await?;
            note(&this, &answer);
            Ok(answer)
        })
    }

    fn keep_loaded(&self, key: StoreKey, loaded: &Loaded) {
        match loaded {
            Loaded::Live(snapshot) => self.keep(key, &snapshot.record),
            Loaded::Alias { successor, snapshot, .. } => self.keep(*successor, &snapshot.record),
            _ => {}
        }
    }
}

impl fmt::Debug for RecallStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecallStore").field("inner", &self.inner.name()).finish_non_exhaustive()
    }
}

impl Store for RecallStore {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn conventions(&self) -> Option<cloakroom::store::Conventions> {
        self.inner.conventions()
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.then(self.inner.load(key), move |this, loaded| this.keep_loaded(key, loaded))
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        self.then(self.inner.load_many(keys.clone()), move |this, all| {
            keys.iter().zip(all).for_each(|(key, loaded)| this.keep_loaded(*key, loaded));
        })
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        let key = request.key;
        self.then(self.inner.create(request), move |this, created| {
            if let Created::Created { snapshot, .. } = created {
                this.keep(key, &snapshot.record);
            }
        })
    }

    fn commit(&self, mut request: Commit) -> StoreFuture<Committed> {
        let key = request.key;
        request.base = self.seen().get(&(key, request.expected)).cloned();
        self.then(self.inner.commit(request), move |this, committed| {
            if let Committed::Committed(snapshot) | Committed::Conflict(snapshot) = committed {
                this.keep(key, &snapshot.record);
            }
        })
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.inner.rename(request)
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.inner.touch(request)
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.inner.end(request)
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        let key = request.key;
        self.then(self.inner.acquire(request), move |this, acquired| {
            if let Acquired::Acquired { snapshot, .. } = acquired {
                this.keep(key, &snapshot.record);
            }
        })
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.inner.renew(request)
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.inner.release(request)
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        self.inner.list_user(user)
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        self.inner.revoke(request)
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        self.inner.scan(from)
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.inner.purge(limit)
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.inner.stats()
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        self.inner.now()
    }

    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        self.inner.released(key)
    }

    fn tell_expired(
        &self,
        listener: std::sync::Weak<dyn cloakroom::store::ExpiryListener>,
        remembered: std::time::Duration,
    ) {
        self.inner.tell_expired(listener, remembered);
    }
}
