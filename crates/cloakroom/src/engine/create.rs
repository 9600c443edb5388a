//! Starting a session.

use super::rename::Binding;
use super::{Effect, Engine, Event, Known, made};
use crate::error::{ErrorKind, SessionError};
use crate::ids::{OpId, RecordId, SessionId, StoreKey};
use crate::payload::Payload;
use crate::store::{BindUser, Create, Created, Snapshot, StoreError, StoreFuture, Summary};

/// Ids that are tried before it is clear that something else is wrong. One always suffices.
pub(super) const TRIES: u32 = 4;
pub(super) const EVERY_ID_TAKEN: &str = "the store says that every new id is taken";

/// A session that the store was asked to start and has not answered for.
pub(crate) struct FirstCreate {
    id: SessionId,
    request: Create,
    answer: StoreFuture<Created>,
}

impl Engine {
    /// Asks the store once, without waiting, for a session that nobody is logged in to. The caller announces it
    /// ([`announce_created`](Engine::announce_created)) when it holds no lock.
    #[expect(clippy::result_large_err, reason = "moved once, into the box of what was begun")]
    pub(crate) fn try_create(&self, payload: Payload) -> Result<Known, FirstCreate> {
        let (id, request) = self.new_session(payload, None);
        let answer = match self.store.create(request.clone()).try_ready() {
            Ok(Ok(Created::Created { snapshot, .. })) => {
                self.metrics.store_latency.instant();
                return Ok(Known::new(id, request.key, snapshot));
            }
            Ok(other) => StoreFuture::ready(other),
            Err(pending) => pending,
        };
        Err(FirstCreate { id, request, answer })
    }

    /// Stores a new session under a new id.
    pub(crate) async fn create(
        &self,
        payload: Payload,
        bind: Option<Binding>,
    ) -> Result<Known, SessionError> {
        let (id, request) = self.new_session(payload, bind);
        let answer = self.store.create(request.clone());
        self.create_on(FirstCreate { id, request, answer }).await
    }

    /// Goes on with what was begun.
    pub(crate) async fn create_on(&self, first: FirstCreate) -> Result<Known, SessionError> {
        let FirstCreate { mut id, mut request, mut answer } = first;
        for _ in 0..TRIES {
            let mut created = self.call(Effect::Writes, answer).await;
            if created.as_ref().is_err_and(StoreError::is_worth_asking_again) {
                // The same operation again: if it was done, the store says so; if not, it is done now.
                created = self.call(Effect::Writes, self.store.create(request.clone())).await;
                created = created.map_err(StoreError::in_doubt);
            }
            let (created, undurable) = made(created)?;
            if let Created::Created { snapshot, evicted } = created {
                let mut known = self.created(id, &request, snapshot, &evicted);
                known.undurable = undurable;
                return Ok(known);
            }
            id = self.settings.ids.generate();
            request.key = id.store_key();
            request.op = OpId::generate();
            answer = self.store.create(request.clone());
        }
        Err(SessionError::because(ErrorKind::Unavailable, EVERY_ID_TAKEN))
    }

    fn new_session(&self, payload: Payload, bind: Option<Binding>) -> (SessionId, Create) {
        let cap = self.settings.sessions_per_user;
        let id = self.settings.ids.generate();
        let request = Create {
            key: id.store_key(),
            op: OpId::generate(),
            record_id: RecordId::generate(),
            lifetime: self.settings.lifetime,
            bind: bind.map(|b| BindUser { user: b.user, device: b.device, cap }),
            payload,
            marker: self.settings.marker,
        };
        (id, request)
    }

    /// Counts a session that was started, and tells subscribers.
    pub(crate) fn announce_created(&self, key: StoreKey) {
        self.metrics.commits.one();
        self.metrics.sessions_created.one();
        self.events.emit(Event::Created(key));
    }

    fn created(&self, id: SessionId, request: &Create, snapshot: Snapshot, evicted: &[Summary]) -> Known {
        let key = request.key;
        self.announce_created(key);
        self.note_evicted(evicted);
        if let Some(bind) = &request.bind {
            self.metrics.logins.one();
            self.events.emit(Event::LoggedIn { key, user: bind.user.clone() });
        }
        Known::new(id, key, snapshot)
    }

    pub(crate) fn note_evicted(&self, evicted: &[Summary]) {
        if evicted.is_empty() {
            return;
        }
        self.metrics.evicted.add(u64::try_from(evicted.len()).unwrap_or(0));
        self.note_revoked(evicted);
    }
}
