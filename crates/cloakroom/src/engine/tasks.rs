//! Work that goes on when the request that asked for it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::NoTimer;
use crate::error::{ErrorKind, SessionError};

/// Counts the detached tasks that are under way, so that a shutdown can wait for them.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    active: AtomicUsize,
    idle: Notify,
}

impl Tasks {
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
    /// answer.
    pub(crate) fn detach<T>(
        self: &Arc<Self>,
        future: impl Future<Output = Result<T, SessionError>> + Send + 'static,
    ) -> Detached<T> {
        Detached { tasks: Arc::clone(self), stage: Stage::Inline(Box::pin(future)) }
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
}

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
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
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
    Inline(Work<T>),
    Spawned(JoinHandle<Result<T, SessionError>>),
    Done,
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = Result<T, SessionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
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
            Stage::Inline(_) | Stage::Done => Poll::Pending,
        }
    }
}
