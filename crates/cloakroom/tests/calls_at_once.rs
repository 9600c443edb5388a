//! Calls that one request makes at the same time, as with `join!`, or from a task that it has spawned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{ErrorKind, ReadOnlySession, SessionConfig};
use cloakroom_testing::{Fault, Gate, Op};
use house::{House, quiet};
use http::StatusCode;

/// A house whose store takes a moment for this.
fn slow(op: Op) -> House {
    let house = House::new(SessionConfig::new());
    house.faults.always(Some(op), Fault::DelayAnswer(Duration::from_millis(5)));
    house
}

/// What is stored under this id.
async fn stored(house: &House, id: &str) -> ReadOnlySession {
    house.arrive(&[id]).read_only().await.unwrap()
}

#[tokio::test]
async fn c1_awaited_writes_of_a_new_visitor_go_into_one_session() {
    let house = slow(Op::Create);
    let handle = house.arrive(&[]);
    let s = handle.open().await.unwrap();
    s.set("buffered", 4).unwrap();
    let (a, b, c, token, saved) =
        tokio::join!(s.put("a", 1), s.put("b", 2), s.put("c", 3), s.csrf_token(), s.save());
    for done in [a, b, c, token.map(drop), saved] {
        done.unwrap();
    }
    let id = house.leave(&handle, StatusCode::OK).await.id().unwrap();
    let now = stored(&house, &id).await;
    assert_eq!(["a", "b", "c", "buffered"].map(|key| now.get::<u32>(key).unwrap()), [1, 2, 3, 4].map(Some));
    assert_eq!(house.manager.metrics().sessions_created, 1);
}

#[tokio::test]
async fn c1_n_increments_of_a_new_visitor_at_the_same_time_add_n() {
    let house = slow(Op::Create);
    let handle = house.arrive(&[]);
    let s = handle.open().await.unwrap();
    let (a, b, c) = tokio::join!(s.increment("n", 1), s.increment("n", 1), s.increment("n", 1));
    let mut sums = [a, b, c].map(Result::unwrap);
    sums.sort_unstable();
    assert_eq!(sums, [1, 2, 3]);
    assert_eq!(s.get::<i64>("n").unwrap(), Some(3));
}

#[tokio::test]
async fn c4_a_login_and_what_is_written_beside_it_are_one_new_session() {
    let house = slow(Op::Create);
    let handle = house.arrive(&[]);
    let s = handle.open().await.unwrap();
    let (login, put) = tokio::join!(s.login("ada"), s.put("n", 1));
    login.and(put).unwrap();
    let id = house.leave(&handle, StatusCode::OK).await.id().unwrap();
    assert_eq!(house.who(&id).await.as_deref(), Some("ada"));
    assert_eq!(stored(&house, &id).await.get::<u32>("n").unwrap(), Some(1));
    assert_eq!(house.manager.metrics().sessions_created, 1);
}

/// Whichever of the two the store sees first.
#[tokio::test]
async fn c4_what_is_written_beside_a_change_of_id_goes_along_with_the_session() {
    let moment = Duration::from_millis(5);
    for slow in [(Op::Rename, Fault::DelayAnswer(moment)), (Op::Commit, Fault::Delay(moment))] {
        for login in [true, false] {
            let house = House::new(SessionConfig::new());
            let id = house.newcomer().await;
            house.faults.always(Some(slow.0), slow.1.clone());
            let handle = house.arrive(&[&id]);
            let s = handle.open().await.unwrap();
            s.set("both", 1).unwrap();
            let change = async { if login { s.login("ada").await } else { s.regenerate().await } };
            let (put, changed, sum) = tokio::join!(s.put("beside", 2), change, s.increment("n", 1));
            changed.unwrap();
            put.unwrap();
            assert_eq!(sum.unwrap(), 2);
            let told = house.leave(&handle, StatusCode::OK).await.id().unwrap();
            let now = stored(&house, &told).await;
            let values = ["both", "beside", "n"].map(|key| now.get::<u32>(key).unwrap());
            assert_eq!(values, [Some(1), Some(2), Some(2)], "{slow:?}, a login: {login}");
        }
    }
}

