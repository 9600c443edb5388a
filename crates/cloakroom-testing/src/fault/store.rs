use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom::clock::Timestamp;
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreFuture, StoreStats,
    Summary, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};

use super::plan::Plan;
use super::{Fault, Injected, inject::inject};
use crate::Op;

/// A store around a store, with a plan of what goes wrong. Clones share the plan: keep one, hand the other to the
/// code under test.
///
/// A call without a fault is passed on as it is, and an answer that is there at once stays so. A rule counts calls
/// from when it is added, starting at 1; where several are due for the same call, the one added first wins.
/// `released` is not a call that can fail; see [`lose_signals`](Self::lose_signals).
#[derive(Clone)]
pub struct FaultStore {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
    deaf: Arc<AtomicBool>,
}

impl FaultStore {
    /// Around `inner`, with nothing going wrong yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        FaultStore { inner, plan: Arc::default(), deaf: Arc::default() }
    }

    /// At the `n`-th call from now, of whatever kind.
    pub fn at(&self, n: u64, fault: Fault) {
        self.plan.nth(None, None, n, fault);
    }

    /// At the `n`-th call of this kind from now.
    pub fn at_op(&self, op: Op, n: u64, fault: Fault) {
        self.plan.nth(Some(op), None, n, fault);
    }

    /// At the `n`-th call of this kind that names this session, from now.
    pub fn at_key(&self, op: Op, key: StoreKey, n: u64, fault: Fault) {
        self.plan.nth(Some(op), Some(key), n, fault);
    }

    /// At every call of this kind (`None`: of any), until [`heal`](Self::heal).
    pub fn always(&self, op: Option<Op>, fault: Fault) {
        self.plan.always(op, fault);
    }

    /// At random, for long runs: about `per_mille` of a thousand calls of the kinds in `ops` (empty: of any) get one
    /// of `faults`. The same seed and the same order of calls give the same faults.
    pub fn at_random(&self, seed: u64, per_mille: u32, ops: &[Op], faults: Vec<Fault>) {
        self.plan.chance(seed, per_mille, ops, faults);
    }

    /// From now on nobody hears that a lease became free, until [`heal`](Self::heal): the signal never comes.
    pub fn lose_signals(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }

    /// Takes all rules back. Calls that hang stay as they are.
    pub fn heal(&self) {
        self.plan.heal();
        self.deaf.store(false, Ordering::SeqCst);
    }

    /// Calls so far, with and without faults.
    pub fn calls(&self) -> u64 {
        self.plan.calls()
    }

    /// What went wrong so far, in order: a test that meant to inject a fault should see that it did.
    pub fn injected(&self) -> Vec<Injected> {
        self.plan.injected()
    }

    fn run<T: Send + Sync + 'static>(
        &self,
        op: Op,
        keys: &[StoreKey],
        call: impl Fn(&dyn Store) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        match self.plan.next(op, keys) {
            None => call(&*self.inner),
            Some(fault) => {
                let inner = Arc::clone(&self.inner);
                inject(fault, move || call(&*inner))
            }
        }
    }
}

impl Store for FaultStore {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn conventions(&self) -> Option<cloakroom::store::Conventions> {
        self.inner.conventions()
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.run(Op::Load, &[key], move |store| store.load(key))
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        self.run(Op::LoadMany, &keys.clone(), move |store| store.load_many(keys.clone()))
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        self.run(Op::Create, &[request.key], move |store| store.create(request.clone()))
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.run(Op::Commit, &[request.key], move |store| store.commit(request.clone()))
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.run(Op::Rename, &[request.from, request.to], move |store| store.rename(request.clone()))
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.run(Op::Touch, &[request.key], move |store| store.touch(request))
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.run(Op::End, &[request.key], move |store| store.end(request))
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.run(Op::Acquire, &[request.key], move |store| store.acquire(request))
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.run(Op::Renew, &[request.key], move |store| store.renew(request))
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.run(Op::Release, &[request.key], move |store| store.release(request))
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        self.run(Op::ListUser, &[], move |store| store.list_user(user.clone()))
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        self.run(Op::Revoke, &[], move |store| store.revoke(request.clone()))
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        self.run(Op::Scan, &[], move |store| store.scan(from))
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.run(Op::Purge, &[], move |store| store.purge(limit))
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.run(Op::Stats, &[], |store| store.stats())
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        self.run(Op::Now, &[], |store| store.now())
    }

    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        let signal = self.inner.released(key)?;
        if self.deaf.load(Ordering::SeqCst) {
            return Some(StoreFuture::boxed(std::future::pending()));
        }
        Some(signal)
    }

    fn tell_expired(
        &self,
        listener: std::sync::Weak<dyn cloakroom::store::ExpiryListener>,
        remembered: std::time::Duration,
    ) {
        self.inner.tell_expired(listener, remembered);
    }
}

impl std::fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultStore({}, {} calls)", self.inner.name(), self.calls())
    }
}
