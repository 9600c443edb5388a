//! Which server, and as whom: what is written in a URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use redis::{ProtocolVersion, RedisConnectionInfo};
use url::Url;
use zeroize::Zeroizing;

use crate::cluster::{Place, Seeds};

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
/// | `redis-cluster://HOST:PORT,HOST:PORT` | a cluster, of which these nodes tell; user and password before the `@` are for all nodes, and there is no database but 0 |
/// | `rediss-cluster://…` | the same over TLS, with the files of `rediss:` |
///
/// User, password and the names of files may be percent-encoded. `valkey:` serves for `redis:` everywhere. `Debug` and `Display` show where, never as
/// whom.
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
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
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
    /// None of `redis://`, `rediss://`, `redis+unix:`, `redis-cluster://` and `rediss-cluster://`.
    Scheme,
    /// A group of sentinels, which this version does not know.
    Topology,
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
                "expected redis://HOST:PORT/DB, rediss://HOST:PORT/DB, redis+unix:PATH or redis-cluster://HOST:PORT,HOST:PORT"
            }
            InvalidRedisUrl::Topology => {
                "Sentinel is not built yet; name one server with redis://, or nodes of a cluster with redis-cluster://"
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
                "a Redis URL takes db, user and password behind the ? of redis+unix:, and ca, certificate and key behind \
                 that of rediss:// and rediss-cluster://, and nothing else there"
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
            "redis-cluster" | "valkey-cluster" => over_cluster(rest, false),
            "rediss-cluster" | "valkeys-cluster" => over_cluster(rest, true),
            "redis-sentinel" | "valkey-sentinel" => Err(InvalidRedisUrl::Topology),
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
    let address = Address::Tcp { host, port: url.port().unwrap_or(PORT) };
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

/// Taken apart by hand: several hosts make no URL.
fn over_cluster(rest: &str, tls: bool) -> Result<RedisUrl, InvalidRedisUrl> {
    let rest = rest.strip_prefix("//").ok_or(InvalidRedisUrl::Seeds)?;
    if rest.contains('#') {
        return Err(InvalidRedisUrl::Option);
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, nodes) = authority.rsplit_once('@').unwrap_or(("", authority));
    if !matches!(db, "" | "0") {
        return Err(InvalidRedisUrl::ClusterDatabase);
    }
    let mut files = TlsFiles::default();
    for (option, value) in options(query) {
        files.set(option, value, tls)?;
    }
    let mut url = RedisUrl::of(Address::Cluster(Seeds::read(nodes)?));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    url.user = Some(user).filter(|user| !user.is_empty()).map(decoded).transpose()?;
    url.password = password.map(decoded).transpose()?.map(Zeroizing::new);
    url.tls = tls.then_some(files);
    Ok(url)
}

fn database(text: &str) -> Result<u32, InvalidRedisUrl> {
    match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse().map_err(|_| InvalidRedisUrl::Database),
        false => Err(InvalidRedisUrl::Database),
    }
}

fn decoded(text: &str) -> Result<String, InvalidRedisUrl> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| InvalidRedisUrl::Encoding)?;
    Ok(text.into_owned())
}