/// The id has changed by the time they come to the store, and the request does not know yet.
#[tokio::test(start_paused = true)]
async fn c4_a_lock_a_save_or_a_reload_beside_a_change_of_id_goes_along_with_the_session() {
    for call in ["lock", "save", "reload"] {
        let house = Arc::new(House::new(SessionConfig::new()));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let s = handle.open().await.unwrap();
        let gate = Gate::new();
        house.faults.at_op(Op::Rename, 1, Fault::HoldAnswer(gate.clone()));
        let changing = tokio::spawn({
            let s = s.clone();
            async move { s.regenerate().await }
        });
        gate.arrived().await;
        s.set("k", 1).unwrap();
        let asked = tokio::spawn({
            let s = s.clone();
            async move {
                match call {
                    "lock" => s.lock().await?.commit().await,
                    "save" => s.save().await,
                    _ => s.reload().await,
                }
            }
        });
        quiet().await;
        gate.open();
        changing.await.unwrap().unwrap();
        asked.await.unwrap().unwrap_or_else(|error| panic!("{call}: {error}"));
        assert!(!s.is_locked());
        let now = stored(&house, s.id().unwrap().expose()).await;
        assert_eq!(now.has("k"), call != "reload");
        drop(s);
        assert_ne!(house.leave(&handle, StatusCode::OK).await.id().expect("it is told"), id);
    }
}

/// Ordered behind the change of id, it still rests on what was read before that.
#[tokio::test]
async fn c1_what_is_written_beside_a_change_of_id_overwrites_nothing_that_was_changed_since_it_was_read() {
    let house = slow(Op::Rename);
    let id = house.newcomer().await;
    let s = house.arrive(&[&id]).open().await.unwrap();
    let n: u32 = s.get("n").unwrap().unwrap();
    house.visit(Some(&id), |s| async move { s.put("n", 10).await }).await;
    let (login, put) = tokio::join!(s.login("ada"), s.put("n", n + 1));
    login.unwrap();
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn c4_changes_of_id_at_the_same_time_follow_each_other() {
    let house = slow(Op::Rename);
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let s = handle.open().await.unwrap();
    let (first, login) = tokio::join!(s.regenerate(), s.login("ada"));
    first.and(login).unwrap();
    let told = house.leave(&handle, StatusCode::OK).await.id().unwrap();
    assert_eq!(house.who(&told).await.as_deref(), Some("ada"));
}

#[tokio::test]
async fn c1_where_a_start_fails_the_next_of_its_request_has_a_try() {
    let house = House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)));
    // Not answered, and refused when asked again.
    house.faults.at_op(Op::Create, 1, Fault::Hang);
    house.faults.at_op(Op::Create, 2, Fault::Unavailable);
    let handle = house.arrive(&[]);
    let s = handle.open().await.unwrap();
    let (a, b) = tokio::join!(s.put("a", 1), s.put("b", 2));
    assert_eq!(a.unwrap_err().kind(), ErrorKind::Unknown);
    b.unwrap();
    let id = house.leave(&handle, StatusCode::OK).await.id().unwrap();
    assert_eq!(stored(&house, &id).await.keys(), ["b"]);
}

#[tokio::test]
async fn c1_the_response_waits_for_a_session_that_a_lock_has_begun_to_start() {
    let house = slow(Op::Create);
    let handle = house.arrive(&[]);
    let s = handle.open().await.unwrap();
    let mut guard = s.lock().await.unwrap();
    guard.set("n", 1).unwrap();
    // Given up once it was asked for.
    tokio::select! {
        biased;
        _ = guard.commit() => panic!("the store takes its time"),
        () = std::future::ready(()) => {}
    }
    let told = house.leave(&handle, StatusCode::OK).await.id().expect("it was started");
    assert_eq!(stored(&house, &told).await.get::<u32>("n").unwrap(), Some(1));
}

