//! How a connection is made: a socket to the server, TLS over it where that is asked for, and the login.

use std::io;
use std::ops::{Deref, DerefMut};
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::cluster::Place;
use crate::target::{Address, TlsFiles};
use crate::tls::Tls;
use crate::{BuildError, RedisUrl, error};

/// The way to a server, and as whom.
pub(crate) struct Route {
    address: Address,
    login: RedisConnectionInfo,
    /// TLS and never anything else.
    tls: Option<Arc<Tls>>,
}

/// A connection that was logged in. Closed when its last clone is dropped, also with calls under way.
#[derive(Clone)]
pub(crate) struct Connection {
    asks: MultiplexedConnection,
    _drives: Arc<Driver>,
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &MultiplexedConnection {
        &self.asks
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.asks
    }
}

/// The task that reads and writes.
struct Driver(tokio::task::AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Bytes to and from a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Route {
    pub(crate) fn new(url: &RedisUrl, files: TlsFiles) -> Result<Self, BuildError> {
        if cfg!(not(unix)) && matches!(url.address, Address::Unix(_)) {
            return Err(BuildError::Address);
        }
        let tls = match &url.tls {
            Some(of_url) => {
                let tls = Tls::new(&files.or(of_url.clone())).map_err(BuildError::Tls)?;
                Some(Arc::new(tls))
            }
            None if !files.is_empty() => return Err(BuildError::CertificatesWithoutTls),
            None => None,
        };
        Ok(Route { address: url.address.clone(), login: url.login(), tls })
    }

    /// The way to a node of a cluster, as the same.
    pub(crate) fn to(&self, at: &Place) -> Self {
        let address = Address::Tcp { host: at.host.clone(), port: at.port };
        Route { address, login: self.login.clone(), tls: self.tls.clone() }
    }

    /// A new connection, or why there is none: the end of a sentence about the server.
    pub(crate) async fn connect(&self, config: AsyncConnectionConfig) -> Result<Connection, String> {
        let stream = match &self.address {
            Address::Tcp { host, port } => self.over_tcp(host, *port).await?,
            Address::Cluster(_) => return Err("is many servers: one of them has to be named".to_owned()),
            #[cfg(unix)]
            Address::Unix(path) => over_socket(path).await?,
            #[cfg(not(unix))]
            Address::Unix(_) => return Err("is behind a socket, which this system does not have".to_owned()),
        };
        log_in(stream, &self.login, self.tls.is_some(), config).await
    }

    /// Why there is no connection where time was up.
    pub(crate) fn too_slow(&self) -> &'static str {
        match self.tls {
            // A server without TLS waits for the rest of what it takes for a command.
            Some(_) => "did not answer a new connection in time: does it speak TLS on that port?",
            None => "did not answer a new connection in time",
        }
    }

    async fn over_tcp(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, String> {
        let stream = tcp(host, port).await?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => tls.over(stream, host).await,
        }
    }
}

async fn log_in(
    stream: Box<dyn Stream>,
    login: &RedisConnectionInfo,
    tls: bool,
    config: AsyncConnectionConfig,
) -> Result<Connection, String> {
    let (asks, driving) = MultiplexedConnection::new_with_config(login, stream, config)
        .await
        .map_err(|error| error::no_login(&error, tls))?;
    let driver = Driver(tokio::spawn(driving).abort_handle());
    Ok(Connection { asks, _drives: Arc::new(driver) })
}

#[cfg(unix)]
async fn over_socket(path: &Path) -> Result<Box<dyn Stream>, String> {
    let stream = tokio::net::UnixStream::connect(path).await;
    stream.map(|stream| Box::new(stream) as _).map_err(|error| error::unreachable(&error))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = tokio::net::lookup_host((host, port)).await;
    let addresses = addresses.map_err(|_| "cannot be reached: its name is not known here".to_owned())?;
    // All addresses of a name at once: nobody waits for the one that leads nowhere.
    let mut trying = JoinSet::new();
    for address in addresses {
        trying.spawn(TcpStream::connect(address));
    }
    let mut failed: Option<io::Error> = None;
    while let Some(tried) = trying.join_next().await {
        match tried {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|error| error::unreachable(&error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => failed = Some(error),
            Err(_) => {}
        }
    }
    Err(failed.map_or_else(|| "cannot be reached".to_owned(), |error| error::unreachable(&error)))
}
