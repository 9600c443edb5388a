//! Several servers, over which phpredis spreads sessions by their ids; or a cluster, which spreads them itself.

use std::time::Instant;

use cloakroom::PlainId;
use cloakroom::clock::Timestamp;
use cloakroom::store::StoreError;
use cloakroom_php::layout::{Change, Ground, Layout, Matter, View};

use super::server::PhpServer;
use super::spread::Spread;
use crate::{BuildError, RedisBuilder};

/// The servers of a PHP application whose `session.save_path` names several, each with its weight; or one; or a cluster
/// (`session.save_handler = rediscluster`), which is one with any weight.
///
/// ```no_run
/// # fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use cloakroom_redis::{RedisStore, php::{Layout, PhpServers, PhpStore}};
///
/// // session.save_path = "tcp://a:6379?weight=1, tcp://b:6379?weight=2"
/// let a = RedisStore::builder("redis://a:6379/0")?;
/// let b = RedisStore::builder("redis://b:6379/0")?;
/// let store = PhpStore::new(PhpServers::new([(a, 1), (b, 2)])?, Layout::phpredis());
/// # Ok(()) }
/// ```
///
/// On several, a session is on the server that its id's first four bytes choose, as phpredis has it, so everything about one id is one step on one server,
/// as with [`PhpServer`]. A change of id may lead to another server and is two steps then: the session is under the new id before it ends under the old one.
/// `docs/guarantees.md` says what that means. The servers' clocks have to agree: a new session's deadlines are taken from the clock of the
/// old one's server.
///
/// In a cluster everything about one id is in one slot, and the layout is one [`in_cluster`](Layout::in_cluster): phpredis takes no lock there. A
/// change of id leads to another slot and is two steps, as between servers.
///
/// ```no_run
/// # fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use cloakroom_redis::{RedisStore, php::{Layout, PhpServers, PhpStore}};
///
/// // session.save_path = "seed[]=a:6379&seed[]=b:6379"
/// let cluster = RedisStore::builder("redis-cluster://a,b")?;
/// let store = PhpStore::new(PhpServers::new([(cluster, 1)])?, Layout::phpredis().in_cluster()?);
/// # Ok(()) }
/// ```
///
/// phpredis must not lock on several servers (`redis.session.locking_enabled = 0`): it frees locks on the wrong server, so that they stay until they
/// expire. [`PhpSettings`](super::PhpSettings) refuses it.
#[derive(Debug)]
pub struct PhpServers(Spread<PhpServer>);

impl PhpServers {
    /// These servers with their weights, in the order of `session.save_path`: their order decides which sessions each has. Connects to
    /// nothing yet.
    ///
    /// # Errors
    /// [`BuildError`]: which setting does not fit, that there is no server with a weight, or that there is a cluster among several.
    pub fn new(servers: impl IntoIterator<Item = (RedisBuilder, u32)>) -> Result<Self, BuildError> {
        let server = |(server, weight)| Ok((PhpServer::anywhere(server)?, weight));
        let mut servers = servers.into_iter().map(server).collect::<Result<Vec<_>, BuildError>>()?;
        match servers.pop_if(|(server, _)| server.is_cluster()) {
            Some((cluster, _)) if servers.is_empty() => Ok(PhpServers(Spread::over_slots(cluster))),
            None if !servers.iter().any(|(server, _)| server.is_cluster()) => {
                Spread::over(servers).map(PhpServers).ok_or(BuildError::PhpWeights)
            }
            _ => Err(BuildError::PhpInCluster),
        }
    }
}

impl PhpServers {
    /// What is under a key, as [`PhpServer::value`]; of several servers, of the first that has it.
    ///
    /// # Errors
    /// As there.
    pub async fn value(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        for server in self.0.grounds() {
            if let Some(value) = server.value(key).await? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl Ground for PhpServers {
    fn place(&self) -> &str {
        self.0.place()
    }

    fn deadline(&self) -> Instant {
        self.0.deadline()
    }

    async fn look(&self, deadline: Instant, layout: &Layout, ids: &[PlainId]) -> Result<View, StoreError> {
        self.0.look(deadline, layout, ids).await
    }

    async fn apply(
        &self,
        deadline: Instant,
        layout: &Layout,
        view: &View,
        changes: Vec<Change>,
        matter: Matter,
    ) -> Result<bool, StoreError> {
        self.0.apply(deadline, layout, view, changes, matter).await
    }

    fn confirms(&self, matter: Matter) -> bool {
        self.0.confirms(matter)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.0.now().await
    }
}