/// A task of the handler goes on while the last commit is under way: the head that follows tells nothing of what it begins.
#[tokio::test]
async fn c4_no_id_changes_and_no_session_starts_once_the_last_commit_is_under_way() {
    for visitor in ["known", "new"] {
        let house = Arc::new(House::new(SessionConfig::new()));
        let ids = if visitor == "known" { vec![house.newcomer().await] } else { Vec::new() };
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let gate = Gate::new();
        for op in [Op::Commit, Op::Create] {
            house.faults.at_op(op, 1, Fault::HoldAnswer(gate.clone()));
        }
        let handle = house.arrive(&ids);
        let s = handle.open().await.unwrap();
        s.set("n", 2).unwrap();
        let leaving = tokio::spawn({
            let (house, handle) = (Arc::clone(&house), handle.clone());
            async move { house.leave(&handle, StatusCode::OK).await }
        });
        gate.arrived().await;
        let mut refused = vec![s.regenerate().await, s.login("ada").await];
        if visitor == "new" {
            refused.extend([s.put("late", 1).await, s.set("late", 1), s.csrf_token().await.map(drop)]);
        } else {
            s.put("late", 1).await.unwrap();
        }
        for call in refused {
            assert_eq!(call.unwrap_err().kind(), ErrorKind::HeadSent, "{visitor}");
        }
        gate.open();
        let told = leaving.await.unwrap().id();
        let id = told.as_deref().or(ids.first().copied()).unwrap();
        assert_eq!(stored(&house, id).await.get::<u32>("n").unwrap(), Some(2), "{visitor}");
        assert_eq!(house.who(id).await.as_deref(), Some(""));
    }
}

#[tokio::test]
async fn a_key_that_a_new_visitor_read_and_then_wrote_is_what_was_written() {
    let house = House::new(SessionConfig::new());
    let answer = house.visit(None, |s| async move {
        assert_eq!(s.get::<u32>("n")?, None);
        s.put("n", 1).await?;
        assert_eq!(s.get::<u32>("n")?, Some(1));
        s.set("n", 2)
    });
    let answer = answer.await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(stored(&house, &answer.id().unwrap()).await.get::<u32>("n").unwrap(), Some(2));
}

/// The answer of a write comes when its own request has ended the session, and has another one by then.
#[tokio::test]
async fn c2_a_late_answer_brings_nothing_back_of_a_session_that_its_request_has_ended() {
    for op in [Op::Commit, Op::Rename, Op::Acquire, Op::Load] {
        let house = House::new(SessionConfig::new());
        let id = house.visit(None, |s| async move {
            s.set("secret", 1)?;
            s.login("ada").await
        });
        let id = id.await.id().unwrap();
        let handle = house.arrive(&[&id]);
        let s = handle.open().await.unwrap();
        let gate = Gate::new();
        house.faults.at_op(op, 1, Fault::HoldAnswer(gate.clone()));
        let late = tokio::spawn({
            let s = s.clone();
            async move {
                match op {
                    Op::Commit => s.put("n", 2).await,
                    Op::Rename => s.regenerate().await,
                    Op::Acquire => s.lock().await.map(drop),
                    _ => s.reload().await,
                }
            }
        });
        gate.arrived().await;
        s.destroy().await.unwrap();
        assert!(!s.exists() && !s.has("secret"));
        if op == Op::Commit {
            s.put("fresh", 1).await.unwrap();
        }
        gate.open();
        let answered = late.await.unwrap().map_err(|error| error.kind());
        let gone = matches!(op, Op::Rename | Op::Acquire);
        assert_eq!(answered, if gone { Err(ErrorKind::Gone) } else { Ok(()) }, "{op:?}");
        assert_eq!(s.user(), None, "{op:?}: the user of the session that was destroyed");
        assert!(!s.has("secret"), "{op:?}: its data");
        assert_eq!(s.exists(), op == Op::Commit);
        drop(s);
        assert_ne!(house.leave(&handle, StatusCode::OK).await.id(), Some(id.clone()));
        assert_eq!(house.who(&id).await, None);
    }
}

