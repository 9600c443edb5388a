//! Which server, and as whom: what is written in a URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use redis::RedisConnectionInfo;
use url::Url;
use zeroize::Zeroizing;

use crate::cluster::Seeds;
use crate::digits::digits;
use crate::group::Group;
use crate::host::HostPort;

const PORT: u16 = 6379;

/// Where a server is and how to log in.
///
/// | written | |
/// |---|---|
/// | `redis://HOST`, `redis://HOST:PORT/DB` | over TCP; port 6379 and database 0 unless told |
/// | `redis://USER:PASSWORD@HOST` | as this user; `redis://:PASSWORD@HOST` as the default one |
/// | `rediss://…` | the same over TLS, which needs the feature `tls` |
/// | `rediss://HOST?ca=FILE&certificate=FILE&key=FILE` | with a CA of one's own, with a client certificate: see [`RedisBuilder::ca`](crate::RedisBuilder::ca) |
/// | `redis+unix:PATH`, `redis+unix:PATH?db=1&user=USER&password=PASSWORD` | over a socket in the file system |
/// | `redis-sentinel://HOST:PORT,HOST:PORT/SERVICE/DB` | the primary of this service, wherever these sentinels say it is; port 26379 unless told. A user and a password before the `@` are for the primary |
/// | `redis-sentinel://…?sentinel_user=USER&sentinel_password=PASSWORD` | as whom to ask the sentinels, where they want to know |
/// | `rediss-sentinel://…` | the same over TLS, to the sentinels and to the primary; with the files of `rediss:` |
/// | `redis-cluster://HOST:PORT,HOST:PORT` | a cluster, of which these nodes tell; user and password before the `@` are for all nodes, and there is no database but 0 |
/// | `rediss-cluster://…` | the same over TLS, with the files of `rediss:` |
///
/// Users, passwords, services and the names of files may be percent-encoded. `valkey` serves for `redis` everywhere. `Debug` and `Display` show where,
/// never as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(crate) address: Address,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) db: u32,
    /// TLS and never anything else, with these files.
    pub(crate) tls: Option<TlsFiles>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Address {
    Tcp(HostPort),
    Unix(PathBuf),
    /// Wherever a service's primary is.
    Sentinels(Group),
    /// Many servers, which tell of each other.
    Cluster(Seeds),
}

/// Where the certificates for TLS are, as PEM.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TlsFiles {
    /// Whom to trust, in place of the system's authorities.
    pub(crate) ca: Option<PathBuf>,
    /// What to show the server, with the certificates between it and the server's authority.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl TlsFiles {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes an option of a URL, still encoded, if it is one of TLS and TLS is what the URL is for.
    fn set(&mut self, option: &str, value: &str, tls: bool) -> Result<(), InvalidRedisUrl> {
        let file = Some(PathBuf::from(decoded(value)?)).filter(|_| tls && !value.is_empty());
        match (option, file) {
            ("ca", Some(file)) => self.ca = Some(file),
            ("certificate", Some(file)) => self.certificate = Some(file),
            ("key", Some(file)) => self.key = Some(file),
            _ => return Err(InvalidRedisUrl::Option),
        }
        Ok(())
    }

    /// These, and the others where these say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        TlsFiles {
            ca: self.ca.or(others.ca),
            certificate: self.certificate.or(others.certificate),
            key: self.key.or(others.key),
        }
    }
}

/// Why a text is not a [`RedisUrl`]. It does not repeat the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRedisUrl {
    /// None of `redis://`, `redis+unix:`, `redis-sentinel://`, `redis-cluster://`, and the same with `rediss`.
    Scheme,
    /// No list of sentinels: between 1 and 16 hosts, with commas between them.
    Sentinels,
    /// No name of a service behind the sentinels.
    Service,
    /// No list of a cluster's nodes: between 1 and 64 hosts, with commas between them.
    Seeds,
    /// A database other than 0 in a cluster, which has no others.
    ClusterDatabase,
    /// No host, or none that can be read.
    Host,
    /// The database is not a number.
    Database,
    /// `redis+unix:` without the path of a socket.
    Path,
    /// Something behind the `?` that is not known, or a `#`.
    Option,
    /// User or password are not UTF-8, once decoded.
    Encoding,
}

