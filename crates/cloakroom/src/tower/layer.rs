use std::net::SocketAddr;
use std::sync::Arc;

use tower_layer::Layer;

use super::SessionService;
use crate::error::SessionError;
use crate::manager::{SessionConfig, SessionManager};
use crate::store::Store;

/// Finds the address of the peer in a request's extensions.
pub(super) type PeerSource = Arc<dyn Fn(&http::Extensions) -> Option<SocketAddr> + Send + Sync>;

/// Puts sessions around a service.
///
/// ```
/// use axum::{Router, routing::post};
/// use cloakroom::{MemoryStore, Session, SessionError, SessionLayer};
///
/// async fn visit(session: Session) -> Result<String, SessionError> {
///     let n = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1).await?;
///     Ok(format!("visit {n}"))
/// }
///
/// let app: Router = Router::new().route("/", post(visit)).layer(SessionLayer::new(MemoryStore::new()));
/// ```
#[derive(Clone)]
pub struct SessionLayer {
    manager: SessionManager,
    peer: Option<PeerSource>,
}

impl SessionLayer {
    /// Sessions over `store` with the default configuration.
    pub fn new(store: impl Store) -> Self {
        Self::of(SessionManager::with_defaults(Arc::new(store)))
    }

    /// Sessions over `store`, configured.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) when the configuration contradicts itself.
    pub fn with(store: impl Store, config: SessionConfig) -> Result<Self, SessionError> {
        SessionManager::new(store, config).map(Self::of)
    }

    /// The sessions of a manager, which can also be used elsewhere: on an admin page, in other adapters.
    pub fn of(manager: SessionManager) -> Self {
        SessionLayer { manager, peer: None }
    }

    /// Where to find the peer's address. Without it every request counts as remote and every cookie is `Secure`; with it,
    /// cookies work over plain HTTP on loopback, forwarding headers of trusted proxies count, and devices show an address.
    ///
    /// With axum: `.peer_from(|e| e.get::<ConnectInfo<SocketAddr>>().map(|c| c.0))` and
    /// `into_make_service_with_connect_info::<SocketAddr>()`.
    #[must_use]
    pub fn peer_from<F>(mut self, find: F) -> Self
    where
        F: Fn(&http::Extensions) -> Option<SocketAddr> + Send + Sync + 'static,
    {
        self.peer = Some(Arc::new(find));
        self
    }

    /// The manager.
    pub fn manager(&self) -> &SessionManager {
        &self.manager
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, manager: self.manager.clone(), peer: self.peer.clone() }
    }
}

impl std::fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SessionLayer").field(&self.manager).finish()
    }
}
