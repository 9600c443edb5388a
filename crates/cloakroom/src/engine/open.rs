//! From what a client presented to a session, or to none.

use std::sync::Arc;

use super::{Detached, Effect, Engine, Event, HeldLease, Known, NoLease, made, seal};
use crate::error::{ErrorKind, SessionError};
use crate::http::cookie::scan::Scanned;
use crate::ids::{Candidate, OpId, SessionId, StoreKey, UserId};
use crate::settings::OnObsoleteId;
use crate::store::{
    End, EndCause, Ended, Ending, Loaded, Revoke, RevokeWhich, Snapshot, StoreError, StoreFuture,
};

/// What was found for them.
#[derive(Default)]
pub(crate) struct Found {
    /// The session.
    pub(crate) known: Option<Known>,
    /// The id is to be told: the one presented is in its grace.
    pub(crate) tell: bool,
    /// An id that was presented and has moved: a logout follows it.
    pub(crate) moved: Option<StoreKey>,
    /// The lease, where one was asked for.
    pub(crate) held: Option<Box<HeldLease>>,
}

/// The lookup of the only candidate, begun already.
pub(crate) struct FirstLoad {
    /// Its key: a digest, which need not be taken twice.
    pub(crate) key: StoreKey,
    pub(crate) answer: StoreFuture<Loaded>,
}

impl Known {
    /// Strict mode in one place: only a record that the store holds makes an id of a candidate.
    pub(crate) fn proven(candidate: &Candidate, key: StoreKey, snapshot: Snapshot) -> Self {
        Known::new(SessionId::proven(candidate), key, snapshot)
    }
}

impl Engine {
    /// Looks the candidates up, in one round trip; takes the lease of the one that lives when `exclusive`.
    pub(crate) async fn open(
        self: &Arc<Self>,
        presented: &Scanned,
        exclusive: bool,
        first: Option<FirstLoad>,
    ) -> Result<Found, SessionError> {
        self.metrics.opened.one();
        self.note_opened(presented);
        if presented.is_empty() {
            return Ok(Found::default());
        }
        // On the heap, because they are large: whatever opens a session would carry them along.
        let Some(one) = presented.single() else {
            return Box::pin(self.open_several(presented, exclusive)).await;
        };
        if exclusive {
            return Box::pin(self.open_exclusive(one)).await;
        }
        let FirstLoad { key, answer } = first.unwrap_or_else(|| {
            let key = one.store_key();
            FirstLoad { key, answer: self.store.load(key) }
        });
        let loaded = self.call(Effect::Reads, answer).await?;
        let mut found = Found::default();
        self.note(one, key, loaded, &mut found);
        Ok(found)
    }

    /// A request opened its session, and was counted.
    pub(crate) fn note_opened(self: &Arc<Self>, presented: &Scanned) {
        if presented.malformed > 0 {
            self.metrics.malformed_ids.add(u64::from(presented.malformed));
        }
        if presented.excess {
            self.metrics.excess_ids.one();
            tracing::info!(target: "cloakroom", "more different ids than are looked up: those that sort last were left out");
        }
        if presented.oversized {
            self.metrics.malformed_ids.one();
            tracing::info!(target: "cloakroom", "more bytes of cookies than are read: the request is served as anonymous");
        }
        self.start_purging();
        self.start_listening();
    }

    async fn open_exclusive(self: &Arc<Self>, candidate: &Candidate) -> Result<Found, SessionError> {
        let key = candidate.store_key();
        // Not known to be ours yet; it becomes an id when the store grants its lease.
        let id = SessionId::proven(candidate);
        match self.acquire_known(&id, key).await? {
            Ok((held, known, told)) => Ok(Found {
                known: Some(known),
                tell: told.is_some(),
                moved: None,
                held: Some(Box::new(held)),
            }),
            Err(NoLease::Ended(ending)) => {
                let mut found = Found::default();
                self.note(candidate, key, Loaded::Ended(ending), &mut found);
                Ok(found)
            }
            Err(NoLease::Missing) => {
                let mut found = Found::default();
                self.note(candidate, key, Loaded::Missing, &mut found);
                Ok(found)
            }
        }
    }

    /// Cookie tossing: the one live session wins; of two live ones neither can be trusted.
    async fn open_several(
        self: &Arc<Self>,
        presented: &Scanned,
        exclusive: bool,
    ) -> Result<Found, SessionError> {
        let keys: Vec<StoreKey> = presented.candidates().map(Candidate::store_key).collect();
        let loads = self.call(Effect::Reads, self.store.load_many(keys.clone())).await?;
        let mut found = Found::default();
        let mut live: Option<(Found, &Candidate)> = None;
        for ((candidate, key), loaded) in presented.candidates().zip(keys).zip(loads) {
            let mut one = Found::default();
            self.note(candidate, key, loaded, &mut one);
            found.moved = found.moved.or(one.moved);
            let Some(known) = &one.known else { continue };
            match &live {
                // An old id in its grace and its successor are one session.
                Some((first, _)) if first.known.as_ref().map(|k| k.key) == Some(known.key) => {}
                Some(_) => {
                    self.metrics.ambiguous_ids.one();
                    self.events.emit(Event::AmbiguousIds(presented.len()));
                    tracing::warn!(target: "cloakroom", "several live sessions in one request: served as anonymous");
                    return Ok(Found::default());
                }
                None => live = Some((one, candidate)),
            }
        }
        match live {
            Some((_, candidate)) if exclusive => self.open_exclusive(candidate).await,
            Some((one, _)) => Ok(Found { moved: None, ..one }),
            None => Ok(found),
        }
    }

