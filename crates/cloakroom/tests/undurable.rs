//! Writes that are made, and that fewer replicas than asked for have confirmed: nothing about them looks as if they had not been made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use cloakroom::{ErrorKind, Event, Mode, SessionConfig, SessionError};
use cloakroom_testing::{Fault, Op};
use house::House;
use http::StatusCode;

#[track_caller]
fn undurable<T: std::fmt::Debug>(answer: Result<T, SessionError>) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Undurable, "{error}");
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(error.to_string().contains("the change was made"), "{error}");
}

async fn number(house: &House, id: &str) -> Option<u32> {
    house.arrive(&[id]).read_only().await.unwrap().get("n").unwrap()
}

#[tokio::test]
async fn c8_replicas_that_catch_up_when_asked_again_are_no_trouble() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    for op in [Op::Commit, Op::Rename, Op::End] {
        house.faults.at_op(op, 1, Fault::Undurable);
    }
    let answer = house.visit(Some(&id), |s| async move { s.put("n", 2).await }).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = house.visit(Some(&id), |s| async move { s.login("ann").await }).await;
    let id = answer.id().unwrap();
    assert_eq!(number(&house, &id).await, Some(2));
    house.visit(Some(&id), |s| async move { s.destroy().await }).await;
    assert_eq!(house.who(&id).await, None);
    assert_eq!(house.faults.injected().len(), 3);
}

#[tokio::test]
async fn c8_an_awaited_write_is_told_to_be_made_and_is_made_once() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        let house = House::new(SessionConfig::new().mode(mode));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let session = handle.open().await.unwrap();
        house.faults.always(Some(Op::Commit), Fault::Undurable);
        undurable(session.update("n", |n: Option<u32>| n.unwrap() + 1).await);
        undurable(session.put("other", 1).await);
        assert_eq!(session.get::<u32>("n").unwrap(), Some(2));
        house.faults.heal();
        // The handler lives with it: there is nothing left to store, and nothing is stored twice.
        assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::OK);
        assert_eq!(number(&house, &id).await, Some(2), "{mode:?}");
    }
}

/// What was buffered before it is in it, or replaced by it, and is not stored once more.
#[tokio::test]
async fn c8_what_an_awaited_write_took_along_is_made_with_it() {
    let house = House::new(SessionConfig::new());
    house.faults.always(Some(Op::Create), Fault::Undurable);
    let handle = house.arrive(&[]);
    let session = handle.open().await.unwrap();
    session.set("n", 5).unwrap();
    undurable(session.put("n", 6).await);
    let id = house.leave(&handle, StatusCode::OK).await.id().unwrap();
    assert_eq!(number(&house, &id).await, Some(6));

    house.faults.always(Some(Op::Commit), Fault::Undurable);
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    session.get::<u32>("n").unwrap();
    session.set("n", 7).unwrap();
    undurable(session.lock().await.map(drop));
    house.faults.heal();
    house.visit(Some(&id), |s| async move { s.put("n", 8).await }).await;
    assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::OK);
    assert_eq!(number(&house, &id).await, Some(8));
}

#[tokio::test]
async fn c9_a_buffered_write_that_may_be_undone_is_no_success() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.faults.always(Some(Op::Commit), Fault::Undurable);
    let answer = house.visit(Some(&id), |s| async move { s.set("n", 2) }).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(number(&house, &id).await, Some(2));
}

/// The change is there, so the visitor has to know the id.
#[tokio::test]
async fn c4_an_id_that_may_be_undone_is_told_all_the_same() {
    let house = House::new(SessionConfig::new());
    house.faults.always(Some(Op::Create), Fault::Undurable);
    let answer = house.visit(None, |s| async move { s.set("n", 1) }).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let first = answer.id().expect("the session was made");
    assert_eq!(number(&house, &first).await, Some(1));

    house.faults.always(Some(Op::Rename), Fault::Undurable);
    house.events();
    let handle = house.arrive(&[&first]);
    let session = handle.open().await.unwrap();
    undurable(session.login("ann").await);
    assert!(matches!(&house.events()[..], [Event::Regenerated { .. }, Event::LoggedIn { .. }]));
    let answer = house.leave(&handle, StatusCode::INTERNAL_SERVER_ERROR).await;
    let second = answer.id().expect("the old id is dead");
    assert_eq!(house.who(&second).await.as_deref(), Some("ann"));
    assert_eq!(house.who(&first).await, None);

    house.faults.always(Some(Op::End), Fault::Undurable);
    let handle = house.arrive(&[&second]);
    let session = handle.open().await.unwrap();
    house.events();
    undurable(session.destroy().await);
    assert!(matches!(&house.events()[..], [Event::Destroyed(_)]));
    assert!(session.is_empty());
    let answer = house.leave(&handle, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert!(answer.has_cookie() && answer.id().is_none(), "the cookie is taken back");
    assert_eq!(house.who(&second).await, None);
}

#[tokio::test]
async fn c9_a_revocation_that_may_be_undone_is_an_error_and_announced() {
    let house = House::new(SessionConfig::new());
    let answer = house.visit(None, |s| async move { s.login("ann").await }).await;
    let id = answer.id().unwrap();
    house.faults.always(Some(Op::Revoke), Fault::Undurable);
    house.events();
    undurable(house.manager.revoke_user("ann").await);
    assert!(matches!(&house.events()[..], [Event::Revoked(_)]));
    assert_eq!(house.who(&id).await, None);
}
