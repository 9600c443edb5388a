//! A store that is told what it is to replace.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom::StoreKey;
use cloakroom::record::{Record, Version};
use cloakroom::store::{Acquire, Acquired, Commit, Committed, Create, Created, Loaded, Store, StoreFuture};

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

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        let key = request.key;
        self.then(self.inner.acquire(request), move |this, acquired| {
            if let Acquired::Acquired { snapshot, .. } = acquired {
                this.keep(key, &snapshot.record);
            }
        })
    }

    crate::hand_on!(inner: name conventions rename touch end renew release list_user revoke scan purge);
    crate::hand_on!(inner: stats now released tell_expired);
}
