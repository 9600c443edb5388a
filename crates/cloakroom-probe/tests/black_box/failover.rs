//! The primary under the sessions is killed, and sentinels choose another: what that looks like from outside.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::servers::Kind;
use crate::harness::servers::sentinels::Group;
use crate::harness::{Place, run, sleep_ms};

async fn c9_sessions_outlive_their_primary(place: Place, kind: Kind) {
    let group = Arc::new(Group::start(kind));
    let (probe, beside) = (place.start_over(&group, &[]), place.start_over(&group, &[]));
    let (visitor, other) = (probe.visitor_with_session().await, probe.logged_in("ada").await);
    let old = group.primary();
    group.in_step();
    old.kill();
    let began = Instant::now();
    let mut refused = 0;
    loop {
        let asked = Instant::now();
        let response = visitor.get("/put/seed/2").await;
        assert!(asked.elapsed() < Duration::from_secs(7), "a request took {:?}", asked.elapsed());
        if response.status == 200 {
            break;
        }
        assert_eq!(response.without_cookie().status, 503, "{response:?}");
        refused += 1;
        assert!(began.elapsed() < Duration::from_secs(40), "the service does not come back");
        sleep_ms(20).await;
    }
    assert!(refused > 0, "nothing failed over");
    group.wait_for_another_than(old.port());
    assert_eq!(visitor.get("/get/seed").await.number(), 2);
    assert_eq!(other.get("/whoami").await.ok(), "\"ada\"");
    // The other process comes to the same server.
    let elsewhere = crate::harness::Visitor::presenting(beside.address, &visitor.cookie().unwrap());
    let began = Instant::now();
    while elsewhere.get("/get/seed").await.status != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "the other process is left behind");
        sleep_ms(10).await;
    }
    assert_eq!(elsewhere.get("/incr/n").await.number(), 1);
    assert_eq!(visitor.get("/incr/n").await.number(), 2);
    // A logout is one for both.
    elsewhere.get("/destroy").await.ok();
    assert_eq!(visitor.get("/get/seed").await.status, 404);
}

#[test]
fn c9_sessions_outlive_their_primary_on_redis() {
    run(c9_sessions_outlive_their_primary(Place::SENTINEL_AXUM, Kind::Redis));
}

#[test]
fn c9_sessions_outlive_their_primary_on_valkey() {
    run(c9_sessions_outlive_their_primary(Place::SENTINEL_HYPER, Kind::Valkey));
}
