//! The commit point before the response's head, and what the head says of the session.

use std::sync::Arc;

use ::http::header::SET_COOKIE;
use ::http::{HeaderMap, HeaderValue, StatusCode};

use super::SessionManager;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::SessionError;
use crate::http::cache_limiter::Involvement;
use crate::http::vary;
use crate::session::{HandlerEnd, Left, SessionHandle, Tell};

/// What came of a request's session.
#[derive(Debug)]
#[must_use = "a failed commit must not be answered with the handler's success response"]
pub enum Outcome {
    /// It was never asked for: the response is as it was.
    Untouched,
    /// What was buffered is committed, and the head says what it must.
    Done,
    /// What was buffered could not be committed: answer with [`SessionManager::replace`] instead.
    Failed(SessionError),
}

impl SessionManager {
    /// The response's head is about to leave: commits what the handler buffered, gives the lease back, and writes cookie,
    /// caching and `Vary` headers.
    ///
    /// The commit runs detached: dropping this future drops only the answer. A response with a 5xx status takes the
    /// buffered changes back, unless configured otherwise; a change of id is told to the client in any case.
    pub async fn close(
        &self,
        handle: &SessionHandle,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Outcome {
        let end = self.handler_end(status);
        let begun = match handle.0.settle(end) {
            Left::Head { asked, tell } => {
                self.write_headers(handle, asked, &tell, status, headers);
                return if asked { Outcome::Done } else { Outcome::Untouched };
            }
            Left::Finish(begun) => begun,
            Left::Failed(error) => {
                handle.0.head_sent(HandlerEnd::Failed);
                return Outcome::Failed(error);
            }
        };
        let finished = self.0.engine.tasks.carry(Arc::clone(&handle.0).finish(end, begun)).await;
        if let Err(error) = finished {
            handle.0.head_sent(HandlerEnd::Failed);
            return Outcome::Failed(error);
        }
        self.write_head(handle, end, status, headers)
    }

    /// As [`close`](SessionManager::close), for a handler that panicked: whatever the configuration says of 5xx answers, what
    /// it had buffered is discarded. Its lease is given back, and an id that it changed for good is told.
    ///
    /// `status` and `headers` are those of the error response that leaves instead.
    pub async fn close_panicked(
        &self,
        handle: &SessionHandle,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Outcome {
        // Only a commit can fail, and there is none.
        let _ = self.0.engine.tasks.carry(Arc::clone(&handle.0).finish(HandlerEnd::Failed, None)).await;
        self.write_head(handle, HandlerEnd::Failed, status, headers)
    }

    /// The request was dropped before its response left, because the client hung up for one: discards what is buffered and
    /// gives the lease back, without waiting. An adapter calls it where its future is dropped before
    /// [`close`](SessionManager::close) is done; a commit that is under way by then is carried to its end all the same.
    pub fn abandon(&self, handle: &SessionHandle) {
        handle.0.abandon();
    }

    pub(crate) fn handler_end(&self, status: StatusCode) -> HandlerEnd {
        if status.is_server_error() && !self.0.engine.settings.commit_on_5xx {
            HandlerEnd::Failed
        } else {
            HandlerEnd::Completed
        }
    }

    /// Everything is committed: writes the headers.
    pub(crate) fn write_head(
        &self,
        handle: &SessionHandle,
        end: HandlerEnd,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Outcome {
        let (asked, tell) = handle.0.head_sent(end);
        self.write_headers(handle, asked, &tell, status, headers);
        if asked { Outcome::Done } else { Outcome::Untouched }
    }

    /// Writes what the response says of the session.
    pub(crate) fn write_headers(
        &self,
        handle: &SessionHandle,
        asked: bool,
        tell: &Tell,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) {
        let http = &self.0.http;
        let secure = handle.0.request.secure;
        // The cookie's date and the limiter's are the client's business: this process's clock.
        let mut clock = LazyNow::default();
        match tell {
            Tell::Nothing => {}
            Tell::Id(id) => http.transport.tell(headers, id, secure, clock.get()),
            Tell::Forget => {
                http.transport.forget(headers, secure);
                if http.clear_site_data {
                    headers.insert(
                        "clear-site-data",
                        HeaderValue::from_static("\"cache\", \"cookies\", \"storage\""),
                    );
                }
            }
        }
        let involvement = Involvement { opened: asked, sets_cookie: !matches!(tell, Tell::Nothing) };
        let may_be_public = handle.0.request.may_be_public;
        if asked || may_be_public {
            http.cache.apply(status, headers, involvement, clock.get_if(may_be_public));
        }
        if asked {
            vary::add(headers, &http.varies_by);
        }
        debug_assert!(asked || matches!(tell, Tell::Nothing) || headers.contains_key(SET_COOKIE));
    }
}

/// Reads the clock when it is needed, once.
#[derive(Default)]
struct LazyNow(Option<Timestamp>);

impl LazyNow {
    fn get(&mut self) -> Timestamp {
        *self.0.get_or_insert_with(|| SystemClock.now())
    }

    fn get_if(&mut self, needed: bool) -> Timestamp {
        if needed { self.get() } else { Timestamp::default() }
    }
}
