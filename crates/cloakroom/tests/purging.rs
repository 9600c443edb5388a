//! What is past its time is removed from the store now and then, whatever becomes of one attempt.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{ErrorKind, MemoryStore, Outcome, SessionConfig, SessionManager};
use cloakroom_testing::{Fault, FaultStore, ManualClock, Op};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_purge_that_is_never_answered_does_not_end_the_purging() {
    let clock = ManualClock::new();
    let faults = FaultStore::new(Arc::new(MemoryStore::builder().clock(clock.clone()).build()));
    let config = SessionConfig::new().idle(HOUR).purge_every(Some(Duration::from_secs(30)));
    let manager = SessionManager::over(Arc::new(faults.clone()), config).unwrap();
    faults.at_op(Op::Purge, 1, Fault::Hang);

    let handle = manager.open(&http::Request::new(()), None);
    handle.open().await.unwrap().set("n", 1).unwrap();
    let mut response = http::Response::new(());
    let outcome = manager.close(&handle, response.status(), response.headers_mut()).await;
    assert!(matches!(outcome, Outcome::Done));

    // The runtime's time goes by itself, the store's does not: the session and all that it left are long over.
    clock.advance(100 * HOUR);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(faults.injected().iter().any(|injected| injected.op == Op::Purge));
    assert_eq!(manager.metrics().purged, 1);
}

#[tokio::test]
async fn purging_without_a_pause_is_refused() {
    let config = SessionConfig::new().purge_every(Some(Duration::ZERO));
    let error = SessionManager::new(MemoryStore::new(), config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("purge_every"), "{error}");
    SessionManager::new(MemoryStore::new(), SessionConfig::new().purge_every(None)).unwrap();
}
