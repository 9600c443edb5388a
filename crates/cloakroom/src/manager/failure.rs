//! The answer in place of a success response that must not leave.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use ::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;

use super::SessionManager;
use crate::error::{ErrorKind, SessionError};
use crate::session::SessionHandle;

/// The head of the response that the handler made and that does not leave.
#[derive(Debug)]
pub struct Discarded<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// Makes the response for a failed commit; see [`SessionConfig::on_failure`](super::SessionConfig::on_failure).
pub type FailureHook = Arc<dyn Fn(&SessionError, Discarded<'_>) -> Response<Bytes> + Send + Sync>;

/// In the extensions of a response that stands in for one whose changes conflicted: the request may be run again.
///
/// Only this module makes it, so that a handler or a hook cannot have a request repeated.
#[cfg(feature = "tower")]
#[derive(Clone)]
pub(crate) struct Replayable(SessionManager);

#[cfg(feature = "tower")]
impl Replayable {
    /// Counts that the request is run again.
    pub(crate) fn note(&self) {
        self.0.0.engine.metrics.replays.one();
    }
}

impl SessionManager {
    /// The response to send instead of the handler's, after [`Outcome::Failed`](super::Outcome::Failed).
    ///
    /// It comes from the configured hook, or (without one, or where it panics) says the error's kind in a line of JSON. Where an id was changed for good
    /// before the failure, it carries the new cookie: the client would be locked out of its session otherwise.
    pub fn replace(
        &self,
        handle: &SessionHandle,
        error: &SessionError,
        discarded: Discarded<'_>,
    ) -> Response<Bytes> {
        match error.kind() {
            // No handler ran, and nothing is wrong with the session.
            ErrorKind::CrossSite => {
                tracing::info!(target: "cloakroom", %error, "a request was kept from its handler");
            }
            _ => tracing::warn!(
                target: "cloakroom", %error,
                "a response was replaced, because its session could not be opened or committed"
            ),
        }
        let hook = self.0.http.on_failure.as_ref();
        let mut response =
            hook.and_then(|hook| call(hook, error, discarded)).unwrap_or_else(|| error_response(error));
        #[cfg(feature = "tower")]
        if handle.may_replay(error) {
            response.extensions_mut().insert(Replayable(self.clone()));
        }
        let tell = handle.0.told_after_failure();
        let status = response.status();
        self.write_headers(handle, true, &tell, status, response.headers_mut());
        response
    }
}

/// What the hook makes; `None` where it panics: the new cookie must leave all the same.
fn call(hook: &FailureHook, error: &SessionError, discarded: Discarded<'_>) -> Option<Response<Bytes>> {
    let made = catch_unwind(AssertUnwindSafe(|| hook(error, discarded))).ok();
    if made.is_none() {
        tracing::error!(target: "cloakroom", "the hook for failed responses panicked; the answer is the one without a hook");
    }
    made
}

/// `{"error":"kind"}` with the kind's status: no id, no key, no address.
pub(crate) fn error_response(error: &SessionError) -> Response<Bytes> {
    let body = format!("{{\"error\":\"{}\"}}", error.kind().as_str());
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
