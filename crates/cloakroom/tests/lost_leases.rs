//! C5, C1: a request that was told that its lease is lost. Nothing it writes from then on is made, whoever has the lease by then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::time::Duration;

use cloakroom::{ErrorKind, Locking, Mode, SessionConfig};
use house::House;
use http::StatusCode;

/// Two processes where nobody waits long for a lock, and a visitor with some credit.
async fn two_with_credit(mode: Mode) -> (House, House, String) {
    let locking = || Locking { wait: Duration::from_millis(50), ..Locking::default() };
    let (here, there) = House::two(|| SessionConfig::new().mode(mode).locking(locking()));
    let id = here.newcomer().await;
    here.visit(Some(&id), |s| async move { s.put("credit", 10).await }).await;
    (here, there, id)
}

async fn spend(there: &House, id: &str) {
    there.visit(Some(id), |s| async move { s.put("credit", 0).await }).await;
}

async fn credit(house: &House, id: &str) -> i64 {
    house.arrive(&[id]).read_only().await.unwrap().get("credit").unwrap().unwrap()
}

#[tokio::test]
async fn c5_a_guard_whose_request_was_told_that_the_lease_is_lost_stores_nothing() {
    for told_by in ["put", "regenerate", "extend"] {
        let (here, there, id) = two_with_credit(Mode::Merge).await;
        let session = here.arrive(&[&id]).open().await.unwrap();
        let mut guard = session.lock().await.unwrap();
        let seen: i64 = guard.get("credit").unwrap().unwrap();
        // It ran out, and another process had it meanwhile. Nobody has it by now.
        here.pass(11);
        spend(&there, &id).await;
        assert!(session.is_locked(), "not told yet");
        // Twice, for the first answer must not open the way to the second write.
        for _ in 0..2 {
            let told = match told_by {
                "put" => session.put("log", "spent").await,
                "regenerate" => session.regenerate().await,
                _ => guard.extend().await,
            };
            assert_eq!(told.unwrap_err().kind(), ErrorKind::LeaseLost, "{told_by}");
            assert!(!session.is_locked(), "{told_by}");
        }
        guard.set("credit", seen - 3).unwrap();
        assert_eq!(guard.commit().await.unwrap_err().kind(), ErrorKind::LeaseLost, "{told_by}");
        assert_eq!(credit(&there, &id).await, 0, "{told_by}");
        // When the guard is gone, the request is one of merge mode again.
        session.put("log", "refused").await.unwrap();
    }
}

#[tokio::test]
async fn c5_exclusive_mode_that_lost_its_lease_stores_nothing_more() {
    let (here, there, id) = two_with_credit(Mode::Exclusive).await;
    let handle = here.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    assert_eq!(session.get::<i64>("credit").unwrap(), Some(10));
    here.pass(11);
    spend(&there, &id).await;
    assert_eq!(session.put("log", 1).await.unwrap_err().kind(), ErrorKind::LeaseLost);
    assert_eq!(session.login("ada").await.unwrap_err().kind(), ErrorKind::LeaseLost);
    session.set("ticket", true).unwrap();
    let left = here.leave(&handle, StatusCode::OK).await;
    assert_eq!(left.status, StatusCode::CONFLICT, "a ticket for a visitor without credit");
    let now = there.arrive(&[&id]).read_only().await.unwrap();
    assert!(!now.has("ticket") && !now.has("log"));
}

#[tokio::test]
async fn c5_a_lock_after_a_lost_lease_of_exclusive_mode_asks_for_another_one() {
    let (here, there, id) = two_with_credit(Mode::Exclusive).await;
    let handle = here.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    here.pass(11);
    let theirs = there.arrive(&[&id]).open().await.unwrap();
    let their_guard = theirs.lock().await.unwrap();
    assert_eq!(session.put("log", 1).await.unwrap_err().kind(), ErrorKind::LeaseLost);
    // What was decided under the lease that was lost does not go into the session under another one.
    session.set("ticket", true).unwrap();
    assert_eq!(session.lock().await.unwrap_err().kind(), ErrorKind::LeaseLost);
    session.reload().await.unwrap();
    let refused = session.lock().await.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LockTimeout, "another process holds it");
    their_guard.commit().await.unwrap();
    theirs.put("credit", 0).await.unwrap();
    theirs.release();
    let guard = session.lock().await.unwrap();
    assert!(session.is_locked());
    assert_eq!(guard.get::<i64>("credit").unwrap(), Some(0), "read anew");
}

#[tokio::test]
async fn c5_in_exclusive_mode_a_session_that_was_started_after_an_end_can_be_locked() {
    let (here, there, id) = two_with_credit(Mode::Exclusive).await;
    let session = here.arrive(&[&id]).open().await.unwrap();
    session.destroy().await.unwrap();
    assert!(!session.is_locked());
    session.put("n", 1).await.unwrap();
    let guard = session.lock().await.unwrap();
    assert!(session.is_locked());
    let new_id = session.id().unwrap();
    let other = there.arrive(&[new_id.expose()]).open().await;
    assert_eq!(other.map(drop).unwrap_err().kind(), ErrorKind::LockTimeout);
    drop(guard);
}
