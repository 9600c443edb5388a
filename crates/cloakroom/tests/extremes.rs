//! C9: no panic, however large a duration is configured, and however much smaller a session has become.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::{CacheLimiter, ErrorKind, Locking, Mode, SessionConfig};
use cloakroom_testing::{Fault, ManualClock, Op};
use house::House;

/// "Never", as applications write it.
fn for_ever(mode: Mode) -> SessionConfig {
    let never = Duration::MAX;
    SessionConfig::new()
        .idle(never)
        .absolute(never)
        .renewal(never, Duration::from_secs(1))
        .touch_after(1.0)
        .mode(mode)
        .locking(Locking { lease: never, wait: never, waiters: usize::MAX, handovers: u32::MAX })
        .deadlines(never, never)
        .marker(never)
        .purge_every(Some(never))
        .cache_limiter(CacheLimiter::Public { max_age: never })
}

#[tokio::test]
async fn c9_durations_that_mean_never_are_durations_like_others() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        for slow in [false, true] {
            let house = House::new(for_ever(mode));
            if slow {
                house.faults.always(None, Fault::Delay(Duration::from_millis(1)));
            }
            let id = house.newcomer().await;
            house.visit(Some(&id), |s| async move { s.increment("n", 1).await.map(drop) }).await;
            house
                .visit(Some(&id), |s| async move {
                    let mut guard = s.lock().await?;
                    guard.set("n", 5)?;
                    guard.extend().await?;
                    guard.commit().await
                })
                .await;
            let id = house.visit(Some(&id), |s| async move { s.login("ada").await }).await.id().unwrap();
            assert_eq!(house.who(&id).await.as_deref(), Some("ada"));
            house.visit(Some(&id), |s| async move { s.revoke_others().await.map(drop) }).await;
            house.visit(Some(&id), |s| async move { s.destroy().await }).await;
            assert_eq!(house.who(&id).await, None);
        }
    }
}

#[tokio::test]
async fn c9_two_who_wait_for_ever_get_their_turn() {
    let house = House::new(for_ever(Mode::Merge));
    house.faults.always(Some(Op::Acquire), Fault::Delay(Duration::from_millis(1)));
    let id = house.newcomer().await;
    let visits = (0..2).map(|_| {
        house.visit(Some(&id), |s| async move {
            let mut guard = s.lock().await?;
            let n: u32 = guard.get("n")?.unwrap_or(0);
            guard.set("n", n + 1)?;
            guard.commit().await
        })
    });
    let mut visits: Vec<_> = visits.collect();
    let (second, first) = (visits.pop().unwrap(), visits.pop().unwrap());
    tokio::join!(first, second);
    let n: Option<u32> = house.arrive(&[&id]).open().await.unwrap().get("n").unwrap();
    assert_eq!(n, Some(3));
}

#[tokio::test]
async fn c2_a_clock_that_jumps_back_revives_nothing() {
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(1_000_000));
    let store = cloakroom::MemoryStore::builder().clock(clock.clone()).build();
    let house = House::over(std::sync::Arc::new(store), clock, SessionConfig::new());
    let id = house.newcomer().await;
    let late = house.arrive(&[&id]);
    let session = late.open().await.unwrap();
    house.visit(Some(&id), |s| async move { s.destroy().await }).await;
    house.clock.set(Timestamp::from_millis(100_000_000));
    session.set("n", 9).unwrap();
    assert!(session.put("m", 9).await.is_err());
    drop(session);
    assert!(!house.leave(&late, http::StatusCode::OK).await.has_cookie());
    assert_eq!(house.who(&id).await, None);
}

#[tokio::test]
async fn c9_c13_what_is_gone_since_it_was_read_does_not_count_for_the_sessions_size() {
    let house = House::new(SessionConfig::new());
    let big = |length: usize| "x".repeat(length);
    let id = house.visit(None, |s| async move { s.set("big", big(60_000)) }).await.id().unwrap();
    let session = house.arrive(&[&id]).open().await.unwrap();
    assert!(session.has("big"));
    house.visit(Some(&id), |s| async move { s.remove("big") }).await;
    // By now it is known to be gone; this request goes on with what it has read.
    session.put("n", 1).await.unwrap();
    assert_eq!(session.set("big", big(65_530)).unwrap_err().kind(), ErrorKind::TooLarge);
    session.set("big", big(65_000)).unwrap();
}
