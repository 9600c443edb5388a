//! The session before it is asked for.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::shared::{Identity, Shared};
use super::{ReadOnlySession, Session};
use crate::error::{ErrorKind, SessionError};

thread_local! {
    /// The session of the request whose future is being polled on this thread: lent for the length of a poll.
    static CURRENT: RefCell<Option<SessionHandle>> = const { RefCell::new(None) };
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
    /// ```
    /// # use cloakroom::{SessionHandle, SessionError};
    /// # async fn handler(handle: SessionHandle) -> Result<(), SessionError> {
    /// if let Some(user) = handle.open().await?.user() {
    ///     println!("for {}", user.as_str());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) when the store cannot be asked, [`Decode`](ErrorKind::Decode) when the
    /// record is damaged, [`LockTimeout`](ErrorKind::LockTimeout) in exclusive mode,
    /// [`CrossSite`](ErrorKind::CrossSite) where the id travels in a header and the request has one in a cookie as well.
    pub async fn open(&self) -> Result<Session, SessionError> {
        self.0.ensure_open(true).await?;
        Ok(Session(Arc::clone(&self.0)))
    }

    /// Opens the session only if the visitor has one: otherwise `None`, and no session can come of it. Costs what
    /// [`open`](SessionHandle::open) does.
    ///
    /// # Errors
    /// As [`open`](SessionHandle::open).
    pub async fn open_existing(&self) -> Result<Option<Session>, SessionError> {
        self.0.ensure_open(true).await?;
        let exists = matches!(self.0.state.lock().identity, Identity::Known(_));
        Ok(exists.then(|| Session(Arc::clone(&self.0))))
    }

    /// Opens the session for reading: never waits for a lease, cannot write. Costs what [`open`](SessionHandle::open) does.
    ///
    /// # Errors
    /// As [`open`](SessionHandle::open), save [`LockTimeout`](ErrorKind::LockTimeout).
    pub async fn read_only(&self) -> Result<ReadOnlySession, SessionError> {
        self.0.ensure_open(false).await?;
        Ok(ReadOnlySession(Arc::clone(&self.0)))
    }

    /// Runs `handler` with this session as the [`current`] one.
    pub fn scope<F: Future>(&self, handler: F) -> impl Future<Output = F::Output> + use<F> {
        Scoped { handle: Some(self.clone()), future: handler }
    }

    /// The same request's session of another manager: for an application with two layers, one inside the other, each with a
    /// cookie of its own. Extractors and [`current`] give the session of the innermost layer.
    ///
    /// `None` when the request has not passed a layer of that manager.
    pub fn of(&self, manager: &crate::SessionManager) -> Option<SessionHandle> {
        let mut handle = self;
        loop {
            if Arc::ptr_eq(&handle.0.manager.0, &manager.0) {
                return Some(handle.clone());
            }
            handle = handle.0.outer()?;
        }
    }

    /// Whether the session was opened in this request.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Whether the request that failed with `error` may be run again from its start, its session opened anew: nothing of
    /// it reached the store, and the conflict that refused it may not happen a second time. For adapters that keep the
    /// request; ask before the answer's head leaves.
    ///
    /// That is so when a key was read and then written while another request changed it, the session lives on under its id,
    /// no awaited call of the request (`put`, `update`, `save`, `lock`, `login`, `destroy`, …) was made, and no second
    /// session layer is around it. What the handler did outside the session it does again. No store call.
    pub fn may_replay(&self, error: &SessionError) -> bool {
        error.is_worth_a_rerun() && self.0.outer().is_none() && !self.0.state.lock().awaited
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
/// The layer sets it for each poll of the request's future, so concurrent requests never see each other's. A task that the
/// handler spawns is another task: hand it a clone.
///
/// ```
/// # use cloakroom::{SessionError};
/// # async fn handler() -> Result<(), SessionError> {
/// // In a function that is handed nothing:
/// let session = cloakroom::current()?.open().await?;
/// session.set("last_search", "umbrella")?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`NoLayer`](ErrorKind::NoLayer) outside a request that passed the session layer.
pub fn current() -> Result<SessionHandle, SessionError> {
    let handle = CURRENT.try_with(|current| current.borrow().clone());
    handle.ok().flatten().ok_or_else(|| SessionError::new(ErrorKind::NoLayer))
}

/// A handle lent to [`current`] until this is dropped, for the length of one poll of its request's future: it moves there
/// and back, which costs less than counting a reference up and down. `None` in its own place meanwhile.
pub(crate) struct Lent<'a>(&'a mut Option<SessionHandle>);

impl<'a> Lent<'a> {
    #[inline(always)]
    pub(crate) fn new(handle: &'a mut Option<SessionHandle>) -> Self {
        swap(handle);
        Lent(handle)
    }
}

impl Drop for Lent<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        swap(self.0);
    }
}

/// Exchanges the current handle with another one. Where the thread is being torn down, nothing is current any more.
#[inline]
fn swap(handle: &mut Option<SessionHandle>) {
    let _ = CURRENT.try_with(|current| std::mem::swap(&mut *current.borrow_mut(), handle));
}

pin_project! {
    struct Scoped<F> {
        handle: Option<SessionHandle>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _current = Lent::new(this.handle);
        this.future.poll(cx)
    }
}
