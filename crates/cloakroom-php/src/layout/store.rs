//! The store over PHP's sessions.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::store::protocol;
use cloakroom::store::{
    Acquire, Acquired, BindUser, Commit, Committed, Conventions, Create, Created, End, Ended, Ending,
    Handover, Loaded, Purged, Release, Released, Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom,
    ScanPage, Store, StoreError, StoreErrorKind, StoreFuture, StoreStats, Summary, Touch, Touched,
};
use cloakroom::{PlainIds, StoreKey, UserId};
use parking_lot::Mutex;

use super::ground::{Ground, Matter};
use super::moment::Moment;
use super::picture::{About, Drafts, no_index};
use super::scheme::Layout;
use super::values::PhpValues;
use super::variables;

/// A PHP application's sessions, wherever they are. Cloning gives another handle to the same store.
///
/// Every operation is one look and, where something changes, one write that compares what was seen. See the [module](super) for how it
/// works.
///
/// What PHP cannot keep is not promised: see `docs/guarantees.md`. `list_user`, `revoke`, `scan` and a cap on sessions per user are
/// refused, for PHP keeps no list of its sessions.
pub struct PhpSessions<G>(Arc<Inner<G>>);

pub(super) struct Inner<G> {
    pub(super) ground: G,
    pub(super) layout: Layout,
    pub(super) ids: PlainIds,
    /// Ids of leases, which are given back after the request is gone, and of successors, which are known from markers.
    pub(super) moment: Mutex<Moment>,
}

impl<G> Clone for PhpSessions<G> {
    fn clone(&self) -> Self {
        PhpSessions(Arc::clone(&self.0))
    }
}

impl<G: Ground> PhpSessions<G> {
    /// The sessions of this layout, in this place.
    pub fn new(ground: G, layout: Layout) -> Self {
        let (ids, moment) = (layout.plain_ids(), Mutex::default());
        PhpSessions(Arc::new(Inner { ground, layout, ids, moment }))
    }

    pub(super) fn inner(&self) -> &Inner<G> {
        &self.0
    }

    fn ask<A, F>(&self, ask: impl FnOnce(Arc<Inner<G>>) -> F) -> StoreFuture<A>
    where
        F: Future<Output = Result<A, StoreError>> + Send + 'static,
    {
        StoreFuture::boxed(ask(self.0.clone()))
    }
}

impl<G> Inner<G> {
    /// The data with the user in it, in PHP's own variable.
    fn bound(&self, payload: Payload, bind: Option<&BindUser>) -> Result<Payload, StoreError> {
        let Some(bind) = bind else { return Ok(payload) };
        let refused = |why: String| StoreError::new(StoreErrorKind::Refused, why);
        if bind.cap.is_some() {
            return Err(no_index());
        }
        let Some(variable) = &self.layout.user_variable else {
            return Err(refused(
                "a login was not made, for PHP would not know of it: name the variable in which the PHP application keeps who \
                 is logged in (Layout::user_variable)"
                    .to_owned(),
            ));
        };
        variables::with_user(&payload, variable, &bind.user).map_err(|why| refused(why.to_string()))
    }
}

fn about(key: StoreKey, matter: Matter) -> About {
    About { key, heir: None, patient: false, matter }
}

/// What a lease or a touch made is not confirmed by anybody.
fn unconfirmed<A>(_: &A) -> bool {
    false
}

/// PHP ends a session by deleting it: what is gone was ended.
const GONE: Ending = Ending::Destroyed;

