//! What can go wrong, as one type.

use std::error::Error;
use std::fmt;

use crate::engine::NoTimer;
use crate::store::{StoreError, StoreErrorKind};

/// Why a session operation was refused.
///
/// The text says what to do and never holds an id, a key's value or an address. [`kind`](SessionError::kind) is for
/// deciding; [`status`](SessionError::status) is what the adapters answer when a handler returns the error.
///
/// *What the store can fail with*, where a method's documentation says so, is [`Unavailable`](ErrorKind::Unavailable),
/// [`Unknown`](ErrorKind::Unknown), [`Lost`](ErrorKind::Lost) and [`Decode`](ErrorKind::Decode); where it starts a session
/// also [`Full`](ErrorKind::Full). The store's own error is the [`source`](Error::source).
pub struct SessionError {
    kind: ErrorKind,
    detail: Option<Box<Detail>>,
}

#[derive(Default)]
struct Detail {
    text: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// The same request, run again, would find the session and may succeed.
    rerun: bool,
}

/// What kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be asked right now. Nothing was changed. 503.
    Unavailable,
    /// The store was asked and its answer was lost, and reading back did not settle it: the change was made as a
    /// whole or not at all. 503.
    Unknown,
    /// The change was made, and is kept in fewer places than the store was told to wait for: a failover may undo it. The session, and
    /// the cookie of this response, are as after the change. 503.
    Undurable,
    /// The session ended while this request ran (logout, revocation, deadline, new id): an awaited write was not
    /// made. 410.
    Gone,
    /// The record vanished from the store before its time (evicted, flushed). 503.
    Lost,
    /// A key that this request read and then wrote was changed by another request in between, or by an awaited write of another
    /// task of this one. Nothing buffered was committed. Use `update`, `lock`, exclusive mode, or `OnConflict::Overwrite`. 409.
    Conflict,
    /// The lease was not to be had in time, or too many requests wait for it. 423.
    LockTimeout,
    /// The lease ran out or was taken over while it was thought to be held; the write was refused. 409.
    LeaseLost,
    /// This request holds the lock already. 500: a mistake in the program.
    AlreadyLocked,
    /// A key, a value, the number of keys or the session is over its limit. Nothing was changed. 413.
    TooLarge,
    /// A key is empty or holds control characters. Nothing was changed. 400.
    InvalidKey,
    /// What is stored cannot be read, or not as the type that was asked for. It is left as it is. 500.
    Decode,
    /// The value cannot be stored in the session's encoding. 500.
    Encode,
    /// The response's head has left, or was given up: no session can be made and no id changed any more, and what was
    /// buffered for a response that failed is discarded. 500.
    HeadSent,
    /// The store takes no new sessions. 503.
    Full,
    /// There is no session layer around this code. 500.
    NoLayer,
    /// A CSRF token is missing or wrong, the request comes from another site, or it brings one session id in a header and
    /// another in a cookie. 403.
    CrossSite,
    /// The configuration makes no sense, or there is no tokio runtime with time enabled to wait for the store in. A write
    /// may then have been made. 500.
    Config,
}

impl ErrorKind {
    /// The word used in error bodies and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Unknown => "unknown",
            ErrorKind::Undurable => "undurable",
            ErrorKind::Gone => "gone",
            ErrorKind::Lost => "lost",
            ErrorKind::Conflict => "conflict",
            ErrorKind::LockTimeout => "lock_timeout",
            ErrorKind::LeaseLost => "lease_lost",
            ErrorKind::AlreadyLocked => "already_locked",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::InvalidKey => "invalid_key",
            ErrorKind::Decode => "decode",
            ErrorKind::Encode => "encode",
            ErrorKind::HeadSent => "head_sent",
            ErrorKind::Full => "full",
            ErrorKind::NoLayer => "no_layer",
            ErrorKind::CrossSite => "cross_site",
            ErrorKind::Config => "config",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            ErrorKind::Unavailable => {
                "the session store is unavailable; nothing was changed, try again later"
            }
            ErrorKind::Unknown => {
                "the session store's answer was lost; the change was made as a whole or not at all: read before \
                 trying again"
            }
            ErrorKind::Undurable => {
                "the change was made, but fewer replicas than asked for have confirmed it in time: a failover may still undo it"
            }
            ErrorKind::Gone => {
                "the session ended while this request ran; the write was not made: let the visitor start anew"
            }
            ErrorKind::Lost => {
                "the session vanished from the store before its deadline; check the store's eviction and persistence"
            }
            ErrorKind::Conflict => {
                "a key that this request read and then wrote was changed in between; nothing buffered was \
                 committed: use `update`, `lock`, exclusive mode, or OnConflict::Overwrite"
            }
            ErrorKind::LockTimeout => {
                "the session is locked by another request and was not freed in time: try again, hold locks more \
                 briefly, or raise `Locking::wait`"
            }
            ErrorKind::LeaseLost => {
                "the lock ran out or was taken over before the write; nothing was written: lock again and decide \
                 anew, or raise `Locking::lease`"
            }
            ErrorKind::AlreadyLocked => {
                "this request holds the session's lock already, or waits for it; commit or drop the guard first"
            }
            ErrorKind::TooLarge => {
                "the session would exceed a limit; nothing was changed: store less, or raise it in `Limits`"
            }
            ErrorKind::InvalidKey => "a session key must not be empty nor hold control characters",
            ErrorKind::Decode => {
                "the stored session data cannot be read as asked; it was left as it is: ask for the type that was \
                 stored, under the codec it was stored with, or end the session"
            }
            ErrorKind::Encode => {
                "the value cannot be encoded for the session; nothing was changed: store what its codec can express"
            }
            ErrorKind::HeadSent => {
                "the response's head has left, or was given up: a session can no longer be started nor its id be changed"
            }
            ErrorKind::Full => {
                "the session store takes no new sessions; raise its bound or shorten lifetimes"
            }
            ErrorKind::NoLayer => "no session layer is around this handler; add SessionLayer to the router",
            ErrorKind::CrossSite => {
                "the request was refused, because another site may have caused it: send it from the site itself, \
                 with the session's CSRF token where the browser says nothing of its origin"
            }
            ErrorKind::Config => "sessions are not set up right",
        }
    }
}