impl fmt::Display for InvalidRedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidRedisUrl::Scheme => {
                "expected redis://HOST:PORT/DB, rediss://HOST:PORT/DB, redis+unix:PATH, \
                 redis-sentinel://HOST:PORT,HOST:PORT/SERVICE/DB or redis-cluster://HOST:PORT,HOST:PORT"
            }
            InvalidRedisUrl::Sentinels => {
                "the sentinels of a Redis service are between 1 and 16 hosts with commas between them, as in \
                 redis-sentinel://a:26379,b:26379,c:26379/SERVICE"
            }
            InvalidRedisUrl::Service => {
                "the service that sentinels look after must be named, as in redis-sentinel://a:26379,b:26379/SERVICE: see \
                 `sentinel monitor` in their configuration"
            }
            InvalidRedisUrl::Seeds => {
                "a Redis cluster is named by between 1 and 64 of its nodes with commas between them, as in \
                 redis-cluster://a:6379,b:6379,c:6379"
            }
            InvalidRedisUrl::ClusterDatabase => "a Redis cluster has database 0 and no other: leave the database out",
            InvalidRedisUrl::Host => "redis:// needs a host, as in redis://localhost:6379/0",
            InvalidRedisUrl::Database => "the database in a Redis URL must be a number from 0",
            InvalidRedisUrl::Path => "redis+unix: needs the path of a socket",
            InvalidRedisUrl::Option => {
                "a Redis URL takes db, user and password behind the ? of redis+unix:, ca, certificate and key behind that of \
                 rediss://, rediss-sentinel:// and rediss-cluster://, sentinel_user and sentinel_password where there are sentinels, and \
                 nothing else there"
            }
            InvalidRedisUrl::Encoding => "user and password in a Redis URL must be percent-encoded UTF-8",
        })
    }
}

impl std::error::Error for InvalidRedisUrl {}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRedisUrl> {
        let (scheme, rest) = text.split_once(':').ok_or(InvalidRedisUrl::Scheme)?;
        match scheme {
            "redis" | "valkey" => over_tcp(rest, false),
            "rediss" | "valkeys" => over_tcp(rest, true),
            "redis+unix" | "valkey+unix" | "unix" => over_socket(rest),
            "redis-sentinel" | "valkey-sentinel" => over_sentinels(rest, false),
            "rediss-sentinel" | "valkeys-sentinel" => over_sentinels(rest, true),
            "redis-cluster" | "valkey-cluster" => over_cluster(rest, false),
            "rediss-cluster" | "valkeys-cluster" => over_cluster(rest, true),
            _ => Err(InvalidRedisUrl::Scheme),
        }
    }
}

fn over_tcp(rest: &str, tls: bool) -> Result<RedisUrl, InvalidRedisUrl> {
    if !rest.starts_with("//") {
        return Err(InvalidRedisUrl::Host);
    }
    let url = Url::parse(&format!("redis:{rest}")).map_err(|_| InvalidRedisUrl::Host)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidRedisUrl::Host)?;
    // In brackets in a URL only.
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if url.fragment().is_some() {
        return Err(InvalidRedisUrl::Option);
    }
    let mut files = TlsFiles::default();
    for (option, value) in options(url.query().unwrap_or_default()) {
        files.set(option, value, tls)?;
    }
    let db = match url.path().trim_matches('/') {
        "" => 0,
        db => database(db)?,
    };
    let user = Some(url.username()).filter(|user| !user.is_empty()).map(decoded).transpose()?;
    let password = url.password().map(decoded).transpose()?.map(Zeroizing::new);
    let address = Address::Tcp(HostPort { host, port: url.port().unwrap_or(PORT) });
    Ok(RedisUrl { address, user, password, db, tls: tls.then_some(files) })
}

