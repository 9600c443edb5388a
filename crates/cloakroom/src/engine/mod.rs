//! The session engine: everything between a request's session and the store, with no HTTP in it.

mod commit;
mod create;
mod ended;
mod events;
mod expiry;
mod lease;
mod metrics;
mod open;
mod purge;
mod rename;
mod seal;
mod tasks;
mod timer;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::error::{ErrorKind, SessionError};
use crate::ids::{SessionId, StoreKey};
use crate::record::Record;
use crate::settings::Settings;
use crate::store::{Snapshot, Store, StoreError, StoreErrorKind, StoreFuture};

pub(crate) use commit::{FirstCommit, Landed, Tried, Write, WriteKind};
pub(crate) use create::FirstCreate;
pub(crate) use ended::EndedBoard;
pub(crate) use events::Events;
pub use events::{Event, Subscriber};
pub(crate) use lease::HeldLease;
pub(crate) use metrics::Metrics;
pub use metrics::{MetricsSnapshot, TimingSnapshot};
pub(crate) use open::{FirstLoad, Found};
pub(crate) use rename::{Binding, IdChange, Moved};
#[cfg(feature = "tower")]
pub(crate) use tasks::Carried;
pub(crate) use tasks::{Detached, Tasks};
pub(crate) use timer::{NoTimer, timer};

/// What all requests share.
pub(crate) struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settings: Settings,
    /// The idle time that must have passed before a read touches the record.
    pub(crate) touch_threshold: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) events: Events,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) ended: EndedBoard,
    leases: lease::LeaseQueues,
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

/// Whether a call that is not answered in time may have had an effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Writes,
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn Store>, settings: Settings, events: Events) -> Self {
        Engine {
            touch_threshold: settings.touch_threshold(),
            store,
            settings,
            metrics: Metrics::default(),
            events,
            tasks: Arc::default(),
            ended: EndedBoard::default(),
            leases: lease::LeaseQueues::default(),
            purging: purge::Purging::default(),
            listening: expiry::Listening::default(),
        }
    }

    /// Awaits a store's answer within the deadline of a call.
    ///
    /// Only an answer that is yet to come gets a timer, in an allocation of its own: every future that calls a store
    /// holds this one, and would be as large as all their timers.
    pub(crate) fn call<T: Unpin + Send + 'static>(
        &self,
        effect: Effect,
        answer: StoreFuture<T>,
    ) -> Call<'_, T> {
        match answer.try_ready() {
            Ok(answer) => Call::There(Some(self.noted_at_once(answer))),
            Err(pending) => Call::ToCome(Box::pin(self.wait(effect, pending))),
        }
    }

    /// An answer that was there at once.
    pub(crate) fn noted_at_once<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.metrics.store_latency.instant();
        self.noted(answer)
    }

    async fn wait<T: Unpin>(&self, effect: Effect, pending: StoreFuture<T>) -> Result<T, StoreError> {
        let started = Instant::now();
        let deadline = self.settings.call_deadline;
        let answer = match timer(|| tokio::time::timeout(deadline, pending)) {
            Ok(in_time) => in_time.await.unwrap_or_else(|_| Err(overdue(effect, deadline))),
            Err(missing) => Err(unheard(effect, missing)),
        };
        self.metrics.store_latency.record(started.elapsed());
        self.noted(answer)
    }

    fn noted<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &answer {
            self.metrics.unavailable.one();
            tracing::warn!(target: "cloakroom", store = self.store.name(), %error, "store call failed");
        }
        answer
    }
}

/// The answer, where there is one: also to what was done and may yet be undone, with why.
pub(crate) fn made<A: 'static>(
    answer: Result<A, StoreError>,
) -> Result<(A, Option<Arc<StoreError>>), StoreError> {
    match answer {
        Ok(answer) => Ok((answer, None)),
        Err(mut error) => match error.take_made() {
            Some(answer) => Ok((answer, Some(Arc::new(error)))),
            None => Err(error),
        },
    }
}

/// See [`Engine::call`].
#[must_use = "a store call that is never awaited may never happen"]
pub(crate) enum Call<'e, T> {
    There(Option<Result<T, StoreError>>),
    ToCome(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'e>>),
}

impl<T: Unpin> Future for Call<'_, T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            // Polled again after it was done: never wakes, as a fused future would.
            Call::There(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            Call::ToCome(answer) => answer.as_mut().poll(cx),
        }
    }
}

fn overdue(effect: Effect, deadline: Duration) -> StoreError {
    match effect {
        Effect::Reads => StoreError::new(
            StoreErrorKind::Unavailable,
            format!("the store did not answer within {deadline:?}"),
        ),
        Effect::Writes => StoreError::new(
            StoreErrorKind::Unknown,
            format!("the store did not answer a write within {deadline:?}; it may have been made"),
        ),
    }
}

/// The answer could not be waited for. What was asked for may have been begun.
fn unheard(effect: Effect, missing: NoTimer) -> StoreError {
    let kind = match effect {
        Effect::Reads => StoreErrorKind::Unavailable,
        Effect::Writes => StoreErrorKind::Unknown,
    };
    StoreError::new(kind, missing.to_string()).with_source(missing)
}
