//! Leases: taken from the store by one contender of this process at a time, and handed on within it.
//!
//! For each session that somebody holds or wants, there is one *baton* in the process. Whoever has the baton may ask
//! the store for the lease; the others wait in a fair queue and cost the store nothing. A holder that is done
//! passes the baton on, with the lease itself as long as the fairness bound allows, so that a queue of this process
//! is served without taking the lease anew for each.
//!
//! Every way out passes the baton on: timeouts, dropped futures and panics included, because it is passed by `Drop`.

mod held;

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::Rng;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

pub(crate) use self::held::HeldLease;
use super::{Effect, Engine, Known, NoTimer, seal, timer};
use crate::clock::deadline_in;
use crate::error::{ErrorKind, SessionError};
use crate::ids::{SessionId, StoreKey};
use crate::store::{
    Acquire, Acquired, Ending, LeaseOwner, LeaseRef, Loaded, Release, Renew, Renewed, Snapshot, StoreFuture,
};

/// First and longest pause between two tries for a lease that another process holds.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Times a release is asked for again when it failed.
const RELEASES: u32 = 2;

/// The batons of this process.
#[derive(Default)]
pub(crate) struct LeaseQueues {
    slots: Mutex<HashMap<StoreKey, VecDeque<oneshot::Sender<Baton>>>>,
}

impl LeaseQueues {
    fn has_waiters(&self, key: &StoreKey) -> bool {
        self.slots.lock().get(key).is_some_and(|waiters| waiters.iter().any(|w| !w.is_closed()))
    }
}

/// The right to contend for, or to hold, a session's lease in this process.
struct Baton {
    engine: Arc<Engine>,
    key: StoreKey,
    /// The lease, where the previous holder hands it over.
    lease: Option<Lease>,
    /// It was handed over as often in a row as it may be: whoever is next lets other processes go first.
    yields: bool,
    armed: bool,
}

/// A lease that was asked for.
struct Lease {
    owner: LeaseOwner,
    hold: u64,
    /// When the store was last asked and said that it is in force; `None` before it was granted, and once it is known to be
    /// lost.
    confirmed: Arc<Mutex<Option<Instant>>>,
    /// Holders it has been handed on to since it was taken.
    handovers: u32,
    renewing: Option<AbortHandle>,
    /// Where it was taken: releasing it is waited for there when it is dropped outside every runtime.
    runtime: Option<Handle>,
    /// Where it is; differs from the baton's key after a change of id.
    key: StoreKey,
    /// What the holder before left, for the one it is handed on to.
    left: Option<Left>,
}

/// What a holder stored with its last write, when it was done.
struct Left {
    snapshot: Snapshot,
    /// When that write was begun. Whoever waited by then has, with its answer, a read of that moment: an end that was
    /// there before the waiting began would have refused the write. Whoever came later has to read.
    begun: Instant,
}

impl Lease {
    /// One that nobody has been granted yet.
    fn asked_for(key: StoreKey) -> Self {
        let mut owner = [0u8; 16];
        rand::rng().fill_bytes(&mut owner);
        Lease {
            owner: LeaseOwner(u128::from_le_bytes(owner)),
            hold: 0,
            confirmed: Arc::default(),
            handovers: 0,
            renewing: None,
            runtime: Handle::try_current().ok(),
            key,
            left: None,
        }
    }

    /// Whether it was granted and, as far as this process's clock tells, has not run out since. A process that stood still
    /// longer than a lease lasts knows by it that another one may hold the lease by now.
    fn is_in_force(&self, length: Duration) -> bool {
        self.confirmed.lock().is_some_and(|at| at.elapsed() < length)
    }

