//! Requests in flight when their session ends or moves.

use crate::harness::{Place, Probe, Response, Visitor, everywhere, in_parallel, sleep_ms};

everywhere! {
    c2_no_slow_request_survives_a_destroy,
    c2_no_slow_request_survives_a_revocation,
    c4_no_slow_request_forks_a_regenerated_session,
    c4_a_logout_in_flight_ends_the_session_that_was_regenerated_meanwhile,
    c4_nothing_from_before_a_login_is_planted_in_the_authenticated_session,
    c4_a_buffered_write_in_flight_reaches_the_regenerated_session,
    s43_logout_while_twenty_requests_write,
    s44_destroying_twice_is_fine,
    c2_a_put_of_the_value_it_saw_is_gone_after_a_logout,
    a_write_over_a_cleared_session_is_a_conflict,
    a_write_after_a_destroy_starts_another_session,
}

/// Every route that sleeps between opening its session and the end of its response.
const SLOW: [&str; 8] = [
    "/slow-set/k/late?ms=150",
    "/slow-put/k/late?ms=150",
    "/slow-regenerate?ms=150",
    "/slow-destroy?ms=150",
    "/count/n?ms=150",
    "/lock-count/n?ms=150",
    "/release/k/late?ms=150",
    "/stream/k/late?ms=150",
];

/// A slow request of a user's own, something done by the same visitor meanwhile, and both answers.
async fn while_slow(
    probe: &Probe,
    slow: &'static str,
    meanwhile: &str,
) -> (Visitor, Visitor, Response, Response) {
    let user = slow.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let visitor = probe.logged_in(&user).await;
    let before = visitor.stolen();
    let in_flight = visitor.start(slow).await;
    let did = visitor.get(&meanwhile.replace("USER", &user)).await;
    let late = in_flight.response().await;
    (visitor, before, did, late)
}

/// The user's live sessions, seen from a session that is made to look.
async fn others_of(probe: &Probe, visitor_of: &'static str) -> usize {
    let user = visitor_of.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let devices = probe.logged_in(&user).await.get("/devices").await.json();
    devices.as_array().unwrap().len() - 1
}

async fn no_slow_request_survives(place: Place, end: &'static str) {
    let probe = std::sync::Arc::new(place.start(&[]));
    in_parallel(SLOW.len(), SLOW.len(), |i| {
        let probe = std::sync::Arc::clone(&probe);
        async move {
            let slow = SLOW[i];
            let (visitor, before, did, late) = while_slow(&probe, slow, end).await;
            did.ok();
            // What arrives late is ordered before the end (and then without effect), or told that the session is gone.
            let awaited =
                ["/slow-put", "/slow-regenerate", "/lock-count"].iter().any(|r| slow.starts_with(r));
            if awaited {
                late.refused(410, "gone");
            } else {
                late.ok();
            }
            late.without_cookie();
            for visitor in [visitor, before] {
                assert!(!visitor.is_alive().await, "alive after {end} and {slow}");
            }
            assert_eq!(others_of(&probe, slow).await, 0, "a session came back after {end} by {slow}");
        }
    })
    .await;
    assert!(probe.counter("resurrections_prevented").await >= 5);
}

async fn c2_no_slow_request_survives_a_destroy(place: Place) {
    no_slow_request_survives(place, "/destroy").await;
}

async fn c2_no_slow_request_survives_a_revocation(place: Place) {
    no_slow_request_survives(place, "/revoke-user/USER").await;
}

async fn c4_no_slow_request_forks_a_regenerated_session(place: Place) {
    let probe = std::sync::Arc::new(place.start(&[]));
    in_parallel(SLOW.len(), SLOW.len(), |i| {
        let probe = std::sync::Arc::clone(&probe);
        async move {
            let slow = SLOW[i];
            let (visitor, before, did, late) = while_slow(&probe, slow, "/regenerate").await;
            did.ok();
            assert!(did.set_cookie().is_some(), "the new id is told");
            assert_ne!(visitor.cookie(), before.cookie());
            if slow.starts_with("/slow-put") || slow.starts_with("/slow-regenerate") {
                late.refused(410, "gone");
            } else {
                late.ok();
            }
            let ends = slow.starts_with("/slow-destroy");
            match late.set_cookie() {
                None => assert!(!ends, "a logout that ended the session says so"),
                Some(cookie) => assert!(ends && cookie.deletes(), "{slow} spoke of a dead id: {cookie:?}"),
            }
            assert!(!before.is_alive().await, "the old id lives after {slow}");
            assert_eq!(visitor.is_alive().await, !ends, "{slow}");
            assert_eq!(others_of(&probe, slow).await, usize::from(!ends), "{slow} forked the session");
        }
    })
    .await;
}

