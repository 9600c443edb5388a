//! Runs a request again that failed because another one changed what it had read.

mod body;
mod future;

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

pub use body::ReplayBody;
pub use future::ReplayFuture;

use future::Kept;

/// Runs a request again that the session layer refused with 409, because a key that it read and then wrote was changed by
/// another request in between. Goes *outside* the [`SessionLayer`](super::SessionLayer).
///
/// Opt-in, because **the handler runs again from its start**: whatever it did outside its session (a mail, a payment, a row
/// in a database) it does again. Only a request of which nothing reached the session store is run again: one awaited `put`,
/// `update`, `save`, `lock`, `login` or the like, and the 409 stands. So does it where the conflict is with a login or a
/// change of id, and where a second session layer is around the handler. Each run is a request of its own to the session
/// layer; only the last one's response leaves.
///
/// The request's body is recorded while the handler reads it, up to a limit; a longer one arrives whole all the same, and is
/// not run again. A request without a conflict costs a copy of its head and of the body's bytes that were read, and no store
/// call; a replay costs what the request costs. Replays are counted: [`MetricsSnapshot::replays`](crate::MetricsSnapshot).
///
/// ```
/// use axum::{Router, routing::post};
/// use cloakroom::{MemoryStore, ReplayLayer, Session, SessionError, SessionLayer};
///
/// async fn visit(session: Session) -> Result<String, SessionError> {
///     let n: u32 = session.get("visits")?.unwrap_or(0) + 1;
///     session.set("visits", n)?;
///     Ok(format!("visit {n}"))
/// }
///
/// let app: Router = Router::new()
///     .route("/", post(visit))
///     .layer(SessionLayer::new(MemoryStore::new()))
///     .layer(ReplayLayer::new());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ReplayLayer {
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    body: usize,
    replays: u32,
    within: Duration,
}

impl Default for ReplayLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplayLayer {
    /// Up to three replays within five seconds, of requests with up to 16 KiB of body.
    pub const fn new() -> Self {
        ReplayLayer { limits: Limits { body: 16 * 1024, replays: 3, within: Duration::from_secs(5) } }
    }

    /// The longest body, in bytes, that is kept: memory that each request may take while it runs.
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.limits.body = bytes;
        self
    }

    /// How often a request is run again, at most; 0 switches replays off.
    #[must_use]
    pub const fn replays(mut self, times: u32) -> Self {
        self.limits.replays = times;
        self
    }

    /// No replay begins later than this after the request arrived: where the inner service is not ready for it by then, the
    /// 409 leaves.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.limits.within = time;
        self
    }
}

impl<S> Layer<S> for ReplayLayer {
    type Service = ReplayService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReplayService { inner, limits: self.limits }
    }
}

/// A service whose conflicting requests are run again; see [`ReplayLayer`].
#[derive(Debug, Clone)]
pub struct ReplayService<S> {
    inner: S,
    limits: Limits,
}

impl<S, B, R> Service<Request<B>> for ReplayService<S>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ReplayFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = u64::try_from(self.limits.body).unwrap_or(u64::MAX);
        if self.limits.replays == 0 || request.body().size_hint().lower() > limit {
            return ReplayFuture::once(self.inner.call(request.map(ReplayBody::passing)));
        }
        let (parts, body) = request.into_parts();
        let (body, tape) = ReplayBody::recorded(body, self.limits.body);
        let deadline = Instant::now().checked_add(self.limits.within);
        let kept = Kept { parts: parts.clone(), tape, left: self.limits.replays, deadline };
        // The service that is ready gets the request; a clone of it the replays.
        let spare = self.inner.clone();
        let future = self.inner.call(Request::from_parts(parts, body));
        ReplayFuture::of(future, spare, kept)
    }
}
