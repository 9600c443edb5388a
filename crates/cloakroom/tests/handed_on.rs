//! C5: which leases a request hands on to the next one of its process, which it does not, and what it leaves along with one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    ErrorKind, LockGuard, Locking, MemoryStore, Mode, NearCache, Session, SessionConfig, SessionError,
    SessionHandle,
};
use cloakroom_testing::{Fault, Gate, ManualClock, Op, PushingStore, SpyStore};
use house::{House, quiet};
use http::StatusCode;
use tokio::task::JoinHandle;

#[tokio::test]
async fn c5_a_lease_that_was_asked_for_and_not_granted_is_not_handed_on() {
    let (other, house) = House::two(SessionConfig::new);
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
    let (other, house) = House::two(|| SessionConfig::new().mode(Mode::Exclusive));
    // Only the store's clock says that it ran out: the first that writes learns of it, and nobody behind it is let in.
    assert_eq!(let_in_beside_the_holder(&other, &house, || house.pass(11)).await, 1);
}

#[tokio::test]
async fn c5_nor_is_one_that_ran_out_while_the_process_stood_still() {
    const LEASE: Duration = Duration::from_millis(60);
    let locking = || Locking { lease: LEASE, ..Locking::default() };
    let (other, house) = House::two(|| SessionConfig::new().mode(Mode::Exclusive).locking(locking()));
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

/// A house whose store calls are noted.
fn spied(config: SessionConfig) -> (SpyStore, House) {
    let clock = ManualClock::new();
    let spy = SpyStore::new(Arc::new(MemoryStore::builder().clock(clock.clone()).build()));
    let house = House::over(Arc::new(spy.clone()), clock, config);
    (spy, house)
}

/// Two requests with one session: the first has its lock, and the second waits for it.
struct Locked {
    id: String,
    first: Session,
    guard: LockGuard,
    second: JoinHandle<Result<LockGuard, SessionError>>,
}

async fn locked(house: &House) -> Locked {
    let id = house.newcomer().await;
    let first = house.arrive(&[&id]).open().await.unwrap();
    let waits = house.arrive(&[&id]).open().await.unwrap();
    let guard = first.lock().await.unwrap();
    let second = tokio::spawn(async move { waits.lock().await });
    house.waiters(1).await;
    Locked { id, first, guard, second }
}

/// The same in exclusive mode.
async fn opened(house: &House) -> (SessionHandle, Session, JoinHandle<(Session, SessionHandle)>) {
    let id = house.newcomer().await;
    let first = house.arrive(&[&id]);
    let session = first.open().await.unwrap();
    let second = house.arrive(&[&id]);
    let waits = tokio::spawn(async move { (second.open().await.unwrap(), second) });
    house.waiters(1).await;
    (first, session, waits)
}

#[tokio::test]
async fn c5_whoever_waited_gets_the_lock_with_what_the_one_before_stored() {
    let (spy, house) = spied(SessionConfig::new());
    let Locked { mut guard, second, .. } = locked(&house).await;
    let mark = spy.mark();
    guard.set("n", 2).unwrap();
    guard.commit().await.unwrap();
    let mut next = second.await.unwrap().unwrap();
    assert_eq!(next.get::<u32>("n").unwrap(), Some(2));
    next.set("n", 3).unwrap();
    next.commit().await.unwrap();
    assert_eq!(spy.since(mark).ops(), [Op::Commit, Op::Commit], "one call for each holder");
}

#[tokio::test]
async fn c5_whoever_waited_in_exclusive_mode_gets_the_session_with_what_the_one_before_stored() {
    let (spy, house) = spied(SessionConfig::new().mode(Mode::Exclusive));
    let (first, session, waits) = opened(&house).await;
    let mark = spy.mark();
    session.set("n", 2).unwrap();
    drop(session);
    house.leave(&first, StatusCode::OK).await;
    let (session, second) = waits.await.unwrap();
    assert_eq!(session.get::<u32>("n").unwrap(), Some(2));
    session.set("n", 3).unwrap();
    drop(session);
    house.leave(&second, StatusCode::OK).await;
    assert_eq!(spy.since(mark).ops(), [Op::Commit, Op::Commit], "one call for each holder");
}

/// A task of the handler may write past the last commit. Whichever of the two comes last, the next one sees both.
#[tokio::test]
async fn c5_a_write_beside_the_last_commit_in_exclusive_mode_is_seen_by_the_next_holder() {
    let house = Arc::new(House::new(SessionConfig::new().mode(Mode::Exclusive)));
    let (first, session, waits) = opened(&house).await;
    let gate = Gate::new();
    house.faults.at_op(Op::Commit, 1, Fault::HoldAnswer(gate.clone()));
    session.set("n", 2).unwrap();
    let leaves = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.leave(&first, StatusCode::OK).await }
    });
    gate.arrived().await;
    session.put("beside", true).await.unwrap();
    gate.open();
    assert_eq!(leaves.await.unwrap().status, StatusCode::OK);
    let (next, _) = waits.await.unwrap();
    assert_eq!((next.get::<u32>("n").unwrap(), next.has("beside")), (Some(2), true));
}

