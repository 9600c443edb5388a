use std::task::{Context, Poll};

use ::http::{Request, Response};
use bytes::Bytes;
use tower_service::Service;

use super::ResponseFuture;
use super::hand_on::hand_on;
use super::layer::PeerSource;
use crate::body::SessionBody;
use crate::manager::{CrossSiteVerdict, SessionManager};
use crate::request::RequestHead;
use crate::session::Lent;

/// A service with sessions; see [`SessionLayer`](super::SessionLayer).
#[derive(Clone)]
pub struct SessionService<S> {
    pub(super) inner: S,
    pub(super) manager: SessionManager,
    pub(super) peer: Option<PeerSource>,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<SessionBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let peer = self.peer.as_ref().and_then(|find| find(request.extensions()));
        let handle = self.manager.open(&request, peer);
        let verdict = self.manager.cross_site(&RequestHead::from(&request), &handle);
        if let Some(outer) = hand_on(handle.clone(), request.extensions_mut()) {
            handle.0.set_outer(outer);
        }
        match verdict {
            CrossSiteVerdict::Fine => {
                let mut handle = Some(handle);
                let future = {
                    // A guard and not a closure, which would move the request once more.
                    let _current = Lent::new(&mut handle);
                    self.inner.call(request)
                };
                ResponseFuture::handling(handle, future)
            }
            CrossSiteVerdict::Refused => ResponseFuture::refused(handle),
            CrossSiteVerdict::AskFor(token) => {
                // The service that is ready stays with this request.
                let ready = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, ready);
                ResponseFuture::checking(handle, token, ready, request)
            }
        }
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
