use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::StoreError;

/// The answer of a store: there already, or to come.
///
/// Memory and cache hits answer with [`ready`](StoreFuture::ready), which allocates nothing and lets the engine
/// finish without suspending; everything else boxes its future.
#[must_use = "a store operation that is never awaited may never happen"]
pub struct StoreFuture<T>(Inner<T>);

/// An answer that is to come.
pub(crate) type Answering<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

enum Inner<T> {
    Ready(Option<Result<T, StoreError>>),
    Pending(Answering<T>, Option<Duration>),
}

impl<T> StoreFuture<T> {
    /// An answer that is there already.
    pub fn ready(answer: Result<T, StoreError>) -> Self {
        StoreFuture(Inner::Ready(Some(answer)))
    }

    /// An answer to come.
    pub fn boxed(future: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Self {
        StoreFuture(Inner::Pending(Box::pin(future), None))
    }

    /// An answer to come, no later than so long after it is first awaited: the store watches over that by itself, whatever
    /// becomes of its connections. The engine sets no timer of its own then, unless it has less patience. For stores that
    /// have one timer for many calls; in doubt, [`boxed`](StoreFuture::boxed).
    pub fn within(
        patience: Duration,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Self {
        StoreFuture(Inner::Pending(Box::pin(future), Some(patience)))
    }

    /// Has a look at the answer when it is there, which is at once where it is there already. Dropped with the future that is
    /// dropped before.
    pub(crate) fn inspect(self, look: impl FnOnce(&Result<T, StoreError>) + Send + 'static) -> Self
    where
        T: Send + 'static,
    {
        match self.into_pending() {
            Ok(answer) => {
                look(&answer);
                StoreFuture::ready(answer)
            }
            Err((pending, patience)) => {
                let looked_at = Box::pin(async move {
                    let answer = pending.await;
                    look(&answer);
                    answer
                });
                StoreFuture(Inner::Pending(looked_at, patience))
            }
        }
    }

    /// Takes the answer if it is there already, or what is to be awaited, without the room for an answer, and how long the
    /// store itself lets that take.
    pub(crate) fn into_pending(self) -> Result<Result<T, StoreError>, (Answering<T>, Option<Duration>)>
    where
        T: 'static,
    {
        match self.0 {
            Inner::Ready(Some(answer)) => Ok(answer),
            Inner::Pending(answer, patience) => Err((answer, patience)),
            // Polled to its end before: never wakes.
            Inner::Ready(None) => Err((Box::pin(std::future::pending()), None)),
        }
    }

    /// Takes the answer if it is there already, or gives the future back.
    ///
    /// # Errors
    /// The future itself, when it has to be awaited.
    pub fn try_ready(self) -> Result<Result<T, StoreError>, Self> {
        match self.0 {
            Inner::Ready(Some(answer)) => Ok(answer),
            other => Err(StoreFuture(other)),
        }
    }
}

// The answer is moved out, never pinned in place.
impl<T> Unpin for StoreFuture<T> {}

impl<T> Future for StoreFuture<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Ready(answer) => match answer.take() {
                Some(answer) => Poll::Ready(answer),
                // Polled again after it was done: never wakes, as a fused future would.
                None => Poll::Pending,
            },
            Inner::Pending(future, _) => future.as_mut().poll(cx),
        }
    }
}

impl<T> std::fmt::Debug for StoreFuture<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Inner::Ready(_) => "StoreFuture(ready)",
            Inner::Pending(..) => "StoreFuture(pending)",
        })
    }
}
