//! Writes whose answers get lost on the way back from the store: they are asked for again, and were made once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::time::Duration;

use cloakroom::{ErrorKind, Mode, SessionConfig, SessionError};
use cloakroom_testing::{Fault, Op};
use house::{House, quiet};
use http::StatusCode;

const MINUTE: Duration = Duration::from_secs(60);

/// The closure draws a value of its own each time, as one that makes a token does.
#[tokio::test]
async fn c1_update_returns_what_was_stored_also_where_the_answer_got_lost() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        let house = House::new(SessionConfig::new().mode(mode));
        let id = house.newcomer().await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        house.faults.at_op(Op::Commit, 1, Fault::LoseAnswer);
        let mut drawn = 0;
        let returned = session.update("token", |_: Option<u32>| {
            drawn += 1;
            drawn
        });
        let returned = returned.await.unwrap();
        assert_eq!(house.faults.injected().len(), 1);
        assert_eq!(session.get::<u32>("token").unwrap(), Some(returned), "{mode:?}: in this request");
        let stored = house.arrive(&[&id]).read_only().await.unwrap().get::<u32>("token").unwrap();
        assert_eq!(stored, Some(returned), "{mode:?}: in the store");
    }
}

/// The write was made, and before it is asked for again, the session moves on: to new ids, or because others change it.
#[tokio::test(start_paused = true)]
async fn c1_a_write_whose_answer_got_lost_is_made_once_however_the_session_moves_on() {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Step {
        Renewed,
        Regenerated,
        LoggedIn,
        Changed,
    }
    use Step::{Changed, LoggedIn, Regenerated, Renewed};
    for steps in [
        &[Renewed][..],
        &[Regenerated],
        &[LoggedIn],
        &[Renewed, Renewed],
        &[Regenerated, Regenerated],
        &[Regenerated, Changed],
        &[Changed; 3],
        &[Changed; 4],
        &[Changed, Changed, Changed, Regenerated],
    ] {
        let house = House::new(SessionConfig::new().renewal(MINUTE, MINUTE / 2));
        let id = house.newcomer().await;
        let late = house.arrive(&[&id]);
        let session = late.open().await.unwrap();
        // The first answer gets lost; asking again takes a while.
        house.faults.at_op(Op::Commit, 1, Fault::LoseAnswer);
        house.faults.at_op(Op::Commit, 2, Fault::Delay(Duration::from_millis(100)));
        let writing = tokio::spawn(async move { session.update("n", |n: Option<u32>| n.unwrap() + 1).await });
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut current = id.clone();
        for step in steps {
            if *step == Renewed {
                house.pass(61);
            }
            let work = |s: cloakroom::Session| async move {
                match step {
                    Renewed => s.get::<u32>("n").map(|_| ()),
                    Regenerated => s.regenerate().await,
                    LoggedIn => s.login("ann").await,
                    Changed => s.update("other", |n: Option<u32>| n.unwrap_or(0) + 1).await.map(|_| ()),
                }
            };
            let answer = house.visit(Some(&current), work).await;
            current = answer.id().unwrap_or(current);
        }
        let told = writing.await.unwrap();
        let stored = house.arrive(&[&current]).read_only().await.unwrap().get::<u32>("n").unwrap();
        assert_eq!(stored, Some(2), "made once, whatever is told: {told:?} after {steps:?}");
        // A record remembers four operations; of what was further back, nobody can tell.
        match told {
            Ok(n) => assert!(n == 2 && steps.len() < 4, "{steps:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unknown, "{steps:?}");
                assert_eq!(steps.len(), 4, "{steps:?}");
            }
        }
        assert_eq!(house.faults.injected().len(), 2);
    }
}

/// The first try was made and its answer got lost; the second is refused, because the store is away by then. That nothing was
/// changed would be a lie, on which a client would do it a second time.
#[tokio::test]
async fn c9_a_refusal_of_the_second_try_does_not_say_that_the_first_did_nothing() {
    async fn work(op: Op, session: &cloakroom::Session) -> Result<(), SessionError> {
        match op {
            Op::Commit => session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.map(|_| ()),
            Op::Create => session.put("n", 1).await,
            Op::Rename => session.login("ann").await,
            Op::End => session.destroy().await,
            _ => session.revoke_others().await.map(|_| ()),
        }
    }
    for op in [Op::Commit, Op::Create, Op::Rename, Op::End, Op::Revoke] {
        for (lost, known) in [(true, ErrorKind::Unknown), (false, ErrorKind::Unavailable)] {
            let house = House::new(SessionConfig::new());
            let id = house.visit(None, |s| async move { s.login("ann").await }).await.id().unwrap();
            let ids: &[&str] = if op == Op::Create { &[] } else { &[&id] };
            let session = house.arrive(ids).open().await.unwrap();
            if lost {
                house.faults.at_op(op, 1, Fault::LoseAnswer);
                house.faults.at_op(op, 2, Fault::Unavailable);
            } else {
                house.faults.at_op(op, 1, Fault::Unavailable);
            }
            let refused = work(op, &session).await.unwrap_err();
            assert_eq!(refused.kind(), known, "{op:?}, its first answer lost: {lost}");
        }
    }
}