    fn stop_renewing(&mut self) {
        if let Some(task) = self.renewing.take() {
            task.abort();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop_renewing();
    }
}

/// Why a lease was not to be had, besides errors.
pub(crate) enum NoLease {
    Ended(Ending),
    Missing,
}

/// The lease of the request that a write is made for. Another call of that request may have got it since the write was aimed,
/// and to wait for it would be to wait for oneself.
pub(crate) trait OwnLease: Sync {
    /// The lease to show, once it is known whether there is one.
    fn of(&self, key: StoreKey) -> OwnLeaseFuture<'_>;
}

/// What [`OwnLease::of`] gives.
pub(crate) type OwnLeaseFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Option<LeaseRef>, SessionError>> + Send + 'a>>;

/// A lease with the record it protects.
pub(crate) struct Locked {
    pub(crate) held: HeldLease,
    pub(crate) snapshot: Snapshot,
}

impl Engine {
    /// Takes the lease on `key`, waiting for it at most as long as the settings say.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        key: StoreKey,
    ) -> Result<Result<Locked, NoLease>, SessionError> {
        let deadline = deadline_in(self.settings.locking.wait);
        let mut baton = self.baton(key, deadline).await?;
        if let Some((lease, snapshot)) = baton.take_over(self.settings.locking.lease) {
            return Ok(Ok(Locked { held: HeldLease::new(baton, lease), snapshot }));
        }
        // From here on the store may grant the lease: if the request is dropped meanwhile, what was granted for nobody
        // is given back at once.
        let engine = Arc::clone(self);
        self.tasks.detach(async move { engine.contend(baton, deadline).await }).await
    }

    /// Waits for this process's baton.
    async fn baton(self: &Arc<Self>, key: StoreKey, deadline: Instant) -> Result<Baton, SessionError> {
        let mut turn = {
            let mut slots = self.leases.slots.lock();
            match slots.get_mut(&key) {
                None => {
                    slots.insert(key, VecDeque::new());
                    return Ok(Baton {
                        engine: Arc::clone(self),
                        key,
                        lease: None,
                        yields: false,
                        armed: true,
                    });
                }
                Some(waiters) => {
                    waiters.retain(|w| !w.is_closed());
                    if waiters.len() >= self.settings.locking.waiters {
                        drop(slots);
                        return Err(self.lock_timeout(key, "too many requests wait for it already"));
                    }
                    let (send, turn) = oneshot::channel();
                    waiters.push_back(send);
                    turn
                }
            }
        };
        let in_time = timer(|| tokio::time::timeout_at(deadline.into(), &mut turn))?;
        let started = Instant::now();
        self.metrics.lock_waits.one();
        let got = in_time.await;
        self.metrics.lock_wait.record(started.elapsed());
        match got {
            Ok(Ok(baton)) => Ok(baton.for_one_who_waited_since(started)),
            // Nobody drops a sender without a baton; were it so, refusing is safe.
            Ok(Err(_)) => Err(self.lock_timeout(key, "its queue was closed")),
            Err(_) => {
                turn.close();
                match turn.try_recv() {
                    // It came with the deadline: take it.
                    Ok(baton) => Ok(baton.for_one_who_waited_since(started)),
                    Err(_) => Err(self.lock_timeout(key, "waited as long as the settings allow")),
                }
            }
        }
    }

