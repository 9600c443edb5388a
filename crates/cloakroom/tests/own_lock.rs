//! C5: calls beside a `lock` of their own request, which must not wait for it: it is the request's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Locking, ReadOnlySession, SessionConfig};
use cloakroom_testing::{Fault, Gate, Op};
use house::{House, quiet};

const SECOND: Duration = Duration::from_secs(1);

/// What is stored under this id.
async fn stored(house: &House, id: &str) -> ReadOnlySession {
    house.arrive(&[id]).read_only().await.unwrap()
}

/// The lock is the request's own: to wait for it would be to wait until both are given up.
#[tokio::test(start_paused = true)]
async fn c5_a_write_beside_the_lock_of_its_own_request_goes_under_it() {
    for call in ["put", "update", "save", "regenerate"] {
        for lock_first in [false, true] {
            let house = House::new(SessionConfig::new());
            let id = house.newcomer().await;
            let session = house.arrive(&[&id]).open().await.unwrap();
            // It is aimed before the lock is granted, and comes to the store after that.
            for op in [Op::Commit, Op::Rename] {
                house.faults.at_op(op, 1, Fault::Delay(Duration::from_millis(20)));
            }
            house.faults.at_op(Op::Acquire, 1, Fault::DelayAnswer(Duration::from_millis(5)));
            let write = async {
                match call {
                    "put" => session.put("k", 1).await,
                    "update" => session.increment("k", 1).await.map(drop),
                    "save" => {
                        session.set("k", 1).unwrap();
                        session.save().await
                    }
                    _ => session.regenerate().await,
                }
            };
            let began = tokio::time::Instant::now();
            let (written, guard) = match lock_first {
                false => tokio::join!(write, session.lock()),
                true => {
                    let (guard, written) = tokio::join!(session.lock(), write);
                    (written, guard)
                }
            };
            written.unwrap_or_else(|error| panic!("{call}, the lock first: {lock_first}: {error}"));
            assert!(began.elapsed() < Locking::default().wait / 2, "{call}, the lock first: {lock_first}");
            let mut guard = guard.unwrap();
            guard.set("by_guard", true).unwrap();
            guard.commit().await.unwrap();
            let now = house.arrive(&[session.id().unwrap().expose()]).read_only().await.unwrap();
            assert!(now.has("by_guard"));
            assert_eq!(now.has("k"), call != "regenerate");
            // Given back: another request does not wait until it has run out.
            let other = house.arrive(&[session.id().unwrap().expose()]).open().await.unwrap();
            drop(other.lock().await.unwrap());
        }
    }
}

/// As above, where another request has renewed the id since this one opened its session: the lock is on the new one.
#[tokio::test(start_paused = true)]
async fn c5_also_where_the_id_was_renewed_meanwhile() {
    let config = SessionConfig::new().renewal(Duration::from_secs(300), Duration::from_secs(60));
    let house =
        House::new(config.locking(Locking { wait: Duration::from_millis(400), ..Locking::default() }));
    let id = house.newcomer().await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    house.pass(301);
    assert!(house.visit(Some(&id), |_| async { Ok(()) }).await.id().is_some(), "it was renewed");

    let (written, locked) = (Gate::new(), Gate::new());
    house.faults.at_op(Op::Commit, 1, Fault::Hold(written.clone()));
    house.faults.at_op(Op::Acquire, 2, Fault::HoldAnswer(locked.clone()));
    let order = async {
        locked.arrived().await;
        written.arrived().await;
        written.open();
        quiet().await;
        locked.open();
    };
    let (put, guard, ()) = tokio::join!(session.put("k", 1), session.lock(), order);
    put.unwrap();
    guard.unwrap().commit().await.unwrap();
    assert!(stored(&house, &id).await.has("k"));
}

/// `put` lost three races while a `lock` of the same request was being asked for. To queue for the lease then would be to
/// wait behind that lock, which (or the handler's `join!`) waits for the `put`.
#[tokio::test(start_paused = true)]
async fn c5_a_put_that_lost_its_races_does_not_wait_for_a_lock_of_its_own_request() {
    for in_hand in [false, true] {
        let house = Arc::new(House::new(SessionConfig::new()));
        let id = house.newcomer().await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        if in_hand {
            session.set("mine", 1).unwrap();
        }
        let gates: Vec<Gate> = (0..3).map(|_| Gate::new()).collect();
        // Its commits, with others' between them.
        for (n, gate) in (1..).step_by(2).zip(&gates) {
            house.faults.at_op(Op::Commit, n, Fault::Hold(gate.clone()));
        }
        let put = tokio::spawn({
            let session = session.clone();
            async move { session.put("mine", 2).await }
        });
        let asks = Gate::new();
        house.faults.at_op(Op::Acquire, 1, Fault::Hold(asks.clone()));
        let mut lock = None;
        for (n, gate) in (0..).zip(&gates) {
            gate.arrived().await;
            house.visit(Some(&id), |s| async move { s.put("theirs", n).await }).await;
            if n == 2 {
                let session = session.clone();
                lock = Some(tokio::spawn(async move { session.lock().await }));
                asks.arrived().await;
            }
            gate.open();
        }
        quiet().await;
        asks.open();
        let lock = tokio::time::timeout(SECOND, lock.unwrap()).await;
        let held = lock.expect("the lock waits for the put").unwrap().unwrap();
        let put = tokio::time::timeout(SECOND, put).await;
        put.expect("the put waits for the lock").unwrap().unwrap();
        held.commit().await.unwrap();
        assert_eq!(stored(&house, &id).await.get("mine").unwrap(), Some(2), "{in_hand}");
    }
}

/// Not answered and not made; asked again, it is refused because a lock of the same request has the lease by now.
#[tokio::test(start_paused = true)]
async fn c5_a_put_in_doubt_does_not_wait_for_a_lock_of_its_own_request() {
    let house = Arc::new(House::new(SessionConfig::new()));
    let id = house.newcomer().await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    // Asked for, and lost on its way: nobody knows.
    house.faults.at_op(Op::Commit, 1, Fault::Hang);
    let put = tokio::spawn({
        let session = session.clone();
        async move { session.put("mine", 2).await }
    });
    quiet().await;
    let held = session.lock().await.unwrap();
    let put = tokio::time::timeout(Duration::from_secs(5), put).await;
    put.expect("the put waits for the lock").unwrap().unwrap();
    held.commit().await.unwrap();
    assert_eq!(stored(&house, &id).await.get("mine").unwrap(), Some(2));
}
