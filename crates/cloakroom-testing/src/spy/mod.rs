//! A store that writes down what it was asked: which store calls did this request make?
//!
//! ```
//! use std::sync::Arc;
//! use cloakroom::store::Store;
//! use cloakroom::SessionId;
//! use cloakroom_testing::{Op, ReferenceStore, SpyStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let spy = SpyStore::new(Arc::new(ReferenceStore::new()));
//! let store: Arc<dyn Store> = Arc::new(spy.clone());      // hand this one to the code under test
//!
//! let mark = spy.mark();
//! store.load(SessionId::generate().store_key()).await.unwrap();
//! assert_eq!(spy.since(mark).count(Op::Load), 1);
//! assert_eq!(spy.since(mark).len(), 1);
//! # });
//! ```

mod call;
mod log;

use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreError, StoreFuture,
    StoreStats, Summary, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};

pub use call::{Answer, Call, KeyChanges, Op};
pub use log::{Calls, KeyCounts, Mark};

use log::Log;

/// A store around a store, with an operation log. Clones share the log: keep one, hand the other to the code under
/// test.
///
/// An answer that the inner store has at once stays an answer at once: the code under test takes the same path as
/// without the spy. A call is in the log as soon as it is made, whether or not its future is ever awaited; its
/// answer follows when there is one.
#[derive(Clone)]
pub struct SpyStore {
    inner: Arc<dyn Store>,
    log: Arc<Log>,
}

impl SpyStore {
    /// Watches `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        SpyStore { inner, log: Arc::default() }
    }

    /// Every call so far, in the order they were made.
    pub fn calls(&self) -> Calls {
        self.log.since(Mark::START)
    }

    /// The present end of the log, for [`since`](Self::since).
    pub fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// The calls made after `mark` was taken.
    pub fn since(&self, mark: Mark) -> Calls {
        self.log.since(mark)
    }

    /// How many calls of this kind there were.
    pub fn count(&self, op: Op) -> usize {
        self.calls().count(op)
    }

    /// Reads, writes and locks of one session, since the last [`clear`](Self::clear).
    pub fn counts_of(&self, key: StoreKey) -> KeyCounts {
        self.calls().counts_of(key)
    }

    /// Forgets the calls, not what is known of the data: changes are still told from what was seen before. Marks
    /// stay valid.
    pub fn clear(&self) {
        self.log.clear();
    }

    fn observe<T: Send + 'static>(
        &self,
        call: u64,
        future: StoreFuture<T>,
        note: impl FnOnce(&Log, u64, &Result<T, StoreError>) + Send + 'static,
    ) -> StoreFuture<T> {
        match future.try_ready() {
            Ok(answer) => {
                note(&self.log, call, &answer);
                StoreFuture::ready(answer)
            }
            Err(future) => {
                let log = Arc::clone(&self.log);
                StoreFuture::boxed(async move {
                    let answer = future.await;
                    note(&log, call, &answer);
                    answer
                })
            }
        }
    }
}

