//! Troubles that no request is told of: they are counted and logged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;
mod log;

use std::time::Duration;

use cloakroom::{OnObsoleteId, SessionConfig};
use cloakroom_testing::{Fault, Op};
use house::House;
use log::Log;

const HOUR: u64 = 3600;

#[tokio::test]
async fn c9_a_touch_that_fails_is_counted_and_logged_whether_or_not_it_is_answered_at_once() {
    for fault in [Fault::Unavailable, Fault::Hang] {
        let log = Log::listen();
        let house =
            House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(1)));
        let id = house.newcomer().await;
        house.pass(HOUR);
        house.faults.at_op(Op::Touch, 1, fault.clone());
        house.visit(Some(&id), |s| async move { s.get::<u32>("n").map(drop) }).await;
        house.manager.shutdown().await;
        assert_eq!(house.faults.injected().len(), 1);
        let metrics = house.manager.metrics();
        assert_eq!((metrics.unavailable, metrics.touches), (1, 0), "{fault:?}");
        assert_eq!(log.count("WARN", "store call failed"), 1, "{fault:?}: {:?}", log.lines());
        house.visit(Some(&id), |s| async move { s.get::<u32>("n").map(drop) }).await;
        assert_eq!(house.manager.metrics().touches, 1, "the next read makes up for it");
    }
}

#[tokio::test]
async fn c9_where_the_use_of_an_obsolete_id_could_not_end_the_users_sessions_the_log_says_so() {
    for (op, fault) in [
        (Op::End, Fault::Unavailable),
        // Asked again, the store tells that the session was ended, not whose it was.
        (Op::End, Fault::LoseAnswer),
        (Op::Revoke, Fault::Unavailable),
    ] {
        let log = Log::listen();
        let house = House::new(SessionConfig::new().on_obsolete_id(OnObsoleteId::RevokeUser));
        let old = house.newcomer().await;
        house.visit(Some(&old), |s| async move { s.login("ada").await }).await;
        house.faults.at_op(op, 1, fault.clone());
        assert_eq!(house.who(&old).await, None);
        house.manager.shutdown().await;
        assert_eq!(house.faults.injected().len(), 1);
        assert_eq!(log.count("ERROR", "were not ended"), 1, "{op:?} {fault:?}: {:?}", log.lines());
    }
    let log = Log::listen();
    let house = House::new(SessionConfig::new().on_obsolete_id(OnObsoleteId::RevokeUser));
    let old = house.newcomer().await;
    let new = house.visit(Some(&old), |s| async move { s.login("ada").await }).await.id().unwrap();
    house.visit(Some(&new), |s| async move { s.destroy().await }).await;
    assert_eq!(house.who(&old).await, None);
    house.manager.shutdown().await;
    assert_eq!(log.count("ERROR", ""), 0, "{:?}", log.lines());
}
