//! C1: what is buffered around awaited calls, and above all around those that fail. A response that then leaves as a success acknowledges it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::time::Duration;

use cloakroom::{ErrorKind, Limits, Session, SessionConfig};
use cloakroom_testing::{Fault, Op};
use house::House;
use http::StatusCode;

/// What is stored under `n` of this session.
async fn stored(house: &House, id: &str) -> Option<u32> {
    house.arrive(&[id]).read_only().await.unwrap().get("n").unwrap()
}

/// Buffers, awaits a call that fails, and answers 200 all the same; answers with what is stored then under `n`.
async fn goes_on_after<F, Fut>(op: Op, buffer: fn(&Session), call: F) -> Option<u32>
where
    F: FnOnce(Session) -> Fut,
    Fut: Future<Output = ErrorKind>,
{
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.faults.at_op(op, 1, Fault::Unavailable);
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    buffer(&session);
    assert_eq!(call(session).await, ErrorKind::Unavailable);
    assert_eq!(house.faults.injected().len(), 1);
    assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::OK);
    stored(&house, &id).await
}

fn five(session: &Session) {
    session.set("n", 5).unwrap();
}

fn five_alone(session: &Session) {
    session.clear().unwrap();
    five(session);
}

#[tokio::test]
async fn c1_what_an_awaited_call_consumes_is_buffered_again_where_it_fails() {
    let put = |s: Session| async move {
        let kind = s.put("n", 6).await.unwrap_err().kind();
        assert_eq!(s.get::<u32>("n").unwrap(), Some(5), "what was refused is not readable");
        kind
    };
    let update = |s: Session| async move {
        s.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.unwrap_err().kind()
    };
    assert_eq!(goes_on_after(Op::Commit, five, put).await, Some(5));
    assert_eq!(goes_on_after(Op::Commit, five_alone, put).await, Some(5));
    assert_eq!(goes_on_after(Op::Commit, five, update).await, Some(5));
    let lock = |s: Session| async move { s.lock().await.unwrap_err().kind() };
    assert_eq!(goes_on_after(Op::Commit, five, lock).await, Some(5));
    let regenerate = |s: Session| async move { s.regenerate().await.unwrap_err().kind() };
    assert_eq!(goes_on_after(Op::Rename, five, regenerate).await, Some(5));
    assert_eq!(goes_on_after(Op::Rename, five_alone, regenerate).await, Some(5));
    let login = |s: Session| async move { s.login("ada").await.unwrap_err().kind() };
    assert_eq!(goes_on_after(Op::Rename, five, login).await, Some(5));
    // What was said to be discarded is.
    let save = |s: Session| async move { s.save().await.unwrap_err().kind() };
    assert_eq!(goes_on_after(Op::Commit, five, save).await, Some(1));
}

#[tokio::test]
async fn c1_a_clear_is_buffered_again_under_what_was_buffered_since() {
    let house = House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)));
    let id = house
        .visit(None, |s| async move { s.set("n", 1).and_then(|()| s.set("old", 1)) })
        .await
        .id()
        .unwrap();
    // It suspends, and then fails.
    house.faults.at_op(Op::Rename, 1, Fault::Hang);
    house.faults.always(Some(Op::Rename), Fault::Unavailable);
    let answer = house.visit(Some(&id), |s| async move {
        five_alone(&s);
        s.set("other", 1)?;
        let (refused, set) = tokio::join!(s.regenerate(), async { s.set("n", 7) });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unknown);
        set
    });
    assert_eq!(answer.await.status, StatusCode::OK);
    assert_eq!(stored(&house, &id).await, Some(7));
    let keys = house.arrive(&[&id]).read_only().await.unwrap().keys();
    assert_eq!(keys, ["n", "other"]);
}

#[tokio::test]
async fn c1_an_update_that_cannot_read_what_is_buffered_leaves_it_there() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let answer = house.visit(Some(&id), |s| async move {
        s.set("n", 5)?;
        let refused = s.update("n", |_: Option<String>| String::new()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Decode);
        Ok(())
    });
    assert_eq!(answer.await.status, StatusCode::OK);
    assert_eq!(stored(&house, &id).await, Some(5));
}

#[tokio::test]
async fn c1_a_visitor_without_a_session_gets_one_with_what_was_buffered() {
    let limits = Limits { session_bytes: 100, ..Limits::default() };
    let house = House::new(SessionConfig::new().limits(limits));
    let answer = house.visit(None, |s| async move {
        s.set("n", 5)?;
        assert_eq!(s.put("n", "x".repeat(200)).await.unwrap_err().kind(), ErrorKind::TooLarge);
        let longer = s.update("n", |_: Option<u32>| u32::MAX).await;
        assert_eq!(longer.unwrap(), u32::MAX);
        s.set("n", 5)
    });
    assert_eq!(stored(&house, &answer.await.id().unwrap()).await, Some(5));
    house.faults.at_op(Op::Create, 1, Fault::Unavailable);
    let answer = house.visit(None, |s| async move {
        s.set("n", 5)?;
        assert_eq!(s.put("n", 6).await.unwrap_err().kind(), ErrorKind::Unavailable);
        Ok(())
    });
    assert_eq!(stored(&house, &answer.await.id().unwrap()).await, Some(5));
}