impl SessionError {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        SessionError { kind, detail: None }
    }

    pub(crate) fn because(kind: ErrorKind, text: impl Into<String>) -> Self {
        SessionError { kind, detail: Some(Box::new(Detail { text: Some(text.into()), ..Detail::default() })) }
    }

    pub(crate) fn caused(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        SessionError {
            kind,
            detail: Some(Box::new(Detail { source: Some(source.into()), ..Detail::default() })),
        }
    }

    /// Marks the refusal of a change that rested on an old value of a session that lives on under its id.
    pub(crate) fn worth_a_rerun(mut self) -> Self {
        self.detail.get_or_insert_default().rerun = true;
        self
    }

    /// As the outcome of a write that was asked for and not answered before this came in the way of finding out.
    pub(crate) fn in_doubt(mut self) -> Self {
        use ErrorKind::{Decode, Full, LockTimeout, Unavailable};
        if matches!(self.kind, Unavailable | LockTimeout | Full | Decode) {
            self.kind = ErrorKind::Unknown;
        }
        self
    }

    /// Whether the write that failed may have been made all the same.
    pub(crate) fn leaves_doubt(&self) -> bool {
        matches!(self.kind, ErrorKind::Unknown | ErrorKind::Config)
    }

    pub(crate) fn is_worth_a_rerun(&self) -> bool {
        self.detail.as_deref().is_some_and(|detail| detail.rerun)
    }

    /// What kind of refusal.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status that says it.
    pub fn status(&self) -> http::StatusCode {
        use http::StatusCode as S;
        match self.kind {
            ErrorKind::Unavailable
            | ErrorKind::Unknown
            | ErrorKind::Undurable
            | ErrorKind::Lost
            | ErrorKind::Full => S::SERVICE_UNAVAILABLE,
            ErrorKind::Gone => S::GONE,
            ErrorKind::Conflict | ErrorKind::LeaseLost => S::CONFLICT,
            ErrorKind::LockTimeout => S::LOCKED,
            ErrorKind::TooLarge => S::PAYLOAD_TOO_LARGE,
            ErrorKind::InvalidKey => S::BAD_REQUEST,
            ErrorKind::CrossSite => S::FORBIDDEN,
            ErrorKind::AlreadyLocked
            | ErrorKind::Decode
            | ErrorKind::Encode
            | ErrorKind::HeadSent
            | ErrorKind::NoLayer
            | ErrorKind::Config => S::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        if let Some(missing) = error.source().and_then(|source| source.downcast_ref::<NoTimer>()) {
            return (*missing).into();
        }
        let kind = match error.kind() {
            StoreErrorKind::Unavailable => ErrorKind::Unavailable,
            StoreErrorKind::Unknown => ErrorKind::Unknown,
            StoreErrorKind::Undurable => ErrorKind::Undurable,
            StoreErrorKind::Corrupt => ErrorKind::Decode,
            StoreErrorKind::Refused => ErrorKind::Encode,
            StoreErrorKind::Full => ErrorKind::Full,
        };
        SessionError::caused(kind, error)
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.advice())?;
        match self.detail.as_deref() {
            Some(Detail { text: Some(text), .. }) => write!(f, ": {text}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SessionError");
        out.field("kind", &self.kind);
        if let Some(detail) = &self.detail {
            if let Some(text) = &detail.text {
                out.field("text", text);
            }
            if let Some(source) = &detail.source {
                out.field("source", source);
            }
        }
        out.finish()
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.detail.as_deref()?.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}
