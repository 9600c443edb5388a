//! Work that goes on when the request that asked for it is dropped.
//!
//! Each piece of it lasts no longer than the deadlines of the store's calls, but while a store hangs there would be as many of
//! them as requests come in that time. So they are bounded, each kind in its way: what nobody is told of is left out
//! ([`Tasks::spawn_if_room`]); what somebody waits for is not begun before there is room ([`Tasks::detach`], and where others wait
//! for it as well, [`Tasks::detach_into`]); a commit costs a
//! request, and is given up only where its client has gone ([`Tasks::carry`]). A release is always asked for, and given up where it
//! is not answered at once: the lease runs out by itself.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Metrics, NoTimer, timer};
use crate::error::{ErrorKind, SessionError};
use crate::settings::Settings;

/// Counts the detached tasks that are under way, so that there are not too many and a shutdown can wait for them.
#[derive(Debug)]
pub(crate) struct Tasks {
    active: AtomicUsize,
    limit: usize,
    /// How long it is waited for room.
    patience: Duration,
    metrics: Arc<Metrics>,
    /// The log was told that something was left out, and there was no time to breathe since.
    told: AtomicBool,
    idle: Notify,
    room: Notify,
}

impl Tasks {
    pub(crate) fn new(settings: &Settings, metrics: Arc<Metrics>) -> Self {
        Tasks {
            active: AtomicUsize::new(0),
            limit: settings.limits.background,
            patience: settings.call_deadline,
            metrics,
            told: AtomicBool::new(false),
            idle: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Runs `future` to its end, whatever becomes of the caller.
    ///
    /// Outside a runtime there is nobody to run it: it is dropped, and the log says `what` is.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        what: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        match Handle::try_current() {
            Ok(runtime) => drop(self.spawn_on(&runtime, future)),
            Err(_) => tracing::error!(target: "cloakroom", error = %NoTimer, "{what} was given up"),
        }
    }

    /// As [`spawn`](Self::spawn), for what does no harm where it does not happen: left out while too much is under way.
    pub(crate) fn spawn_if_room(
        self: &Arc<Self>,
        what: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        match self.has_room() {
            true => self.spawn(what, future),
            false => self.left_out(what),
        }
    }

    /// As [`spawn`](Self::spawn), on this runtime. One that has been shut down drops the future.
    pub(crate) fn spawn_on<T: Send + 'static>(
        self: &Arc<Self>,
        runtime: &Handle,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let running = Running::start(self);
        runtime.spawn(async move {
            let _running = running;
            future.await
        })
    }

    /// A future that runs in the caller until it would have to wait, and detached from there on.
    ///
    /// With a store that answers at once it never leaves the caller; with any other, dropping it drops only the
    /// answer. Not begun before there is room for it; what has to wait for that for too long is refused.
    pub(crate) fn detach<T>(
        self: &Arc<Self>,
        future: impl Future<Output = Result<T, SessionError>> + Send + 'static,
    ) -> Detached<T> {
        Detached { tasks: Arc::clone(self), stage: Stage::New(Box::pin(future)) }
    }

    /// As [`detach`](Self::detach), for what is begun at once, because there was room for it. For work that holds something up
    /// from before it is begun: who waits for room need not be polled.
    pub(crate) fn detach_into<T>(
        self: &Arc<Self>,
        _room: Room,
        future: impl Future<Output = Result<T, SessionError>> + Send + 'static,
    ) -> Detached<T> {
        Detached { tasks: Arc::clone(self), stage: Stage::Inline(Box::pin(future)) }
    }

    /// As [`detach`](Self::detach), for a caller who does nothing else until it has the answer: the future stays in the caller
    /// also where it has to wait, and becomes a task only when the caller goes away. That saves a task for each commit. It is
    /// begun in any case; without room for the task it is dropped with its caller, so that what it had asked for may happen or not.
    ///
    /// Not for what others wait for as well: it stands still for as long as the caller is kept without being polled.
    pub(crate) fn carry<T: Send + 'static>(
        self: &Arc<Self>,
        future: impl Future<Output = Result<T, SessionError>> + Send + 'static,
    ) -> Carried<T> {
        Carried { tasks: Arc::clone(self), work: Some(Box::pin(future)), begun: None }
    }

    /// Completes when no detached task is under way.
    pub(crate) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Registered before the count is read: a task that ends in between is not missed.
            idle.as_mut().enable();
            if self.active.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.active.load(Ordering::Relaxed) < self.limit
    }

    /// Room, if there is some now.
    pub(crate) fn room_now(&self) -> Option<Room> {
        self.has_room().then_some(Room(()))
    }

    /// Completes when there is room.
    pub(crate) async fn room(self: Arc<Self>) -> Result<(), SessionError> {
        self.metrics.background_waits.one();
        let freed = async {
            while !self.has_room() {
                self.room.notified().await;
            }
        };
        match timer(|| tokio::time::timeout(self.patience, freed))?.await {
            Ok(()) => {
                // Who goes on now may need none of the room: whoever comes next looks for itself.
                self.room.notify_one();
                Ok(())
            }
            Err(_) => Err(SessionError::because(
                ErrorKind::Unavailable,
                format!(
                    "{} pieces of work wait for the store already, as many as `Limits::background` allows",
                    self.limit
                ),
            )),
        }
    }

    pub(crate) fn left_out(&self, what: &'static str) {
        self.metrics.background_dropped.one();
        if !self.told.swap(true, Ordering::Relaxed) {
            let limit = self.limit;
            tracing::warn!(
                target: "cloakroom", limit,
                "{what} was left out, and more may be: as much work waits for the store as `Limits::background` allows"
            );
        }
    }
}

