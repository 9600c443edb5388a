//! The session before it is asked for.

use std::future::Future;
use std::sync::Arc;

use super::shared::{Identity, Shared};
use super::{ReadOnlySession, Session};
use crate::error::{ErrorKind, SessionError};

tokio::task_local! {
    static CURRENT: SessionHandle;
}

/// The session of a request, opened or not. Nothing is asked of the store until it is opened.
///
/// Every request that passes the layer has one; extractors, middleware and [`current`] all give the same.
#[derive(Clone)]
pub struct SessionHandle(pub(crate) Arc<Shared>);

impl SessionHandle {
    /// Opens the session: loads it if the visitor has one. In exclusive mode, waits for its lease.
    ///
    /// Costs one store call the first time when the visitor brought an id, else none.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) when the store cannot be asked, [`Decode`](ErrorKind::Decode) when the
    /// record is damaged, [`LockTimeout`](ErrorKind::LockTimeout) in exclusive mode.
    pub async fn open(&self) -> Result<Session, SessionError> {
        self.0.open(true).await?;
        Ok(Session(Arc::clone(&self.0)))
    }

    /// Opens the session only if the visitor has one: otherwise `None`, and no session can come of it.
    ///
    /// # Errors
    /// As [`open`](SessionHandle::open).
    pub async fn open_existing(&self) -> Result<Option<Session>, SessionError> {
        self.0.open(true).await?;
        let exists = matches!(self.0.state.lock().identity, Identity::Known(_));
        Ok(exists.then(|| Session(Arc::clone(&self.0))))
    }

    /// Opens the session for reading: never waits for a lease, cannot write.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable), [`Decode`](ErrorKind::Decode).
    pub async fn read_only(&self) -> Result<ReadOnlySession, SessionError> {
        self.0.open(false).await?;
        Ok(ReadOnlySession(Arc::clone(&self.0)))
    }

    /// Runs `handler` with this session as the [`current`] one.
    pub fn scope<F: Future>(&self, handler: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), handler)
    }

    /// The same request's session of another manager: for an application with two layers, one inside the other, each with a
    /// cookie of its own. Extractors and [`current`] give the session of the innermost layer.
    ///
    /// `None` when the request has not passed a layer of that manager.
    pub fn of(&self, manager: &crate::SessionManager) -> Option<SessionHandle> {
        let mut handle = self;
        loop {
            if Arc::ptr_eq(&handle.0.manager, &manager.0) {
                return Some(handle.clone());
            }
            handle = handle.0.outer()?;
        }
    }

    /// Whether the session was opened in this request.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// This request is not a sign of life (polling, a background refresh): the idle deadline does not slide.
    pub fn mark_background(&self) {
        self.0.state.lock().background = true;
    }
}

impl std::fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionHandle").field("open", &self.is_open()).finish()
    }
}

/// The session of the request this code runs for, wherever it is called: the analogue of PHP's `$_SESSION`.
///
/// It comes from a task-local that the layer sets, so concurrent requests never see each other's. A task that the
/// handler spawns is another task: hand it a clone.
///
/// # Errors
/// [`NoLayer`](ErrorKind::NoLayer) outside a request that passed the session layer.
pub fn current() -> Result<SessionHandle, SessionError> {
    CURRENT.try_with(Clone::clone).map_err(|_| SessionError::new(ErrorKind::NoLayer))
}

/// Runs `f`, one poll of a request's future, with `handle` as the [`current`] one.
pub(crate) fn scoped<R>(handle: &SessionHandle, f: impl FnOnce() -> R) -> R {
    CURRENT.sync_scope(handle.clone(), f)
}
