//! C4: a response that took its time never overwrites the cookie of a newer id, nor tells one that is dead by then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{
    CookieConfig, CookieLifetime, MemoryStore, NearCache, Outcome, SessionConfig, SessionHandle,
    SessionManager,
};
use cloakroom_testing::{ManualClock, Op, PushingStore, SpyStore};
use http::Response;

struct House {
    clock: ManualClock,
    spy: SpyStore,
    manager: SessionManager,
}

fn house(config: SessionConfig) -> House {
    let clock = ManualClock::new();
    let spy = SpyStore::new(Arc::new(MemoryStore::builder().clock(clock.clone()).build()));
    let manager = SessionManager::over(Arc::new(spy.clone()), config.purge_every(None)).unwrap();
    House { clock, spy, manager }
}

impl House {
    fn arrive(&self, id: Option<&str>) -> SessionHandle {
        let mut request = http::Request::builder();
        if let Some(id) = id {
            request = request.header("cookie", format!("__Host-id={id}"));
        }
        self.manager.open(&request.body(()).unwrap(), None)
    }

    /// The id the response tells.
    async fn leave(&self, handle: SessionHandle) -> Option<String> {
        let mut response = Response::new(());
        let outcome = self.manager.close(&handle, response.status(), response.headers_mut()).await;
        assert!(matches!(outcome, Outcome::Done | Outcome::Untouched), "{outcome:?}");
        let cookie = response.headers().get("set-cookie")?.to_str().unwrap().to_owned();
        Some(cookie.split(';').next().unwrap().split_once('=').unwrap().1.to_owned())
    }

    async fn newcomer(&self) -> String {
        let handle = self.arrive(None);
        handle.open().await.unwrap().set("n", 1).unwrap();
        self.leave(handle).await.unwrap()
    }

    async fn regenerate(&self, id: &str) -> String {
        let handle = self.arrive(Some(id));
        handle.open().await.unwrap().regenerate().await.unwrap();
        self.leave(handle).await.unwrap()
    }
}

fn persistent() -> SessionConfig {
    let week = CookieLifetime::Persistent(Duration::from_secs(7 * 24 * 3600));
    SessionConfig::new().idle(Duration::from_secs(1000)).cookie(CookieConfig::new().lifetime(week))
}

#[tokio::test]
async fn rotated_cookie_overwritten_by_a_slower_response() {
    let house = house(persistent());
    let id = house.newcomer().await;
    house.clock.advance(Duration::from_secs(500));
    // A reader whose touch is due, and with it the cookie's new lifetime, takes its time …
    let slow = house.arrive(Some(&id));
    slow.open().await.unwrap();
    // … and another request rotates the id meanwhile.
    let newer = house.regenerate(&id).await;
    assert_ne!(newer, id);
    assert_eq!(house.leave(slow).await, None, "the slow response must not tell the old id again");
}

#[tokio::test]
async fn a_slow_writer_does_not_tell_an_old_id_either() {
    let house = house(persistent());
    let id = house.newcomer().await;
    let slow = house.arrive(Some(&id));
    slow.open().await.unwrap().put("n", 2).await.unwrap();
    house.regenerate(&id).await;
    assert_eq!(house.leave(slow).await, None);
}

#[tokio::test]
async fn an_id_learned_in_a_grace_is_not_told_once_it_is_dead() {
    let grace = Duration::from_secs(30);
    let house = house(SessionConfig::new().renewal(Duration::from_secs(300), grace));
    let first = house.newcomer().await;
    house.clock.advance(Duration::from_secs(301));
    let reader = house.arrive(Some(&first));
    reader.open().await.unwrap();
    let second = house.leave(reader).await.expect("the id was due");

    // With the old id in its grace one learns the new one, on every node …
    let learned = house.arrive(Some(&first));
    learned.open().await.unwrap();
    assert_eq!(house.leave(learned).await.as_ref(), Some(&second));

    // … unless it was replaced once more before the response left.
    let slow = house.arrive(Some(&first));
    slow.open().await.unwrap();
    house.regenerate(&second).await;
    assert_eq!(house.leave(slow).await, None);
}

#[tokio::test]
async fn s25_a_persistent_cookie_slides_when_its_session_does_and_not_with_every_response() {
    let house = house(persistent());
    let id = house.newcomer().await;
    for (wait, told, calls) in [
        (50, None, vec![Op::Load]),
        (50, Some(id.clone()), vec![Op::Load, Op::Touch]),
        (50, None, vec![Op::Load]),
    ] {
        house.clock.advance(Duration::from_secs(wait));
        let mark = house.spy.mark();
        let handle = house.arrive(Some(&id));
        handle.open().await.unwrap();
        assert_eq!(house.leave(handle).await, told);
        assert_eq!(house.spy.since(mark).ops(), calls);
    }
}

/// What a near cache knows of an id may be older than what another node did: it does not confirm one.
#[tokio::test]
async fn c4_a_response_tells_no_id_that_only_a_near_cache_takes_for_alive() {
    let clock = ManualClock::new();
    let here = PushingStore::new(Arc::new(MemoryStore::builder().clock(clock.clone()).build()));
    let there = Arc::new(here.another_node());
    let near = NearCache::builder(here.clone()).clock(clock.clone()).build();
    let node = |store: Arc<dyn Store>| {
        let spy = SpyStore::new(store);
        let config = SessionConfig::new().renewal(Duration::from_secs(300), Duration::from_secs(30));
        let manager = SessionManager::over(Arc::new(spy.clone()), config.purge_every(None)).unwrap();
        House { clock: clock.clone(), spy, manager }
    };
    let (house, far) = (node(Arc::new(near.clone())), node(there));
    let first = house.newcomer().await;
    clock.advance(Duration::from_secs(301));
    let due = house.arrive(Some(&first));
    due.open().await.unwrap();
    let second = house.leave(due).await.expect("a renewed id");
    for _ in 0..2 {
        house.arrive(Some(&second)).open().await.unwrap();
    }
    let slow = house.arrive(Some(&first));
    slow.open().await.unwrap();

    here.hold_news();
    let login = far.arrive(Some(&second));
    login.open().await.unwrap().login("ada").await.unwrap();
    let third = far.leave(login).await.expect("a new id");
    let hits = near.counts().hits;
    house.arrive(Some(&second)).open().await.unwrap();
    assert_eq!(near.counts().hits, hits + 1, "the cache still takes the second id for alive");
    let told = house.leave(slow).await;
    here.deliver_news();
    assert!(third != second && told.is_none(), "the login's cookie is overwritten with a dead id");
}
