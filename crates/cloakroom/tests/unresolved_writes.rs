//! C5: writes that nobody waits for any more and that may yet reach the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{ErrorKind, Limits, Locking, Mode, SessionConfig};
use cloakroom_testing::{Fault, Gate, Op};
use house::{House, quiet};

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

/// A write that waits for room shows its lease only then: when it is asked for, another request must not have that lease.
#[tokio::test]
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
    let before = next.has("late");
    let saved = saves.await.unwrap();
    commits.await.unwrap().unwrap();
    fills.await.unwrap();
    let now = house.arrive(&[&id]).read_only().await.unwrap();
    assert_eq!(now.has("late"), before, "a write of an earlier holder landed under this lock");
    assert_eq!(saved.unwrap_err().kind(), ErrorKind::LeaseLost);
    assert!(next.has("by_guard"));
}
