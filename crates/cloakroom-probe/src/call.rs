//! A request as the routes see it, whichever framework received it.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom::{Session, SessionError, SessionHandle};
use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::sync::Notify;

/// Pauses that requests of this process have begun.
static PAUSES: AtomicU64 = AtomicU64::new(0);
/// Ends those that are under way.
static WAKE: Notify = Notify::const_new();

/// A request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// The path's segments, decoded.
    pub(crate) segments: Vec<String>,
    query: String,
    /// The request's session, not yet opened.
    pub(crate) handle: SessionHandle,
}

/// The path is not UTF-8 once decoded.
#[derive(Debug)]
pub(crate) struct MalformedPath;

impl Call {
    pub(crate) fn new(
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        handle: SessionHandle,
    ) -> Result<Self, MalformedPath> {
        let path = uri.path();
        let segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let segments: Result<_, _> =
            segments.map(|s| percent_decode_str(s).decode_utf8().map(String::from)).collect();
        let segments = segments.map_err(|_| MalformedPath)?;
        Ok(Call { method, headers, segments, query: uri.query().unwrap_or_default().to_owned(), handle })
    }

    /// Opens the session.
    pub(crate) async fn open(&self) -> Result<Session, SessionError> {
        self.handle.open().await
    }

    /// A number of milliseconds from the query; zero where it is missing.
    pub(crate) fn millis(&self, name: &str) -> Duration {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.filter(|(n, _)| *n == name).find_map(|(_, value)| value.parse().ok());
        Duration::from_millis(value.unwrap_or(0))
    }

    /// Sleeps for `?ms=N`.
    pub(crate) async fn sleep(&self) {
        pause(self.millis("ms")).await;
    }
}

/// A pause, which [`wake`] ends early. It is counted once it has begun: whoever looks at the count knows that a request has come as far as
/// that.
pub(crate) async fn pause(length: Duration) {
    let mut woken = pin!(WAKE.notified());
    woken.as_mut().enable();
    PAUSES.fetch_add(1, Ordering::SeqCst);
    let _ = tokio::time::timeout(length, woken).await;
}

/// Ends all pauses that are under way in this process.
pub(crate) fn wake() {
    WAKE.notify_waiters();
}

/// How many were begun so far.
pub(crate) fn pauses() -> u64 {
    PAUSES.load(Ordering::SeqCst)
}

/// A value from the path: JSON where it parses as JSON, else text.
pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
