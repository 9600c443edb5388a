//! "Your devices": a user's sessions, and ending them.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::{Session, Shared};
use crate::clock::Timestamp;
use crate::engine::Effect;
use crate::error::SessionError;
use crate::ids::{RecordId, UserId};
use crate::store::{RevokeWhich, Summary};

const PURPOSE: &[u8] = b"cloakroom: device handle, v1\0";

/// An opaque name for one of a user's sessions, fit for a form field: it is no id and opens nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DeviceHandle(String);

impl DeviceHandle {
    /// The handle of a session, as found in a listing or a scan.
    pub fn of(session: &Summary) -> Self {
        Self::of_record(session.record_id)
    }

    pub(crate) fn of_record(id: RecordId) -> Self {
        let mut hash = Sha256::new();
        hash.update(PURPOSE);
        hash.update(id.as_bytes());
        let digest = hash.finalize();
        DeviceHandle(BASE64URL_NOPAD.encode(digest.get(..16).unwrap_or_default()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceHandle({})", self.0)
    }
}

/// One of a user's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceSession {
    /// For [`Session::revoke`].
    pub handle: DeviceHandle,
    /// When the session began.
    pub created: Timestamp,
    /// When it was last seen, as far as noted: up to a second late after writes, a tenth of the idle time after reads
    /// ([`touch_after`](crate::SessionConfig::touch_after)).
    pub last_seen: Timestamp,
    /// The address the user logged in from, as far as known.
    pub address: Option<String>,
    /// The `User-Agent` the user logged in with, if it was sent.
    pub agent: Option<String>,
    /// Whether it is the session that asks.
    pub current: bool,
}

impl Session {
    /// The live sessions of the user of this session, oldest first; empty when nobody is logged in. One store call.
    ///
    /// # Errors
    /// What the store can fail with ([`SessionError`]).
    pub async fn devices(&self) -> Result<Vec<DeviceSession>, SessionError> {
        let Some((user, own)) = self.0.user_and_record() else { return Ok(Vec::new()) };
        let engine = self.0.engine();
        let sessions = engine.call(Effect::Reads, engine.store.list_user(user)).await?;
        Ok(sessions.iter().map(|s| describe(s, own)).collect())
    }

    /// Ends one of the user's sessions; answers with how many were ended: 0 when the handle is not one of this user's.
    /// Two store calls.
    ///
    /// # Errors
    /// What the store can fail with.
    pub async fn revoke(&self, handle: &str) -> Result<usize, SessionError> {
        let Some((user, _)) = self.0.user_and_record() else { return Ok(0) };
        let engine = self.0.engine();
        let sessions = engine.call(Effect::Reads, engine.store.list_user(user.clone())).await?;
        match sessions.iter().find(|s| DeviceHandle::of(s).as_str() == handle) {
            Some(session) => {
                self.0.state.lock().awaited = true;
                engine.revoke(user, RevokeWhich::One(session.record_id)).await
            }
            None => Ok(0),
        }
    }

    /// Ends all of the user's sessions but this one; answers with how many. One store call.
    ///
    /// # Errors
    /// What the store can fail with.
    pub async fn revoke_others(&self) -> Result<usize, SessionError> {
        let Some((user, own)) = self.0.user_and_record() else { return Ok(0) };
        self.0.state.lock().awaited = true;
        self.0.engine().revoke(user, RevokeWhich::Others(own)).await
    }
}

impl Shared {
    fn user_and_record(&self) -> Option<(UserId, RecordId)> {
        let state = self.state.lock();
        let record = &state.known()?.record;
        Some((record.user.clone()?, record.id))
    }
}

fn describe(session: &Summary, own: RecordId) -> DeviceSession {
    let text = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
    let device = session.device.as_deref();
    DeviceSession {
        handle: DeviceHandle::of(session),
        created: session.created,
        last_seen: session.last_seen,
        address: device.and_then(|d| text(&d.address)),
        agent: device.and_then(|d| text(&d.agent)),
        current: session.record_id == own,
    }
}
