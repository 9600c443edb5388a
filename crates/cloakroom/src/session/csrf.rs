//! The session's CSRF token: a masked, session-bound synchronizer token.
//!
//! Nothing is stored for it. The secret is derived from the record's own random id, which no client ever sees, and from
//! what a login changes; so it is there as soon as the session is, it cannot be lost in a race, and a login rotates it.

use sha2::{Digest, Sha256};

use super::aim::Aim;
use super::changes::Changes;
use super::{Session, Shared};
use crate::error::{ErrorKind, SessionError};
use crate::http::csrf;
use crate::record::Record;

const PURPOSE: &[u8] = b"cloakroom: csrf secret, v1\0";

impl Session {
    /// A token for forms and scripts of this session, masked anew each time. Starts a session if there is none: asking
    /// for a token is a write. No store call for a session that exists.
    ///
    /// # Errors
    /// Those of [`put`](Session::put).
    pub async fn csrf_token(&self) -> Result<String, SessionError> {
        if self.0.state.lock().known().is_none() {
            self.0.start_empty().await?;
        }
        let state = self.0.state.lock();
        let known = state.known().ok_or_else(|| SessionError::new(ErrorKind::Unavailable))?;
        Ok(csrf::issue(&secret(&known.record)))
    }

    /// Checks a token that came with a request, in constant time. A wrong one uses nothing up.
    ///
    /// # Errors
    /// [`CrossSite`](ErrorKind::CrossSite) when it is not a token of this session.
    pub fn verify_csrf_token(&self, presented: &str) -> Result<(), SessionError> {
        if self.0.csrf_token_fits(presented) { Ok(()) } else { Err(SessionError::new(ErrorKind::CrossSite)) }
    }
}

impl Shared {
    pub(crate) fn csrf_token_fits(&self, presented: &str) -> bool {
        let state = self.state.lock();
        state.known().is_some_and(|known| csrf::verify(&secret(&known.record), presented.as_bytes()))
    }

    async fn start_empty(self: &std::sync::Arc<Self>) -> Result<(), SessionError> {
        match self.aim(None, |_| ()).await? {
            (Aim::Start(turn), ()) => self.start_with(turn, Changes::default(), None).await,
            (Aim::At(_), ()) => Ok(()),
        }
    }
}

fn secret(record: &Record) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(PURPOSE);
    hash.update(record.id.as_bytes());
    hash.update(record.absolute_deadline.as_millis().to_le_bytes());
    hash.update(record.user.as_ref().map_or("", |u| u.as_str()));
    hash.finalize().into()
}
