//! C13: work that goes on without its request is bounded, also while the store answers nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;
mod log;

use std::time::Duration;

use cloakroom::{ErrorKind, Limits, Mode, OnObsoleteId, SessionConfig, SessionManager};
use cloakroom_testing::{Fault, Gate, Op};
use house::{House, quiet};
use http::StatusCode;
use log::Log;

const BOUND: usize = 4;
const MANY: usize = 100;

fn bounded() -> SessionConfig {
    SessionConfig::new().limits(Limits { background: BOUND, ..Limits::default() })
}

/// Tasks of this runtime that are not over.
fn alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn second() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

impl House {
    async fn newcomers(&self, n: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..n {
            ids.push(self.newcomer().await);
        }
        ids
    }

    async fn reads(&self, id: &str) -> StatusCode {
        self.visit(Some(id), |s| async move { s.get::<u32>("n").map(drop) }).await.status
    }
}

#[tokio::test(start_paused = true)]
async fn c13_touches_that_are_not_answered_do_not_pile_up_and_the_log_says_so_once() {
    let log = Log::listen();
    let house = House::new(bounded());
    let ids = house.newcomers(MANY).await;
    house.pass(3600);
    house.faults.always(Some(Op::Touch), Fault::Hang);
    let before = alive();
    for id in &ids {
        assert_eq!(house.reads(id).await, StatusCode::OK);
        assert!(alive() <= before + BOUND);
    }
    assert_eq!(house.manager.metrics().background_dropped, (MANY - BOUND) as u64);
    assert_eq!(log.count("WARN", "a touch was left out"), 1);
    // Once the store is well, what is due is done.
    tokio::time::sleep(Duration::from_secs(3)).await;
    house.faults.heal();
    assert_eq!(house.reads(&ids[MANY - 1]).await, StatusCode::OK);
    assert_eq!(house.manager.metrics().touches, 1);
    // And the next time is told again.
    house.faults.always(Some(Op::Touch), Fault::Hang);
    for id in &ids[..=BOUND] {
        house.reads(id).await;
    }
    assert_eq!(log.count("WARN", "a touch was left out"), 2);
}

#[tokio::test(start_paused = true)]
async fn c13_leases_are_not_taken_while_those_given_back_are_not_answered() {
    let house = House::new(bounded());
    let ids = house.newcomers(BOUND + 1).await;
    house.faults.always(Some(Op::Release), Fault::Hang);
    for id in &ids[..BOUND] {
        let session = house.arrive(&[id]).open().await.unwrap();
        drop(session.lock().await.unwrap());
    }
    let session = house.arrive(&[&ids[BOUND]]).open().await.unwrap();
    let calls = house.faults.calls();
    let refused = session.lock().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("Limits::background"), "{refused}");
    let asked = house.faults.injected().into_iter().filter(|injected| injected.op == Op::Release).count();
    assert_eq!(
        house.faults.calls() - calls,
        (asked - BOUND) as u64,
        "releases are asked again, and nothing else"
    );
    assert_eq!(house.manager.metrics().background_waits, 1);
    // They are given up after three tries, and the lease is to be had.
    tokio::time::sleep(Duration::from_secs(6)).await;
    house.faults.heal();
    drop(session.lock().await.unwrap());
}

/// Many are held when the store falls silent.
#[tokio::test(start_paused = true)]
async fn c13_leases_given_back_do_not_pile_up_and_run_out_where_there_is_no_room() {
    let house = House::new(bounded());
    let ids = house.newcomers(MANY).await;
    let before = alive();
    let mut guards = Vec::new();
    for id in &ids {
        guards.push(house.arrive(&[id]).open().await.unwrap().lock().await.unwrap());
    }
    house.faults.always(Some(Op::Release), Fault::Hang);
    drop(guards);
    quiet().await;
    assert!(alive() <= before + BOUND, "{} more tasks", alive() - before);
    assert_eq!(house.manager.metrics().background_dropped, (MANY - BOUND) as u64);
    house.manager.shutdown().await;
    house.faults.heal();
    house.pass(11);
    let session = house.arrive(&[&ids[MANY - 1]]).open().await.unwrap();
    drop(session.lock().await.unwrap());
}

