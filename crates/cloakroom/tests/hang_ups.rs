//! A client that hangs up while the commit of its finished request waits for the store: it takes its answer along, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::time::Duration;

use cloakroom::{SessionConfig, SessionHandle};
use cloakroom_testing::{Fault, Gate, Op};
use house::House;
use http::StatusCode;

/// A request that has set `n` to 7, its commit held at a gate.
async fn committing(house: &House, id: &str, gate: &Gate) -> tokio::task::JoinHandle<()> {
    house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
    let handle = house.arrive(&[id]);
    handle.open().await.unwrap().set("n", 7).unwrap();
    let manager = house.manager.clone();
    let leaving = tokio::spawn(async move {
        let mut headers = http::HeaderMap::new();
        let _ = manager.close(&handle, StatusCode::OK, &mut headers).await;
    });
    gate.arrived().await;
    leaving
}

async fn stored(house: &House, id: &str) -> Option<u32> {
    house.arrive(&[id]).open().await.unwrap().get("n").unwrap()
}

#[tokio::test]
async fn c1_a_commit_that_waits_goes_on_without_its_client() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let gate = Gate::new();
    let leaving = committing(&house, &id, &gate).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    // So that it takes more than the one call that is under way: the store refuses it, and it is merged and made anew.
    house.visit(Some(&id), |s| async move { s.set("other", 1) }).await;
    assert_eq!(stored(&house, &id).await, Some(1));
    gate.open();
    // And is waited for.
    house.manager.shutdown().await;
    assert_eq!(stored(&house, &id).await, Some(7));
}

#[tokio::test]
async fn c1_a_shutdown_waits_for_the_commit_of_a_client_that_is_still_there() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let gate = Gate::new();
    let leaving = committing(&house, &id, &gate).await;
    let manager = house.manager.clone();
    let shutdown = tokio::spawn(async move { manager.shutdown().await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!shutdown.is_finished(), "the commit is not made yet");
    gate.open();
    shutdown.await.unwrap();
    assert_eq!(stored(&house, &id).await, Some(7));
    leaving.await.unwrap();
}

#[tokio::test]
async fn c9_who_gives_up_while_opening_leaves_it_to_the_next_of_the_request() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    house.visit(Some(&id), |s| async move { s.set("n", 7) }).await;
    house.faults.at_op(Op::Load, 1, Fault::Hang);
    let handle = house.arrive(&[&id]);
    let read = |handle: SessionHandle| async move { handle.open().await.unwrap().get::<u32>("n").unwrap() };
    let first = tokio::spawn(read(handle.clone()));
    let others: Vec<_> = (0..3).map(|_| tokio::spawn(read(handle.clone()))).collect();
    while house.faults.injected().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!first.is_finished() && others.iter().all(|other| !other.is_finished()));
    first.abort();
    for other in others {
        let waited = tokio::time::timeout(Duration::from_secs(20), other).await;
        assert_eq!(waited.expect("nobody loads it").unwrap(), Some(7));
    }
}
