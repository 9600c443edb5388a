//! Code of the application that sessions call: subscribers, the failure hook, `Deserialize`. Whatever it does, it takes
//! no session with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;
mod log;

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use cloakroom::{Event, OnConflict, SessionConfig, SessionHandle, SessionId};
use house::House;
use http::StatusCode;
use log::Log;
use serde::{Deserialize, Deserializer};

/// Runs a test that would hang where it fails. In a thread of its own, which is left behind then.
fn in_time<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, outcome) = mpsc::channel();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
        let _ = done.send(());
    });
    outcome.recv_timeout(Duration::from_secs(60)).expect("it hangs, or panicked");
}

/// Looks at the request's session, as a subscriber or a value may that wants to log what it belongs to.
fn look() -> String {
    format!("{:?}", cloakroom::current())
}

/// A value that looks at the session while it is read.
struct Nosy;

impl<'de> Deserialize<'de> for Nosy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        assert!(look().contains("open: true"));
        u32::deserialize(deserializer).map(|_| Nosy)
    }
}

async fn in_scope<F: Future<Output = ()>>(handle: &SessionHandle, work: F) {
    handle.scope(work).await;
}

#[test]
fn a_subscriber_may_look_at_the_session_that_an_event_is_about() {
    in_time(|| async {
        let config = SessionConfig::new().subscribe(|_: &Event| drop(look()));
        let house = House::new(config);
        let unknown = SessionId::generate();
        let handle = house.arrive(&[unknown.expose()]);
        in_scope(&handle, async {
            handle.open().await.unwrap().set("n", 1).unwrap();
            let answer = house.leave(&handle, StatusCode::OK).await;
            assert!(answer.id().is_some());
        })
        .await;
        let events = house.events();
        assert!(matches!(events[..], [Event::UnknownId(_), Event::Created(_)]), "{events:?}");
    });
}

/// A request whose commit point is refused, or overwrites, without asking the store anew: an awaited call has told it of
/// another request's change before.
async fn decides_at_its_end(house: &House) -> StatusCode {
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let mut status = StatusCode::CONTINUE;
    in_scope(&handle, async {
        let session = handle.open().await.unwrap();
        let n: u32 = session.get("n").unwrap().unwrap();
        session.set("n", n + 1).unwrap();
        house.visit(Some(&id), |s| async move { s.put("n", 100).await }).await;
        session.put("other", 1).await.unwrap();
        status = house.leave(&handle, StatusCode::OK).await.status;
    })
    .await;
    status
}

#[test]
fn a_subscriber_of_the_log_may_look_at_the_session_that_a_line_is_about() {
    in_time(|| async {
        let log = Log::with(|| drop(look()));
        let refusing = House::new(SessionConfig::new());
        assert_eq!(decides_at_its_end(&refusing).await, StatusCode::CONFLICT);
        assert_eq!(log.count("WARN", "another request changed this key"), 1, "{:?}", log.lines());
        let overwriting = House::new(SessionConfig::new().on_conflict(OnConflict::Overwrite));
        assert_eq!(decides_at_its_end(&overwriting).await, StatusCode::OK);
        assert_eq!(log.count("INFO", "last write wins"), 1, "{:?}", log.lines());
        assert_eq!(overwriting.manager.metrics().overwritten, 1);

        let oversized = http::Request::builder().header("cookie", "c".repeat(65 * 1024));
        let handle = refusing.manager.open(&oversized.body(()).unwrap(), None);
        in_scope(&handle, async { drop(handle.open().await.unwrap()) }).await;
        assert_eq!(log.count("INFO", "more bytes of cookies"), 1, "{:?}", log.lines());
    });
}

#[test]
fn a_value_may_look_at_the_session_that_it_is_read_from() {
    in_time(|| async {
        let house = House::new(SessionConfig::new());
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        in_scope(&handle, async {
            let session = handle.open().await.unwrap();
            assert!(session.get::<Nosy>("n").unwrap().is_some());
            session.set("n", 2).unwrap();
            assert!(session.get::<Nosy>("n").unwrap().is_some(), "a buffered one");
            session.flash(3).unwrap();
            assert_eq!(session.flashes::<Nosy>().unwrap().len(), 1);
        })
        .await;
    });
}

#[tokio::test]
async fn s59_a_subscriber_that_panics_does_not_keep_a_new_id_from_the_client() {
    let config = SessionConfig::new().subscribe(|event: &Event| {
        assert!(!matches!(event, Event::LoggedIn { .. }), "a defect of the application's");
    });
    let house = House::new(config);
    let id = house.newcomer().await;
    let answer = house.visit(Some(&id), |s| async move { s.login("ada").await }).await;
    let new = answer.id().expect("the new id is told");
    assert_eq!(house.who(&new).await.as_deref(), Some("ada"));
    let events = house.events();
    assert!(events.iter().any(|e| matches!(e, Event::LoggedIn { .. })), "the others hear it: {events:?}");
}

#[tokio::test]
async fn s59_a_failure_hook_that_panics_does_not_keep_a_new_id_from_the_client() {
    let config = SessionConfig::new().on_failure(|_, _| panic!("a defect of the application's"));
    let house = House::new(config);
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    session.login("ada").await.unwrap();
    let new = session.id().unwrap();
    let n: u32 = session.get("n").unwrap().unwrap();
    house.visit(Some(new.expose()), |s| async move { s.put("n", 100).await }).await;
    session.set("n", n + 1).unwrap();
    drop(session);
    let answer = house.leave(&handle, StatusCode::OK).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "the answer without a hook");
    assert_eq!(answer.id().as_deref(), Some(new.expose()));
}
