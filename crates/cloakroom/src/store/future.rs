use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::StoreError;

/// The answer of a store: there already, or to come.
///
/// Memory and cache hits answer with [`ready`](StoreFuture::ready), which allocates nothing and lets the engine
/// finish without suspending; everything else boxes its future.
#[must_use = "a store operation that is never awaited may never happen"]
pub struct StoreFuture<T>(Inner<T>);

enum Inner<T> {
    Ready(Option<Result<T, StoreError>>),
    Pending(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>),
}

impl<T> StoreFuture<T> {
    /// An answer that is there already.
    pub fn ready(answer: Result<T, StoreError>) -> Self {
        StoreFuture(Inner::Ready(Some(answer)))
    }

    /// An answer to come.
    pub fn boxed(future: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Self {
        StoreFuture(Inner::Pending(Box::pin(future)))
    }

    /// Has a look at the answer when it is there, which is at once where it is there already. Dropped with the future that is
    /// dropped before.
    pub(crate) fn inspect(self, look: impl FnOnce(&Result<T, StoreError>) + Send + 'static) -> Self
    where
        T: Send + 'static,
    {
        match self.try_ready() {
            Ok(answer) => {
                look(&answer);
                StoreFuture::ready(answer)
            }
            Err(pending) => StoreFuture::boxed(async move {
                let answer = pending.await;
                look(&answer);
                answer
            }),
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
            Inner::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> std::fmt::Debug for StoreFuture<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Inner::Ready(_) => "StoreFuture(ready)",
            Inner::Pending(_) => "StoreFuture(pending)",
        })
    }
}
