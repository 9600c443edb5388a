//! What happens to sessions, told to whoever subscribed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::ids::{StoreKey, UserId};

/// Something that happened to a session. Events carry the record's key, whose `Debug` is a short prefix of a digest,
/// and never an id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session was started.
    Created(StoreKey),
    /// An id was replaced because it was due.
    Renewed {
        /// The old key.
        from: StoreKey,
        /// The new key.
        to: StoreKey,
    },
    /// An id was replaced on request.
    Regenerated {
        /// The old key.
        from: StoreKey,
        /// The new key.
        to: StoreKey,
    },
    /// A user was bound to the session.
    LoggedIn {
        /// The session.
        key: StoreKey,
        /// The user.
        user: UserId,
    },
    /// The visitor ended the session.
    Destroyed(StoreKey),
    /// Somebody else ended the session, or the cap on sessions did.
    Revoked(StoreKey),
    /// A session expired: a request came with its id, or the store told of it. A store that removes sessions at their deadline and
    /// has been told to tell of it (Redis: `RedisBuilder::expired_events`) does so shortly after the deadline and once for each
    /// process that listens, as far as it can: an event may be missing. To that store the id is an
    /// [`UnknownId`](Event::UnknownId) afterwards.
    Expired(StoreKey),
    /// A request came with an id that had been replaced and was past its grace.
    ObsoleteId(StoreKey),
    /// A request came with a well-formed id that the store does not know.
    UnknownId(StoreKey),
    /// A request came with several live sessions under the cookie's name and was served as anonymous.
    AmbiguousIds(usize),
    /// A lease was not to be had in time.
    LockTimeout(StoreKey),
    /// A record vanished from the store before its deadline.
    Lost(StoreKey),
}

/// Receives [`Event`]s. Called in the request's task, or in one of the store's: do little, and do not block. A panic is logged, and the request goes on.
pub trait Subscriber: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Subscriber for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

#[derive(Clone, Default)]
pub(crate) struct Events(pub(crate) Vec<Arc<dyn Subscriber>>);

impl Events {
    pub(crate) fn emit(&self, event: Event) {
        tracing::debug!(target: "cloakroom", ?event);
        for subscriber in &self.0 {
            // What the event is about has happened and is in the store: the request must come to know of it.
            let told = catch_unwind(AssertUnwindSafe(|| subscriber.on_event(&event)));
            if told.is_err() {
                tracing::error!(target: "cloakroom", ?event, "a subscriber panicked; the request goes on");
            }
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Events({} subscribers)", self.0.len())
    }
}