impl Store for SpyStore {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn conventions(&self) -> Option<cloakroom::store::Conventions> {
        self.inner.conventions()
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        let call = self.log.begin(Op::Load, vec![key]);
        self.observe(call, self.inner.load(key), move |log, call, answer| {
            if let Ok(loaded) = answer {
                log.learn_loaded(key, loaded);
            }
            log.answered(call, Answer::of(answer, Answer::of_loaded));
        })
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        let call = self.log.begin(Op::LoadMany, keys.clone());
        self.observe(call, self.inner.load_many(keys.clone()), move |log, call, answer| {
            if let Ok(loads) = answer {
                keys.iter().zip(loads).for_each(|(key, loaded)| log.learn_loaded(*key, loaded));
            }
            log.answered(
                call,
                Answer::of(answer, |l| Answer::Many(l.iter().map(Answer::of_loaded).collect())),
            );
        })
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        let key = request.key;
        let call = self.log.begin_write(Op::Create, vec![key], &key, &request.payload, true);
        self.observe(call, self.inner.create(request), move |log, call, answer| {
            if let Ok(Created::Created { snapshot, .. }) = answer {
                log.learn(key, snapshot);
            }
            log.answered(call, Answer::of(answer, Answer::of_created));
        })
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        let key = request.key;
        let call = self.log.begin_write(Op::Commit, vec![key], &key, &request.payload, false);
        self.observe(call, self.inner.commit(request), move |log, call, answer| {
            if let Ok(Committed::Committed(snapshot) | Committed::Conflict(snapshot)) = answer {
                log.learn(key, snapshot);
            }
            log.answered(call, Answer::of(answer, Answer::of_committed));
        })
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        let (from, to) = (request.from, request.to);
        let call = self.log.begin_write(Op::Rename, vec![from, to], &from, &request.payload, false);
        self.observe(call, self.inner.rename(request), move |log, call, answer| {
            match answer {
                Ok(Renamed::Renamed { snapshot, .. }) => log.learn(to, snapshot),
                Ok(Renamed::Conflict(snapshot)) => log.learn(from, snapshot),
                _ => {}
            }
            log.answered(call, Answer::of(answer, Answer::of_renamed));
        })
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        let call = self.log.begin(Op::Touch, vec![request.key]);
        self.observe(call, self.inner.touch(request), |log, call, answer| {
            log.answered(
                call,
                Answer::of(answer, |touched| match touched {
                    Touched::Touched { .. } => Answer::Touched,
                    Touched::NotLive => Answer::NotLive,
                }),
            );
        })
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        let call = self.log.begin(Op::End, vec![request.key]);
        self.observe(call, self.inner.end(request), |log, call, answer| {
            log.answered(
                call,
                Answer::of(answer, |ended| match ended {
                    Ended::Ended(_) => Answer::Ended,
                    Ended::NotLive => Answer::NotLive,
                }),
            );
        })
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        let key = request.key;
        let call = self.log.begin(Op::Acquire, vec![key]);
        self.observe(call, self.inner.acquire(request), move |log, call, answer| {
            if let Ok(Acquired::Acquired { snapshot, .. }) = answer {
                log.learn(key, snapshot);
            }
            log.answered(call, Answer::of(answer, Answer::of_acquired));
        })
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        let call = self.log.begin(Op::Renew, vec![request.key]);
        self.observe(call, self.inner.renew(request), |log, call, answer| {
            log.answered(
                call,
                Answer::of(answer, |renewed| match renewed {
                    Renewed::Renewed { .. } => Answer::Renewed,
                    Renewed::LeaseLost => Answer::LeaseLost,
                }),
            );
        })
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        let call = self.log.begin(Op::Release, vec![request.key]);
        self.observe(call, self.inner.release(request), |log, call, answer| {
            log.answered(
                call,
                Answer::of(answer, |released| match released {
                    Released::Released => Answer::Released,
                    Released::NotHeld => Answer::NotHeld,
                }),
            );
        })
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        let call = self.log.begin(Op::ListUser, Vec::new());
        self.observe(call, self.inner.list_user(user), |log, call, answer| {
            log.answered(call, Answer::of(answer, |sessions| Answer::Sessions(sessions.len())));
        })
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        let call = self.log.begin(Op::Revoke, Vec::new());
        self.observe(call, self.inner.revoke(request), |log, call, answer| {
            log.answered(call, Answer::of(answer, |revoked| Answer::Sessions(revoked.count)));
        })
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        let call = self.log.begin(Op::Scan, Vec::new());
        self.observe(call, self.inner.scan(from), |log, call, answer| {
            log.answered(call, Answer::of(answer, |page| Answer::Sessions(page.sessions.len())));
        })
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        let call = self.log.begin(Op::Purge, Vec::new());
        self.observe(call, self.inner.purge(limit), |log, call, answer| {
            log.answered(call, Answer::of(answer, |purged| Answer::Purged(purged.removed)));
        })
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        let call = self.log.begin(Op::Stats, Vec::new());
        self.observe(call, self.inner.stats(), |log, call, answer| {
            log.answered(call, Answer::of(answer, |_| Answer::Stats));
        })
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        let call = self.log.begin(Op::Now, Vec::new());
        self.observe(call, self.inner.now(), |log, call, answer| {
            log.answered(call, Answer::of(answer, |_| Answer::Time));
        })
    }

    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        let signal = self.inner.released(key)?;
        let call = self.log.begin(Op::Watch, vec![key]);
        Some(self.observe(call, signal, |log, call, answer| {
            log.answered(call, Answer::of(answer, |()| Answer::Released));
        }))
    }

    fn tell_expired(
        &self,
        listener: std::sync::Weak<dyn cloakroom::store::ExpiryListener>,
        remembered: std::time::Duration,
    ) {
        self.inner.tell_expired(listener, remembered);
    }
}

impl std::fmt::Debug for SpyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpyStore({}, {} calls)", self.inner.name(), self.calls().len())
    }
}
