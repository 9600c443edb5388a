//! The store itself: hands requests to what answers them.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::UserId;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{
    Acquire, Acquired, ChangeListener, Commit, Committed, Create, Created, End, Ended, ExpiryListener,
    Loaded, Purged, PushStore, Release, Released, Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom,
    ScanPage, Store, StoreError, StoreFuture, StoreStats, Summary, Touch, Touched,
};

use crate::cluster::Cluster;
use crate::durability::Kept;
use crate::expiry::Expiry;
use crate::names::Names;
use crate::node::{NodeSettings, Nodes};
use crate::redis_url::Address;
use crate::route::Route;
use crate::shared::Shared;
use crate::signals::Signals;
use crate::step::{Drafts, Stop, Wanted};
use crate::together;
use crate::tracking::Tracking;
use crate::{BuildError, InvalidRedisUrl, RedisBuilder};

/// Sessions in a Redis or Valkey server. Cloning gives another handle to the same store.
///
/// Connecting is lazy: the server is asked nothing until a session is asked for, or until [`ping`](Self::ping). Must be
/// used inside a tokio runtime.
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

impl RedisStore {
    /// The store at a URL, with the default settings. Connects to nothing.
    ///
    /// # Errors
    /// [`BuildError`]: the URL is none.
    ///
    /// ```
    /// let store = cloakroom_redis::RedisStore::new("redis://localhost:6379/0")?;
    /// # Ok::<(), cloakroom_redis::BuildError>(())
    /// ```
    pub fn new(url: &str) -> Result<Self, BuildError> {
        Self::builder(url)?.build()
    }

    /// Settings, to be finished with [`RedisBuilder::build`].
    ///
    /// # Errors
    /// The URL is none.
    pub fn builder(url: &str) -> Result<RedisBuilder, InvalidRedisUrl> {
        Ok(RedisBuilder::new(url.parse()?))
    }

    /// Asks the server whether it is there (in a cluster, each that has sessions), within the deadline of a call. For health checks, and for a program that would
    /// rather not start without its store.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let deadline = self.0.deadline();
        let ping = redis::cmd("PING");
        let primaries = self.0.primaries(deadline).await?;
        let asked = primaries.into_iter().map(|node| self.0.read_from(node, deadline, &ping));
        together::all(asked).await.into_iter().try_for_each(|told| told.map(drop))
    }

    pub(crate) fn start(settings: RedisBuilder) -> Result<Self, BuildError> {
        let place: Arc<str> = settings.url.to_string().into();
        let route = Route::new(&settings.url, settings.tls_files)?;
        let names = Names::new(&settings.prefix);
        let tracking = Tracking::new(place.clone(), names.clone());
        let told = || Expiry::new(names.clone(), settings.url.db, place.clone());
        let expiry = settings.expired_events.then(told);
        let shared = Arc::new_cyclic(|store: &Weak<Shared>| {
            let weak = store.clone();
            let nodes = NodeSettings {
                prefix: settings.prefix.as_str().into(),
                connections: settings.connections,
                connect_timeout: settings.connect_timeout,
                durability: settings.durability,
                clock: settings.clock.clone(),
                tracking: tracking.clone(),
                expiry: expiry.clone(),
                heard: Arc::new(move |push| Shared::heard(&weak, &push)),
            };
            let nodes = match &settings.url.address {
                Address::Cluster(seeds) => {
                    Nodes::Cluster(Box::new(Cluster::new(store.clone(), nodes, route, seeds.clone())))
                }
                _ => Nodes::One(nodes.node(route, place.clone())),
            };
            Shared {
                nodes,
                place,
                names,
                clock: settings.clock,
                call_deadline: settings.call_deadline,
                durability: settings.durability,
                signals: Signals::default(),
                tracking,
                expiry,
            }
        });
        Ok(RedisStore(shared))
    }

    fn is_cluster(&self) -> bool {
        self.0.nodes.cluster().is_some()
    }

    #[cfg(feature = "php")]
    pub(crate) fn into_shared(self) -> Arc<Shared> {
        self.0
    }

    fn ask<A, F>(&self, ask: impl FnOnce(Arc<Shared>) -> F) -> StoreFuture<A>
    where
        F: Future<Output = Result<A, StoreError>> + Send + 'static,
    {
        StoreFuture::boxed(ask(self.0.clone()))
    }

    /// The same of what is over by the deadline of one call, which is watched over here.
    fn ask_once<A, F>(&self, ask: impl FnOnce(Arc<Shared>) -> F) -> StoreFuture<A>
    where
        F: Future<Output = Result<A, StoreError>> + Send + 'static,
    {
        StoreFuture::within(self.0.call_deadline, ask(self.0.clone()))
    }
}

impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.ask_once(|shared| async move { shared.load(key).await })
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        self.ask(|shared| async move { shared.load_many(keys).await })
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        let Some(bind) = &request.bind else { return self.ask_once(|shared| shared.create(request)) };
        if self.is_cluster() {
            return self.ask(|shared| shared.create_apart(request));
        }
        let counted = bind.cap.map(|_| bind.user.clone());
        let wanted = Wanted::new(vec![request.key], counted.iter().cloned().collect());
        self.ask(|shared| async move {
            let told = shared
                .step(
                    wanted,
                    |table, now| match is_crowded(table, counted.as_ref())? {
                        true => Ok(None),
                        false => protocol::create(table, now, request.clone()).map(Some),
                    },
                    |made| matches!(made, Some(Created::Created { .. })),
                )
                .await;
            match Kept::told_if_any(told, |made| matches!(made, Created::Created { .. }))? {
                Some(made) => Ok(made),
                None => shared.create_apart(request).await,
            }
        })
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.ask_once(|shared| shared.commit(request))
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        if self.is_cluster() {
            return self.ask(|shared| shared.rename_apart(request));
        }
        let counted = request.bind.iter().find(|bind| bind.cap.is_some()).map(|bind| bind.user.clone());
        let wanted = Wanted::new(vec![request.from, request.to], counted.iter().cloned().collect());
        self.ask(|shared| async move {
            let told = shared
                .step(
                    wanted,
                    |table, now| match is_crowded(table, counted.as_ref())? {
                        true => Ok(None),
                        false => protocol::rename(table, now, request.clone()).map(Some),
                    },
                    |made| matches!(made, Some(Renamed::Renamed { .. })),
                )
                .await;
            match Kept::told_if_any(told, |made| matches!(made, Renamed::Renamed { .. }))? {
                Some(made) => Ok(made),
                None => shared.rename_apart(request).await,
            }
        })
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.ask(|shared| shared.touch(request))
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.ask(|shared| shared.end(request))
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.ask(|shared| shared.acquire(request))
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.ask(|shared| shared.renew(request))
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.ask(|shared| shared.release(request))
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        if self.is_cluster() {
            return self.ask(|shared| shared.list_apart(user));
        }
        let wanted = Wanted::new(Vec::new(), vec![user.clone()]);
        self.ask(|shared| async move {
            let listed = |table: &mut Drafts<'_>, now| match table.is_crowded(&user)? {
                true => Ok(None),
                false => protocol::list_user(table, now, &user).map(Some),
            };
            let (Some(sessions), stale) = shared.inspect(wanted, listed).await? else {
                return shared.list_apart(user).await;
            };
            if stale {
                // Beside the answer: nobody waits for an index to be tidied.
                tokio::spawn(shared.heal(user));
            }
            Ok(sessions)
        })
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        if self.is_cluster() {
            return self.ask(|shared| shared.revoke_apart(request));
        }
        let receipt = StoreKey::of_receipt(&request.user, request.op);
        let wanted = Wanted::new(vec![receipt], vec![request.user.clone()]);
        self.ask(|shared| async move {
            let told = shared
                .step(
                    wanted,
                    |table, now| {
                        // Executed before, it may have been session by session, and there may be some left.
                        let done =
                            matches!(table.get(&receipt)?, Some(Entry::Receipt { until, .. }) if now < until);
                        if done || table.is_contended() || table.is_crowded(&request.user)? {
                            return Ok(None);
                        }
                        protocol::revoke(table, now, request.clone()).map(Some)
                    },
                    Option::is_some,
                )
                .await;
            match Kept::told_if_any(told, |_| true)? {
                Some(revoked) => Ok(revoked),
                None => shared.revoke_apart(request).await,
            }
        })
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        self.ask(|shared| shared.scan(from))
    }

    /// Nothing to do: every key has an expiry, and Redis removes it by itself.
    fn purge(&self, _: usize) -> StoreFuture<Purged> {
        StoreFuture::ready(Ok(Purged::default()))
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.ask(|shared| shared.stats())
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        self.ask(|shared| shared.tell_time())
    }

    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        self.0.released(key)
    }

    /// Where [`RedisBuilder::expired_events`] was switched on.
    fn tell_expired(&self, listener: Weak<dyn ExpiryListener>, remembered: Duration) {
        self.0.tell_expired(listener, remembered);
    }
}

/// By the server's client tracking, which is switched on with the first listener: a store that nobody listens to does not pay
/// for it. A connection that was made before is made anew. Where the server refuses to track, nobody is told anything
/// (a near cache then keeps nothing), a warning is logged, and sessions are served as without it.
impl PushStore for RedisStore {
    fn tell(&self, listener: Weak<dyn ChangeListener>) {
        self.0.tracking.tell(listener);
        match &self.0.nodes {
            Nodes::One(node) => node.track(),
            Nodes::Cluster(cluster) => cluster.track(),
        }
    }
}

/// Whether sessions of this user are to be counted that are too many for one step.
fn is_crowded(table: &Drafts<'_>, counted: Option<&UserId>) -> Result<bool, Stop> {
    counted.map_or(Ok(false), |user| table.is_crowded(user))
}

/// Where, not as whom.
impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore")
            .field("place", &self.0.place)
            .field("prefix", &self.0.names.prefix())
            .finish_non_exhaustive()
    }
}