impl<G: Ground> Store for PhpSessions<G> {
    fn name(&self) -> &'static str {
        self.0.layout.name()
    }

    fn conventions(&self) -> Option<Conventions> {
        Some(Conventions { ids: self.0.ids.clone(), values: &PhpValues, handover: Handover::Shared })
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.ask(|inner| async move {
            let loaded = inner.inspect(&[key], |table, now, key| protocol::load(table, now, *key)).await?;
            Ok(loaded.into_iter().next().unwrap_or(Loaded::Missing))
        })
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        self.ask(|inner| async move {
            inner.inspect(&keys, |table, now, key| protocol::load(table, now, *key)).await
        })
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        self.ask(|inner| async move {
            let payload = inner.bound(request.payload.clone(), request.bind.as_ref())?;
            let request = Create { payload, ..request };
            let matter = if request.bind.is_some() { Matter::Identity } else { Matter::Data };
            let rules =
                |table: &mut Drafts<'_>, now: Timestamp| protocol::create(table, now, request.clone());
            inner
                .step(about(request.key, matter), rules, |made| matches!(made, Created::Created { .. }))
                .await
        })
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.ask(|inner| async move {
            // PHP gives a session its time anew with each write, whenever that was read.
            let request = Commit { unless_seen_within: Duration::ZERO, ..request };
            // PHP's lock is waited for here, and not by taking it: PHP gives up on a lock after 22 ms.
            let about = About { patient: request.lease.is_none(), ..about(request.key, Matter::Data) };
            let answer = inner.step(
                about,
                |table, now| protocol::commit(table, now, request.clone()),
                |made| matches!(made, Committed::Committed(_)),
            );
            Ok(match answer.await? {
                Committed::Missing => Committed::Ended(GONE),
                answer => answer,
            })
        })
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.ask(|inner| async move {
            let payload = inner.bound(request.payload.clone(), request.bind.as_ref())?;
            let request = Rename { payload, ..request };
            // The lease goes along, and is given back after the request is gone.
            if request.lease.is_some() {
                inner.moment.lock().keep(inner.ids.resolve(&request.to));
            }
            let about = About {
                heir: Some(request.to),
                patient: request.lease.is_none(),
                ..about(request.from, Matter::Identity)
            };
            let answer = inner.step(
                about,
                |table, now| protocol::rename(table, now, request.clone()),
                |made| matches!(made, Renamed::Renamed { .. }),
            );
            Ok(match answer.await? {
                Renamed::Missing => Renamed::Ended(GONE),
                answer => answer,
            })
        })
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        // It is made after its request, which held the id until now.
        let id = self.0.ids.resolve(&request.key);
        self.ask(|inner| async move {
            let about = about(request.key, Matter::Passing);
            let touched = inner.step(about, |table, now| protocol::touch(table, now, request), unconfirmed);
            let touched = touched.await;
            drop(id);
            touched
        })
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.ask(|inner| async move {
            // Whoever holds the lock would write the session back: that is waited for, if it does not take long.
            let about = About { patient: true, ..about(request.key, Matter::Identity) };
            inner
                .step(
                    about,
                    |table, now| protocol::end(table, now, request),
                    |made| matches!(made, Ended::Ended(_)),
                )
                .await
        })
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.ask(|inner| async move {
            let about = about(request.key, Matter::Passing);
            let answer = inner.step(about, |table, now| protocol::acquire(table, now, request), unconfirmed);
            Ok(match answer.await? {
                Acquired::Missing => Acquired::Ended(GONE),
                answer => {
                    inner.moment.lock().keep(inner.ids.resolve(&request.key));
                    answer
                }
            })
        })
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.ask(|inner| async move {
            let about = about(request.key, Matter::Passing);
            inner.step(about, |table, now| protocol::renew(table, now, request), unconfirmed).await
        })
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.ask(|inner| async move {
            let about = about(request.key, Matter::Passing);
            inner.step(about, |table, now| protocol::release(table, now, request), unconfirmed).await
        })
    }

    fn list_user(&self, _: UserId) -> StoreFuture<Vec<Summary>> {
        StoreFuture::ready(Err(no_index()))
    }

    fn revoke(&self, _: Revoke) -> StoreFuture<Revoked> {
        StoreFuture::ready(Err(no_index()))
    }

    fn scan(&self, _: ScanFrom) -> StoreFuture<ScanPage> {
        let what = "a PHP layout does not list its sessions: look with PHP's own tools";
        StoreFuture::ready(Err(StoreError::new(StoreErrorKind::Refused, what)))
    }

    /// Where the place removes what is over by itself, nothing.
    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.ask(|inner| async move { inner.ground.purge(&inner.layout, limit).await })
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        StoreFuture::ready(Ok(StoreStats::default()))
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        self.ask(|inner| async move { inner.ground.now().await })
    }
}

/// Where, not as whom.
impl<G: Ground> std::fmt::Debug for PhpSessions<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhpSessions")
            .field("place", &self.0.ground.place())
            .field("layout", &self.0.layout.name())
            .finish_non_exhaustive()
    }
}
