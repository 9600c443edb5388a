use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::http::request::Parts;
use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::{Recording, ReplayBody};
use crate::manager::Replayable;

pin_project! {
    /// The response of a [`ReplayService`](super::ReplayService).
    pub struct ReplayFuture<S, B>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        #[pin]
        run: Run<S::Future, B>,
        spare: Option<Spare<S, B>>,
    }
}

/// What another run needs.
struct Spare<S, B> {
    service: S,
    kept: Kept<B>,
}

/// What is kept of a request.
pub(super) struct Kept<B> {
    pub(super) parts: Parts,
    pub(super) tape: Recording<B>,
    /// Replays that are left.
    pub(super) left: u32,
    /// No replay begins later; `None`: beyond what a clock can tell.
    pub(super) deadline: Option<Instant>,
}

pin_project! {
    #[project = RunProj]
    enum Run<F, B> {
        Handling { #[pin] future: F },
        // The service is asked whether it is ready for another run.
        Readying { request: Option<Request<ReplayBody<B>>> },
    }
}

impl<S, B> ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>>,
{
    pub(super) fn once(future: S::Future) -> Self {
        ReplayFuture { run: Run::Handling { future }, spare: None }
    }

    pub(super) fn of(future: S::Future, service: S, kept: Kept<B>) -> Self {
        ReplayFuture { run: Run::Handling { future }, spare: Some(Spare { service, kept }) }
    }
}

impl<B> Kept<B> {
    /// The request for another run, if there may be one.
    fn again(&mut self) -> Option<Request<ReplayBody<B>>> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        Some(Request::from_parts(self.parts.clone(), self.tape.rewind()?))
    }
}

impl<S, B, R> Future for ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.run.as_mut().project() {
                RunProj::Handling { future } => {
                    let mut response = ready!(future.poll(cx))?;
                    let Some(mark) = response.extensions_mut().remove::<Replayable>() else {
                        return Poll::Ready(Ok(response));
                    };
                    let Some(request) = this.spare.as_mut().and_then(|spare| spare.kept.again()) else {
                        return Poll::Ready(Ok(response));
                    };
                    mark.note();
                    Run::Readying { request: Some(request) }
                }
                RunProj::Readying { request } => {
                    let Some(spare) = this.spare.as_mut() else { return Poll::Pending };
                    ready!(spare.service.poll_ready(cx))?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    Run::Handling { future: spare.service.call(request) }
                }
            };
            this.run.set(next);
        }
    }
}

impl<S, B> std::fmt::Debug for ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplayFuture").finish_non_exhaustive()
    }
}