/// What was stored a moment ago may be over, and who begins to wait after that end must be told.
#[tokio::test]
async fn c5_whoever_came_when_it_was_stored_already_looks_for_itself() {
    let house = House::new(SessionConfig::new());
    // For somebody who waits the lease is kept, but that one goes away.
    let Locked { id, mut guard, second: gives_up, .. } = locked(&house).await;
    let third = house.arrive(&[&id]).open().await.unwrap();
    let gate = Gate::new();
    guard.set("n", 2).unwrap();
    house.faults.at_op(Op::Commit, 1, Fault::HoldAnswer(gate.clone()));
    let commits = tokio::spawn(guard.commit());
    gate.arrived().await;
    gives_up.abort();
    assert!(gives_up.await.is_err());

    house.visit(Some(&id), |session| async move { session.destroy().await }).await;
    let waits = tokio::spawn(async move { third.lock().await });
    house.waiters(2).await;
    gate.open();
    commits.await.unwrap().unwrap();
    let refused = waits.await.unwrap().expect_err("the session was over before this one began to wait");
    assert_eq!(refused.kind(), ErrorKind::Gone);
}

/// A cache in front of the store may not have been told yet.
#[tokio::test]
async fn c5_a_lease_is_not_handed_on_with_what_only_a_near_cache_takes_for_alive() {
    let clock = ManualClock::new();
    let here = PushingStore::new(Arc::new(MemoryStore::builder().clock(clock.clone()).build()));
    let there = Arc::new(here.another_node());
    let near = NearCache::builder(here.clone()).clock(clock.clone()).build();
    let house = House::over(Arc::new(near.clone()), clock.clone(), SessionConfig::new());
    let other = House::over(there, clock, SessionConfig::new());
    // Nothing is stored under it, so that whoever is next has to read.
    let Locked { id, guard, second, .. } = locked(&house).await;
    for _ in 0..2 {
        house.arrive(&[&id]).open().await.unwrap();
    }
    here.hold_news();
    other.visit(Some(&id), |session| async move { session.destroy().await }).await;
    let hits = near.counts().hits;
    house.arrive(&[&id]).open().await.unwrap();
    assert_eq!(near.counts().hits, hits + 1, "the cache still takes the session for alive");
    drop(guard);
    let refused = second.await.unwrap().expect_err("the session is over");
    assert_eq!(refused.kind(), ErrorKind::Gone);
}

/// The holder's request may write past its guard. Whichever of the two comes last, the next one sees both.
#[tokio::test]
async fn c5_a_write_beside_the_last_one_is_seen_by_the_next_holder() {
    let house = House::new(SessionConfig::new());
    let Locked { first, mut guard, second, .. } = locked(&house).await;
    let gate = Gate::new();
    guard.set("n", 2).unwrap();
    house.faults.at_op(Op::Commit, 1, Fault::HoldAnswer(gate.clone()));
    let commits = tokio::spawn(guard.commit());
    gate.arrived().await;
    first.put("beside", true).await.unwrap();
    gate.open();
    commits.await.unwrap().unwrap();
    let next = second.await.unwrap().unwrap();
    assert_eq!((next.get::<u32>("n").unwrap(), next.has("beside")), (Some(2), true));
}

/// The store has it back with the write, also where too few replicas confirmed that.
#[tokio::test]
async fn c5_a_lease_that_was_given_back_with_an_undurable_write_is_not_handed_on() {
    let (other, house) = House::two(|| {
        let (commit, call) = (Duration::from_secs(5), Duration::from_millis(300));
        SessionConfig::new().mode(Mode::Exclusive).deadlines(commit, call)
    });
    let house = Arc::new(house);
    let id = house.newcomer().await;
    let first = house.arrive(&[&id]);
    first.open().await.unwrap().set("n", 2).unwrap();
    house.faults.at_op(Op::Commit, 1, Fault::HangAfter);
    house.faults.at_op(Op::Commit, 2, Fault::Undurable);
    house.faults.at_op(Op::Commit, 3, Fault::Undurable);
    let leaving = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.leave(&first, StatusCode::OK).await.status }
    });
    // Another process gets it as soon as that write is made, while its answer is still waited for.
    let theirs = other.arrive(&[&id]);
    let held = theirs.open().await.unwrap();
    assert_eq!(held.get::<u32>("n").unwrap(), Some(2));
    let waits = tokio::spawn({
        let handle = house.arrive(&[&id]);
        async move { handle.open().await.map(drop) }
    });
    house.waiters(1).await;
    assert_eq!(leaving.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    quiet().await;
    assert!(!waits.is_finished(), "two holders");
    drop(held);
    other.leave(&theirs, StatusCode::OK).await;
    waits.await.unwrap().unwrap();
}
