//! `session.save_path`: what it says depends on the handler.

use std::fmt;
use std::time::Duration;

use super::options::{Options, host_and_port};

/// A `session.save_path` that cannot be read, and what to write instead. It never repeats the path: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SavePathError {
    /// There is no server in it.
    #[error("session.save_path names no server: write session.save_path = \"tcp://127.0.0.1:6379\"")]
    Empty,
    /// There is no node of a cluster in it.
    #[error(
        "session.save_path names no node of the cluster: write session.save_path = \"seed[]=HOST:PORT&seed[]=HOST:PORT\""
    )]
    Seeds,
    /// Not the form of an address.
    #[error(
        "server {0} of session.save_path is none: write tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH, with \
         options behind a `?`, in quotation marks"
    )]
    Address(usize),
    /// A value that has to be a number.
    #[error("server {0} of session.save_path: {1} has to be a number")]
    Number(usize, &'static str),
    /// `N;MODE;PATH` of the files handler with something else in front.
    #[error(
        "session.save_path = \"N;MODE;PATH\": N is how deep the folders are, MODE an octal number such as 0600"
    )]
    Depth,
}

/// Where a Redis server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port; over TLS or not.
    Tcp {
        /// Name or address; an IPv6 address without its brackets.
        host: String,
        /// 6379 where none is given.
        port: u16,
        /// `tls://`
        tls: bool,
    },
    /// A socket of this machine.
    Unix(String),
}

impl Address {
    /// Whether the way to it leads over a network.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        match self {
            Self::Unix(_) => false,
            Self::Tcp { host, .. } => {
                !(host.eq_ignore_ascii_case("localhost")
                    || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()))
            }
        }
    }
}

/// One server of phpredis' `session.save_path`.
///
/// Source: phpredis' manual on its [session handler](https://github.com/phpredis/phpredis#php-session-handler).
#[derive(Clone, PartialEq, Eq)]
pub struct RedisServer {
    /// Where it is.
    pub address: Address,
    /// Its share of the sessions, where there are several.
    pub weight: u32,
    /// The database's number.
    pub database: u32,
    /// In front of each key; it replaces `PHPREDIS_SESSION:`.
    pub prefix: Option<String>,
    /// Of an ACL.
    pub user: Option<String>,
    /// A secret: `Debug` does not show it.
    pub password: Option<String>,
    /// How long connecting may take; zero is for ever.
    pub timeout: Duration,
    /// Whether PHP keeps the connection between requests.
    pub persistent: bool,
}

impl RedisServer {
    /// The servers of a `session.save_path` of phpredis', in the order in which they are written.
    ///
    /// ```
    /// use cloakroom_php::ini::RedisServer;
    ///
    /// let servers = RedisServer::list("tcp://a:6379?weight=1, tcp://b:6379?weight=2")?;
    /// assert_eq!(servers.iter().map(|server| server.weight).collect::<Vec<_>>(), [1, 2]);
    /// # Ok::<(), cloakroom_php::ini::SavePathError>(())
    /// ```
    ///
    /// # Errors
    /// [`SavePathError`]: which server is none.
    pub fn list(path: &str) -> Result<Vec<Self>, SavePathError> {
        redis(path)
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer")
            .field("address", &self.address)
            .field("weight", &self.weight)
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("timeout", &self.timeout)
            .field("persistent", &self.persistent)
            .finish()
    }
}

/// Reads the servers of phpredis' handler `redis`, in the order in which they are written.
pub(super) fn redis(path: &str) -> Result<Vec<RedisServer>, SavePathError> {
    let servers: Vec<_> = path
        .split(|c: char| c == ',' || c.is_ascii_whitespace())
        .filter(|part| !part.is_empty())
        .enumerate()
        .map(|(at, url)| server(at + 1, url))
        .collect::<Result<_, _>>()?;
    if servers.is_empty() { Err(SavePathError::Empty) } else { Ok(servers) }
}

fn server(at: usize, url: &str) -> Result<RedisServer, SavePathError> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = place.split_once("://").ok_or(SavePathError::Address(at))?;
    let address = match scheme {
        "unix" | "file" => Address::Unix(rest.to_owned()),
        "tcp" | "tls" | "ssl" => {
            let (host, port) = host_and_port(rest.trim_end_matches('/')).ok_or(SavePathError::Address(at))?;
            Address::Tcp { host, port, tls: scheme != "tcp" }
        }
        _ => return Err(SavePathError::Address(at)),
    };
    let options = Options::of(query);
    let number = |name: &'static str, otherwise: u32| match options.last(name) {
        None => Ok(otherwise),
        Some(value) => value.trim().parse().map_err(|_| SavePathError::Number(at, name)),
    };
    let timeout = match options.last("timeout") {
        None => 0.0,
        Some(value) => value.trim().parse::<f64>().map_err(|_| SavePathError::Number(at, "timeout"))?,
    };
    let (user, password) = options.auth();
    Ok(RedisServer {
        address,
        weight: number("weight", 1)?,
        database: number("database", 0)?,
        prefix: options.last("prefix").map(str::to_owned),
        user,
        password,
        timeout: Duration::try_from_secs_f64(timeout).unwrap_or_default(),
        persistent: options.last("persistent").is_some_and(|value| value != "0" && !value.is_empty()),
    })
}

