use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::body::SessionBody;
use crate::engine::Detached;
use crate::error::{ErrorKind, SessionError};
use crate::manager::{Discarded, Outcome, PresentedToken, SessionManager};
use crate::session::{HandlerEnd, SessionHandle, scoped};

pin_project! {
    /// The response of a [`SessionService`](super::SessionService).
    ///
    /// Dropping it drops the handler; what the handler had buffered is then discarded, and its lease given back.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        stage: Stage<S, B, S::Future, S::Response, S::Error>,
        open: Open,
    }
}

/// The request's session; abandoned when the future is dropped before the response left.
struct Open {
    manager: SessionManager,
    handle: SessionHandle,
    over: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.over {
            self.handle.0.abandon();
        }
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, B, F, R, E> {
        // A token must be checked before the handler may run.
        Checking { check: Pin<Box<dyn Future<Output = Result<(), SessionError>> + Send>>, next: Option<(S, Request<B>)> },
        // The request is refused without asking the handler.
        Refused { error: Option<SessionError> },
        // The handler runs.
        Handling { #[pin] future: F },
        // The handler is done; the commit is under way.
        Finishing { finish: Detached<()>, end: HandlerEnd, response: Option<R> },
        // The service itself failed; the lease is given back, then its error is passed on.
        Failing { finish: Detached<()>, error: Option<E> },
        // The handler panicked; a change of id under way is waited for.
        Panicked { finish: Detached<()> },
        Done,
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn handling(manager: SessionManager, handle: SessionHandle, future: S::Future) -> Self {
        Self::at(manager, handle, Stage::Handling { future })
    }

    pub(super) fn refused(manager: SessionManager, handle: SessionHandle) -> Self {
        let error = Some(SessionError::new(ErrorKind::CrossSite));
        Self::at(manager, handle, Stage::Refused { error })
    }

    pub(super) fn checking(
        manager: SessionManager,
        handle: SessionHandle,
        token: PresentedToken,
        ready: S,
        request: Request<B>,
    ) -> Self {
        let check = Box::pin(token.check(handle.clone()));
        Self::at(manager, handle, Stage::Checking { check, next: Some((ready, request)) })
    }

    fn at(
        manager: SessionManager,
        handle: SessionHandle,
        stage: Stage<S, B, S::Future, S::Response, S::Error>,
    ) -> Self {
        ResponseFuture { stage, open: Open { manager, handle, over: false } }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = Result<Response<SessionBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.stage.as_mut().project() {
                StageProj::Checking { check, next } => match ready!(check.as_mut().poll(cx)) {
                    Ok(()) => {
                        let Some((mut service, request)) = next.take() else { return Poll::Pending };
                        let future = scoped(&this.open.handle, || service.call(request));
                        Stage::Handling { future }
                    }
                    Err(error) => Stage::Refused { error: Some(error) },
                },
                StageProj::Refused { error } => {
                    let error = error.take().unwrap_or_else(|| SessionError::new(ErrorKind::CrossSite));
                    this.stage.set(Stage::Done);
                    return Poll::Ready(Ok(this.open.answer(&error, None::<Response<R>>)));
                }
                StageProj::Handling { future } => {
                    let handle = &this.open.handle;
                    let polled = catch_unwind(AssertUnwindSafe(|| scoped(handle, || future.poll(cx))));
                    match polled {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(Ok(response))) => {
                            let end = this.open.manager.handler_end(response.status());
                            if !handle.0.must_finish(end) {
                                this.stage.set(Stage::Done);
                                return Poll::Ready(Ok(this.open.leave(end, response)));
                            }
                            Stage::Finishing { finish: this.open.finish(end), end, response: Some(response) }
                        }
                        Ok(Poll::Ready(Err(error))) => Stage::Failing {
                            finish: this.open.finish(HandlerEnd::Failed),
                            error: Some(error),
                        },
                        Err(_) => Stage::Panicked { finish: this.open.finish(HandlerEnd::Failed) },
                    }
                }
                StageProj::Finishing { finish, end, response } => {
                    let finished = ready!(Pin::new(finish).poll(cx));
                    let (end, response) = (*end, response.take());
                    this.stage.set(Stage::Done);
                    let Some(response) = response else { return Poll::Pending };
                    return Poll::Ready(Ok(match finished {
                        Ok(()) => this.open.leave(end, response),
                        Err(error) => {
                            this.open.handle.0.head_sent(HandlerEnd::Failed);
                            this.open.answer(&error, Some(response))
                        }
                    }));
                }
                StageProj::Failing { finish, error } => {
                    let _ = ready!(Pin::new(finish).poll(cx));
                    let error = error.take();
                    this.stage.set(Stage::Done);
                    let Some(error) = error else { return Poll::Pending };
                    return Poll::Ready(Err(error));
                }
                StageProj::Panicked { finish } => {
                    let _ = ready!(Pin::new(finish).poll(cx));
                    this.stage.set(Stage::Done);
                    return Poll::Ready(Ok(this.open.after_panic()));
                }
                StageProj::Done => return Poll::Pending,
            };
            this.stage.set(next);
        }
    }
}

impl Open {
    fn finish(&self, end: HandlerEnd) -> Detached<()> {
        self.manager.0.engine.tasks.detach(Arc::clone(&self.handle.0).finish(end))
    }

    /// Everything is committed: the handler's response leaves.
    fn leave<R>(&mut self, end: HandlerEnd, response: Response<R>) -> Response<SessionBody<R>> {
        self.over = true;
        let (mut parts, body) = response.into_parts();
        match self.manager.write_head(&self.handle, end, parts.status, &mut parts.headers) {
            Outcome::Untouched | Outcome::Done | Outcome::Failed(_) => {}
        }
        Response::from_parts(parts, self.manager.wrap_body(&self.handle, body))
    }

    /// Another response leaves in its place.
    fn answer<R>(
        &mut self,
        error: &SessionError,
        discarded: Option<Response<R>>,
    ) -> Response<SessionBody<R>> {
        self.over = true;
        let (status, headers) = match discarded {
            Some(response) => {
                let (parts, _) = response.into_parts();
                (parts.status, parts.headers)
            }
            None => (error.status(), http::HeaderMap::new()),
        };
        let discarded = Discarded { status, headers: &headers };
        self.manager.replace(&self.handle, error, discarded).map(SessionBody::from)
    }

    fn after_panic<R>(&mut self) -> Response<SessionBody<R>> {
        self.over = true;
        tracing::error!(target: "cloakroom", "a handler panicked; its buffered changes were discarded");
        let mut response = Response::new(SessionBody::from(Bytes::new()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        let status = response.status();
        let _ = self.manager.write_head(&self.handle, HandlerEnd::Failed, status, response.headers_mut());
        response
    }
}

impl<S, B> std::fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