impl RedisUrl {
    /// A server at a host and port.
    pub fn at(host: impl Into<String>, port: u16) -> Self {
        Self::of(Address::Tcp { host: host.into(), port })
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
        let nodes = nodes.into_iter().map(|(host, port)| Place::new(host, port));
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

    fn of(address: Address) -> Self {
        RedisUrl { address, user: None, password: None, db: 0, tls: None }
    }

    /// The login as the library takes it.
    pub(crate) fn login(&self) -> RedisConnectionInfo {
        // RESP3, because it pushes: the end of a connection is told when it happens, not at the next call. Older servers
        // answer `CLIENT SETINFO` with an error in their statistics.
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(i64::from(self.db))
            .set_skip_set_lib_name();
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.as_str());
        }
        login
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        match &self.address {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}")?,
            Address::Tcp { host, port } => write!(f, "{scheme}://{host}:{port}")?,
            Address::Unix(path) => write!(f, "redis+unix:{}", path.display())?,
            Address::Cluster(seeds) => write!(f, "{scheme}-cluster://{seeds}")?,
        }
        match (&self.address, self.db) {
            (_, 0) => Ok(()),
            (Address::Tcp { .. } | Address::Cluster(_), db) => write!(f, "/{db}"),
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
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RedisUrl, InvalidRedisUrl> {
        text.parse()
    }

    #[test]
    fn urls_say_where_and_as_whom() {
        let plain = read("redis://localhost").unwrap();
        assert_eq!(plain, RedisUrl::at("localhost", 6379));
        let full = read("redis://shop:p%40ss%2Fword@db.example:7000/3").unwrap();
        assert_eq!(full.address, Address::Tcp { host: "db.example".into(), port: 7000 });
        assert_eq!(full.user.as_deref(), Some("shop"));
        assert_eq!(full.password.as_ref().map(|p| p.as_str()), Some("p@ss/word"));
        assert_eq!(full.db, 3);
        let only_password = read("redis://:secret@[::1]:1/").unwrap();
        assert_eq!(only_password.address, Address::Tcp { host: "::1".into(), port: 1 });
        assert_eq!((only_password.user, only_password.db), (None, 0));
        for socket in
            ["redis+unix:/run/r.sock?db=2&user=u&password=p%20w", "unix:///run/r.sock?db=2&user=u&pass=p%20w"]
        {
            let socket = read(socket).unwrap();
            assert_eq!(socket.address, Address::Unix("/run/r.sock".into()));
            assert_eq!((socket.db, socket.user.as_deref()), (2, Some("u")));
            assert_eq!(socket.password.as_ref().map(|p| p.as_str()), Some("p w"));
        }
        assert_eq!(read("redis+unix:relative.sock").unwrap().address, Address::Unix("relative.sock".into()));
    }

    #[test]
    fn a_url_for_tls_says_which_certificates() {
        let plain = read("rediss://u:p@h:1/2").unwrap();
        assert_eq!((plain.db, plain.tls), (2, Some(TlsFiles::default())));
        let full = read("valkeys://h?ca=%2Fetc/a%20b.pem&certificate=c.pem&key=k.pem").unwrap();
        let files = TlsFiles {
            ca: Some("/etc/a b.pem".into()),
            certificate: Some("c.pem".into()),
            key: Some("k.pem".into()),
        };
        assert_eq!(full.tls, Some(files));
        assert_eq!(full.to_string(), "rediss://h:6379");
        assert_eq!(RedisUrl::at("h", 6379).over_tls(), read("rediss://h").unwrap());
        assert_eq!(read("redis://h").unwrap().tls, None);
    }

    #[test]
    fn a_url_names_nodes_of_a_cluster() {
        let full = read("redis-cluster://shop:p%40ss:w@a:7,[::1]:8,c,a:7/0").unwrap();
        assert_eq!(full.to_string(), "redis-cluster://a:7,[::1]:8,c:6379");
        assert_eq!((full.user.as_deref(), full.db), (Some("shop"), 0));
        assert_eq!(full.password.as_ref().map(|p| p.as_str()), Some("p@ss:w"));
        let over_tls = read("rediss-cluster://a?ca=x.pem").unwrap();
        assert_eq!(over_tls.to_string(), "rediss-cluster://a:6379");
        assert_eq!(over_tls.tls.and_then(|files| files.ca), Some("x.pem".into()));
        assert_eq!(read("valkey-cluster://a:1"), RedisUrl::at_cluster([("a", 1)]));
        assert_eq!(RedisUrl::at_cluster::<&str>([]), Err(InvalidRedisUrl::Seeds));
    }

    #[test]
    fn what_is_not_a_url_is_refused_with_the_reason() {
        for (text, why) in [
            ("", InvalidRedisUrl::Scheme),
            ("localhost", InvalidRedisUrl::Scheme),
            ("http://localhost", InvalidRedisUrl::Scheme),
            ("redis-sentinel://localhost", InvalidRedisUrl::Topology),
            ("redis-cluster:a", InvalidRedisUrl::Seeds),
            ("redis-cluster://", InvalidRedisUrl::Seeds),
            ("redis-cluster://a,", InvalidRedisUrl::Seeds),
            ("redis-cluster://a:0", InvalidRedisUrl::Seeds),
            ("redis-cluster://a:65536", InvalidRedisUrl::Seeds),
            ("redis-cluster://a b", InvalidRedisUrl::Seeds),
            ("redis-cluster://[::1", InvalidRedisUrl::Seeds),
            ("redis-cluster://[::1]x", InvalidRedisUrl::Seeds),
            ("redis-cluster://a/1", InvalidRedisUrl::ClusterDatabase),
            ("redis-cluster://a?ca=/ca.pem", InvalidRedisUrl::Option),
            ("redis-cluster://a#x", InvalidRedisUrl::Option),
            ("redis:localhost", InvalidRedisUrl::Host),
            ("redis://", InvalidRedisUrl::Host),
            ("redis://host:port", InvalidRedisUrl::Host),
            ("redis://host/one", InvalidRedisUrl::Database),
            ("redis://host/-1", InvalidRedisUrl::Database),
            ("redis://host/99999999999", InvalidRedisUrl::Database),
            ("redis://host?db=1", InvalidRedisUrl::Option),
            ("redis://host?ca=/ca.pem", InvalidRedisUrl::Option),
            ("rediss://host?insecure=1", InvalidRedisUrl::Option),
            ("rediss://host?ca", InvalidRedisUrl::Option),
            ("rediss://host#insecure", InvalidRedisUrl::Option),
            ("redis+unix:", InvalidRedisUrl::Path),
            ("redis+unix:/s?prefix=x", InvalidRedisUrl::Option),
            ("redis://%ff@host", InvalidRedisUrl::Encoding),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn neither_debug_nor_display_show_a_password() {
        for text in [
            "redis://shop:hush@host:1/2",
            "redis+unix:/s?db=2&user=shop&password=hush",
            "redis-cluster://shop:hush@a,b",
        ] {
            let url = read(text).unwrap();
            for shown in [format!("{url:?}"), format!("{url:#?}"), url.to_string()] {
                assert!(!shown.contains("hush") && !shown.contains("shop"), "{shown}");
            }
            assert_eq!(url.to_string().parse::<RedisUrl>().unwrap().address, url.address);
        }
    }
}
