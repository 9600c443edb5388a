//! C1, C5, C6: a lock within one request, what that stores beside it, and what is buffered when it is taken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::time::Duration;

use cloakroom::{ErrorKind, Locking, Mode, Session, SessionConfig};
use cloakroom_testing::{Fault, Gate, Op};
use house::{House, quiet};

/// A house where nobody waits long for a lock that is held.
fn impatient(mode: Mode) -> House {
    let locking = Locking { wait: Duration::from_millis(50), ..Locking::default() };
    House::new(SessionConfig::new().mode(mode).locking(locking))
}

/// Whether another request gets the lock, without waiting until the lease of the first one has run out.
async fn is_free(house: &House, id: &str) -> bool {
    let session = house.arrive(&[id]).open_existing().await.unwrap().unwrap();
    let locked = session.lock().await;
    locked.map(drop).map_err(|error| assert_eq!(error.kind(), ErrorKind::LockTimeout)).is_ok()
}

#[tokio::test]
async fn c5_a_second_lock_within_one_request_is_a_clear_error_and_takes_nothing_from_the_first() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        for newcomer in [false, true] {
            let house = impatient(mode);
            let id = house.newcomer().await;
            let ids: &[&str] = if newcomer { &[] } else { &[&id] };
            let handle = house.arrive(ids);
            let session = handle.open().await.unwrap();
            let mut guard = session.lock().await.unwrap();
            guard.set("n", 2).unwrap();
            // By whichever way the request reaches its session.
            for again in [session.clone(), handle.open().await.unwrap()] {
                let refused = again.lock().await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::AlreadyLocked, "{mode:?}, a newcomer: {newcomer}");
                assert!(refused.to_string().contains("commit or drop the guard first"), "{refused}");
            }
            guard.commit().await.unwrap();
            assert_eq!(session.get::<u32>("n").unwrap(), Some(2));
            // And when the first one is done, there is none.
            drop(session.lock().await.expect("the guard is gone"));
            drop(session);
            house.leave(&handle, http::StatusCode::OK).await;
            assert!(newcomer || is_free(&house, &id).await);
        }
    }
}

/// The lease that both want is the request's own: the second would wait for it until it gave up.
#[tokio::test]
async fn c5_of_two_locks_that_a_request_awaits_at_once_the_second_is_a_clear_error_at_once() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    let other = house.arrive(&[&id]).open().await.unwrap();
    // Whether the first is granted at once, takes a moment, or waits for another request.
    for wait in ["no", "store", "holder"] {
        if wait == "store" {
            house.faults.at_op(Op::Acquire, 1, Fault::DelayAnswer(Duration::from_millis(5)));
        }
        let guard = match wait {
            "holder" => Some(other.lock().await.unwrap()),
            _ => None,
        };
        let began = std::time::Instant::now();
        let release = async {
            quiet().await;
            drop(guard);
        };
        let (first, second, ()) = tokio::join!(session.lock(), session.lock(), release);
        let refused = second.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyLocked, "{wait}");
        assert!(began.elapsed() < Locking::default().wait / 2, "{wait}");
        drop(first.unwrap());
        drop(session.lock().await.expect("there is none any more"));
    }
    // One that is given up asks no longer.
    let guard = other.lock().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(5), session.lock()).await.is_err());
    drop(guard);
    drop(session.lock().await.expect("the other one was given up"));
}

#[tokio::test]
async fn c5_exclusive_mode_asks_for_the_lease_of_a_request_once() {
    let house = House::new(SessionConfig::new().mode(Mode::Exclusive));
    let id = house.newcomer().await;
    house.faults.always(Some(Op::Acquire), Fault::DelayAnswer(Duration::from_millis(5)));
    let began = std::time::Instant::now();
    // Read first, so that the lease is wanted when the session is open already.
    let handle = house.arrive(&[&id]);
    handle.read_only().await.unwrap();
    let (first, second) = tokio::join!(handle.open(), handle.open());
    let session = first.unwrap();
    assert!(session.is_locked() && second.unwrap().is_locked());
    // And where a lock comes beside: it is under that lease, or that is wanted no more.
    session.release();
    let (opened, guard) = tokio::join!(handle.open(), session.lock());
    assert!(opened.unwrap().is_locked());
    guard.unwrap().commit().await.unwrap();
    session.release();
    let (guard, opened) = tokio::join!(session.lock(), handle.open());
    assert!(opened.unwrap().is_locked());
    drop(guard.unwrap());
    assert!(began.elapsed() < Locking::default().wait / 2, "one of them waited for the other");
}

