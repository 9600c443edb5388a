//! What is past its time is removed from the store now and then, whatever becomes of one attempt.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod store_requests;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{ErrorKind, MemoryStore, Outcome, SessionConfig, SessionManager};
use cloakroom_testing::{Fault, FaultStore, ManualClock, Op};
use store_requests::{IDLE, create, key, now};

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

/// A million in a release build; in a debug build, as `./test` makes, a fifth of it.
const MANY: u32 = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };

/// By the engine's own schedule, on the runtime's clock: what it took of the machine's is printed.
#[tokio::test(start_paused = true)]
async fn a_million_expired_sessions_are_gone_within_a_minute() {
    let clock = ManualClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    for n in 0..MANY {
        now(store.create(create(key(n, n)))).unwrap();
    }
    let manager = SessionManager::new(store.clone(), SessionConfig::new()).unwrap();
    manager.open(&http::Request::new(()), None).open().await.unwrap();
    clock.advance(IDLE + Duration::from_secs(1));
    let (expired, began) = (tokio::time::Instant::now(), std::time::Instant::now());
    while now(store.stats()).unwrap().live != Some(0) {
        assert!(
            expired.elapsed() < Duration::from_secs(60),
            "{:?} are left",
            now(store.stats()).unwrap().live
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!(
        "{MANY} sessions are gone {:?} after they expired, in {:?} of work",
        expired.elapsed(),
        began.elapsed()
    );
    assert_eq!(manager.metrics().purged, u64::from(MANY));
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "that leaves nothing of a minute: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn purging_without_a_pause_is_refused() {
    let config = SessionConfig::new().purge_every(Some(Duration::ZERO));
    let error = SessionManager::new(MemoryStore::new(), config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("purge_every"), "{error}");
    SessionManager::new(MemoryStore::new(), SessionConfig::new().purge_every(None)).unwrap();
}
