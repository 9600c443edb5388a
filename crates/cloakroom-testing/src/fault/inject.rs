//! What each fault does to a call.

use std::future::Future;

use cloakroom::store::{StoreError, StoreErrorKind, StoreFuture};
use tokio::runtime::Handle;

use super::Fault;

/// Executes `run` as `fault` says.
pub(super) fn inject<T: Send + Sync + 'static>(
    fault: Fault,
    run: impl Fn() -> StoreFuture<T> + Send + 'static,
) -> StoreFuture<T> {
    match fault {
        Fault::Unavailable => fail(StoreErrorKind::Unavailable, "injected fault: the store is away"),
        Fault::Full => fail(StoreErrorKind::Full, "injected fault: the store is full"),
        Fault::Corrupt => fail(StoreErrorKind::Corrupt, "injected fault: what is stored is damaged"),
        Fault::LoseRequest => fail(StoreErrorKind::Unknown, "injected fault: the request was lost"),
        Fault::Hang => StoreFuture::boxed(std::future::pending()),
        Fault::LoseAnswer => detached(async move {
            let _ = run().await;
            Err(StoreError::new(StoreErrorKind::Unknown, "injected fault: the answer was lost"))
        }),
        Fault::Undurable => detached(async move {
            let answer = run().await?;
            Err(StoreError::undurable("injected fault: too few replicas have it", answer))
        }),
        Fault::HangAfter => detached(async move {
            let _ = run().await;
            std::future::pending().await
        }),
        Fault::Delay(d) => detached(async move {
            tokio::time::sleep(d).await;
            run().await
        }),
        Fault::DelayAnswer(d) => detached(async move {
            let answer = run().await;
            tokio::time::sleep(d).await;
            answer
        }),
        Fault::Twice => detached(async move {
            let _ = run().await;
            run().await
        }),
        Fault::ReplayAfter(d) => detached(async move {
            let answer = run().await;
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(async move {
                    tokio::time::sleep(d).await;
                    let _ = run().await;
                });
            }
            answer
        }),
        Fault::Hold(gate) => detached(async move {
            gate.pass().await;
            run().await
        }),
        Fault::HoldAnswer(gate) => detached(async move {
            let answer = run().await;
            gate.pass().await;
            answer
        }),
    }
}

fn fail<T>(kind: StoreErrorKind, what: &str) -> StoreFuture<T> {
    StoreFuture::ready(Err(StoreError::new(kind, what)))
}

/// Goes on when the caller drops the answer, as an operation on a server does. Without a tokio runtime there is
/// nobody else to drive it: it then runs as far as the caller awaits it.
fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> StoreFuture<T> {
    match Handle::try_current() {
        Ok(runtime) => {
            let task = runtime.spawn(work);
            StoreFuture::boxed(async move {
                task.await.unwrap_or_else(|error| {
                    let text = "the task of an injected fault did not finish: is the runtime shutting down?";
                    Err(StoreError::new(StoreErrorKind::Unknown, text).with_source(error))
                })
            })
        }
        Err(_) => StoreFuture::boxed(work),
    }
}