/// Where all of these visitors but the first so many have read, each with a touch that does not come to its end.
async fn crowded(visitors: usize, but: usize) -> (House, Vec<String>) {
    let house = House::new(bounded());
    let ids = house.newcomers(visitors).await;
    house.pass(3600);
    house.faults.always(Some(Op::Touch), Fault::Hang);
    for id in &ids[but..] {
        house.reads(id).await;
    }
    (house, ids)
}

#[tokio::test(start_paused = true)]
async fn c13_a_revocation_waits_for_room_and_is_made() {
    let house = House::new(bounded());
    house.visit(None, |s| async move { s.login("ann").await }).await;
    let ids = house.newcomers(BOUND).await;
    house.pass(3600);
    house.faults.always(Some(Op::Touch), Fault::Hang);
    for id in &ids {
        house.reads(id).await;
    }
    second().await;
    assert_eq!(house.manager.revoke_user("ann").await.unwrap(), 1);
    assert_eq!(house.manager.metrics().background_waits, 1);
}

/// Calls of one request that start its session go one after the other. One that waits for room need not be polled meanwhile.
#[tokio::test(start_paused = true)]
async fn c13_a_start_or_a_login_that_waits_for_room_and_is_not_polled_holds_nobody_up() {
    for first in ["a start", "a login"] {
        let (house, _) = crowded(BOUND, 0).await;
        let handle = house.arrive(&[]);
        let session = handle.open().await.unwrap();
        let mut waits = std::pin::pin!(async {
            match first {
                "a start" => session.put("a", 1).await,
                _ => session.login("ann").await,
            }
        });
        assert!(tokio::time::timeout(Duration::ZERO, waits.as_mut()).await.is_err(), "there is no room");
        house.manager.shutdown().await;
        let put = tokio::time::timeout(Duration::from_secs(60), session.put("b", 2)).await;
        put.unwrap_or_else(|_| panic!("{first} holds it up")).unwrap();
        waits.await.unwrap();
        assert_eq!(session.get::<u32>("b").unwrap(), Some(2));
        assert_eq!(house.manager.metrics().sessions_created, BOUND as u64 + 1);
    }
}

/// The response does not wait for what need not be polled, and was not begun.
#[tokio::test(start_paused = true)]
async fn c13_a_logout_that_waits_for_room_and_is_not_polled_does_not_hold_up_its_response() {
    let (house, ids) = crowded(BOUND + 1, 1).await;
    let handle = house.arrive(&[&ids[0]]);
    let session = handle.open().await.unwrap();
    let mut waits = std::pin::pin!(session.destroy());
    assert!(tokio::time::timeout(Duration::ZERO, waits.as_mut()).await.is_err(), "there is no room");
    let left = tokio::time::timeout(Duration::from_secs(60), house.leave(&handle, StatusCode::OK)).await;
    assert_eq!(left.expect("it is held up").status, StatusCode::OK);
    house.manager.shutdown().await;
    waits.await.unwrap();
    assert_eq!(house.who(&ids[0]).await, None);
}

/// The same of a guard's commit that was about to start the session, which another call of its request has started by then.
#[tokio::test(start_paused = true)]
async fn c13_a_guards_commit_that_waits_for_room_and_is_not_polled_does_not_hold_up_its_response() {
    let (house, ids) = crowded(BOUND, 1).await;
    let handle = house.arrive(&[]);
    let session = handle.open().await.unwrap();
    let mut guard = session.lock().await.unwrap();
    guard.set("g", 1).unwrap();
    let gate = Gate::new();
    house.faults.at_op(Op::Create, 1, Fault::Hold(gate.clone()));
    let put = tokio::spawn({
        let session = session.clone();
        async move { session.put("a", 1).await }
    });
    gate.arrived().await;
    let mut waits = std::pin::pin!(guard.commit());
    let at_once = Duration::ZERO;
    assert!(tokio::time::timeout(at_once, waits.as_mut()).await.is_err(), "it waits for the start");
    gate.open();
    put.await.unwrap().unwrap();
    house.reads(&ids[0]).await;
    assert!(tokio::time::timeout(at_once, waits.as_mut()).await.is_err(), "there is no room");
    let left = tokio::time::timeout(Duration::from_secs(60), house.leave(&handle, StatusCode::OK)).await;
    let id = left.expect("it is held up").id().unwrap();
    house.manager.shutdown().await;
    waits.await.unwrap();
    let stored = house.arrive(&[&id]).read_only().await.unwrap();
    assert_eq!(["a", "g"].map(|key| stored.get::<u32>(key).unwrap()), [Some(1); 2]);
}

