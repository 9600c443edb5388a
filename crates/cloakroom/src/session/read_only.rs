use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{RawValue, Shared};
use crate::error::SessionError;
use crate::ids::UserId;
use crate::key::KeyOf;

/// The session of the request at hand, for reading: it never waits for a lease and has no way to write.
#[derive(Clone)]
pub struct ReadOnlySession(pub(crate) Arc<Shared>);

impl ReadOnlySession {
    /// The value under `key`.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) when what is stored is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, SessionError> {
        self.0.get(key.name())
    }

    /// Whether there is a value under `key`. Counts as a read of that key, as with a [`Session`](super::Session).
    pub fn has(&self, key: &str) -> bool {
        self.0.has(key)
    }

    /// The keys, in order of insertion.
    pub fn keys(&self) -> Vec<String> {
        self.0.keys()
    }

    /// Keys and values, in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (String, RawValue)> + use<> {
        self.0.entries().into_iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a session exists in the store.
    pub fn exists(&self) -> bool {
        self.0.state.lock().known().is_some()
    }

    /// The user that is bound to the session.
    pub fn user(&self) -> Option<UserId> {
        self.0.user()
    }
}

impl std::fmt::Debug for ReadOnlySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReadOnlySession").field(&self.0.state.lock().key()).finish()
    }
}
