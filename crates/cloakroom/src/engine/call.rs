//! A call of the store, awaited no longer than a call may take.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::{Engine, NoTimer, timer};
use crate::clock::deadline_after;
use crate::store::{Answering, StoreError, StoreErrorKind, StoreFuture};

/// Whether a call that is not answered in time may have had an effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Writes,
}

impl Engine {
    /// Awaits a store's answer within the deadline of a call.
    pub(crate) fn call<T: 'static>(&self, effect: Effect, answer: StoreFuture<T>) -> Call<'_, T> {
        match answer.into_pending() {
            Ok(answer) => Call::There(Some(self.noted_at_once(answer))),
            Err((answer, patience)) => Call::ToCome(ToCome {
                engine: self,
                effect,
                answer,
                asked: Instant::now(),
                timed: patience.is_none_or(|patience| patience > self.settings.call_deadline),
                alarm: None,
                over: false,
            }),
        }
    }

    /// An answer that was there at once.
    pub(crate) fn noted_at_once<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.metrics.store_latency.instant();
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
    ToCome(ToCome<'e, T>),
}

/// An answer that is waited for.
pub(crate) struct ToCome<'e, T> {
    engine: &'e Engine,
    effect: Effect,
    answer: Answering<T>,
    asked: Instant,
    /// The deadline is watched over here: the store does not.
    timed: bool,
    /// Elsewhere: every future that calls a store holds this one, and would be as large as all their timers.
    alarm: Option<Pin<Box<Sleep>>>,
    over: bool,
}

// What is pinned is on the heap, and answers are moved out.
impl<T> Unpin for Call<'_, T> {}

impl<T> Future for Call<'_, T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            // Polled again after it was done: never wakes, as a fused future would.
            Call::There(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            Call::ToCome(call) if call.over => Poll::Pending,
            Call::ToCome(call) => {
                let told = call.poll(cx);
                call.over = told.is_ready();
                told
            }
        }
    }
}

impl<T> ToCome<'_, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, StoreError>> {
        let deadline = self.engine.settings.call_deadline;
        // Before the store is asked to go on: without timers nothing is begun that could not be waited for.
        if self.timed && self.alarm.is_none() {
            let ends = deadline_after(self.asked.into(), deadline).into();
            match timer(|| Box::pin(tokio::time::sleep_until(ends))) {
                Ok(alarm) => self.alarm = Some(alarm),
                Err(missing) => return Poll::Ready(self.told(Err(unheard(self.effect, missing)))),
            }
        }
        if let Poll::Ready(answer) = self.answer.as_mut().poll(cx) {
            return Poll::Ready(self.told(answer));
        }
        match self.alarm.as_mut().map(|alarm| alarm.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(self.told(Err(overdue(self.effect, deadline)))),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }

    fn told(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.engine.metrics.store_latency.record(self.asked.elapsed());
        self.engine.noted(answer)
    }
}

pub(crate) fn overdue(effect: Effect, deadline: Duration) -> StoreError {
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::{MemoryStore, SessionManager};

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn c9_a_store_watches_over_a_deadline_by_itself_where_it_says_so_and_no_later_than_the_engine_would()
     {
        let sessions = SessionManager::with_defaults(Arc::new(MemoryStore::new()));
        let engine = &sessions.0.engine;
        let deadline = engine.settings.call_deadline;
        let later = deadline + Duration::from_millis(1);
        let waits = |answer: StoreFuture<()>| {
            let call = engine.call(Effect::Reads, answer);
            tokio::time::timeout(HOUR, call)
        };
        for not_watched in [StoreFuture::boxed(pending()), StoreFuture::within(later, pending())] {
            let began = tokio::time::Instant::now();
            let overdue = waits(not_watched).await.unwrap().unwrap_err();
            assert_eq!(overdue.kind(), StoreErrorKind::Unavailable);
            assert_eq!(began.elapsed().as_secs(), deadline.as_secs());
        }
        assert!(waits(StoreFuture::within(deadline, pending())).await.is_err(), "it has no timer");
    }
}
