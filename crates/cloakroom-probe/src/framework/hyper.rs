//! The routes behind hyper, on the seam alone: what an adapter for another framework has to do, from top to bottom.
//!
//! 1. `open` when the request's head is there, and `admit` before its handler runs.
//! 2. Run the handler, with the session as the [`current`](cloakroom::current) one; survive its panics.
//! 3. `close` before the response's head leaves; send what `replace` makes instead where that fails.
//! 4. `wrap_body`, for bodies that write to the session while they stream.
//! 5. `abandon` where the request is dropped before 3 is done.

use std::any::Any;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use cloakroom::{Discarded, Outcome, SessionBody, SessionHandle, SessionManager};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::answer::{self, Answer, AnswerBody};
use crate::call::{Call, MalformedPath};
use crate::routes::Probe;

/// What leaves for the client.
pub(crate) type Sent = Response<SessionBody<AnswerBody>>;

/// The adapter: one request, from its head to its response.
pub(crate) async fn handle<B>(probe: Probe, request: Request<B>, peer: SocketAddr) -> Sent {
    let manager = &probe.manager;
    let request_session = RequestSession::open(manager, &request, peer);
    let session = &request_session.handle;

    if let Err(refused) = manager.admit(&request, session).await {
        let discarded = Discarded { status: refused.status(), headers: &HeaderMap::new() };
        let response = manager.replace(session, &refused, discarded).map(SessionBody::from);
        request_session.over();
        return response;
    }

    let handler = session.scope(run(&probe, request, session.clone()));
    let response = match surviving_panics(handler).await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a handler panicked");
            let mut response = Response::new(SessionBody::from(Bytes::new()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            let status = response.status();
            let outcome = manager.close_panicked(session, status, response.headers_mut()).await;
            debug_assert!(!matches!(outcome, Outcome::Failed(_)), "there was nothing to commit");
            request_session.over();
            return response;
        }
    };

    let (mut head, body) = response.into_parts();
    let response = match manager.close(session, head.status, &mut head.headers).await {
        Outcome::Failed(error) => {
            let discarded = Discarded { status: head.status, headers: &head.headers };
            manager.replace(session, &error, discarded).map(SessionBody::from)
        }
        _ => Response::from_parts(head, manager.wrap_body(session, body)),
    };
    request_session.over();
    response
}

/// What a framework would call the handler.
async fn run<B>(probe: &Probe, request: Request<B>, session: SessionHandle) -> Answer {
    let (parts, _) = request.into_parts();
    match Call::new(parts.method, &parts.uri, parts.headers, session) {
        Ok(call) => probe.answer(&call).await,
        Err(MalformedPath) => answer::error(StatusCode::BAD_REQUEST, "malformed_path"),
    }
}

/// The session of a request that is under way. hyper drops the future of a request whose client hung up, wherever it
/// is: the session must not stay locked then, nor may half of a handler's changes be kept.
struct RequestSession<'a> {
    manager: &'a SessionManager,
    handle: SessionHandle,
    over: bool,
}

impl<'a> RequestSession<'a> {
    fn open<B>(manager: &'a SessionManager, request: &Request<B>, peer: SocketAddr) -> Self {
        RequestSession { manager, handle: manager.open(request, Some(peer)), over: false }
    }

    /// The response is about to leave.
    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for RequestSession<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.manager.abandon(&self.handle);
        }
    }
}

/// Awaits a handler; a panic is an answer too.
async fn surviving_panics<F: Future>(handler: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut handler = pin!(handler);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The server around it, which is hyper's own business.
pub(crate) async fn serve(
    listener: TcpListener,
    probe: Probe,
    stop: impl Future<Output = ()>,
    drain: Duration,
) {
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, for one: others will be free again.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let probe = probe.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let probe = probe.clone();
            async move { Ok::<_, Infallible>(handle(probe, request, peer).await) }
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    super::at_most_after(drain, async {}, connections.shutdown()).await;
}