/// The same where finding out takes a read: the session got another id meanwhile, and the store is away.
#[tokio::test(start_paused = true)]
async fn c9_nor_does_a_read_that_fails_while_finding_out() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let late = house.arrive(&[&id]).open().await.unwrap();
    house.faults.at_op(Op::Commit, 1, Fault::LoseAnswer);
    house.faults.at_op(Op::Commit, 2, Fault::Delay(Duration::from_millis(100)));
    let writing = tokio::spawn(async move { late.put("n", 2).await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    house.visit(Some(&id), |s| async move { s.regenerate().await }).await;
    house.faults.always(Some(Op::Load), Fault::Unavailable);
    assert_eq!(writing.await.unwrap().unwrap_err().kind(), ErrorKind::Unknown);
}

/// The write was made, gave its lease back in the same step, and others have written so often since that the record has
/// forgotten it. That nothing was written would be a lie.
#[tokio::test(start_paused = true)]
async fn c1_c9_a_write_under_a_lease_that_was_made_and_forgotten_is_not_told_as_not_made() {
    let config = || SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(150));
    // More of them than a record remembers.
    async fn others_write(other: &House, id: &str) {
        quiet().await;
        for n in 0..5 {
            other.visit(Some(id), |s| async move { s.put("k", n).await }).await;
        }
        let stored = other.arrive(&[id]).read_only().await.unwrap().get::<u32>("n").unwrap();
        assert_eq!(stored, Some(7), "it was made");
    }

    let (other, house) = House::two(config);
    let id = house.newcomer().await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    let mut guard = session.lock().await.unwrap();
    guard.set("n", 7).unwrap();
    house.faults.at_op(Op::Commit, 1, Fault::HangAfter);
    let (committed, ()) = tokio::join!(guard.commit(), others_write(&other, &id));
    assert_eq!(committed.unwrap_err().kind(), ErrorKind::Unknown, "a guard's commit");

    let (other, house) = House::two(|| config().mode(Mode::Exclusive));
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    handle.open().await.unwrap().set("n", 7).unwrap();
    house.faults.at_op(Op::Commit, 1, Fault::HangAfter);
    let (answer, ()) = tokio::join!(house.leave(&handle, StatusCode::OK), others_write(&other, &id));
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "the last commit in exclusive mode");
}

/// A `put` was made, its answer got lost, and the session has another id before it is asked about. Its request goes on, and starts no
/// other session over the one that the visitor has by now.
#[tokio::test(start_paused = true)]
async fn c4_a_request_whose_write_was_made_before_a_new_id_starts_no_second_session() {
    for login in [false, true] {
        let house =
            House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(150)));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let session = handle.open().await.unwrap();
        house.faults.at_op(Op::Commit, 1, Fault::HangAfter);
        let other_id = async {
            quiet().await;
            let change =
                async |s: cloakroom::Session| if login { s.login("ada").await } else { s.regenerate().await };
            house.visit(Some(&id), change).await.id().unwrap()
        };
        let (put, now) = tokio::join!(session.put("a", 1), other_id);
        put.unwrap();
        let stored = house.arrive(&[&now]).read_only().await.unwrap().get::<u32>("a").unwrap();
        assert_eq!(stored, Some(1), "it was made before the change of id");
        // The handler goes on.
        session.set("b", 2).unwrap();
        drop(session);
        let answer = house.leave(&handle, StatusCode::OK).await;
        assert_eq!(answer.id(), None, "a second session, over the visitor's own: {answer:?}");
        assert_eq!(house.manager.metrics().sessions_created, 1);
    }
}

/// The change of id was made and its answer got lost; by the time it is asked for again, the copy that it left has forgotten it. It is
/// not made once more of the copy, over which the session that has the data by now would be left to nobody.
#[tokio::test(start_paused = true)]
async fn c4_a_change_of_id_that_left_a_copy_is_made_once_also_where_the_copy_has_forgotten_it() {
    for of_the_copy in ["changed", "locked", "over", "asked under a lock"] {
        let config = || SessionConfig::new().deadlines(Duration::from_secs(20), Duration::from_millis(150));
        let (other, house) = House::two(config);
        let old = house.newcomer().await;
        let handle = house.arrive(&[&old]);
        let session = handle.open().await.unwrap();
        let guard = match of_the_copy {
            "asked under a lock" => Some(session.lock().await.unwrap()),
            _ => None,
        };
        house.faults.at_op(Op::Rename, 1, Fault::HangAfter);
        let keeps = async {
            quiet().await;
            // More of them than a record remembers.
            for n in 0..5 {
                other.visit(Some(&old), |s| async move { s.put("of the copy", n).await }).await;
            }
            let copy = other.arrive(&[&old]).open().await.unwrap();
            if of_the_copy == "over" {
                other.pass(61);
            }
            if of_the_copy == "locked" { Some(copy.lock().await.unwrap()) } else { None }
        };
        let (changed, locked) = tokio::join!(session.regenerate_keeping_old_for(MINUTE), keeps);
        changed.unwrap_or_else(|error| panic!("{of_the_copy}: {error}"));
        session.set("later", 1).unwrap();
        drop((guard, locked, session));
        let new = house.leave(&handle, StatusCode::OK).await.id().unwrap();
        let keys = |id: String| async move {
            other.arrive(&[&id]).open_existing().await.unwrap().map(|session| session.keys())
        };
        assert_eq!(keys(new).await.unwrap(), ["n", "later"], "the copy, once more: {of_the_copy}");
        assert_eq!(house.faults.injected().len(), 1);
    }
}

/// Asked for again, it finds the session locked by its own request, and goes under that lock as the same operation.
#[tokio::test(start_paused = true)]
async fn c5_a_change_of_id_whose_answer_got_lost_goes_under_the_lock_that_its_request_has_by_then() {
    let house =
        House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(150)));
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    house.faults.at_op(Op::Rename, 1, Fault::Hang);
    let locks = async {
        quiet().await;
        session.lock().await.unwrap()
    };
    let (changed, guard) = tokio::join!(session.regenerate(), locks);
    changed.unwrap();
    drop((guard, session));
    let new = house.leave(&handle, StatusCode::OK).await.id().unwrap();
    assert_eq!((house.who(&id).await, house.who(&new).await.is_some()), (None, true));
}
