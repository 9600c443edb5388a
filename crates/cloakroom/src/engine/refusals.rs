//! Writes that are refused before the store is asked: in conflict with what another request wrote, or too large.

use super::Engine;
use crate::error::{ErrorKind, SessionError};
use crate::session::{KeyConflict, Merged};

impl Engine {
    pub(crate) fn conflict(&self, conflict: Option<KeyConflict>) -> SessionError {
        self.metrics.conflicts_refused.one();
        match conflict.and_then(|c| c.key) {
            Some(key) => {
                tracing::warn!(
                    target: "cloakroom",
                    key = ?key.as_str(),
                    "another request changed this key after it was read, or another task of this one: use `update`, \
                     `lock` or exclusive mode"
                );
            }
            None => tracing::warn!(
                target: "cloakroom",
                "the session was cleared, or changed its user, after this request loaded it"
            ),
        }
        SessionError::new(ErrorKind::Conflict)
    }

    pub(crate) fn check_size(&self, merged: &Merged) -> Result<(), SessionError> {
        let limit = self.settings.limits.session_bytes;
        if merged.payload.len() > limit {
            return Err(SessionError::because(
                ErrorKind::TooLarge,
                format!("the session would take {} bytes, at most {limit} are allowed", merged.payload.len()),
            ));
        }
        let limit = self.settings.limits.keys;
        // A key takes more than six bytes: small sessions need not be counted.
        if merged.payload.len() / 7 > limit {
            let keys = merged.payload.iter().filter(|(k, _)| !crate::key::is_reserved(k)).count();
            if keys > limit {
                return Err(SessionError::because(
                    ErrorKind::TooLarge,
                    format!("the session would hold {keys} keys, at most {limit} are allowed"),
                ));
            }
        }
        Ok(())
    }
}
