//! Who still holds the session when the response's head has left: a body that streams, a task that goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::time::Duration;

use cloakroom::{Locking, Mode, SessionConfig};
use cloakroom_testing::{Fault, Gate, Op};
use house::House;
use http::StatusCode;

fn exclusive(wait: Duration) -> SessionConfig {
    SessionConfig::new().mode(Mode::Exclusive).locking(Locking { wait, ..Locking::default() })
}

#[tokio::test]
async fn c5_a_session_that_is_opened_after_the_head_takes_no_lease() {
    let house = House::new(exclusive(Duration::from_millis(50)));
    let id = house.newcomer().await;
    let streams = house.arrive(&[&id]);
    house.leave(&streams, StatusCode::OK).await;
    // A body that goes on for hours.
    let session = streams.open().await.unwrap();
    assert!(!session.is_locked());
    let other = house.arrive(&[&id]).open().await.map(drop);
    assert!(other.is_ok(), "{other:?}: nobody gives the lease back before the stream ends");
    session.put("n", 2).await.unwrap();
}

#[tokio::test]
async fn c5_a_lease_that_comes_after_the_head_is_given_back() {
    let house = House::new(exclusive(Duration::from_secs(30)));
    let id = house.newcomer().await;
    let gate = Gate::new();
    house.faults.at_op(Op::Acquire, 1, Fault::Hold(gate.clone()));
    let streams = house.arrive(&[&id]);
    let opening = tokio::spawn({
        let streams = streams.clone();
        async move { streams.open().await }
    });
    gate.arrived().await;
    house.leave(&streams, StatusCode::OK).await;
    gate.open();
    let session = opening.await.unwrap().unwrap();
    assert!(!session.is_locked());
    house.arrive(&[&id]).open().await.map(drop).expect("nobody holds the lease");
}