/// There was room for one piece of work, which is to be begun right away: it is not kept.
#[derive(Debug)]
pub(crate) struct Room(());

/// One task under way; counts down also when the task panics.
struct Running(Arc<Tasks>);

impl Running {
    fn start(tasks: &Arc<Tasks>) -> Self {
        tasks.active.fetch_add(1, Ordering::AcqRel);
        Running(Arc::clone(tasks))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let tasks = &*self.0;
        let before = tasks.active.fetch_sub(1, Ordering::AcqRel);
        if before == 1 {
            tasks.idle.notify_waiters();
        }
        if before == tasks.limit {
            tasks.room.notify_one();
        }
        if before == tasks.limit / 2 + 1 {
            tasks.told.store(false, Ordering::Relaxed);
        }
    }
}

/// See [`Tasks::detach`].
pub(crate) struct Detached<T> {
    tasks: Arc<Tasks>,
    stage: Stage<T>,
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T, SessionError>> + Send>>;

enum Stage<T> {
    /// Not begun yet, nor was it looked whether there is room.
    New(Work<T>),
    /// To be begun, or begun just now.
    Inline(Work<T>),
    /// Not begun, for there is no room.
    Waiting(Box<(Work<()>, Work<T>)>),
    Spawned(JoinHandle<Result<T, SessionError>>),
    Done,
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = Result<T, SessionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::New(_) = &this.stage
            && let Stage::New(work) = std::mem::replace(&mut this.stage, Stage::Done)
        {
            this.stage = match this.tasks.has_room() {
                true => Stage::Inline(work),
                false => Stage::Waiting(Box::new((Box::pin(Arc::clone(&this.tasks).room()), work))),
            };
        }
        if let Stage::Waiting(waiting) = &mut this.stage {
            let Poll::Ready(room) = waiting.0.as_mut().poll(cx) else { return Poll::Pending };
            let Stage::Waiting(waiting) = std::mem::replace(&mut this.stage, Stage::Done) else {
                return Poll::Pending;
            };
            if let Err(refused) = room {
                return Poll::Ready(Err(refused));
            }
            this.stage = Stage::Inline(waiting.1);
        }
        if let Stage::Inline(work) = &mut this.stage {
            if let Poll::Ready(answer) = work.as_mut().poll(cx) {
                this.stage = Stage::Done;
                return Poll::Ready(answer);
            }
            let Stage::Inline(work) = std::mem::replace(&mut this.stage, Stage::Done) else {
                return Poll::Pending;
            };
            match Handle::try_current() {
                Ok(runtime) => this.stage = Stage::Spawned(this.tasks.spawn_on(&runtime, work)),
                Err(_) => return Poll::Ready(Err(NoTimer.into())),
            }
        }
        match &mut this.stage {
            Stage::Spawned(task) => Pin::new(task)
                .poll(cx)
                .map(|joined| joined.unwrap_or_else(|e| Err(SessionError::caused(ErrorKind::Unknown, e)))),
            Stage::New(_) | Stage::Inline(_) | Stage::Waiting(_) | Stage::Done => Poll::Pending,
        }
    }
}

/// See [`Tasks::carry`].
pub(crate) struct Carried<T: Send + 'static> {
    tasks: Arc<Tasks>,
    work: Option<Work<T>>,
    /// Once it had to wait: where it goes on when the caller is gone.
    begun: Option<(Handle, Running)>,
}

impl<T: Send + 'static> Future for Carried<T> {
    type Output = Result<T, SessionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Polled again after it was done: never wakes, as a fused future would.
        let Some(work) = &mut this.work else { return Poll::Pending };
        // As a task would: a store that panics fails the call, and not the response that says so.
        let answer = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Ready(answer)) => answer,
            Ok(Poll::Pending) if this.begun.is_some() => return Poll::Pending,
            Ok(Poll::Pending) => match Handle::try_current() {
                Ok(runtime) => {
                    this.begun = Some((runtime, Running::start(&this.tasks)));
                    return Poll::Pending;
                }
                Err(_) => Err(NoTimer.into()),
            },
            Err(_) => Err(SessionError::because(ErrorKind::Unknown, "the store panicked")),
        };
        (this.work, this.begun) = (None, None);
        Poll::Ready(answer)
    }
}

impl<T: Send + 'static> Drop for Carried<T> {
    fn drop(&mut self) {
        if let (Some(work), Some((runtime, running))) = (self.work.take(), self.begun.take()) {
            // It is counted itself.
            if self.tasks.active.load(Ordering::Relaxed) > self.tasks.limit {
                self.tasks.left_out("the commit of a request whose client is gone");
                return;
            }
            runtime.spawn(async move {
                let _running = running;
                drop(work.await);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn c9_what_panics_after_it_had_to_wait_is_an_error_and_nothing_is_left_of_it() {
        let tasks = Arc::new(Tasks::new(&Settings::default(), Arc::default()));
        let panics: Carried<()> = tasks.carry(async {
            tokio::task::yield_now().await;
            panic!("as a store might");
        });
        assert_eq!(panics.await.unwrap_err().kind(), ErrorKind::Unknown);
        tasks.drained().await;
    }
}