#[tokio::test]
async fn c1_what_a_write_consumed_that_was_given_up_is_buffered_again() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.faults.at_op(Op::Commit, 1, Fault::Hang);
    let answer = house.visit(Some(&id), |s| async move {
        s.set("n", 5)?;
        let given_up = tokio::time::timeout(Duration::from_millis(1), s.put("n", 6)).await;
        assert!(given_up.is_err());
        Ok(())
    });
    assert_eq!(answer.await.status, StatusCode::OK);
    assert_eq!(stored(&house, &id).await, Some(5));
}

#[tokio::test]
async fn c1_a_change_that_rests_on_what_was_read_still_does() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    let n: u32 = session.get("n").unwrap().unwrap();
    session.set("n", n + 1).unwrap();
    house.visit(Some(&id), |s| async move { s.put("n", 100).await }).await;
    assert_eq!(session.put("n", n + 2).await.unwrap_err().kind(), ErrorKind::Conflict);
    drop(session);
    let answer = house.leave(&handle, StatusCode::OK).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "the buffered change is not lost under a success");
    assert_eq!(stored(&house, &id).await, Some(100));
}

/// What was buffered before another request cleared the session is a conflict, whatever was awaited in between.
#[tokio::test]
async fn c1_no_awaited_call_lets_what_was_buffered_before_a_clear_pass() {
    for between in ["nothing", "put", "update", "a put that fails"] {
        let house = House::new(SessionConfig::new());
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let s = handle.open().await.unwrap();
        s.set("planted", 1).unwrap();
        house.visit(Some(&id), |s| async move { s.clear() }).await;
        match between {
            "put" => s.put("other", 1).await.unwrap(),
            "update" => drop(s.update("other", |_: Option<u8>| 1).await.unwrap()),
            "a put that fails" => {
                // What it has in hand was decided before the clear; it is buffered again when another put has seen that.
                house.faults.at_op(Op::Commit, 1, Fault::Hang);
                let given_up = tokio::time::timeout(Duration::from_millis(50), s.put("planted", 2));
                let (given_up, put) = tokio::join!(given_up, s.put("other", 1));
                assert!(given_up.is_err() && put.is_ok());
            }
            _ => {}
        }
        let answer = house.leave(&handle, StatusCode::OK).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{between}");
        assert!(!house.arrive(&[&id]).read_only().await.unwrap().has("planted"), "{between}");
    }
}

#[tokio::test]
async fn what_is_buffered_over_a_clear_of_its_own_request_is_stored() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.faults.at_op(Op::Commit, 1, Fault::DelayAnswer(Duration::from_millis(5)));
    let answer = house.visit(Some(&id), |s| async move {
        s.clear()?;
        let (saved, set) = tokio::join!(s.save(), async { s.set("n", 7) });
        saved.and(set)
    });
    assert_eq!(answer.await.status, StatusCode::OK);
    assert_eq!(stored(&house, &id).await, Some(7));
}

/// `save` discards what it cannot store, and says so. Nobody is there to be told where its future was dropped, whether the answer was
/// still on its way or there already.
#[tokio::test]
async fn c9_what_a_save_that_was_given_up_did_not_store_is_not_lost_in_silence() {
    for (visitor, op) in [("known", Op::Commit), ("new", Op::Create)] {
        for wait in [Duration::from_millis(1), Duration::from_millis(200)] {
            let house =
                House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)));
            let known = house.newcomer().await;
            // Not answered, and refused when asked again.
            house.faults.at_op(op, 1, Fault::Hang);
            house.faults.at_op(op, 2, Fault::Unavailable);
            let answer = house.visit((visitor == "known").then_some(&*known), |s| async move {
                s.set("n", 5)?;
                let mut saving = std::pin::pin!(s.save());
                assert!(tokio::time::timeout(Duration::ZERO, saving.as_mut()).await.is_err());
                tokio::time::sleep(wait).await;
                // And holds nobody up meanwhile.
                if visitor == "new" { s.put("other", 1).await } else { Ok(()) }
            });
            let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.expect("it is held up");
            assert_eq!(answer.status, StatusCode::OK, "{visitor}, {wait:?}");
            assert_eq!(house.faults.injected().len(), 2);
            let id = answer.id().unwrap_or(known);
            assert_eq!(
                stored(&house, &id).await,
                Some(5),
                "{visitor}, {wait:?}: told as stored, and discarded"
            );
        }
    }
}

#[tokio::test]
async fn what_was_discarded_meanwhile_does_not_come_back() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.faults.at_op(Op::Commit, 1, Fault::Hang);
    house
        .visit(Some(&id), |s| async move {
            s.set("n", 5)?;
            let writing = tokio::time::timeout(Duration::from_millis(50), s.put("n", 6));
            let (given_up, reloaded) = tokio::join!(writing, s.reload());
            assert!(given_up.is_err());
            reloaded
        })
        .await;
    assert_eq!(stored(&house, &id).await, Some(1));
}
