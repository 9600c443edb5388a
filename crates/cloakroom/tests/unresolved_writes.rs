//! C5: writes that nobody waits for any more and that may yet reach the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{ErrorKind, Limits, Locking, Mode, SessionConfig};
use cloakroom_testing::{Fault, Gate, Op};
use house::{House, quiet};
use http::StatusCode;

/// A write that its request did not wait for may still be on its way to the store. Whoever gets the lease next must not
/// see it arrive.
#[tokio::test]
async fn c5_a_lease_is_not_handed_on_while_a_write_under_it_is_on_its_way() {
    let locking = Locking { wait: Duration::from_secs(30), ..Locking::default() };
    let config = SessionConfig::new().mode(Mode::Exclusive).locking(locking);
    let house = House::new(config);
    let id = house.newcomer().await;
    let gate = Gate::new();
    house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));

    let first = house.arrive(&[&id]);
    let session = first.open().await.unwrap();
    let put = tokio::spawn(async move { session.put("late", true).await });
    gate.arrived().await;
    let second = house.arrive(&[&id]);
    let waits = tokio::spawn(async move { second.open().await });
    house.waiters(1).await;
    // The client of the first request hangs up.
    put.abort();
    let _ = put.await;
    house.manager.abandon(&first);
    drop(first);

    let second = waits.await.unwrap().unwrap();
    assert!(second.is_locked() && !second.has("late"));
    gate.open();
    quiet().await;
    second.reload().await.unwrap();
    assert!(!second.has("late"), "a write of an earlier holder landed under the lease of this one");
}

/// As above, for a write that waited for somebody's lock and makes its commit under a lease of its own.
#[tokio::test]
async fn c5_nor_is_the_lease_that_an_awaited_write_took_for_itself() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let locked = house.arrive(&[&id]).open().await.unwrap();
    let guard = locked.lock().await.unwrap();

    let writes = house.arrive(&[&id]).open().await.unwrap();
    let put = tokio::spawn(async move { writes.put("late", true).await });
    house.waiters(1).await;
    let gate = Gate::new();
    house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
    drop(guard);
    gate.arrived().await;
    let next = house.arrive(&[&id]).open().await.unwrap();
    let waits = tokio::spawn(async move { next.lock().await });
    house.waiters(2).await;
    put.abort();
    let _ = put.await;

    let guard = waits.await.unwrap().unwrap();
    assert!(!guard.has("late"));
    gate.open();
    quiet().await;
    let now = house.arrive(&[&id]).read_only().await.unwrap();
    assert!(!now.has("late"), "a write of an earlier holder landed under this lock");
    drop(guard);
}

/// A write that waits for room shows what lease its request has by then: none, and so it would have to wait for the next holder's.
#[tokio::test(start_paused = true)]
async fn c5_nor_while_a_write_under_it_waits_to_be_asked_for() {
    let limits = Limits { background: 1, ..Limits::default() };
    let house = Arc::new(House::new(SessionConfig::new().limits(limits)));
    let (id, busy) = (house.newcomer().await, house.newcomer().await);
    let session = house.arrive(&[&id]).open().await.unwrap();
    let mut guard = session.lock().await.unwrap();
    guard.set("by_guard", true).unwrap();
    let next = house.arrive(&[&id]).open().await.unwrap();
    let waits = tokio::spawn(async move { next.lock().await });
    house.waiters(1).await;

    // Somebody else's work takes all the room.
    let gate = Gate::new();
    house.faults.at_op(Op::Commit, 1, Fault::HoldAnswer(gate.clone()));
    let fills = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.visit(Some(&busy), |s| async move { s.set("n", 2) }).await }
    });
    gate.arrived().await;
    let commits = tokio::spawn(guard.commit());
    quiet().await;
    session.set("late", true).unwrap();
    let saves = tokio::spawn(async move { session.save().await });
    quiet().await;
    gate.open();

    let next = waits.await.unwrap().unwrap();
    assert!(next.has("by_guard"));
    let before = next.has("late");
    commits.await.unwrap().unwrap();
    fills.await.unwrap();
    let saved = saves.await.unwrap();
    let now = house.arrive(&[&id]).read_only().await.unwrap();
    assert_eq!(now.has("late"), before, "a write of an earlier holder landed under this lock");
    assert_eq!(saved.unwrap_err().kind(), ErrorKind::LockTimeout);
}

/// The last commit, which was to give the lease back in the same step, finds stored what it was to store, by a task of the same request: it
/// writes nothing, and gives nothing back.
#[tokio::test]
async fn c5_the_lease_of_exclusive_mode_is_given_back_where_the_last_commit_had_nothing_left_to_write() {
    let locking = Locking { wait: Duration::from_millis(300), ..Locking::default() };
    let (other, house) = House::two(|| SessionConfig::new().mode(Mode::Exclusive).locking(locking));
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    let (put, last) = (Gate::new(), Gate::new());
    house.faults.at_op(Op::Commit, 1, Fault::HoldAnswer(put.clone()));
    house.faults.at_op(Op::Commit, 2, Fault::HoldAnswer(last.clone()));
    let task = {
        let session = session.clone();
        tokio::spawn(async move { session.put("m", 9).await })
    };
    put.arrived().await;
    session.set("m", 9).unwrap();
    drop(session);
    let order = async {
        last.arrived().await;
        put.open();
        task.await.unwrap().unwrap();
        last.open();
    };
    let (left, ()) = tokio::join!(house.leave(&handle, StatusCode::OK), order);
    assert_eq!(left.status, StatusCode::OK);
    let next = other.arrive(&[&id]);
    next.open().await.map(drop).expect("nobody holds the session, and its lease was not given back");
}