    /// Notes what is under the key of a candidate.
    fn note(self: &Arc<Self>, candidate: &Candidate, key: StoreKey, loaded: Loaded, found: &mut Found) {
        match loaded {
            // The deadlines are checked on the record too, not only by the store.
            Loaded::Live(snapshot) if snapshot.record.is_expired(snapshot.now) => self.saw_expired(key),
            Loaded::Alias { snapshot, .. } if snapshot.record.is_expired(snapshot.now) => {
                self.saw_expired(key)
            }
            Loaded::Live(snapshot) => {
                found.known = Some(Known::proven(candidate, key, snapshot));
            }
            Loaded::Alias { successor, sealed, snapshot } => {
                match seal::open(&self.settings.ids, &SessionId::proven(candidate), &sealed, successor) {
                    Some(id) => {
                        found.known = Some(Known::new(id, successor, snapshot));
                        found.tell = true;
                    }
                    None => tracing::error!(target: "cloakroom", ?key, "a sealed successor does not open"),
                }
            }
            Loaded::Ended(Ending::Moved { .. }) => {
                found.moved = Some(key);
                self.metrics.obsolete_ids.one();
                self.events.emit(Event::ObsoleteId(key));
                if self.settings.on_obsolete_id == OnObsoleteId::RevokeUser {
                    self.end_line_of(key);
                }
            }
            Loaded::Ended(Ending::Expired) => self.saw_expired(key),
            Loaded::Ended(Ending::Destroyed | Ending::Revoked) => {}
            Loaded::Missing => {
                self.metrics.unknown_ids.one();
                self.events.emit(Event::UnknownId(key));
            }
        }
    }

    fn saw_expired(&self, key: StoreKey) {
        self.metrics.sessions_expired.one();
        self.events.emit(Event::Expired(key));
    }

    /// What is under a key in the store itself, and not in a cache in front of it.
    pub(crate) async fn load_newest(&self, key: StoreKey) -> Result<Loaded, SessionError> {
        let loaded = self.call(Effect::Reads, self.store.load_many(vec![key])).await?;
        // An answer for each key that was asked for.
        Ok(loaded.into_iter().next().unwrap_or(Loaded::Missing))
    }

    /// Ends a session, following it where it moved.
    pub(crate) async fn end(self: &Arc<Self>, key: StoreKey, cause: EndCause) -> Result<Ended, SessionError> {
        let request = End { key, op: OpId::generate(), cause, marker: self.settings.marker };
        let mut ended = self.call(Effect::Writes, self.store.end(request)).await;
        if ended.as_ref().is_err_and(StoreError::is_worth_asking_again) {
            // The same operation again tells whether it was done.
            ended = self.call(Effect::Writes, self.store.end(request)).await.map_err(StoreError::in_doubt);
        }
        let (ended, undurable) = made(ended)?;
        if let Ended::Ended(summary) = &ended {
            self.metrics.sessions_ended.one();
            let at = summary.as_ref().map_or(key, |s| s.key);
            self.events.emit(match cause {
                EndCause::Destroyed => Event::Destroyed(at),
                EndCause::Revoked => Event::Revoked(at),
            });
            match summary {
                Some(summary) => self.ended.announce(summary.record_id),
                None => self.ended.announce_all(),
            }
        }
        undurable.map_or(Ok(ended), |error| Err(SessionError::caused(ErrorKind::Undurable, error)))
    }

    /// Ends sessions of a user; answers with how many. Once begun it goes on when the request that asked for it is dropped.
    pub(crate) fn revoke(self: &Arc<Self>, user: UserId, which: RevokeWhich) -> Detached<usize> {
        let engine = Arc::clone(self);
        self.tasks.detach(async move { engine.revoke_now(user, which).await })
    }

    pub(super) async fn revoke_now(&self, user: UserId, which: RevokeWhich) -> Result<usize, SessionError> {
        let request = Revoke { user, op: OpId::generate(), which, marker: self.settings.marker };
        let revoked = match self.call(Effect::Writes, self.store.revoke(request.clone())).await {
            Err(error) if error.is_worth_asking_again() => {
                self.ended.announce_all();
                self.call(Effect::Writes, self.store.revoke(request)).await.map_err(StoreError::in_doubt)
            }
            other => other,
        };
        let (revoked, undurable) = made(revoked)?;
        self.note_revoked(&revoked.ended);
        // Asked twice, the store tells of the first few only; whoever waits for another's end was announced to above.
        let untold = revoked.count.saturating_sub(revoked.ended.len());
        self.metrics.sessions_ended.add(u64::try_from(untold).unwrap_or(0));
        undurable.map_or(Ok(revoked.count), |error| Err(SessionError::caused(ErrorKind::Undurable, error)))
    }

    pub(crate) fn note_revoked(&self, ended: &[crate::store::Summary]) {
        self.metrics.sessions_ended.add(u64::try_from(ended.len()).unwrap_or(0));
        for session in ended {
            self.events.emit(Event::Revoked(session.key));
            self.ended.announce(session.record_id);
        }
    }
}
