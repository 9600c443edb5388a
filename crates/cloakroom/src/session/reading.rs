//! Reading: from the loaded record and this request's own changes. No store calls.

use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use super::{RawValue, Session, Shared};
use crate::engine::HeldLease;
use crate::error::SessionError;
use crate::ids::{SessionId, UserId};
use crate::key::{KeyOf, is_reserved};

/// A copy of an encoded value; small ones take no allocation.
pub(super) type Encoded = SmallVec<[u8; 64]>;

impl Session {
    /// The value under `key`.
    ///
    /// A `set` of the same key later in this request rests on it: if another request changes the key in between, the
    /// commit is a [`Conflict`](crate::ErrorKind::Conflict). [`update`](Session::update) and [`lock`](Session::lock)
    /// never conflict. What this request has stored itself meanwhile, by an awaited call, it knows; only a task of it that read the key
    /// before, and did not make that call, has to read it again.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// let items: Vec<String> = session.get("basket")?.unwrap_or_default();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) when what is stored is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, SessionError> {
        self.0.get(key.name())
    }

    /// Whether there is a value under `key`. Counts as a read of that key.
    pub fn has(&self, key: &str) -> bool {
        self.0.has(key)
    }

    /// The keys, in order of insertion.
    pub fn keys(&self) -> Vec<String> {
        self.0.keys()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key. A session that was emptied stays until it is destroyed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values, in order of insertion. Each counts as read.
    pub fn iter(&self) -> impl Iterator<Item = (String, RawValue)> + use<> {
        self.0.entries().into_iter()
    }

    /// The id, if a session exists already; the first write makes one. Its `Debug` does not show it.
    pub fn id(&self) -> Option<SessionId> {
        self.0.state.lock().known().map(|k| k.id.clone())
    }

    /// Whether a session exists in the store (it may since have ended).
    pub fn exists(&self) -> bool {
        self.0.state.lock().known().is_some()
    }

    /// The user that was bound by `login` or `bind_user`.
    pub fn user(&self) -> Option<UserId> {
        self.0.user()
    }

    /// Whether this request holds the session's lock: a guard, or exclusive mode. Not when it was told that it lost it
    /// ([`LeaseLost`](crate::ErrorKind::LeaseLost)).
    pub fn is_locked(&self) -> bool {
        self.0.state.lock().lease.held().is_some_and(HeldLease::is_in_force)
    }

    /// Time left until the idle and the absolute deadline when the record was last read, if a session exists.
    pub fn time_left(&self) -> Option<(std::time::Duration, std::time::Duration)> {
        let state = self.0.state.lock();
        let known = state.known()?;
        Some((known.now.until(known.record.idle_deadline), known.now.until(known.record.absolute_deadline)))
    }
}

impl Shared {
    pub(super) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        if is_reserved(key) {
            return Ok(None);
        }
        // Decoded when the state is no longer locked: a value's `Deserialize` may ask for the session it is read from.
        let encoded = self.state.lock().view.read(key).map(Encoded::from_slice);
        encoded.map(|bytes| self.engine().settings.codec.decode(&bytes)).transpose()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        !is_reserved(key) && self.state.lock().view.read(key).is_some()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let state = self.state.lock();
        state.view.keys().filter(|k| !is_reserved(k)).map(str::to_owned).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().view.keys().filter(|k| !is_reserved(k)).count()
    }

    pub(super) fn entries(&self) -> Vec<(String, RawValue)> {
        let codec = self.engine().settings.codec;
        let keys = self.keys();
        let mut state = self.state.lock();
        keys.into_iter()
            .filter_map(|key| {
                let bytes = state.view.read(&key)?.to_vec();
                Some((key, RawValue { bytes, codec }))
            })
            .collect()
    }

    pub(super) fn user(&self) -> Option<UserId> {
        self.state.lock().known().and_then(|k| k.record.user.clone())
    }
}
