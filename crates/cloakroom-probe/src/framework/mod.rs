//! The same routes behind each framework.

pub(crate) mod axum;
pub(crate) mod hyper;

use std::time::Duration;

/// Waits until `serving` is done by itself, at most `drain` after `stop`.
async fn at_most_after<S, F>(drain: Duration, stop: S, serving: F)
where
    S: Future<Output = ()>,
    F: Future<Output = ()>,
{
    tokio::select! {
        () = serving => {}
        () = async { stop.await; tokio::time::sleep(drain).await } => {
            tracing::warn!("some connections were still busy and are cut");
        }
    }
}