async fn c4_a_logout_in_flight_ends_the_session_that_was_regenerated_meanwhile(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    let logout = visitor.start("/slow-destroy?ms=150").await;
    visitor.get("/regenerate").await.ok();
    visitor.get("/regenerate").await.ok();
    logout.response().await.ok();
    assert!(!visitor.is_alive().await);
}

async fn c4_nothing_from_before_a_login_is_planted_in_the_authenticated_session(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let planted = visitor.start("/slow-set/address/attacker?ms=150").await;
    visitor.get("/login/ada").await.ok();
    let late = planted.response().await;
    late.refused(409, "conflict");
    late.without_cookie();
    assert_eq!(visitor.get("/all").await.json(), serde_json::json!({ "seed": 1 }));
}

async fn c4_a_buffered_write_in_flight_reaches_the_regenerated_session(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let fresh = visitor.start("/slow-set/colour/red?ms=120").await;
    let stale = visitor.start("/slow-set/seed/2?ms=120").await;
    visitor.get("/regenerate").await.ok();
    visitor.get("/set/seed/3").await.ok();
    fresh.response().await.without_cookie().ok();
    // Somebody has changed that key in the successor since: what was written without looking must not hide it.
    stale.response().await.without_cookie().refused(409, "conflict");
    assert_eq!(visitor.get("/all").await.json(), serde_json::json!({ "seed": 3, "colour": "red" }));
}

async fn s43_logout_while_twenty_requests_write(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    let writers = ["/slow-set/k/1?ms=60", "/incr/n", "/slow-put/p/1?ms=60", "/lock-count/m?ms=5", "/get/n"];
    let storm = tokio::spawn({
        let visitor = visitor.stolen();
        async move {
            in_parallel(60, 20, |i| {
                // Each with the id that was valid when the storm began.
                let visitor = visitor.stolen();
                async move {
                    let asked_for = visitor.cookie();
                    let response = visitor.get(writers[i % writers.len()]).await;
                    assert!([200, 404, 410].contains(&response.status), "{response:?}");
                    (asked_for, response)
                }
            })
            .await
        }
    });
    sleep_ms(60).await;
    visitor.get("/destroy").await.ok();
    let old = visitor.stolen();
    for (asked_for, response) in storm.await.unwrap() {
        // A request that came after the logout is a new visitor's: its id, if any, is a new one.
        if let Some(cookie) = response.set_cookie() {
            assert_ne!(Some(cookie.pair()), asked_for);
        }
    }
    assert!(!old.is_alive().await);
    assert_eq!(probe.logged_in("ada").await.get("/devices").await.json().as_array().unwrap().len(), 1);
}

async fn s44_destroying_twice_is_fine(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let old = visitor.stolen();
    assert!(visitor.get("/destroy").await.set_cookie().unwrap().deletes());
    // The second one ends nothing and says nothing.
    let again = old.get("/destroy").await;
    again.ok();
    again.without_cookie();
    let never = probe.get("/destroy").await;
    never.ok();
    never.without_cookie();
}

async fn c2_a_put_of_the_value_it_saw_is_gone_after_a_logout(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let late = visitor.start("/slow-put/seed/1?ms=100").await;
    visitor.get("/destroy").await.ok();
    late.response().await.refused(410, "gone");
}

async fn a_write_over_a_cleared_session_is_a_conflict(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let late = visitor.start("/slow-set/colour/red?ms=100").await;
    visitor.get("/clear").await.ok();
    late.response().await.refused(409, "conflict");
    assert_eq!(visitor.get("/all").await.json(), serde_json::json!({}));
}

async fn a_write_after_a_destroy_starts_another_session(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    let before = visitor.cookie();
    visitor.get("/destroy").await.ok();
    visitor.get("/set/colour/red").await.ok();
    assert_ne!(visitor.cookie(), before);
    assert_eq!(visitor.get("/all").await.json(), serde_json::json!({ "colour": "red" }));
    assert_eq!(visitor.get("/whoami").await.status, 404);
}
