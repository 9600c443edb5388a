//! The store over PHP's sessions.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::store::protocol;
use cloakroom::store::{
    Acquire, Acquired, BindUser, Commit, Committed, Conventions, Create, Created, End, Ended, Ending, Loaded,
    Purged, Release, Released, Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store,
    StoreError, StoreErrorKind, StoreFuture, StoreStats, Summary, Touch, Touched,
};
use cloakroom::{PlainId, PlainIds, StoreKey, UserId};
use parking_lot::Mutex;

use super::layout::Layout;
use super::picture::{About, no_index};
use super::values::PhpValues;
use super::variables;
use crate::durability::Write;
use crate::shared::Shared;
use crate::{BuildError, RedisBuilder};

/// How long an id is remembered that only the store needs, since it was last asked for: longer than any lease is without being
/// renewed, and than anybody who waits for the end of a session goes without looking.
const MOMENT: Duration = Duration::from_secs(60);
/// Fewer are not worth a look for those whose time is over.
const FEW: usize = 64;

/// A PHP application's sessions in Redis. Cloning gives another handle to the same store.
///
/// Lazy as [`RedisStore`](crate::RedisStore) is, and as quick to say that the server is away. See the [module](super) for how it
/// works; every operation is one script to look and, where something changes, one to write.
///
/// What PHP cannot keep is not promised: see `docs/guarantees.md`. `list_user`, `revoke`, `scan` and a cap on sessions per user are
/// refused, for PHP keeps no list of its sessions.
#[derive(Clone)]
pub struct PhpStore(Arc<Inner>);

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) layout: Layout,
    pub(super) ids: PlainIds,
    /// Ids of leases, which are given back after the request is gone, and of successors, which are known from markers.
    pub(super) moment: Mutex<Moment>,
}

/// Ids that are held for a moment. No more than there are sessions that were locked or moved in the last minute.
#[derive(Default)]
pub(super) struct Moment {
    ids: HashMap<StoreKey, (Instant, PlainId)>,
    sweep_at: usize,
}

impl Moment {
    pub(super) fn keep(&mut self, id: Option<PlainId>) {
        if self.ids.len() >= self.sweep_at.max(FEW) {
            self.ids.retain(|_, (since, _)| since.elapsed() < MOMENT);
            self.sweep_at = self.ids.len().saturating_mul(2);
        }
        if let Some(id) = id {
            self.ids.insert(id.key(), (Instant::now(), id));
        }
    }

    /// It was asked for again.
    pub(super) fn refresh(&mut self, key: &StoreKey) {
        if let Some((since, _)) = self.ids.get_mut(key) {
            *since = Instant::now();
        }
    }
}

impl PhpStore {
    /// The store of this layout, on this server. Connects to nothing yet.
    ///
    /// The builder's prefix is that of our own keys, beside PHP's; the layout has PHP's.
    ///
    /// # Errors
    /// [`BuildError`]: which setting does not fit.
    pub fn new(server: RedisBuilder, layout: Layout) -> Result<Self, BuildError> {
        let shared = server.build()?.into_shared();
        if shared.nodes.cluster().is_some() {
            return Err(BuildError::PhpInCluster);
        }
        if shared.waiting_for(Write::Identity).is_some() {
            return Err(BuildError::PhpDurability);
        }
        let (ids, moment) = (layout.plain_ids(), Mutex::default());
        Ok(PhpStore(Arc::new(Inner { shared, layout, ids, moment })))
    }

    fn ask<A, F>(&self, ask: impl FnOnce(Arc<Inner>) -> F) -> StoreFuture<A>
    where
        F: Future<Output = Result<A, StoreError>> + Send + 'static,
    {
        StoreFuture::boxed(ask(self.0.clone()))
    }
}

impl Inner {
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

fn about(key: StoreKey) -> About {
    About { key, heir: None, patient: false }
}

/// PHP ends a session by deleting it: what is gone was ended.
const GONE: Ending = Ending::Destroyed;

impl Store for PhpStore {
    fn name(&self) -> &'static str {
        self.0.layout.name
    }

    fn conventions(&self) -> Option<Conventions> {
        Some(Conventions { ids: self.0.ids.clone(), values: &PhpValues })
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
            inner.step(about(request.key), |table, now| protocol::create(table, now, request.clone())).await
        })
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.ask(|inner| async move {
            // PHP's lock is waited for here, and not by taking it: PHP gives up on a lock after 22 ms.
            let about = About { patient: request.lease.is_none(), ..about(request.key) };
            let answer = inner.step(about, |table, now| protocol::commit(table, now, request.clone()));
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
            let about =
                About { heir: Some(request.to), patient: request.lease.is_none(), ..about(request.from) };
            let answer = inner.step(about, |table, now| protocol::rename(table, now, request.clone()));
            Ok(match answer.await? {
                Renamed::Missing => Renamed::Ended(GONE),
                answer => answer,
            })
        })
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.ask(|inner| async move {
            inner.step(about(request.key), |table, now| protocol::touch(table, now, request)).await
        })
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.ask(|inner| async move {
            // Whoever holds the lock would write the session back: that is waited for, if it does not take long.
            let about = About { patient: true, ..about(request.key) };
            inner.step(about, |table, now| protocol::end(table, now, request)).await
        })
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.ask(|inner| async move {
            let answer = inner.step(about(request.key), |table, now| protocol::acquire(table, now, request));
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
            inner.step(about(request.key), |table, now| protocol::renew(table, now, request)).await
        })
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.ask(|inner| async move {
            inner.step(about(request.key), |table, now| protocol::release(table, now, request)).await
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

    /// Nothing to do: every key has an expiry.
    fn purge(&self, _: usize) -> StoreFuture<Purged> {
        StoreFuture::ready(Ok(Purged::default()))
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        StoreFuture::ready(Ok(StoreStats::default()))
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        let shared = self.0.shared.clone();
        StoreFuture::boxed(async move { shared.tell_time().await })
    }
}

/// Where, not as whom.
impl std::fmt::Debug for PhpStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhpStore")
            .field("place", &self.0.shared.place)
            .field("layout", &self.0.layout.name)
            .finish_non_exhaustive()
    }
}
