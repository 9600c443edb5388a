//! Flash messages: shown once, on whichever response comes next, unless they are kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use cloakroom::{ErrorKind, Limits, Session, SessionConfig};
use house::House;
use http::StatusCode;

impl House {
    /// What a request shows, which is then answered with this status.
    async fn shown(&self, id: &str, keep: bool, status: StatusCode) -> Vec<String> {
        let handle = self.arrive(&[id]);
        let session = handle.open().await.unwrap();
        let shown = session.flashes().unwrap();
        if keep {
            session.keep_flashes();
        }
        drop(session);
        self.leave(&handle, status).await;
        shown
    }
}

#[tokio::test]
async fn a_flash_message_survives_redirects_and_is_shown_once() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.visit(Some(&id), |s| async move { s.flash("one").and_then(|()| s.flash("two")) }).await;
    // A redirect that shows nothing.
    let handle = house.arrive(&[&id]);
    handle.open().await.unwrap().set("n", 2).unwrap();
    house.leave(&handle, StatusCode::SEE_OTHER).await;
    assert_eq!(house.shown(&id, false, StatusCode::OK).await, ["one", "two"]);
    assert!(house.shown(&id, false, StatusCode::OK).await.is_empty());
}

#[tokio::test]
async fn kept_flash_messages_are_shown_by_the_next_request_as_well() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.visit(Some(&id), |s| async move { s.flash("one") }).await;
    assert_eq!(house.shown(&id, true, StatusCode::OK).await, ["one"]);
    // Beside others that came since; and kept again.
    house.visit(Some(&id), |s| async move { s.flash("two") }).await;
    assert_eq!(house.shown(&id, true, StatusCode::OK).await, ["one", "two"]);
    assert_eq!(house.shown(&id, false, StatusCode::OK).await, ["one", "two"]);
    assert!(house.shown(&id, false, StatusCode::OK).await.is_empty());
}

#[tokio::test]
async fn keeping_flash_messages_takes_back_nothing_else_that_was_removed() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.visit(Some(&id), |s| async move { s.flash("one") }).await;
    let work = |s: cloakroom::Session| async move {
        s.remove("n")?;
        let shown: Vec<String> = s.flashes()?;
        assert_eq!(shown, ["one"]);
        s.keep_flashes();
        Ok(())
    };
    house.visit(Some(&id), work).await;
    assert!(!house.arrive(&[&id]).read_only().await.unwrap().has("n"));
    assert_eq!(house.shown(&id, false, StatusCode::OK).await, ["one"]);
}

#[tokio::test]
async fn a_response_that_failed_has_shown_nothing() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.visit(Some(&id), |s| async move { s.flash("one") }).await;
    assert_eq!(house.shown(&id, false, StatusCode::INTERNAL_SERVER_ERROR).await, ["one"]);
    assert_eq!(house.shown(&id, false, StatusCode::OK).await, ["one"]);
}

#[tokio::test]
async fn c9_a_message_of_another_type_keeps_waiting() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.visit(Some(&id), |s| async move { s.flash("one") }).await;
    let work = |s: cloakroom::Session| async move {
        assert_eq!(s.flashes::<u32>().unwrap_err().kind(), ErrorKind::Decode);
        Ok(())
    };
    house.visit(Some(&id), work).await;
    assert_eq!(house.shown(&id, false, StatusCode::OK).await, ["one"]);
}

#[tokio::test]
async fn c9_a_message_that_is_refused_takes_no_earlier_one_along() {
    let limits = Limits { session_bytes: 200, flashes: 2, ..Limits::default() };
    let house = House::new(SessionConfig::new().limits(limits));
    let id = house.newcomer().await;
    let full = |s: Session| async move {
        s.flash("one")?;
        s.flash("x".repeat(80))?;
        assert_eq!(s.flash("y".repeat(300)).unwrap_err().kind(), ErrorKind::TooLarge);
        Ok(())
    };
    house.visit(Some(&id), full).await;
    assert_eq!(house.shown(&id, true, StatusCode::OK).await, ["one", &"x".repeat(80)]);
    // Room counts that is made by what gives way.
    house
        .visit(Some(&id), |s| async move { s.flash("z".repeat(50)).and_then(|()| s.flash("y".repeat(80))) })
        .await;
    assert_eq!(house.shown(&id, false, StatusCode::OK).await, ["z".repeat(50), "y".repeat(80)]);
}

#[tokio::test]
async fn c13_beyond_their_bound_the_oldest_message_gives_way() {
    let limits = Limits { flashes: 2, ..Limits::default() };
    let house = House::new(SessionConfig::new().limits(limits));
    let id = house.newcomer().await;
    for message in ["one", "two", "three"] {
        house.visit(Some(&id), |s| async move { s.flash(message) }).await;
    }
    assert_eq!(house.shown(&id, false, StatusCode::OK).await, ["two", "three"]);
}
