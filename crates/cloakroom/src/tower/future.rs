use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::body::SessionBody;
use crate::engine::Carried;
use crate::error::{ErrorKind, SessionError};
use crate::manager::{Discarded, Outcome, PresentedToken, Replayable, error_response};
use crate::session::{Begun, HandlerEnd, Left, Lent, SessionHandle};

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

/// The request's session; abandoned when the future is dropped before the response left. `None` only while it is lent to
/// the handler.
struct Open {
    handle: Option<SessionHandle>,
    over: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (false, Some(handle)) = (self.over, &self.handle) {
            handle.0.abandon();
        }
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, B, F, R, E> {
        // A token must be checked before the handler may run.
        Checking { check: Pin<Box<dyn Future<Output = Result<(), SessionError>> + Send>>, next: Option<Box<(S, Request<B>)>> },
        // The request is refused without asking the handler.
        Refused { error: Option<SessionError> },
        // The handler runs.
        Handling { #[pin] future: F },
        // The handler is done; the commit is under way.
        Finishing { finish: Carried<()>, end: HandlerEnd, response: Option<R> },
        // The service itself failed; the lease is given back, then its error is passed on.
        Failing { finish: Carried<()>, error: Option<E> },
        // The handler panicked; a change of id under way is waited for.
        Panicked { finish: Carried<()> },
        Done,
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    #[inline(always)]
    pub(super) fn handling(handle: Option<SessionHandle>, future: S::Future) -> Self {
        Self::at(handle, Stage::Handling { future })
    }

    pub(super) fn refused(handle: SessionHandle) -> Self {
        let error = Some(SessionError::new(ErrorKind::CrossSite));
        Self::at(Some(handle), Stage::Refused { error })
    }

    pub(super) fn checking(
        handle: SessionHandle,
        token: PresentedToken,
        ready: S,
        request: Request<B>,
    ) -> Self {
        let check = Box::pin(token.check(handle.clone()));
        Self::at(Some(handle), Stage::Checking { check, next: Some(Box::new((ready, request))) })
    }

    #[inline(always)]
    fn at(handle: Option<SessionHandle>, stage: Stage<S, B, S::Future, S::Response, S::Error>) -> Self {
        ResponseFuture { stage, open: Open { handle, over: false } }
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
                        let Some(next) = next.take() else { return Poll::Pending };
                        let (mut service, request) = *next;
                        let _current = Lent::new(&mut this.open.handle);
                        let future = service.call(request);
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
                    let handle = &mut this.open.handle;
                    let polled = catch_unwind(AssertUnwindSafe(|| {
                        let _current = Lent::new(handle);
                        future.poll(cx)
                    }));
                    match polled {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(Ok(response))) => {
                            // With its hold on the session: who has one now is in the body, or a task.
                            this.stage.set(Stage::Done);
                            match this.open.settle(response) {
                                Ok(response) => return Poll::Ready(Ok(response)),
                                Err((finish, end, response)) => {
                                    Stage::Finishing { finish, end, response: Some(response) }
                                }
                            }
                        }
                        Ok(Poll::Ready(Err(error))) => match this.open.finish(HandlerEnd::Failed, None) {
                            Some(finish) => Stage::Failing { finish, error: Some(error) },
                            None => return Poll::Ready(Err(error)),
                        },
                        Err(panic) => match this.open.finish(HandlerEnd::Failed, None) {
                            Some(finish) => Stage::Panicked { finish },
                            None => resume_unwind(panic),
                        },
                    }
                }
                StageProj::Finishing { finish, end, response } => {
                    let finished = ready!(Pin::new(finish).poll(cx));
                    let (end, response) = (*end, response.take());
                    this.stage.set(Stage::Done);
                    let Some(response) = response else { return Poll::Pending };
                    return Poll::Ready(Ok(match finished {
                        Ok(()) => this.open.leave(end, response),
                        Err(error) => this.open.fail(&error, response),
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

type Unfinished<R> = (Carried<()>, HandlerEnd, Response<R>);

impl Open {
    fn finish(&self, end: HandlerEnd, begun: Option<Begun>) -> Option<Carried<()>> {
        let shared = &self.handle.as_ref()?.0;
        Some(shared.engine().tasks.carry(Arc::clone(shared).finish(end, begun)))
    }

    /// The handler is done: its response leaves, if nothing has to be waited for.
    #[expect(clippy::result_large_err, reason = "a response in either case; a box would cost an allocation")]
    fn settle<R>(&mut self, mut response: Response<R>) -> Result<Response<SessionBody<R>>, Unfinished<R>> {
        // Another layer's word, about another request: it says nothing of what this one has stored.
        response.extensions_mut().remove::<Replayable>();
        let Some(handle) = &self.handle else { return Ok(response.map(SessionBody::plain)) };
        let manager = &handle.0.manager;
        if handle.0.is_left_alone() && !manager.0.http.cache.is_public() {
            self.over = true;
            return Ok(response.map(SessionBody::plain));
        }
        let status = response.status();
        let end = manager.handler_end(status);
        match handle.0.settle(end) {
            Left::Head { asked, tell } => {
                self.over = true;
                // Who still holds a session that was not asked for may ask when the head has left, and a body would then
                // say what it found under a head that let caches keep it.
                let asked = asked || Arc::strong_count(&handle.0) > 1;
                manager.write_headers(handle, asked, &tell, status, response.headers_mut());
                Ok(response.map(|body| manager.wrap_body(handle, body)))
            }
            Left::Finish(begun) => match self.finish(end, begun) {
                Some(finish) => Err((finish, end, response)),
                None => Ok(response.map(SessionBody::plain)),
            },
            Left::Failed(error) => Ok(self.fail(&error, response)),
        }
    }

    /// Everything is committed: the handler's response leaves.
    fn leave<R>(&mut self, end: HandlerEnd, mut response: Response<R>) -> Response<SessionBody<R>> {
        self.over = true;
        let Some(handle) = &self.handle else { return response.map(SessionBody::plain) };
        let manager = &handle.0.manager;
        match manager.write_head(handle, end, response.status(), response.headers_mut()) {
            Outcome::Untouched | Outcome::Done | Outcome::Failed(_) => {}
        }
        response.map(|body| manager.wrap_body(handle, body))
    }

    /// The commit failed: another response leaves.
    fn fail<R>(&mut self, error: &SessionError, response: Response<R>) -> Response<SessionBody<R>> {
        if let Some(handle) = &self.handle {
            handle.0.head_sent(HandlerEnd::Failed);
        }
        self.answer(error, Some(response))
    }

    /// Another response leaves in the handler's place.
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
        let Some(handle) = &self.handle else { return error_response(error).map(SessionBody::from) };
        let discarded = Discarded { status, headers: &headers };
        handle.0.manager.replace(handle, error, discarded).map(SessionBody::from)
    }

    fn after_panic<R>(&mut self) -> Response<SessionBody<R>> {
        self.over = true;
        tracing::error!(target: "cloakroom", "a handler panicked; its buffered changes were discarded");
        let mut response = Response::new(SessionBody::from(Bytes::new()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        if let Some(handle) = &self.handle {
            let (manager, status) = (&handle.0.manager, response.status());
            let _ = manager.write_head(handle, HandlerEnd::Failed, status, response.headers_mut());
        }
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