/// What stands behind the `?`, still encoded.
fn options(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|option| !option.is_empty())
        .map(|option| option.split_once('=').unwrap_or((option, "")))
}

fn over_socket(rest: &str) -> Result<RedisUrl, InvalidRedisUrl> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // `redis+unix:///run/redis.sock` and `redis+unix:/run/redis.sock` name the same file.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(InvalidRedisUrl::Path);
    }
    let mut url = RedisUrl::at_socket(path);
    for option in options(query) {
        match option {
            ("db", db) => url.db = database(db)?,
            ("user", user) => url.user = Some(decoded(user)?),
            ("password" | "pass", password) => url.password = Some(Zeroizing::new(decoded(password)?)),
            _ => return Err(InvalidRedisUrl::Option),
        }
    }
    Ok(url)
}

fn over_sentinels(rest: &str, tls: bool) -> Result<RedisUrl, InvalidRedisUrl> {
    let parts = Parts::of(rest).ok_or(InvalidRedisUrl::Sentinels)?;
    let (service, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    let mut group = Group::read(parts.hosts, &decoded(service)?)?;
    let mut files = TlsFiles::default();
    for (option, value) in options(parts.query()?) {
        match option {
            "sentinel_user" => group.user = Some(decoded(value)?),
            "sentinel_password" => group.password = Some(Zeroizing::new(decoded(value)?)),
            _ => files.set(option, value, tls)?,
        }
    }
    let mut url = parts.logged_in(Address::Sentinels(group))?;
    url.tls = tls.then_some(files);
    if !db.trim_matches('/').is_empty() {
        url.db = database(db.trim_matches('/'))?;
    }
    Ok(url)
}

fn over_cluster(rest: &str, tls: bool) -> Result<RedisUrl, InvalidRedisUrl> {
    let parts = Parts::of(rest).ok_or(InvalidRedisUrl::Seeds)?;
    let mut files = TlsFiles::default();
    for (option, value) in options(parts.query()?) {
        files.set(option, value, tls)?;
    }
    if !matches!(parts.path, "" | "0") {
        return Err(InvalidRedisUrl::ClusterDatabase);
    }
    let mut url = parts.logged_in(Address::Cluster(Seeds::read(parts.hosts)?))?;
    url.tls = tls.then_some(files);
    Ok(url)
}

/// What stands in a URL with several hosts, taken apart by hand: to a parser it is none.
struct Parts<'u> {
    login: &'u str,
    hosts: &'u str,
    path: &'u str,
    query: &'u str,
}

impl<'u> Parts<'u> {
    /// `//USER:PASSWORD@HOSTS/PATH?QUERY`
    fn of(rest: &'u str) -> Option<Self> {
        let (rest, query) = rest.strip_prefix("//")?.split_once('?').unwrap_or((rest.get(2..)?, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        Some(Parts { login, hosts, path, query })
    }

    /// The query, where nothing ends in a fragment.
    fn query(&self) -> Result<&'u str, InvalidRedisUrl> {
        let fragment = [self.login, self.hosts, self.path, self.query].iter().any(|part| part.contains('#'));
        if fragment { Err(InvalidRedisUrl::Option) } else { Ok(self.query) }
    }

    /// A URL that leads there, as the user that stands before the hosts.
    fn logged_in(&self, address: Address) -> Result<RedisUrl, InvalidRedisUrl> {
        let (user, password) = match self.login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (self.login, None),
        };
        let mut url = RedisUrl::of(address);
        url.user = Some(user).filter(|user| !user.is_empty()).map(decoded).transpose()?;
        url.password = password.map(decoded).transpose()?.map(Zeroizing::new);
        Ok(url)
    }
}

fn database(text: &str) -> Result<u32, InvalidRedisUrl> {
    digits(text).ok_or(InvalidRedisUrl::Database)
}

