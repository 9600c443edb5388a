//! The adapter, step by step. One that streams bodies, or survives a handler's panics, does a little more:
//! `crates/cloakroom-probe/src/framework/hyper.rs`.

use std::net::SocketAddr;

use bytes::Bytes;
use cloakroom::{Discarded, Outcome, SessionHandle, SessionManager};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;

/// One request: from its head, through the application, to its response.
pub(crate) async fn serve<B, F>(
    sessions: &SessionManager,
    request: Request<B>,
    peer: SocketAddr,
    application: impl FnOnce(Request<B>, SessionHandle) -> F,
) -> Response<Full<Bytes>>
where
    F: Future<Output = Response<Full<Bytes>>>,
{
    // 1. The head is there. The store is not asked before somebody wants the session.
    let open = Open { sessions, handle: sessions.open(&request, Some(peer)), over: false };
    let session = &open.handle;

    // 2. Requests from other sites are refused, where that is configured, before anything runs.
    if let Err(refused) = sessions.admit(&request, session).await {
        let discarded = Discarded { status: refused.status(), headers: &HeaderMap::new() };
        let response = sessions.replace(session, &refused, discarded).map(Full::from);
        open.over();
        return response;
    }

    // 3. The application runs. `scope` makes the session `cloakroom::current()` for what it calls.
    let (mut head, body) = session.scope(application(request, session.clone())).await.into_parts();

    // 4. Before the head leaves: what was buffered is committed, and cookie and caching headers are written. Where that fails,
    //    the response that says so leaves instead of the application's.
    let response = match sessions.close(session, head.status, &mut head.headers).await {
        Outcome::Failed(error) => {
            let discarded = Discarded { status: head.status, headers: &head.headers };
            sessions.replace(session, &error, discarded).map(Full::from)
        }
        Outcome::Untouched | Outcome::Done => Response::from_parts(head, body),
    };
    open.over();
    response
}

/// A request that is under way. hyper drops its future when the client hangs up, wherever it is: the session must not stay
/// locked then, nor may half of what the application changed be kept.
struct Open<'a> {
    sessions: &'a SessionManager,
    handle: SessionHandle,
    over: bool,
}

impl Open<'_> {
    /// Its response leaves.
    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.sessions.abandon(&self.handle);
        }
    }
}
