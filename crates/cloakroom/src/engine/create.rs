//! Starting a session.

use std::sync::Arc;

use super::rename::Binding;
use super::{Effect, Engine, Event, Known};
use crate::error::{ErrorKind, SessionError};
use crate::ids::{OpId, RecordId, SessionId};
use crate::payload::Payload;
use crate::store::{BindUser, Create, Created, StoreErrorKind};

/// Ids that are tried before it is clear that something else is wrong. One always suffices.
const TRIES: u32 = 4;

impl Engine {
    /// Stores a new session under a new id.
    pub(crate) async fn create(
        self: &Arc<Self>,
        payload: Payload,
        bind: Option<Binding>,
    ) -> Result<Known, SessionError> {
        let bind =
            bind.map(|b| BindUser { user: b.user, device: b.device, cap: self.settings.sessions_per_user });
        let user = bind.as_ref().map(|b| b.user.clone());
        let record_id = RecordId::generate();
        for _ in 0..TRIES {
            let id = SessionId::generate();
            let key = id.store_key();
            let request = Create {
                key,
                op: OpId::generate(),
                record_id,
                lifetime: self.settings.lifetime,
                bind: bind.clone(),
                payload: payload.clone(),
                marker: self.settings.marker,
            };
            let answer = self.create_call(request).await?;
            if let Created::Created { snapshot, evicted } = answer {
                self.metrics.commits.one();
                self.metrics.sessions_created.one();
                self.events.emit(Event::Created(key));
                self.note_evicted(&evicted);
                if let Some(user) = user {
                    self.metrics.logins.one();
                    self.events.emit(Event::LoggedIn { key, user });
                }
                return Ok(Known::new(id, key, snapshot));
            }
        }
        Err(SessionError::because(ErrorKind::Unavailable, "the store says that every new id is taken"))
    }

    async fn create_call(&self, request: Create) -> Result<Created, SessionError> {
        match self.call(Effect::Writes, self.store.create(request.clone())).await {
            // The same operation again: if it was done, the store says so; if not, it is done now.
            Err(error) if error.kind() == StoreErrorKind::Unknown => {
                Ok(self.call(Effect::Writes, self.store.create(request)).await?)
            }
            other => Ok(other?),
        }
    }

    pub(crate) fn note_evicted(&self, evicted: &[crate::store::Summary]) {
        self.metrics.evicted.add(u64::try_from(evicted.len()).unwrap_or(0));
        self.note_revoked(evicted);
    }
}