/// Who asks goes away at once, and comes again.
#[tokio::test(start_paused = true)]
async fn c13_revocations_and_commits_that_nobody_waits_for_any_more_do_not_pile_up() {
    let house = House::new(bounded());
    let ids = house.newcomers(MANY).await;
    house.faults.always(None, Fault::Hang);
    let before = alive();
    for _ in 0..MANY {
        let revoking = house.manager.revoke_user("ann");
        assert!(tokio::time::timeout(Duration::ZERO, revoking).await.is_err());
        assert!(alive() <= before + BOUND);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    house.faults.heal();

    house.faults.always(Some(Op::Commit), Fault::Hang);
    for id in &ids {
        let handle = house.arrive(&[id]);
        handle.open().await.unwrap().set("n", 2).unwrap();
        hang_up(&house.manager, &handle).await;
        assert!(alive() <= before + BOUND);
    }
    assert_eq!(house.manager.metrics().background_dropped, (MANY - BOUND) as u64);
    house.manager.shutdown().await;
}

/// A task of the handler lives on, and holds the session.
#[tokio::test(start_paused = true)]
async fn c5_a_commit_that_is_left_out_keeps_no_lease_and_is_not_acknowledged() {
    let house = House::new(bounded().mode(Mode::Exclusive));
    let ids = house.newcomers(BOUND + 1).await;
    let mut requests = Vec::new();
    for id in &ids {
        let handle = house.arrive(&[id]);
        requests.push((handle.open().await.unwrap(), handle));
    }
    house.faults.always(Some(Op::Commit), Fault::Hang);
    for (task, handle) in &requests {
        task.set("n", 2).unwrap();
        hang_up(&house.manager, handle).await;
        house.manager.abandon(handle);
    }
    assert_eq!(house.manager.metrics().background_dropped, 1);
    let (left_out, _) = requests.last().unwrap();
    assert!(!left_out.is_locked());
    assert_eq!(left_out.save().await.unwrap_err().kind(), ErrorKind::Unknown, "it may have been made");
    // Nobody renews it any more. The others have given up by then.
    house.faults.heal();
    for _ in 0..12 {
        house.pass(1);
        second().await;
    }
    assert_eq!(house.reads(ids.last().unwrap()).await, StatusCode::OK);
    house.manager.shutdown().await;
}

async fn hang_up(manager: &SessionManager, handle: &cloakroom::SessionHandle) {
    let mut headers = http::HeaderMap::new();
    let closing = manager.close(handle, StatusCode::OK, &mut headers);
    assert!(tokio::time::timeout(Duration::ZERO, closing).await.is_err());
}

/// An id that is presented over and over while the store hangs is one piece of work, and in the end its user's sessions are over.
#[tokio::test(start_paused = true)]
async fn c13_an_obsolete_id_that_is_used_over_and_over_is_one_piece_of_work() {
    let house = House::new(bounded().on_obsolete_id(OnObsoleteId::RevokeUser));
    let old = house.visit(None, |s| async move { s.login("ann").await }).await.id().unwrap();
    let new = house.visit(Some(&old), |s| async move { s.regenerate().await }).await.id().unwrap();
    house.faults.at_op(Op::End, 1, Fault::Delay(Duration::from_secs(1)));
    let before = alive();
    for _ in 0..MANY {
        house.reads(&old).await;
    }
    assert!(alive() <= before + 2, "the task, and the delay of the store");
    house.manager.shutdown().await;
    assert_eq!(house.who(&new).await, None);
    assert_eq!(house.faults.injected().len(), 1);
}

#[tokio::test]
async fn c13_no_room_at_all_is_refused() {
    let config = SessionConfig::new().limits(Limits { background: 0, ..Limits::default() });
    let error = SessionManager::new(cloakroom::MemoryStore::new(), config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("Limits::background"), "{error}");
}