/// `lock` takes the lease and then commits what is buffered under it. Whatever comes between the two, the lease is not kept, the
/// error says what it was, and what was buffered still is.
#[tokio::test]
async fn c6_a_lock_that_cannot_commit_what_is_buffered_is_given_back() {
    for (fault, kind) in [
        (Some(Fault::Unavailable), ErrorKind::Unavailable),
        (Some(Fault::Full), ErrorKind::Full),
        (None, ErrorKind::Conflict),
    ] {
        let house = impatient(Mode::Merge);
        let id = house.newcomer().await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        let n: u32 = session.get("n").unwrap().unwrap();
        session.set("n", n + 1).unwrap();
        match fault {
            Some(fault) => house.faults.at_op(Op::Commit, 1, fault),
            None => drop(house.visit(Some(&id), |s| async move { s.put("n", 10).await }).await),
        }
        assert_eq!(session.lock().await.unwrap_err().kind(), kind);
        assert!(!session.is_locked());
        assert_eq!(session.get::<u32>("n").unwrap(), Some(n + 1), "{kind:?}: it is buffered again");
        assert!(is_free(&house, &id).await, "{kind:?}: the lease was kept");
    }
}

/// The write may yet reach the store: not under the eyes of whoever gets the lease next.
#[tokio::test]
async fn c5_a_lock_that_is_given_up_while_it_commits_what_is_buffered_lets_nothing_land_under_the_next_one() {
    let house = impatient(Mode::Merge);
    let id = house.newcomer().await;
    let gate = Gate::new();
    house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
    let session: Session = house.arrive(&[&id]).open().await.unwrap();
    session.set("late", true).unwrap();
    let locking = tokio::spawn(async move { session.lock().await.map(drop) });
    gate.arrived().await;
    locking.abort();
    let _ = locking.await;

    let next = house.arrive(&[&id]).open().await.unwrap();
    let guard = next.lock().await.expect("given back at once");
    let before = guard.has("late");
    gate.open();
    house.manager.shutdown().await;
    let now = house.arrive(&[&id]).read_only().await.unwrap();
    assert_eq!(now.has("late"), before, "a write of an earlier holder landed under this lock");
    drop(guard);
}

/// Under the lock nobody writes in between: what was buffered is in what the guard reads.
#[tokio::test]
async fn c6_what_is_buffered_is_stored_when_the_lock_is_held() {
    let house = impatient(Mode::Merge);
    let id = house.newcomer().await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    session.set("n", 2).unwrap();
    let before = house.faults.calls();
    let guard = session.lock().await.unwrap();
    assert_eq!(house.faults.calls() - before, 2, "the lease, and the commit under it");
    assert_eq!(guard.get::<u32>("n").unwrap(), Some(2));
    let other = house.arrive(&[&id]).read_only().await.unwrap();
    assert_eq!(other.get::<u32>("n").unwrap(), Some(2));
    drop(guard);
}

/// On a runtime whose clock a test moves, too: there it is far ahead of the machine's.
#[tokio::test(start_paused = true)]
async fn c5_a_lease_is_renewed_at_each_third_of_it_and_not_before() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    let guard = session.lock().await.unwrap();
    let before = house.faults.calls();
    quiet().await;
    assert_eq!(house.faults.calls(), before, "at once");
    tokio::time::sleep(Locking::default().lease * 9 / 10).await;
    assert_eq!(house.faults.calls() - before, 2);
    drop(guard);
}

/// The lock keeps others away, not the request that holds it.
#[tokio::test]
async fn c1_a_guard_does_not_write_over_what_its_own_request_stored_meanwhile() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        let house = impatient(mode);
        let id = house.newcomer().await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        let mut guard = session.lock().await.unwrap();
        let n: i64 = guard.get("n").unwrap().unwrap();
        assert_eq!(session.increment("n", 5).await.unwrap(), n + 5);
        guard.set("n", n - 1).unwrap();
        assert_eq!(guard.commit().await.unwrap_err().kind(), ErrorKind::Conflict, "{mode:?}");
        assert_eq!(session.get::<i64>("n").unwrap(), Some(n + 5));

        // What was not read is written whatever is there, and what was read elsewhere is in nobody's way.
        let mut guard = session.lock().await.expect("the conflict gave the lock back");
        assert!(guard.has("n") && !guard.has("other"));
        session.put("beside", 1).await.unwrap();
        guard.set("beside", 2).unwrap();
        guard.set("n", 7).unwrap();
        guard.commit().await.unwrap();
        assert_eq!(session.get::<i64>("n").unwrap(), Some(7));
        assert_eq!(session.get::<i64>("beside").unwrap(), Some(2));
    }
}

/// It excludes nobody: when it is committed, others may know the session.
#[tokio::test]
async fn c1_a_guard_from_before_there_was_a_session_does_not_write_over_what_others_stored_in_it() {
    let house = House::new(SessionConfig::new());
    let handle = house.arrive(&[]);
    let session = handle.open().await.unwrap();
    let mut guard = session.lock().await.unwrap();
    assert!(!guard.has("credit"));
    session.put("credit", 10).await.unwrap();
    let id = house.leave(&handle, http::StatusCode::OK).await.id().unwrap();
    house.visit(Some(&id), |s| async move { s.put("credit", 0).await }).await;
    guard.set("credit", 100).unwrap();
    assert_eq!(guard.commit().await.unwrap_err().kind(), ErrorKind::Conflict);
    let now = house.arrive(&[&id]).read_only().await.unwrap();
    assert_eq!(now.get::<i64>("credit").unwrap(), Some(0));
}