fn decoded(text: &str) -> Result<String, InvalidRedisUrl> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| InvalidRedisUrl::Encoding)?;
    Ok(text.into_owned())
}

impl RedisUrl {
    /// A server at a host and port.
    pub fn at(host: impl Into<String>, port: u16) -> Self {
        Self::of(Address::Tcp(HostPort::new(host, port)))
    }

    /// The primary of a service, wherever these sentinels (host and port of each) say it is. Name all there are, three at
    /// least: what most of them say counts.
    ///
    /// # Errors
    /// There are none or more than 16, or the service has no name.
    ///
    /// ```
    /// use cloakroom_redis::RedisUrl;
    ///
    /// let url = RedisUrl::at_sentinels([("a.internal", 26379), ("b.internal", 26379)], "sessions")?;
    /// assert_eq!(url, "redis-sentinel://a.internal,b.internal/sessions".parse()?);
    /// # Ok::<(), cloakroom_redis::InvalidRedisUrl>(())
    /// ```
    pub fn at_sentinels<H: Into<String>>(
        sentinels: impl IntoIterator<Item = (H, u16)>,
        service: &str,
    ) -> Result<Self, InvalidRedisUrl> {
        let sentinels = sentinels.into_iter().map(|(host, port)| HostPort::new(host, port));
        Ok(Self::of(Address::Sentinels(Group::new(sentinels, service)?)))
    }

    /// The cluster that these nodes (host and port of each) belong to. A few that are not all on one machine are enough: they
    /// tell of the others.
    ///
    /// # Errors
    /// There are none or more than 64, or one of them has no host.
    ///
    /// ```
    /// use cloakroom_redis::RedisUrl;
    ///
    /// let url = RedisUrl::at_cluster([("a.internal", 6379), ("b.internal", 6379)])?;
    /// assert_eq!(url, "redis-cluster://a.internal,b.internal".parse()?);
    /// # Ok::<(), cloakroom_redis::InvalidRedisUrl>(())
    /// ```
    pub fn at_cluster<H: Into<String>>(
        nodes: impl IntoIterator<Item = (H, u16)>,
    ) -> Result<Self, InvalidRedisUrl> {
        let nodes = nodes.into_iter().map(|(host, port)| HostPort::new(host, port));
        Ok(Self::of(Address::Cluster(Seeds::new(nodes)?)))
    }

    /// A server behind a socket in the file system.
    pub fn at_socket(path: impl Into<PathBuf>) -> Self {
        Self::of(Address::Unix(path.into()))
    }

    /// The same server over TLS.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.tls.get_or_insert_default();
        self
    }

    pub(crate) fn of(address: Address) -> Self {
        RedisUrl { address, user: None, password: None, db: 0, tls: None }
    }

    /// As whom, and to which database.
    pub(crate) fn login(&self) -> RedisConnectionInfo {
        login(self.user.as_deref(), self.password.as_ref()).set_db(i64::from(self.db))
    }
}

impl Group {
    /// The login to a sentinel.
    pub(crate) fn login(&self) -> RedisConnectionInfo {
        login(self.user.as_deref(), self.password.as_ref())
    }
}

fn login(user: Option<&str>, password: Option<&Zeroizing<String>>) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password.as_str());
    }
    login
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        match &self.address {
            Address::Tcp(at) => write!(f, "{scheme}://{at}")?,
            Address::Unix(path) => write!(f, "redis+unix:{}", path.display())?,
            Address::Sentinels(group) => write!(f, "{scheme}-sentinel://{group}")?,
            Address::Cluster(seeds) => write!(f, "{scheme}-cluster://{seeds}")?,
        }
        match (&self.address, self.db) {
            (_, 0) => Ok(()),
            (Address::Tcp(_) | Address::Sentinels(_) | Address::Cluster(_), db) => write!(f, "/{db}"),
            (Address::Unix(_), db) => write!(f, "?db={db}"),
        }
    }
}

/// Where, not as whom.
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests;
