//! Settings of a store.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Clock;
use zeroize::Zeroizing;

use crate::redis_url::{Address, TlsFiles};
use crate::tls::TlsError;
use crate::{Durability, InvalidRedisUrl, RedisStore, RedisUrl};

/// What keys begin with, unless told otherwise.
const PREFIX: &str = "cloakroom:";
/// Longest prefix, in bytes: it is part of every key.
const LONGEST_PREFIX: usize = 128;
/// Most connections for calls. More do not make one server faster.
const MOST_CONNECTIONS: usize = 64;

/// Settings of a [`RedisStore`].
#[derive(Clone)]
pub struct RedisBuilder {
    pub(crate) url: RedisUrl,
    /// Over what the URL says.
    pub(crate) tls_files: TlsFiles,
    /// User and password for sentinels, over what the URL says.
    sentinel_login: (Option<String>, Option<Zeroizing<String>>),
    pub(crate) prefix: String,
    pub(crate) call_deadline: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) durability: Option<Durability>,
    pub(crate) expired_events: bool,
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

/// Settings that do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is none.
    Url(InvalidRedisUrl),
    /// The address cannot be used on this system: a socket in the file system where there are none.
    Address,
    /// Certificates for a connection that is not to be encrypted.
    CertificatesWithoutTls,
    /// What TLS needs is not there.
    Tls(TlsError),
    /// PHP's sessions in a cluster, where one server or several are asked for.
    #[cfg(feature = "php")]
    PhpInCluster,
    /// Writes to PHP's sessions in a cluster that are to be waited for: that is not built yet.
    #[cfg(feature = "php")]
    PhpDurabilityInCluster,
    /// Servers for PHP's sessions of which none has a weight, or too much of it.
    #[cfg(feature = "php")]
    PhpWeights,
    /// A user or a password for sentinels, where there are none.
    LoginWithoutSentinels,
    /// A user to log in as, and no password: without one nobody logs in, and everything would be done as the default user.
    UserWithoutPassword,
    /// The same of sentinels.
    SentinelUserWithoutPassword,
    /// The prefix is longer than 128 bytes, or holds control characters or braces. Braces would take the place of the
    /// slot tag's.
    Prefix,
    /// There must be between 1 and 64 connections.
    Connections,
    /// A deadline of no time at all.
    Deadline,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Url(invalid) => invalid.fmt(f),
            BuildError::Address => {
                f.write_str("the address of the Redis server cannot be used on this system")
            }
            BuildError::CertificatesWithoutTls => f.write_str(
                "ca, certificate and key are for Redis over TLS, and this connection is not: write rediss:// (tls = true)",
            ),
            BuildError::Tls(error) => error.fmt(f),
            #[cfg(feature = "php")]
            BuildError::PhpInCluster => f.write_str(
                "PHP's sessions in a cluster are opened by PhpServers, with the cluster alone in it: not among other servers, and not \
                 by PhpServer, from which they could be moved",
            ),
            #[cfg(feature = "php")]
            BuildError::PhpDurabilityInCluster => f.write_str(
                "writes to PHP's sessions in a cluster cannot be waited for until replicas or disks have them; that is not built yet: \
                 leave out the durability (wait_replicas, wait_disk)",
            ),
            #[cfg(feature = "php")]
            BuildError::PhpWeights => f.write_str(
                "there is no server for PHP's sessions: name at least one whose weight in session.save_path is above 0",
            ),
            BuildError::LoginWithoutSentinels => f.write_str(
                "a user or a password for sentinels is given, and the URL names none: write redis-sentinel://",
            ),
            BuildError::UserWithoutPassword => f.write_str(
                "a user for Redis is given and no password, without which nobody logs in: give one (password, REDIS_PASSWORD, \
                 redis://USER:PASSWORD@…), or leave the user out to be the default one",
            ),
            BuildError::SentinelUserWithoutPassword => f.write_str(
                "a user for the sentinels is given and no password, without which nobody logs in: give one (sentinel_password, \
                 REDIS_SENTINEL_PASSWORD), or leave the user out to be the default one",
            ),
            BuildError::Prefix => write!(
                f,
                "the prefix of keys in Redis takes up to {LONGEST_PREFIX} bytes, without braces and control characters"
            ),
            BuildError::Connections => {
                write!(f, "the number of connections to Redis must be between 1 and {MOST_CONNECTIONS}")
            }
            BuildError::Deadline => {
                f.write_str("the deadlines of the Redis store must be longer than nothing")
            }
        }
    }
}

impl std::error::Error for BuildError {}

impl From<InvalidRedisUrl> for BuildError {
    fn from(invalid: InvalidRedisUrl) -> Self {
        BuildError::Url(invalid)
    }
}