    /// Asks the store until it grants the lease.
    async fn contend(
        self: &Arc<Self>,
        mut baton: Baton,
        deadline: Instant,
    ) -> Result<Result<Locked, NoLease>, SessionError> {
        let key = baton.key;
        let length = self.settings.locking.lease;
        let yields = std::mem::take(&mut baton.yields);
        let lease = match baton.lease.take() {
            Some(mut handed_on) => {
                handed_on.hold += 1;
                // It is read anew, or taken anew: what was left is past.
                handed_on.left = None;
                handed_on
            }
            None => Lease::asked_for(key),
        };
        // From the first try on the store may have granted it: whatever happens, it is given back.
        let owner = lease.owner;
        let in_force = lease.is_in_force(length);
        let mut held = HeldLease::new(baton, lease);
        if in_force {
            // A plain read instead of taking the lease again: an end does not ask for the lease, so what the previous
            // holder knew may be over, and a cache in front of the store may not have been told.
            return Ok(match self.load_newest(key).await? {
                Loaded::Live(snapshot) => Ok(Locked { held, snapshot }),
                Loaded::Alias { successor, .. } => {
                    Err(NoLease::Ended(Ending::Moved { to: successor, user_changed: false }))
                }
                Loaded::Ended(ending) => Err(NoLease::Ended(ending)),
                Loaded::Missing => Err(NoLease::Missing),
            });
        }
        if yields {
            self.let_others_go_first(key, deadline).await?;
        }
        let mut pause = FIRST_PAUSE;
        let mut waited: Option<Instant> = None;
        loop {
            let asked = Instant::now();
            let (until, now) = match self
                .call(Effect::Writes, self.store.acquire(Acquire { key, owner, lease: length }))
                .await
            {
                Ok(Acquired::Acquired { snapshot, .. }) => {
                    held.granted(asked);
                    if let Err(missing) = held.keep_renewed() {
                        tracing::warn!(target: "cloakroom", error = %missing, "a lease is not renewed while it is held");
                    }
                    if let Some(since) = waited {
                        self.metrics.lock_wait.record(since.elapsed());
                    }
                    return Ok(Ok(Locked { held, snapshot }));
                }
                Ok(Acquired::Ended(ending)) => {
                    held.nothing_to_release();
                    return Ok(Err(NoLease::Ended(ending)));
                }
                Ok(Acquired::Missing) => {
                    held.nothing_to_release();
                    return Ok(Err(NoLease::Missing));
                }
                Ok(Acquired::Locked { until, now }) => (until, now),
                // The same owner may ask again: at worst it gets what it already has.
                Err(error) if error.kind() == crate::store::StoreErrorKind::Unknown && waited.is_none() => {
                    waited = Some(Instant::now());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if waited.is_none() {
                self.metrics.lock_waits.one();
                waited = Some(Instant::now());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                held.nothing_to_release();
                return Err(self.lock_timeout(key, "another process holds it"));
            }
            let nap = pause.min(now.until(until).max(Duration::from_millis(1))).min(left) + jitter();
            let nap = timer(|| tokio::time::sleep(nap))?;
            match self.store.released(key) {
                Some(signal) => tokio::select! { _ = signal => {} () = nap => {} },
                None => nap.await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A lease that is taken again the moment it was given back would never be found free by those who look for it now and
    /// then. Where the store signals they come at once, as soon as this process does.
    async fn let_others_go_first(&self, key: StoreKey, deadline: Instant) -> Result<(), SessionError> {
        if self.store.released(key).is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            timer(|| tokio::time::sleep((LONGEST_PAUSE + jitter()).min(left)))?.await;
        }
        Ok(())
    }

    pub(crate) fn lock_timeout(&self, key: StoreKey, why: &'static str) -> SessionError {
        self.metrics.lock_timeouts.one();
        self.events.emit(super::Event::LockTimeout(key));
        SessionError::because(ErrorKind::LockTimeout, why)
    }

    /// Releases a lease at the store, detached, and passes the baton on when that is done. An unanswered release is asked
    /// again, as long as there is room for that; unreleased, the lease runs out by itself.
    fn release(self: &Arc<Self>, mut lease: Lease, baton: Option<Baton>) {
        lease.stop_renewing();
        let request = Release { key: lease.key, owner: lease.owner };
        let runtime = Handle::try_current().ok().or_else(|| lease.runtime.clone());
        let after = (lease, baton);
        let pending = match self.store.release(request).try_ready() {
            Ok(Ok(_)) => return,
            Ok(Err(failed)) => StoreFuture::ready(Err(failed)),
            Err(pending) => pending,
        };
        // A store may drop what nobody waits for: it has to be awaited, wherever the lease was dropped.
        let Some(runtime) = runtime else {
            tracing::warn!(target: "cloakroom", error = %NoTimer, "a lease was not given back: it runs out by itself");
            return;
        };
        let engine = Arc::clone(self);
        // It was asked for, and happens or does not.
        if !self.tasks.has_room() {
            self.tasks.left_out("the rest of giving a lease back");
            return;
        }
        self.tasks.spawn_on(&runtime, async move {
            let _after = after;
            let mut answer = engine.call(Effect::Writes, pending).await;
            for _ in 0..RELEASES {
                if answer.is_ok() {
                    return;
                }
                answer = engine.call(Effect::Writes, engine.store.release(request)).await;
            }
        });
    }

    /// Extends a lease now.
    pub(crate) async fn extend(&self, request: Renew) -> Result<(), SessionError> {
        match self.call(Effect::Writes, self.store.renew(request)).await? {
            Renewed::Renewed { .. } => Ok(()),
            Renewed::LeaseLost => Err(SessionError::new(ErrorKind::LeaseLost)),
        }
    }

    /// Takes the lease of a session, following it where it was renewed and is in its grace.
    pub(crate) async fn acquire_known(
        self: &Arc<Self>,
        id: &SessionId,
        key: StoreKey,
    ) -> Result<Result<(HeldLease, Known, Option<SessionId>), NoLease>, SessionError> {
        match self.acquire(key).await? {
            Ok(Locked { held, snapshot }) => Ok(Ok((held, Known::new(id.clone(), key, snapshot), None))),
            Err(NoLease::Ended(Ending::Moved { to, user_changed })) => {
                let moved = NoLease::Ended(Ending::Moved { to, user_changed });
                let Loaded::Alias { successor, sealed, .. } =
                    self.call(Effect::Reads, self.store.load(key)).await?
                else {
                    return Ok(Err(moved));
                };
                let Some(new_id) = seal::open(&self.settings.ids, id, &sealed, successor) else {
                    return Ok(Err(moved));
                };
                match self.acquire(successor).await? {
                    Ok(Locked { held, snapshot }) => {
                        let known = Known::new(new_id.clone(), successor, snapshot);
                        Ok(Ok((held, known, Some(new_id))))
                    }
                    Err(no) => Ok(Err(no)),
                }
            }
            Err(no) => Ok(Err(no)),
        }
    }
}

/// So that those who look for the same lease do not all come at the same moments.
fn jitter() -> Duration {
    Duration::from_micros(rand::rng().next_u64() % 1_000)
}

impl Baton {
    fn for_one_who_waited_since(mut self, since: Instant) -> Self {
        if let Some(lease) = &mut self.lease {
            lease.left = lease.left.take().filter(|left| since < left.begun);
        }
        self
    }

    /// The lease with what the holder before left, if it did: nothing has to be asked of the store.
    fn take_over(&mut self, length: Duration) -> Option<(Lease, Snapshot)> {
        let lease = self.lease.as_mut().filter(|lease| lease.is_in_force(length))?;
        let Left { snapshot, .. } = lease.left.take()?;
        let mut lease = self.lease.take()?;
        lease.hold += 1;
        Some((lease, snapshot))
    }

    /// Releases the lease at the store, detached; the baton is passed on when that is done.
    fn give_back(&mut self, lease: Lease) {
        self.armed = false;
        let (engine, key, yields) = (Arc::clone(&self.engine), self.key, self.yields);
        let baton = Baton { engine, key, lease: None, yields, armed: true };
        // Asked for right away; only the waiting for the answer is detached, and then the baton is passed on.
        self.engine.release(lease, Some(baton));
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let mut lease = self.lease.take();
        loop {
            let next = {
                let mut slots = self.engine.leases.slots.lock();
                let Some(waiters) = slots.get_mut(&self.key) else { break };
                match waiters.pop_front() {
                    Some(next) => next,
                    None => {
                        slots.remove(&self.key);
                        break;
                    }
                }
            };
            let (engine, key, yields) = (Arc::clone(&self.engine), self.key, self.yields);
            let baton = Baton { engine, key, lease: lease.take(), yields, armed: true };
            match next.send(baton) {
                Ok(()) => return,
                Err(mut back) => {
                    // That waiter gave up; the next one gets it.
                    back.armed = false;
                    lease = back.lease.take();
                }
            }
        }
        if let Some(lease) = lease {
            // Nobody was left to take it.
            self.engine.release(lease, None);
        }
    }
}