#[tokio::test]
async fn c1_answers_that_come_in_another_order_leave_what_was_stored_last() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let s = house.arrive(&[&id]).open().await.unwrap();
    assert!(!s.has("a") && !s.has("b"), "read, so that what is stored has to take their place");
    let gate = Gate::new();
    for op in [Op::Commit, Op::Load] {
        house.faults.at_op(op, 1, Fault::HoldAnswer(gate.clone()));
    }
    let writes = s.clone();
    let first = tokio::spawn(async move { writes.put("a", 1).await });
    gate.arrived().await;
    let reads = s.clone();
    let reload = tokio::spawn(async move { reads.reload().await });
    gate.arrivals(2).await;
    s.put("b", 2).await.unwrap();
    gate.open();
    first.await.unwrap().unwrap();
    assert_eq!((s.get::<u32>("a").unwrap(), s.get::<u32>("b").unwrap()), (Some(1), Some(2)));
    reload.await.unwrap().unwrap();
    assert_eq!((s.get::<u32>("a").unwrap(), s.get::<u32>("b").unwrap()), (Some(1), Some(2)));
}

#[tokio::test]
async fn c9_what_is_buffered_while_a_login_is_under_way_is_not_lost_in_silence() {
    let house = slow(Op::Rename);
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let s = handle.open().await.unwrap();
    let (login, set) = tokio::join!(s.login("ada"), async { s.set("beside", 1) });
    login.and(set).unwrap();
    let answer = house.leave(&handle, StatusCode::OK).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "decided before somebody was logged in");
    assert_eq!(house.who(&answer.id().unwrap()).await.as_deref(), Some("ada"));
}

#[tokio::test]
async fn c2_what_a_guard_decided_on_a_session_that_its_request_has_ended_goes_into_no_other_one() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let answer = house.visit(Some(&id), |s| async move {
        let mut guard = s.lock().await?;
        guard.set("n", 2)?;
        s.destroy().await?;
        s.put("fresh", 1).await?;
        assert_eq!(guard.commit().await.unwrap_err().kind(), ErrorKind::Gone);
        Ok(())
    });
    assert_eq!(stored(&house, &answer.await.id().unwrap()).await.keys(), ["fresh"]);
}

/// The first one was given up, or goes on beside the second.
#[tokio::test]
async fn c2_a_logout_ends_what_a_login_of_its_request_is_starting() {
    for given_up in [true, false] {
        let house = slow(Op::Create);
        let handle = house.arrive(&[]);
        let s = handle.open().await.unwrap();
        s.set("n", 1).unwrap();
        let mut login = Some(Box::pin(s.login("ada")));
        let begun = tokio::time::timeout(Duration::from_millis(1), login.as_mut().unwrap()).await;
        assert!(begun.is_err());
        if given_up {
            login = None;
        }
        s.destroy().await.unwrap();
        assert_eq!(s.user(), None);
        drop(login);
        let answer = house.leave(&handle, StatusCode::OK).await;
        assert_eq!(answer.id(), None, "logged in after the logout");
        assert!(house.manager.list_user("ada").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_logout_at_the_same_time_as_another_expires_the_cookie() {
    let house = slow(Op::End);
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let s = handle.open().await.unwrap();
    let (first, second) = tokio::join!(s.destroy(), s.destroy());
    first.and(second).unwrap();
    assert!(house.leave(&handle, StatusCode::OK).await.has_cookie());
}

#[tokio::test]
async fn c9_what_is_set_while_a_save_fails_stays_buffered() {
    let house = House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)));
    let id = house.newcomer().await;
    // Not answered, and refused when asked again.
    house.faults.at_op(Op::Commit, 1, Fault::Hang);
    house.faults.at_op(Op::Commit, 2, Fault::Unavailable);
    let answer = house.visit(Some(&id), |s| async move {
        s.set("saved", 1)?;
        let (saved, set) = tokio::join!(s.save(), async { s.set("later", 2) });
        assert_eq!(saved.unwrap_err().kind(), ErrorKind::Unknown);
        set
    });
    assert_eq!(answer.await.status, StatusCode::OK);
    assert_eq!(stored(&house, &id).await.keys(), ["n", "later"]);
}
