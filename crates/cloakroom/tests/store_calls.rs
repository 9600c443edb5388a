//! What a request costs: which store calls it makes, and no others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{MemoryStore, Mode, Outcome, Session, SessionConfig, SessionError, SessionManager};
use cloakroom_testing::{ManualClock, Op, SpyStore};
use http::Response;

struct House {
    spy: SpyStore,
    clock: ManualClock,
    manager: SessionManager,
}

fn house(config: SessionConfig) -> House {
    let clock = ManualClock::new();
    let spy = SpyStore::new(Arc::new(MemoryStore::builder().clock(clock.clone()).build()));
    let manager = SessionManager::over(Arc::new(spy.clone()), config.purge_every(None)).unwrap();
    House { spy, clock, manager }
}

impl House {
    /// One request that opens its session and works with it; the calls it made, and the id it was told.
    async fn visit<F, Fut>(&self, id: Option<&str>, work: F) -> (Vec<Op>, Option<String>)
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Result<(), SessionError>>,
    {
        let mark = self.spy.mark();
        let handle = self.manager.open(&request(id), None);
        let mut response = Response::new(());
        work(handle.open().await.unwrap()).await.unwrap();
        let outcome = self.manager.close(&handle, response.status(), response.headers_mut()).await;
        assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
        (self.spy.since(mark).ops(), told(&response))
    }

    async fn newcomer(&self) -> String {
        let (_, id) = self.visit(None, |s| async move { s.set("n", 1) }).await;
        id.expect("a new session's cookie")
    }
}

fn request(id: Option<&str>) -> http::Request<()> {
    let mut request = http::Request::builder();
    if let Some(id) = id {
        request = request.header("cookie", format!("__Host-id={id}"));
    }
    request.body(()).unwrap()
}

fn told(response: &Response<()>) -> Option<String> {
    let text = response.headers().get("set-cookie")?.to_str().unwrap();
    Some(text.split(';').next().unwrap().split_once('=').unwrap().1.to_owned())
}

#[tokio::test]
async fn c12_a_request_that_never_opens_its_session_asks_the_store_nothing() {
    let house = house(SessionConfig::new());
    let id = house.newcomer().await;
    let mark = house.spy.mark();
    let handle = house.manager.open(&request(Some(&id)), None);
    let mut response = Response::new(());
    let outcome = house.manager.close(&handle, response.status(), response.headers_mut()).await;
    assert!(matches!(outcome, Outcome::Untouched));
    assert_eq!(house.spy.since(mark).ops(), []);
    assert!(response.headers().is_empty(), "{:?}", response.headers());
}

#[tokio::test]
async fn s70_a_visitor_without_a_session_who_only_reads_costs_nothing() {
    let house = house(SessionConfig::new());
    let (calls, told) = house.visit(None, |s| async move { s.get::<i64>("n").map(drop) }).await;
    assert_eq!((calls, told), (vec![], None));
}

#[tokio::test]
async fn a_read_is_one_call() {
    let house = house(SessionConfig::new());
    let id = house.newcomer().await;
    let (calls, told) = house.visit(Some(&id), |s| async move { s.get::<i64>("n").map(drop) }).await;
    assert_eq!((calls, told), (vec![Op::Load], None));
}

#[tokio::test]
async fn a_buffered_write_is_two_calls_however_many_keys() {
    let house = house(SessionConfig::new());
    let id = house.newcomer().await;
    let work = |s: Session| async move {
        s.set("a", 1)?;
        s.set("b", 2)?;
        s.flash("done")?;
        s.remove("n")
    };
    let (calls, told) = house.visit(Some(&id), work).await;
    assert_eq!((calls, told), (vec![Op::Load, Op::Commit], None));
}

#[tokio::test]
async fn a_new_session_is_one_call() {
    let house = house(SessionConfig::new());
    let (calls, told) = house.visit(None, |s| async move { s.set("n", 1) }).await;
    assert_eq!(calls, [Op::Create]);
    assert!(told.is_some());
}

#[tokio::test]
async fn an_awaited_write_is_one_call_beyond_opening() {
    let house = house(SessionConfig::new());
    let id = house.newcomer().await;
    let (calls, _) = house.visit(Some(&id), |s| async move { s.put("n", 2).await }).await;
    assert_eq!(calls, [Op::Load, Op::Commit]);
    let add = |s: Session| async move { s.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.map(drop) };
    let (calls, _) = house.visit(Some(&id), add).await;
    assert_eq!(calls, [Op::Load, Op::Commit]);
}

