//! The seam between HTTP and the engine: what an adapter for a framework calls, and nothing else.
//!
//! | when | call |
//! |---|---|
//! | the request's head is there | [`open`](SessionManager::open), then [`admit`](SessionManager::admit) |
//! | while the handler runs | [`SessionHandle::scope`] around it, for [`current`](crate::current) |
//! | before the response's head leaves | [`close`](SessionManager::close), and [`replace`](SessionManager::replace) if that failed |
//! | it failed, and the adapter kept the request | [`SessionHandle::may_replay`] says whether to run it again, through `open` and on |
//! | the handler panicked | [`close_panicked`](SessionManager::close_panicked) |
//! | the response has a body that streams | [`wrap_body`](SessionManager::wrap_body) |
//! | the request was dropped before `close` | [`abandon`](SessionManager::abandon) |

mod admin;
mod close;
mod config;
mod cross_site;
mod failure;

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::header::HeaderName;

pub use close::Outcome;
pub use config::{CsrfConfig, SessionConfig};
#[cfg(feature = "tower")]
pub(crate) use cross_site::{CrossSiteVerdict, PresentedToken};
#[cfg(feature = "tower")]
pub(crate) use failure::Replayable;
#[cfg(feature = "tower")]
pub(crate) use failure::error_response;
pub use failure::{Discarded, FailureHook};

use crate::engine::Engine;
use crate::error::SessionError;
use crate::http::cache_limiter::CachePolicy;
use crate::http::transport::IdTransport;
use crate::http::trusted_proxies::TrustedProxies;
use crate::ids::IdFormat;
use crate::request::RequestHead;
use crate::session::{SessionHandle, Shared};
use crate::settings::Settings;
use crate::store::Store;

/// Sessions over one store, with one configuration. Cheap to clone; clones are the same manager.
///
/// An application has one for each session cookie. Adapters call [`open`](SessionManager::open) when a request's head
/// has arrived and [`close`](SessionManager::close) before the response's head leaves:
///
/// ```
/// # async fn example() -> Result<(), cloakroom::SessionError> {
/// use cloakroom::{MemoryStore, Outcome, SessionConfig, SessionManager};
/// let sessions = SessionManager::new(MemoryStore::new(), SessionConfig::new())?;
///
/// let request = http::Request::new(());
/// let handle = sessions.open(&request, None);
/// let session = handle.open().await?;
/// session.set("visits", 1)?;
///
/// let mut response = http::Response::new("hello");
/// match sessions.close(&handle, response.status(), response.headers_mut()).await {
///     Outcome::Failed(error) => { /* answer with `sessions.replace(…)` instead */ }
///     _ => assert!(response.headers().contains_key("set-cookie")),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SessionManager(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) http: HttpPolicy,
}

/// Everything about sessions that is about HTTP, checked and prepared.
pub(crate) struct HttpPolicy {
    pub(crate) transport: IdTransport,
    pub(crate) varies_by: HeaderName,
    pub(crate) cache: CachePolicy,
    pub(crate) proxies: TrustedProxies,
    pub(crate) csrf: Option<CsrfConfig>,
    pub(crate) clear_site_data: bool,
    /// The cookie outlives the browser session: it is sent anew with each write, and whenever a read slides the idle deadline.
    pub(crate) persistent: bool,
    pub(crate) on_failure: Option<FailureHook>,
}

impl SessionManager {
    /// A manager over `store`.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) when the configuration contradicts itself; the text says what to change.
    pub fn new(store: impl Store, config: SessionConfig) -> Result<Self, SessionError> {
        Self::over(Arc::new(store), config)
    }

    /// As [`new`](SessionManager::new), over a store that is shared or chosen at run time.
    ///
    /// # Errors
    /// As [`new`](SessionManager::new).
    pub fn over(store: Arc<dyn Store>, config: SessionConfig) -> Result<Self, SessionError> {
        let (mut settings, events, mut http) = config.prepare()?;
        adopt(&*store, &mut settings, &mut http);
        Ok(SessionManager(Arc::new(Inner { engine: Arc::new(Engine::new(store, settings, events)), http })))
    }

    /// A manager over `store` with the default configuration, which is known to be valid.
    pub fn with_defaults(store: Arc<dyn Store>) -> Self {
        let (mut settings, events, mut http) = SessionConfig::new().prepare_defaults();
        adopt(&*store, &mut settings, &mut http);
        SessionManager(Arc::new(Inner { engine: Arc::new(Engine::new(store, settings, events)), http }))
    }

    /// A request has arrived. Notes what it says of a session; asks nothing of the store, allocates once.
    ///
    /// `peer` is the address of the other end of the connection; without it the request is taken to be remote, and
    /// cookies are `Secure`.
    pub fn open<'a>(&self, head: impl Into<RequestHead<'a>>, peer: Option<SocketAddr>) -> SessionHandle {
        SessionHandle(Shared::new(self.clone(), head.into(), peer))
    }
}

/// Where the store's sessions are another system's too, ids and values are as that system has them.
fn adopt(store: &dyn Store, settings: &mut Settings, http: &mut HttpPolicy) {
    if let Some(conventions) = store.conventions() {
        settings.codec = settings.codec.beside(conventions.values, conventions.handover);
        settings.ids = IdFormat::Plain(conventions.ids, conventions.handover);
        http.transport.read_as(settings.ids.clone());
    }
}

impl std::fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionManager").field("store", &self.0.engine.store.name()).finish_non_exhaustive()
    }
}
