//! A store that lives in real time, for requests that live in virtual time.

use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreError, StoreErrorKind,
    StoreFuture, StoreStats, Summary, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};
use tokio::runtime::Handle;

/// A store on a runtime of its own, with its connections and timers. While it is asked for something the virtual clock of whoever
/// asks stands still, so that no deadline passes because a server or this machine is slow: tokio's paused clock does not advance
/// by itself while a blocking task is under way, and each call is one.
pub struct ApartStore {
    inner: Arc<dyn Store>,
    runtime: Handle,
}

impl ApartStore {
    pub fn new(inner: Arc<dyn Store>, runtime: Handle) -> Self {
        ApartStore { inner, runtime }
    }

    fn there<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (inner, runtime) = (Arc::clone(&self.inner), self.runtime.clone());
        StoreFuture::boxed(async move {
            // Made there as well, not only awaited: what it spawns is to live there.
            let made = tokio::task::spawn_blocking(move || runtime.block_on(async { call(&*inner).await }));
            made.await.unwrap_or_else(|error| {
                Err(StoreError::new(StoreErrorKind::Unknown, "the call did not finish").with_source(error))
            })
        })
    }
}

macro_rules! apart {
    ($($method:ident($($given:ident: $type:ty)?) -> $answer:ty;)*) => { $(
        fn $method(&self, $($given: $type)?) -> StoreFuture<$answer> {
            self.there(move |store| store.$method($($given)?))
        }
    )* };
}

impl Store for ApartStore {
    apart! {
        load(key: StoreKey) -> Loaded;
        load_many(keys: Vec<StoreKey>) -> Vec<Loaded>;
        create(request: Create) -> Created;
        commit(request: Commit) -> Committed;
        rename(request: Rename) -> Renamed;
        touch(request: Touch) -> Touched;
        end(request: End) -> Ended;
        acquire(request: Acquire) -> Acquired;
        renew(request: Renew) -> Renewed;
        release(request: Release) -> Released;
        list_user(user: UserId) -> Vec<Summary>;
        revoke(request: Revoke) -> Revoked;
        scan(from: ScanFrom) -> ScanPage;
        purge(limit: usize) -> Purged;
        stats() -> StoreStats;
        now() -> Timestamp;
    }

    /// Whoever waits for it does so in virtual time: it is no call, and may never come.
    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        let _there = self.runtime.enter();
        self.inner.released(key)
    }

    cloakroom_testing::hand_on!(inner: name conventions tell_expired);
}