#[tokio::test]
async fn a_login_with_what_was_buffered_is_one_call_beyond_opening() {
    let house = house(SessionConfig::new());
    let id = house.newcomer().await;
    let work = |s: Session| async move {
        s.set("a", 1)?;
        s.login("ada").await
    };
    let (calls, told) = house.visit(Some(&id), work).await;
    assert_eq!(calls, [Op::Load, Op::Rename]);
    assert!(told.is_some());
}

#[tokio::test]
async fn a_lock_is_one_call_and_its_commit_another_which_also_releases() {
    let house = house(SessionConfig::new());
    let id = house.newcomer().await;
    let work = |s: Session| async move {
        let mut guard = s.lock().await?;
        guard.set("n", 9)?;
        guard.commit().await
    };
    let (calls, _) = house.visit(Some(&id), work).await;
    assert_eq!(calls, [Op::Load, Op::Acquire, Op::Commit]);
}

#[tokio::test]
async fn exclusive_mode_opens_and_locks_in_one_call_and_commits_and_releases_in_another() {
    let house = house(SessionConfig::new().mode(Mode::Exclusive));
    let id = house.newcomer().await;
    let (calls, _) = house.visit(Some(&id), |s| async move { s.set("n", 2) }).await;
    assert_eq!(calls, [Op::Acquire, Op::Commit]);
    let (calls, _) = house.visit(Some(&id), |s| async move { s.get::<i64>("n").map(drop) }).await;
    assert_eq!(calls, [Op::Acquire, Op::Release]);
}

#[tokio::test]
async fn x07_a_touch_is_due_after_a_tenth_of_the_idle_time_and_one_call() {
    let house = house(SessionConfig::new().idle(Duration::from_secs(1000)));
    let id = house.newcomer().await;
    house.clock.advance(Duration::from_secs(99));
    let read = |s: Session| async move { s.get::<i64>("n").map(drop) };
    assert_eq!(house.visit(Some(&id), read).await.0, [Op::Load]);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.visit(Some(&id), read).await.0, [Op::Load, Op::Touch]);
    assert_eq!(house.visit(Some(&id), read).await.0, [Op::Load], "it was slid");
    house.clock.advance(Duration::from_secs(100));
    let write = |s: Session| async move { s.set("n", 3) };
    assert_eq!(house.visit(Some(&id), write).await.0, [Op::Load, Op::Commit], "a commit slides by itself");
}

#[tokio::test]
async fn s39_a_background_request_slides_nothing() {
    let house = house(SessionConfig::new().idle(Duration::from_secs(1000)));
    let id = house.newcomer().await;
    house.clock.advance(Duration::from_secs(600));
    let handle = house.manager.open(&request(Some(&id)), None);
    handle.mark_background();
    let session = handle.open().await.unwrap();
    session.set("n", 2).unwrap();
    let mut response = Response::new(());
    let _ = house.manager.close(&handle, response.status(), response.headers_mut()).await;
    house.clock.advance(Duration::from_secs(500));
    let handle = house.manager.open(&request(Some(&id)), None);
    assert!(
        !handle.open().await.unwrap().exists(),
        "600 s and 500 s without a sign of life are more than 1000 s"
    );
}

#[tokio::test]
async fn however_many_ask_the_session_is_loaded_once() {
    let house = house(SessionConfig::new());
    let id = house.newcomer().await;
    let mark = house.spy.mark();
    let handle = house.manager.open(&request(Some(&id)), None);
    let (a, b, c) = tokio::join!(handle.open(), handle.read_only(), handle.open_existing());
    assert!(a.is_ok() && b.is_ok() && c.unwrap().is_some());
    assert_eq!(house.spy.since(mark).ops(), [Op::Load]);
}

#[tokio::test]
async fn s09_malformed_ids_are_not_looked_up_and_several_are_looked_up_at_once() {
    let house = house(SessionConfig::new());
    for bad in ["", "short", &"A".repeat(33), "../../../../../../etc/passwd____", &"é".repeat(16)] {
        let (calls, told) = house.visit(Some(bad), |s| async move { s.get::<i64>("n").map(drop) }).await;
        assert_eq!((calls, told), (vec![], None), "{bad}");
    }
    let known = house.newcomer().await;
    let unknown = "A".repeat(32);
    let both = format!("{unknown}; __Host-id={known}");
    let read = |s: Session| async move {
        assert_eq!(s.get::<i64>("n")?, Some(1), "the one live session wins");
        Ok(())
    };
    assert_eq!(house.visit(Some(&both), read).await.0, [Op::LoadMany]);
}
