//! What a late write finds of its session: that it moved, that it ended and how, or nothing.

use super::{Effect, Engine, Event, Known, Landed, NoLease, WriteKind, seal};
use crate::error::{ErrorKind, SessionError};
use crate::ids::{SessionId, StoreKey};
use crate::store::{Ending, Loaded, Snapshot};

impl Engine {
    /// The successor, if the id this request came with was renewed and is still in its grace.
    pub(super) async fn grace(
        &self,
        known: &Known,
        key: StoreKey,
        at: &Option<(SessionId, StoreKey)>,
    ) -> Result<Option<(SessionId, StoreKey, Snapshot)>, SessionError> {
        let id = at.as_ref().map_or(&known.id, |(id, _)| id);
        if id.store_key() != key {
            return Ok(None);
        }
        match self.call(Effect::Reads, self.store.load(key)).await? {
            Loaded::Alias { successor, sealed, snapshot } => {
                Ok(seal::open(&self.settings.ids, id, &sealed, successor).map(|id| (id, successor, snapshot)))
            }
            _ => Ok(None),
        }
    }

    /// What a write is told whose session ended this way.
    pub(super) fn late(&self, ending: Ending, kind: WriteKind) -> Result<Landed, SessionError> {
        self.metrics.resurrections_prevented.one();
        tracing::debug!(target: "cloakroom", ?ending, ?kind, "a write of a late request was not made");
        match kind {
            WriteKind::Awaited => Err(SessionError::new(ErrorKind::Gone)),
            WriteKind::Buffered => Ok(Landed::Dropped),
        }
    }

    /// No record and no marker: expired, or lost?
    pub(crate) async fn vanished(
        &self,
        key: StoreKey,
        known: &Known,
        kind: WriteKind,
    ) -> Result<Landed, SessionError> {
        // Others may have slid the deadline since this request read it, never pulled it forward.
        if self.call(Effect::Reads, self.store.now()).await? >= known.record.deadline() {
            return self.late(Ending::Expired, kind);
        }
        self.metrics.lost_records.one();
        self.events.emit(Event::Lost(key));
        tracing::error!(target: "cloakroom", ?key, "a session vanished from the store before its deadline");
        Err(SessionError::new(ErrorKind::Lost))
    }

    /// Why an awaited call does not get the lease of the session as it knows it.
    pub(crate) async fn without_lease(&self, why: NoLease, known: &Known) -> SessionError {
        let told = match why {
            NoLease::Ended(ending) => self.late(ending, WriteKind::Awaited),
            NoLease::Missing => self.vanished(known.key, known, WriteKind::Awaited).await,
        };
        told.err().unwrap_or_else(|| SessionError::new(ErrorKind::Gone))
    }

    /// Whether a request that does not get the lease goes on without its session, and so without what it has buffered: that is
    /// ordered before an end. An error where the session only moved, or vanished.
    pub(crate) async fn drop_buffered(&self, why: &NoLease, known: &Known) -> Result<(), SessionError> {
        let dropped = match why {
            NoLease::Ended(moved @ Ending::Moved { .. }) => self.late(*moved, WriteKind::Awaited),
            NoLease::Ended(ending) => self.late(*ending, WriteKind::Buffered),
            NoLease::Missing => self.vanished(known.key, known, WriteKind::Buffered).await,
        };
        dropped.map(drop)
    }
}