/// Where PHP's own handler `files` keeps sessions: `PATH`, `N;PATH` or `N;MODE;PATH`.
///
/// Source: <https://www.php.net/manual/en/session.configuration.php#ini.session.save-path>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesPath {
    /// The folder. Empty where none is named: PHP then has the one that it was built with.
    pub folder: String,
    /// How many levels of folders, each for one character of the id.
    pub depth: u32,
    /// Permissions of the files.
    pub mode: u32,
}

pub(super) fn files(path: &str) -> Result<FilesPath, SavePathError> {
    let parts: Vec<&str> = path.splitn(3, ';').collect();
    let (depth, mode, folder) = match parts.as_slice() {
        [folder] => ("0", "600", *folder),
        [depth, folder] => (*depth, "600", *folder),
        [depth, mode, folder] => (*depth, *mode, *folder),
        _ => return Err(SavePathError::Depth),
    };
    Ok(FilesPath {
        folder: folder.to_owned(),
        depth: depth.trim().parse().map_err(|_| SavePathError::Depth)?,
        mode: u32::from_str_radix(mode.trim(), 8).map_err(|_| SavePathError::Depth)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port, tls: false }
    }

    #[test]
    fn servers_with_their_options_are_read() {
        let path = "tcp://10.0.0.1:6380?weight=2&database=3&prefix=shop%3A&auth=s%26cret&timeout=2.5&persistent=1, \
                    tls://[::1]?auth[]=web&auth[]=pw unix:///run/redis.sock?auth[user]=u&auth[pass]=p";
        let [first, second, third] = redis(path).unwrap().try_into().unwrap();
        assert_eq!(first.address, tcp("10.0.0.1", 6380));
        assert_eq!((first.weight, first.database, first.persistent), (2, 3, true));
        assert_eq!(first.prefix.as_deref(), Some("shop:"));
        assert_eq!((first.user, first.password.as_deref()), (None, Some("s&cret")));
        assert_eq!(first.timeout, Duration::from_millis(2500));
        assert_eq!(second.address, Address::Tcp { host: "::1".into(), port: 6379, tls: true });
        assert_eq!((second.user.as_deref(), second.password.as_deref()), (Some("web"), Some("pw")));
        assert_eq!(third.address, Address::Unix("/run/redis.sock".into()));
        assert_eq!((third.user.as_deref(), third.password.as_deref()), (Some("u"), Some("p")));
    }

    #[test]
    fn a_password_is_not_shown() {
        let servers = redis("tcp://h?auth=hunter2").unwrap();
        assert!(!format!("{servers:?}").contains("hunter2"));
    }

    #[test]
    fn what_names_no_server_is_refused() {
        assert_eq!(redis(" , "), Err(SavePathError::Empty));
        for path in
            ["/var/lib/php", "tcp://", "http://h", "tcp://h:x", "tcp://h:+1", "tcp://[::1", "tcp://[::1]x"]
        {
            assert_eq!(redis(path), Err(SavePathError::Address(1)), "{path}");
        }
        assert_eq!(redis("tcp://h tcp://h?weight=x"), Err(SavePathError::Number(2, "weight")));
    }

    #[test]
    fn what_is_on_this_machine_is_not_remote() {
        for local in ["tcp://localhost", "tcp://127.0.0.2", "tcp://[::1]", "unix:///x"] {
            assert!(!redis(local).unwrap()[0].address.is_remote(), "{local}");
        }
        assert!(redis("tcp://redis.internal").unwrap()[0].address.is_remote());
    }

    #[test]
    fn folders_may_be_deep() {
        let path = |folder: &str, depth, mode| FilesPath { folder: folder.into(), depth, mode };
        assert_eq!(files("/tmp"), Ok(path("/tmp", 0, 0o600)));
        assert_eq!(files("2;/tmp"), Ok(path("/tmp", 2, 0o600)));
        assert_eq!(files("5;0660;/a;b"), Ok(path("/a;b", 5, 0o660)));
        assert_eq!(files("x;/tmp"), Err(SavePathError::Depth));
        assert_eq!(files("1;9;/tmp"), Err(SavePathError::Depth));
    }

    proptest::proptest! {
        #[test]
        fn no_path_is_too_much(path in ".{0,80}", odd in "[a-z:/?&=\\[\\],;% 0-9]{0,60}") {
            let _ = (redis(&path), files(&path), redis(&odd), files(&odd));
        }
    }
}
