//! The session engine: everything between a request's session and the store, with no HTTP in it.

mod call;
mod commit;
mod create;
mod ended;
mod events;
mod expiry;
mod late;
mod lease;
mod metrics;
mod obsolete;
mod open;
mod purge;
mod refusals;
mod rename;
mod seal;
mod tasks;
mod timer;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::{ErrorKind, SessionError};
use crate::ids::{SessionId, StoreKey};
use crate::record::Record;
use crate::settings::Settings;
use crate::store::{Snapshot, Store, StoreError};

pub(crate) use call::{Effect, made, overdue};
pub(crate) use commit::{FirstCommit, Landed, Tried, Write, WriteKind};
pub(crate) use create::FirstCreate;
pub(crate) use ended::EndedBoard;
pub(crate) use events::Events;
pub use events::{Event, Subscriber};
pub(crate) use lease::{HeldLease, NoLease, OwnLease, OwnLeaseFuture};
pub(crate) use metrics::Metrics;
pub use metrics::{MetricsSnapshot, TimingSnapshot};
pub(crate) use open::{FirstLoad, Found};
pub(crate) use rename::{Binding, IdChange, Moved};
#[cfg(feature = "tower")]
pub(crate) use tasks::Carried;
pub(crate) use tasks::{Detached, Room, Tasks};
pub(crate) use timer::{NoTimer, timer};

/// What all requests share.
pub(crate) struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settings: Settings,
    /// The idle time that must have passed before a read touches the record.
    pub(crate) touch_threshold: Duration,
    /// The idle time that must have passed before a write slides the deadline.
    pub(crate) seen_threshold: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Events,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) ended: EndedBoard,
    leases: lease::LeaseQueues,
    obsolete: obsolete::ObsoleteLines,
    purging: purge::Purging,
    listening: expiry::Listening,
}

/// A session that exists, as this request knows it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: SessionId,
    pub(crate) key: StoreKey,
    pub(crate) record: Arc<Record>,
    /// The store's clock when the record was read.
    pub(crate) now: Timestamp,
    /// Why the change that led here may yet be undone.
    pub(crate) undurable: Option<Arc<StoreError>>,
}

impl Known {
    pub(crate) fn new(id: SessionId, key: StoreKey, snapshot: Snapshot) -> Self {
        Known { id, key, record: snapshot.record, now: snapshot.now, undurable: None }
    }

    /// What is to be told of the change that led here, once: it was made, and may yet be undone.
    pub(crate) fn take_doubt(&mut self) -> Result<(), SessionError> {
        match self.undurable.take() {
            Some(error) => Err(SessionError::caused(ErrorKind::Undurable, error)),
            None => Ok(()),
        }
    }

    pub(crate) fn update(&mut self, snapshot: Snapshot) {
        self.record = snapshot.record;
        self.now = snapshot.now;
    }
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn Store>, settings: Settings, events: Events) -> Self {
        let metrics: Arc<Metrics> = Arc::default();
        Engine {
            touch_threshold: settings.touch_threshold(),
            seen_threshold: settings.seen_threshold(),
            tasks: Arc::new(Tasks::new(&settings, Arc::clone(&metrics))),
            store,
            settings,
            metrics,
            events,
            ended: EndedBoard::default(),
            leases: lease::LeaseQueues::default(),
            obsolete: obsolete::ObsoleteLines::default(),
            purging: purge::Purging::default(),
            listening: expiry::Listening::default(),
        }
    }
}
