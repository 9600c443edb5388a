//! Sessions where nothing can wait: outside a tokio runtime, and in one without timers. No call panics or hangs; where the
//! store does not answer at once, the error says what is missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;
mod log;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloakroom::{ErrorKind, MemoryStore, Mode, OnUnavailable, SessionConfig, SessionError, SessionManager};
use cloakroom_testing::{Fault, Gate};
use house::House;
use http::StatusCode;
use log::Log;

/// Runs a future as an executor does that knows nothing of tokio.
fn outside<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        std::thread::yield_now();
    }
}

/// Runs a future in a runtime that has no timers.
fn without_timers<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// From here on no answer of the store is there at once.
fn suspend(house: &House) {
    let open = Gate::new();
    open.open();
    house.faults.always(None, Fault::HoldAnswer(open));
}

fn says_what_is_missing<T>(what: &str, answer: Result<T, SessionError>) {
    let error = answer.err().unwrap_or_else(|| panic!("{what} went well"));
    assert_eq!(error.kind(), ErrorKind::Config, "{what}: {error}");
    assert!(error.to_string().contains("a running tokio runtime with time enabled"), "{what}: {error}");
}

async fn every_call_says_so() {
    let house = House::new(SessionConfig::new().on_unavailable(OnUnavailable::Anonymous));
    let id = house.visit(None, |s| async move { s.login("ada").await }).await.id().unwrap();
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    suspend(&house);

    says_what_is_missing("open", house.arrive(&[&id]).open().await);
    says_what_is_missing("open of several", house.arrive(&[&id, &id.to_lowercase()]).open().await);
    says_what_is_missing("put", session.put("n", 1).await);
    says_what_is_missing("update", session.increment("n", 1).await);
    session.set("n", 1).unwrap();
    says_what_is_missing("save", session.save().await);
    says_what_is_missing("reload", session.reload().await);
    says_what_is_missing("lock", session.lock().await);
    says_what_is_missing("regenerate", session.regenerate().await);
    says_what_is_missing("login", session.login("ada").await);
    says_what_is_missing("devices", session.devices().await);
    says_what_is_missing("revoke_others", session.revoke_others().await);
    says_what_is_missing("destroy", session.destroy().await);
    says_what_is_missing("scan", house.manager.store_stats().await);
    session.set("n", 1).unwrap();
    let answer = house.leave(&handle, StatusCode::OK).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);

    let handle = house.arrive(&[]);
    handle.open().await.unwrap().set("n", 1).unwrap();
    let answer = house.leave(&handle, StatusCode::OK).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.has_cookie());
}

#[test]
fn c9_outside_a_runtime_every_call_that_has_to_wait_says_what_is_missing() {
    outside(every_call_says_so());
}

#[test]
fn c9_nor_does_a_runtime_without_timers_make_a_call_panic() {
    without_timers(every_call_says_so());
}

async fn in_exclusive_mode() {
    let house = House::new(SessionConfig::new().mode(Mode::Exclusive));
    let id = house.newcomer().await;
    let first = house.arrive(&[&id]);
    first.open().await.unwrap();
    let waits = house.arrive(&[&id]);
    says_what_is_missing("the wait for another request", waits.open().await);
    house.leave(&first, StatusCode::OK).await;
    // Who did not wait is not in the way of others.
    assert!(house.arrive(&[&id]).open().await.unwrap().is_locked());
    suspend(&house);
    says_what_is_missing("open", house.arrive(&[&id]).open().await);
}

#[test]
fn c9_nor_does_the_wait_for_a_lease() {
    outside(in_exclusive_mode());
    without_timers(in_exclusive_mode());
}

async fn at_once(warnings: &Log) {
    let mut house = House::new(SessionConfig::new());
    let config = SessionConfig::new().purge_every(Some(Duration::from_millis(1)));
    house.manager = SessionManager::new(MemoryStore::builder().build(), config).unwrap();
    let id = house.newcomer().await;
    let answer = house.visit(Some(&id), |s| async move {
        s.increment("n", 1).await?;
        let mut guard = s.lock().await?;
        guard.extend().await?;
        guard.set("m", 1)?;
        guard.commit().await
    });
    assert_eq!(answer.await.status, StatusCode::OK);
    let now = house.arrive(&[&id]).read_only().await.unwrap();
    assert_eq!((now.get("n").unwrap(), now.get("m").unwrap()), (Some(2), Some(1)));
    assert_eq!(warnings.count("WARN", "a lease is not renewed"), 1, "{:?}", warnings.lines());
}

#[test]
fn with_a_store_that_answers_at_once_all_goes_well_and_what_cannot_be_done_later_is_logged_once() {
    let log = Log::listen();
    outside(at_once(&log));
    assert_eq!(log.count("ERROR", ""), 0, "{:?}", log.lines());
    let log = Log::listen();
    without_timers(at_once(&log));
    assert_eq!(log.count("ERROR", "nothing is purged"), 1, "{:?}", log.lines());
}

#[test]
fn c9_a_touch_that_nobody_can_wait_for_is_logged() {
    for run in [|work| outside(work), |work| without_timers(work)]
        as [fn(std::pin::Pin<Box<dyn Future<Output = ()>>>); 2]
    {
        let log = Log::listen();
        run(Box::pin(async {
            let house = House::new(SessionConfig::new());
            let id = house.newcomer().await;
            house.pass(3600);
            let handle = house.arrive(&[&id]);
            handle.open().await.unwrap();
            suspend(&house);
            assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::OK);
            house.manager.shutdown().await;
        }));
        assert_eq!(log.count("", "a running tokio runtime with time enabled"), 1, "{:?}", log.lines());
    }
}
