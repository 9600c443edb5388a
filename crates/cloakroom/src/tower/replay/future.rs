use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::http::request::Parts;
use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower_service::Service;

use super::body::{Recording, ReplayBody};
use crate::engine::timer;
use crate::manager::Replayable;

pin_project! {
    /// The response of a [`ReplayService`](super::ReplayService).
    pub struct ReplayFuture<S, B>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        #[pin]
        run: Run<S::Future, B, S::Response>,
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
    enum Run<F, B, R> {
        Handling { #[pin] future: F },
        // The service is asked whether it is ready for another run.
        Readying { next: Option<Next<B, R>>, overdue: Option<Pin<Box<Sleep>>> },
    }
}

/// Another run that has not begun, and the answer that leaves if it does not begin in time.
struct Next<B, R> {
    request: Request<ReplayBody<B>>,
    mark: Replayable,
    instead: R,
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
    fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Wakes the task when the deadline comes; whether it has come. Outside a runtime there is nothing that could wake it:
    /// then only the service does.
    fn poll_overdue(&self, overdue: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else { return false };
        let wake = match overdue {
            Some(wake) => wake,
            None => match timer(|| sleep_until(deadline.into())) {
                Ok(wake) => overdue.insert(Box::pin(wake)),
                Err(_) => return false,
            },
        };
        wake.as_mut().poll(cx).is_ready()
    }

    /// The request for another run, if there may be one.
    fn again(&mut self) -> Option<Request<ReplayBody<B>>> {
        if self.is_overdue() {
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
            let run = match this.run.as_mut().project() {
                RunProj::Handling { future } => {
                    let mut response = ready!(future.poll(cx))?;
                    let Some(mark) = response.extensions_mut().remove::<Replayable>() else {
                        return Poll::Ready(Ok(response));
                    };
                    let Some(request) = this.spare.as_mut().and_then(|spare| spare.kept.again()) else {
                        return Poll::Ready(Ok(response));
                    };
                    Run::Readying { next: Some(Next { request, mark, instead: response }), overdue: None }
                }
                RunProj::Readying { next, overdue } => {
                    let Some(spare) = this.spare.as_mut() else { return Poll::Pending };
                    let ready = spare.service.poll_ready(cx)?;
                    if spare.kept.is_overdue() || (ready.is_pending() && spare.kept.poll_overdue(overdue, cx))
                    {
                        let Some(next) = next.take() else { return Poll::Pending };
                        return Poll::Ready(Ok(next.instead));
                    }
                    ready!(ready);
                    let Some(Next { request, mark, .. }) = next.take() else { return Poll::Pending };
                    mark.note();
                    Run::Handling { future: spare.service.call(request) }
                }
            };
            this.run.set(run);
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
