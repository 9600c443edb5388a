//! The engine over this store, which makes no write that nobody waits for: what a request leaves to be done when it is
//! dropped, or to whoever drops what it held, is waited for and happens.
//!
//! Another process's transaction keeps the writer waiting meanwhile, so that nothing happens by being quick.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use cloakroom::store::{Acquire, Acquired, LeaseOwner, ScanFrom, Store};
use cloakroom::{LockGuard, Session, SessionConfig, SessionManager, StoreKey};
use cloakroom_sqlite::SqliteStore;
use cloakroom_testing::ManualClock;
use http::{HeaderMap, StatusCode};
use support::HOUR;

struct Bed {
    dir: tempfile::TempDir,
    clock: ManualClock,
    store: SqliteStore,
    manager: SessionManager,
}

/// Another process's transaction: nothing is written until it is dropped.
struct Blocked(rusqlite::Connection);

impl Bed {
    async fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new();
        let store = SqliteStore::builder(dir.path().join("s.db")).clock(clock.clone()).open().await.unwrap();
        let config = SessionConfig::new().idle(HOUR).purge_every(None);
        let manager = SessionManager::new(store.clone(), config).unwrap();
        Bed { dir, clock, store, manager }
    }

    fn block(&self) -> Blocked {
        let other = rusqlite::Connection::open(self.dir.path().join("s.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Blocked(other)
    }

    /// A request with this cookie; nothing of it is answered yet.
    async fn arrive(&self, cookie: &str) -> (cloakroom::SessionHandle, Session) {
        let request = http::Request::builder().header("cookie", cookie).body(()).unwrap();
        let handle = self.manager.open(&request, None);
        let session = handle.open().await.unwrap();
        (handle, session)
    }

    async fn leave(&self, handle: &cloakroom::SessionHandle) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let _ = self.manager.close(handle, StatusCode::OK, &mut headers).await;
        headers
    }

    /// Somebody logs in; the cookie.
    async fn logged_in(&self, user: &str) -> String {
        let (handle, session) = self.arrive("").await;
        session.login(user).await.unwrap();
        let headers = self.leave(&handle).await;
        headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn only_session(&self) -> cloakroom::store::Summary {
        let page = self.store.scan(ScanFrom { after: None, limit: 10 }).await.unwrap();
        let [session] = &page.sessions[..] else { panic!("{:?}", page.sessions) };
        session.clone()
    }

    /// Whether another process could take the lease. The store's clock stands still: none runs out by itself.
    async fn is_free(&self, key: StoreKey) -> bool {
        let lease = Duration::from_millis(1);
        let answer = self.store.acquire(Acquire { key, owner: LeaseOwner(7), lease }).await.unwrap();
        matches!(answer, Acquired::Acquired { .. })
    }

    async fn until_free(&self, key: StoreKey) {
        until("the lease is given back", async || self.is_free(key).await).await;
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(30), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Polls a future as far as it comes, and drops it.
async fn begin_and_drop(future: impl Future) {
    assert!(tokio::time::timeout(Duration::from_millis(250), future).await.is_err(), "it was answered");
}

/// A lock that is dropped like this, while nothing can be written, is given back afterwards.
async fn is_given_back(dropped: impl AsyncFnOnce(LockGuard)) {
    let bed = Bed::new().await;
    let cookie = bed.logged_in("ann").await;
    let key = bed.only_session().await.key;
    let (_handle, session) = bed.arrive(&cookie).await;
    let guard = session.lock().await.unwrap();
    assert!(!bed.is_free(key).await);
    let blocked = bed.block();
    dropped(guard).await;
    drop(blocked);
    bed.until_free(key).await;
}

#[tokio::test]
async fn c5_a_lock_that_is_dropped_is_released() {
    is_given_back(async |guard| {
        drop(guard);
        // What was detached gets as far as it can.
        tokio::time::sleep(Duration::from_millis(50)).await;
    })
    .await;
}

#[tokio::test]
async fn c5_a_lock_that_is_dropped_on_a_thread_without_a_runtime_is_released() {
    is_given_back(async |guard| std::thread::spawn(move || drop(guard)).join().unwrap()).await;
}

#[tokio::test]
async fn c5_a_lock_that_is_granted_to_a_request_which_was_dropped_is_released() {
    let bed = Bed::new().await;
    let cookie = bed.logged_in("ann").await;
    let key = bed.only_session().await.key;
    let (_handle, session) = bed.arrive(&cookie).await;
    let blocked = bed.block();
    begin_and_drop(session.lock()).await;
    drop(blocked);
    bed.until_free(key).await;
    // And stays so: it was not merely not taken yet.
    bed.manager.shutdown().await;
    bed.clock.advance(Duration::from_millis(1));
    assert!(bed.is_free(key).await);
}

#[tokio::test]
async fn c5_a_shutdown_waits_for_the_lock_to_be_released() {
    let bed = Bed::new().await;
    let cookie = bed.logged_in("ann").await;
    let key = bed.only_session().await.key;
    let (_handle, session) = bed.arrive(&cookie).await;
    let guard = session.lock().await.unwrap();
    let blocked = bed.block();
    drop(guard);
    begin_and_drop(bed.manager.shutdown()).await;
    drop(blocked);
    bed.manager.shutdown().await;
    assert!(bed.is_free(key).await);
}

#[tokio::test]
async fn a_touch_outlives_its_request() {
    let bed = Bed::new().await;
    let cookie = bed.logged_in("ann").await;
    let before = bed.only_session().await;
    bed.clock.advance(HOUR / 2);
    let (handle, session) = bed.arrive(&cookie).await;
    let blocked = bed.block();
    drop(session);
    bed.leave(&handle).await;
    drop(handle);
    drop(blocked);
    bed.manager.shutdown().await;
    assert_eq!(bed.only_session().await.last_seen, before.last_seen.after(HOUR / 2));
}

#[tokio::test]
async fn a_revocation_is_made_though_its_request_is_dropped() {
    let bed = Bed::new().await;
    let cookie = bed.logged_in("ann").await;
    let (_handle, session) = bed.arrive(&cookie).await;
    let user = cloakroom::UserId::new("ann").unwrap();
    let left = async || bed.store.list_user(user.clone()).await.unwrap().len();

    bed.logged_in("ann").await;
    let ended = bed.manager.metrics().sessions_ended;
    let blocked = bed.block();
    begin_and_drop(session.revoke_others()).await;
    drop(blocked);
    until("the other session is ended", async || left().await == 1).await;

    bed.logged_in("ann").await;
    let others = session.devices().await.unwrap();
    let other = others.iter().find(|d| !d.current).unwrap().handle.clone();
    let blocked = bed.block();
    begin_and_drop(session.revoke(other.as_str())).await;
    drop(blocked);
    until("the session with that handle is ended", async || left().await == 1).await;

    bed.logged_in("ann").await;
    let newest = bed.store.list_user(user.clone()).await.unwrap().pop().unwrap();
    let blocked = bed.block();
    begin_and_drop(bed.manager.revoke_key(newest.key)).await;
    drop(blocked);
    until("the session under that key is ended", async || left().await == 1).await;

    let blocked = bed.block();
    begin_and_drop(bed.manager.revoke_user("ann")).await;
    drop(blocked);
    until("the user has no session", async || left().await == 0).await;
    // Who waits for the end of a session is told, and it is counted.
    bed.manager.shutdown().await;
    assert_eq!(bed.manager.metrics().sessions_ended, ended + 4);
    session.ended().await;
}
