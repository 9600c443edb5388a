//! How a connection is made: a socket to the server, TLS over it where that is asked for, and the login. Where sentinels know
//! which server it is, they are asked first, and it must say of itself that it is a primary.

use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cloakroom::clock::deadline_after;
use redis::{RedisConnectionInfo, RedisError, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{self, Handle};
use tokio::task::JoinSet;

use crate::greeting::Greeting;
use crate::host::HostPort;
use crate::pipe::{self, OnNews, Pipe, Unanswered};
use crate::redis_url::{Address, TlsFiles};
use crate::sentinels::{Follower, Sentinels};
use crate::tls::Tls;
use crate::{BuildError, RedisUrl, error, permissions};

/// How much later than its deadline a call is given up by its caller: the connection's own task comes first, where it runs at all.
const UNATTENDED: Duration = Duration::from_millis(50);

/// The way to a server, and as whom.
pub(crate) struct Route {
    way: Way,
    login: RedisConnectionInfo,
    /// TLS and never anything else.
    tls: Option<Arc<Tls>>,
}

enum Way {
    Tcp(HostPort),
    Unix(PathBuf),
    /// To whichever server they name.
    Sentinels(Sentinels),
    /// To none yet: of a cluster's nodes one has to be named.
    Nodes,
}

/// A connection that was logged in. Closed when its last clone is dropped, also with calls under way.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Parts>);

struct Parts {
    pipe: Pipe,
    drives: Arc<Driver>,
    /// The runtime that its task runs on.
    runtime: runtime::Id,
    /// Where sentinels named the server.
    to: Option<Arc<HostPort>>,
    greeting: Greeting,
}

impl Connection {
    /// What the server said of itself.
    pub(crate) fn greeting(&self) -> Greeting {
        self.0.greeting
    }

    /// Ends it at once. Calls under way are not answered any more.
    pub(crate) fn cut(&self) {
        self.0.drives.0.abort();
    }

    /// Whether its own task runs along with whoever asks this. It notices by itself when the server is silent.
    pub(crate) fn is_attended_here(&self) -> bool {
        Handle::try_current().is_ok_and(|here| here.id() == self.0.runtime)
    }

    /// Waits for an answer over it. Its own task watches over deadlines where it runs along with the caller, and nearly every
    /// caller is on the same runtime. Another runtime may stand still.
    pub(crate) async fn in_time(
        &self,
        answered: impl Future<Output = Result<Value, Unanswered>> + Send,
        ends: Instant,
    ) -> Result<Value, Unanswered> {
        match Handle::try_current() {
            Ok(here) if here.id() != self.0.runtime => {
                let unattended = deadline_after(ends, UNATTENDED);
                Box::pin(tokio::time::timeout_at(unattended.into(), answered))
                    .await
                    .unwrap_or(Err(Unanswered::Unattended))
            }
            _ => answered.await,
        }
    }

    /// For whoever gives it up and may have to end it later, while calls are under way on it still.
    pub(crate) fn given_up(&self) -> GivenUp {
        GivenUp { drives: Arc::downgrade(&self.0.drives), to: self.0.to.clone() }
    }
}

impl Deref for Connection {
    type Target = Pipe;

    fn deref(&self) -> &Pipe {
        &self.0.pipe
    }
}

/// How a connection is opened.
pub(crate) struct Opening {
    /// What it tells later on goes there.
    pub(crate) on_news: OnNews,
    /// By when it is to be open.
    pub(crate) ends: Instant,
    /// Whether it is to tell that the server stood still, which takes looks at the clock.
    pub(crate) tells_of_standstills: bool,
}

/// A connection that nobody uses for new calls.
pub(crate) struct GivenUp {
    drives: Weak<Driver>,
    to: Option<Arc<HostPort>>,
}

impl GivenUp {
    /// Nothing is under way on it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.drives.strong_count() == 0
    }

    /// As [`Connection::cut`].
    pub(crate) fn cut(&self) {
        if let Some(driver) = self.drives.upgrade() {
            driver.0.abort();
        }
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
        let way = match &url.address {
            Address::Tcp(at) => Way::Tcp(at.clone()),
            Address::Unix(path) => Way::Unix(path.clone()),
            Address::Sentinels(group) => Way::Sentinels(Sentinels::new(group.clone(), tls.clone())),
            Address::Cluster(_) => Way::Nodes,
        };
        Ok(Route { way, login: url.login(), tls })
    }

    /// The way to a node of a cluster, as the same.
    pub(crate) fn to(&self, at: &HostPort) -> Self {
        Route { way: Way::Tcp(at.clone()), login: self.login.clone(), tls: self.tls.clone() }
    }

    /// Whether it may lead to another server from one connection to the next.
    pub(crate) fn may_turn(&self) -> bool {
        matches!(self.way, Way::Sentinels(_))
    }

    /// Calls this whenever it may lead elsewhere.
    pub(crate) fn tell(&self, follower: Follower) {
        if let Way::Sentinels(sentinels) = &self.way {
            sentinels.tell(follower);
        }
    }

    /// Whether it still leads to where this connection does.
    pub(crate) fn leads_to(&self, connection: &Connection) -> bool {
        self.leads(connection.0.to.as_ref())
    }

    /// The same of one that was given up.
    pub(crate) fn led_to(&self, connection: &GivenUp) -> bool {
        self.leads(connection.to.as_ref())
    }

    fn leads(&self, to: Option<&Arc<HostPort>>) -> bool {
        match (&self.way, to) {
            (Way::Sentinels(sentinels), Some(at)) => sentinels.lead_to(at),
            _ => true,
        }
    }

    /// A new connection, or why there is none: the end of a sentence about the server.
    pub(crate) async fn connect(&self, opening: &Opening) -> Result<Connection, String> {
        let stream = match &self.way {
            Way::Tcp(at) => stream(at, self.tls.as_deref()).await?,
            #[cfg(unix)]
            Way::Unix(path) => over_socket(path).await?,
            #[cfg(not(unix))]
            Way::Unix(_) => return Err("is behind a socket, which this system does not have".to_owned()),
            Way::Sentinels(sentinels) => return self.to_primary(sentinels, opening).await,
            Way::Nodes => return Err("is many servers: one of them has to be named".to_owned()),
        };
        self.log_in(stream, None, opening).await
    }

    /// To the server that they name; begun anew where they name another one meanwhile.
    async fn to_primary(&self, sentinels: &Sentinels, opening: &Opening) -> Result<Connection, String> {
        let mut search = sentinels.search();
        loop {
            let named = search.named().await?;
            let failed = tokio::select! {
                tried = self.to_one_of(&named, opening) => match tried {
                    Ok(connection) => return Ok(connection),
                    Err(why) => why,
                },
                () = search.otherwise_than(&named) => continue,
            };
            // They may be about to tell.
            if !search.soon_otherwise_than(&named).await {
                return Err(failed);
            }
        }
    }

    async fn to_one_of(&self, named: &[HostPort], opening: &Opening) -> Result<Connection, String> {
        let mut failed = String::new();
        for at in named {
            match self.as_primary(at, opening).await {
                Ok(connection) => return Ok(connection),
                Err(why) => failed = format!("has its primary at {at}, which {why}"),
            }
        }
        Err(failed)
    }

    async fn as_primary(&self, at: &HostPort, opening: &Opening) -> Result<Connection, String> {
        let stream = stream(at, self.tls.as_deref()).await?;
        let connection = self.log_in(stream, Some(Arc::new(at.clone())), opening).await?;
        // A sentinel says what it was told some time ago.
        let role = connection
            .ask(&redis::cmd("ROLE"), opening.ends)
            .await
            .map_err(|unanswered| error::no_login(&connection.ended(unanswered), self.tls.is_some()))?;
        let is_primary = match &role {
            Value::Array(role) => match role.first() {
                Some(Value::BulkString(name)) => name == b"master",
                Some(Value::SimpleString(name)) => name == "master",
                _ => false,
            },
            Value::ServerError(told) if told.code() == "NOPERM" => {
                return Err(permissions::refused(told.code(), told.details(), None).unwrap_or_default());
            }
            _ => false,
        };
        if !is_primary {
            return Err("is none, or none any more: its sentinels will have to agree on another".to_owned());
        }
        Ok(connection)
    }

    async fn log_in(
        &self,
        stream: Box<dyn Stream>,
        to: Option<Arc<HostPort>>,
        opening: &Opening,
    ) -> Result<Connection, String> {
        let connection = log_in(stream, &self.login, to, opening).await;
        connection.map_err(|error| error::no_login(&error, self.tls.is_some()))
    }

    /// Why there is no connection where time was up.
    pub(crate) fn too_slow(&self) -> &'static str {
        match self.tls {
            // A server without TLS waits for the rest of what it takes for a command.
            Some(_) => "did not answer a new connection in time: does it speak TLS on that port?",
            None => "did not answer a new connection in time",
        }
    }
}

/// Logs in on a stream that was opened.
pub(crate) async fn log_in(
    stream: Box<dyn Stream>,
    login: &RedisConnectionInfo,
    to: Option<Arc<HostPort>>,
    opening: &Opening,
) -> Result<Connection, RedisError> {
    let (pipe, driving) = pipe::drive(stream, opening.on_news.clone(), opening.tells_of_standstills);
    let runtime = Handle::current();
    let driver = Driver(runtime.spawn(driving).abort_handle());
    let greeting = pipe::log_in(&pipe, login, opening.ends).await?;
    Ok(Connection(Arc::new(Parts { pipe, drives: Arc::new(driver), runtime: runtime.id(), to, greeting })))
}

/// Bytes to and from a host, in TLS or not at all where that is asked for.
pub(crate) async fn stream(at: &HostPort, tls: Option<&Tls>) -> Result<Box<dyn Stream>, String> {
    let stream = tcp(&at.host, at.port).await?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => tls.over(stream, &at.host).await,
    }
}

#[cfg(unix)]
async fn over_socket(path: &std::path::Path) -> Result<Box<dyn Stream>, String> {
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
