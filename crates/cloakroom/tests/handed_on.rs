//! C5: which leases a request hands on to the next one of its process, and which it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{ErrorKind, Locking, MemoryStore, Mode, SessionConfig};
use cloakroom_testing::{Fault, Gate, ManualClock, Op};
use house::House;
use http::StatusCode;

/// Lets the tasks that are under way come to their end.
async fn quiet() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

impl House {
    /// Completes when this many requests have begun to wait for a lease, since the house was made.
    async fn waiters(&self, n: u64) {
        let waiting = async {
            while self.manager.metrics().lock_waits < n {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("they wait");
    }
}

/// Two processes on one store.
fn two(config: impl Fn() -> SessionConfig) -> (House, House) {
    let clock = ManualClock::new();
    let store = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
    (House::over(store.clone(), clock.clone(), config()), House::over(store, clock, config()))
}

#[tokio::test]
async fn c5_a_lease_that_was_asked_for_and_not_granted_is_not_handed_on() {
    let (other, house) = two(SessionConfig::new);
    let id = other.newcomer().await;
    let holder = other.arrive(&[&id]).open().await.unwrap();
    let guard = holder.lock().await.unwrap();

    let (first, second) =
        (house.arrive(&[&id]).open().await.unwrap(), house.arrive(&[&id]).open().await.unwrap());
    let contends = tokio::spawn(async move { first.lock().await.map(drop) });
    house.waiters(1).await;
    let queues = tokio::spawn(async move { second.lock().await });
    house.waiters(2).await;
    house.faults.at_op(Op::Acquire, 1, Fault::Unavailable);
    assert_eq!(contends.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    // It asks the store by itself now, and is told who holds it.
    house.waiters(3).await;
    quiet().await;
    assert!(!queues.is_finished(), "two holders");
    drop(guard);
    assert!(queues.await.unwrap().is_ok());
}

/// Five requests wait behind one whose lease is another process's by now.
async fn let_in_beside_the_holder(other: &House, house: &House, meanwhile: impl FnOnce()) -> u32 {
    let id = other.newcomer().await;
    let first = house.arrive(&[&id]);
    let reads = first.open().await.unwrap();
    let mut waits = Vec::new();
    for n in 1..=5 {
        let handle = house.arrive(&[&id]);
        waits.push(tokio::spawn(async move { handle.open().await.map(|session| (session, handle)) }));
        house.waiters(n).await;
    }
    meanwhile();
    let theirs = other.arrive(&[&id]);
    let held = theirs.open().await.unwrap();
    assert!(held.is_locked());
    drop(reads);
    assert_eq!(house.leave(&first, StatusCode::OK).await.status, StatusCode::OK);
    drop(first);
    let mut let_in = 0;
    for wait in waits {
        quiet().await;
        if !wait.is_finished() {
            break;
        }
        let (session, handle) = wait.await.unwrap().unwrap();
        session.set("n", 7).unwrap();
        drop(session);
        assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::CONFLICT);
        let_in += 1;
    }
    let_in
}

#[tokio::test]
async fn c5_a_lease_that_a_write_showed_to_be_lost_is_not_handed_on() {
    let (other, house) = two(|| SessionConfig::new().mode(Mode::Exclusive));
    // Only the store's clock says that it ran out: the first that writes learns of it, and nobody behind it is let in.
    assert_eq!(let_in_beside_the_holder(&other, &house, || house.pass(11)).await, 1);
}

#[tokio::test]
async fn c5_nor_is_one_that_ran_out_while_the_process_stood_still() {
    const LEASE: Duration = Duration::from_millis(60);
    let locking = || Locking { lease: LEASE, ..Locking::default() };
    let (other, house) = two(|| SessionConfig::new().mode(Mode::Exclusive).locking(locking()));
    house.faults.always(Some(Op::Renew), Fault::Unavailable);
    let stands_still = || {
        house.pass(1);
        std::thread::sleep(LEASE * 2);
    };
    assert_eq!(let_in_beside_the_holder(&other, &house, stands_still).await, 0);
}

/// As long as a change of id may yet reach the store, nobody else gets the lease that it is made under.
#[tokio::test]
async fn c5_the_lease_that_a_login_took_is_not_handed_on_while_its_rename_is_on_its_way() {
    let config = SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(30));
    let house = House::new(config);
    let id = house.newcomer().await;
    let locked = house.arrive(&[&id]).open().await.unwrap();
    let guard = locked.lock().await.unwrap();
    let logs_in = house.arrive(&[&id]).open().await.unwrap();
    let login = tokio::spawn(async move { logs_in.login("ada").await });
    house.waiters(1).await;
    let gate = Gate::new();
    house.faults.always(Some(Op::Rename), Fault::Hold(gate.clone()));
    drop(guard);
    gate.arrived().await;
    let next = house.arrive(&[&id]).open().await.unwrap();
    let waits = tokio::spawn(async move { next.lock().await });
    house.waiters(2).await;
    assert_eq!(login.await.unwrap().unwrap_err().kind(), ErrorKind::Unknown);
    let mut guard = waits.await.unwrap().unwrap();
    guard.set("n", 8).unwrap();
    gate.open();
    quiet().await;
    guard.commit().await.expect("a login of an earlier holder landed under the lease of this one");
}