impl RedisBuilder {
    /// Whether it is for a cluster.
    #[cfg(all(feature = "php", feature = "config"))]
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.url.address, crate::redis_url::Address::Cluster(_))
    }

    /// The settings for the server at this URL.
    pub fn new(url: RedisUrl) -> Self {
        RedisBuilder {
            url,
            tls_files: TlsFiles::default(),
            sentinel_login: (None, None),
            prefix: PREFIX.to_owned(),
            call_deadline: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            connections: 1,
            durability: None,
            expired_events: false,
            clock: None,
        }
    }

    /// The ACL user to log in as, in place of the URL's.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.url.user = Some(user.into());
        self
    }

    /// The password to log in with, in place of the URL's. Never shown.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.url.password = Some(Zeroizing::new(password.into()));
        self
    }

    /// The ACL user to ask sentinels as, in place of the URL's. For a URL with `redis-sentinel://`; with another it is an error.
    #[must_use]
    pub fn sentinel_user(mut self, user: impl Into<String>) -> Self {
        self.sentinel_login.0 = Some(user.into());
        self
    }

    /// The password for sentinels, in place of the URL's. Never shown. For a URL with `redis-sentinel://`.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_login.1 = Some(Zeroizing::new(password.into()));
        self
    }

    /// The number of the database, in place of the URL's. 0 unless told.
    #[must_use]
    pub fn database(mut self, number: u32) -> Self {
        self.url.db = number;
        self
    }

    /// The file (PEM) with the authorities that the server's certificate may come from, in place of the URL's. Unless there is
    /// one, they are the operating system's. The server must have a certificate of theirs for the host in the URL: that is
    /// always verified, and there is no way around it.
    ///
    /// For a URL with `rediss://`; with another it is an error. Files are read once, when the store is built.
    #[must_use]
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_files.ca = Some(file.into());
        self
    }

    /// The files (PEM) with the certificate to show the server, followed by those that lead to its authority, and with the
    /// certificate's private key, in place of the URL's. For a URL with `rediss://`.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls_files.certificate = Some(certificate.into());
        self.tls_files.key = Some(key.into());
        self
    }

    /// What all keys begin with; `cloakroom:` unless told. Applications that share a server need one each. Processes that
    /// share sessions need the same.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long an operation may take, connecting and all of its round trips included; 2 s unless told. The engine has a
    /// deadline of its own for each call (`concurrency.store_deadline`, 2 s as well): the shorter one ends it. A connection
    /// that leaves a call unanswered for this long is given up, and calls are refused at once until the server answers a
    /// new one: shorten both together.
    #[must_use]
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline;
        self
    }

    /// How long connecting and logging in may take; 1 s unless told.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many connections calls are spread over, each of them shared by all requests; 1 unless told, which is enough
    /// for most. One more listens for free leases as soon as a request waits for one.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// What a write is waited for, before it is acknowledged; nothing unless told. One that is made and not so confirmed in time is
    /// [`Undurable`](cloakroom::store::StoreErrorKind::Undurable).
    ///
    /// Such writes go over connections of their own, up to 16 of them: the server does nothing else on a connection that waits. So many
    /// can be under way at once, each for as long as its confirmation takes; beyond that they wait for one another.
    ///
    /// In a cluster each write is waited for on the node that makes it, and what concerns a user on that of the user's index as well.
    ///
    /// Of PHP's sessions (`php::PhpStore`), what is written here is waited for, and nothing that PHP writes. In a cluster nothing of them
    /// can be waited for: `php::PhpServers` refuses such a builder (`BuildError::PhpDurabilityInCluster`).
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Whether those who subscribed to events are told of sessions that reach their deadline
    /// ([`Event::Expired`](cloakroom::Event::Expired)); off unless told. Takes a server that has its keyspace events on
    /// (`notify-keyspace-events Egx`), and one more connection to each; the server then sends each process that has this on the name of
    /// every key that expires, and of every session that ends. Best effort: an event may be missing, and for as long as what is left of
    /// an ended session is kept (a minute unless told) after connecting, all are.
    #[must_use]
    pub fn expired_events(mut self, on: bool) -> Self {
        self.expired_events = on;
        self
    }

    /// For tests: the time by this clock in place of the server's. Every process that uses the data must have the same.
    #[doc(hidden)]
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The store. Connects to nothing yet.
    ///
    /// # Errors
    /// [`BuildError`]: which setting does not fit.
    pub fn build(mut self) -> Result<RedisStore, BuildError> {
        let prefix_fits = self.prefix.len() <= LONGEST_PREFIX
            && !self.prefix.chars().any(|c| c.is_control() || matches!(c, '{' | '}'));
        if !prefix_fits {
            return Err(BuildError::Prefix);
        }
        if !(1..=MOST_CONNECTIONS).contains(&self.connections) {
            return Err(BuildError::Connections);
        }
        let waits = self.durability.map_or(self.call_deadline, |durability| durability.within);
        if self.call_deadline.is_zero() || self.connect_timeout.is_zero() || waits.is_zero() {
            return Err(BuildError::Deadline);
        }
        if self.url.db != 0 && matches!(self.url.address, Address::Cluster(_)) {
            return Err(BuildError::Url(InvalidRedisUrl::ClusterDatabase));
        }
        let (user, password) = std::mem::take(&mut self.sentinel_login);
        match &mut self.url.address {
            Address::Sentinels(group) => {
                group.user = user.or(group.user.take());
                group.password = password.or(group.password.take());
            }
            _ if user.is_some() || password.is_some() => return Err(BuildError::LoginWithoutSentinels),
            _ => {}
        }
        if self.url.user.is_some() && self.url.password.is_none() {
            return Err(BuildError::UserWithoutPassword);
        }
        if let Address::Sentinels(group) = &self.url.address
            && group.user.is_some()
            && group.password.is_none()
        {
            return Err(BuildError::SentinelUserWithoutPassword);
        }
        RedisStore::start(self)
    }
}

/// Where, not as whom.
impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("url", &self.url)
            .field("prefix", &self.prefix)
            .field("call_deadline", &self.call_deadline)
            .field("connect_timeout", &self.connect_timeout)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}
