//! Requests in flight when their session ends or moves.

use std::future::Future;

use crate::harness::{
    Place, Probe, Request, Response, Visitor, everywhere_and_side_by_side, in_parallel, sleep_ms,
};

everywhere_and_side_by_side! {
    c2_no_slow_request_survives_a_destroy,
    c2_no_slow_request_survives_a_revocation,
    c4_no_slow_request_forks_a_regenerated_session,
    c4_no_slow_request_reaches_a_session_that_somebody_logged_into_meanwhile,
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
    "/slow-set/k/late",
    "/slow-put/k/late",
    "/slow-regenerate",
    "/slow-destroy",
    "/count/n",
    "/lock-count/n",
    "/release/k/late",
    "/stream/k/late",
];

/// A slow request, something that the same visitor did meanwhile, and both answers.
struct Overlap {
    slow: &'static str,
    user: String,
    visitor: Visitor,
    /// With the cookie from before.
    before: Visitor,
    did: Response,
    late: Response,
}

/// Every slow request at once, each of a user of its own who is logged in; then `meanwhile` by each of them; then the answers.
async fn overlaps(probe: &Probe, meanwhile: &str) -> Vec<Overlap> {
    let mut visitors = Vec::new();
    for slow in SLOW {
        visitors.push(probe.logged_in(&user_of(slow)).await);
    }
    overlaps_of(visitors, meanwhile).await
}

fn user_of(slow: &str) -> String {
    slow.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

async fn overlaps_of(visitors: Vec<Visitor>, meanwhile: &str) -> Vec<Overlap> {
    let before = visitors[0].under_way().await;
    // What waits for the lock is answered once its holder's pause is over: that one pauses for a time.
    let waits_for_the_lock = ["/regenerate", "/login/USER"].contains(&meanwhile);
    let in_flight = each(&visitors, |slow, visitor| async move {
        let before = visitor.stolen();
        let in_flight = match slow.starts_with("/lock-count") && waits_for_the_lock {
            true => visitor.send(Request::get(&format!("{slow}?ms=300"))).await,
            false => visitor.send_held(slow).await,
        };
        (before, in_flight)
    });
    let in_flight = in_flight.await;
    visitors[0].until_under_way(before + SLOW.len() as u64, "every slow route").await;
    let did = each(&visitors, |slow, visitor| {
        let path = meanwhile.replace("USER", &user_of(slow));
        async move { visitor.get(&path).await }
    });
    let did = did.await;
    let mut all = Vec::new();
    for (n, ((before, in_flight), did)) in in_flight.into_iter().zip(did).enumerate() {
        let late = in_flight.response().await;
        let (slow, visitor) = (SLOW[n], visitors[n].clone());
        all.push(Overlap { slow, user: user_of(slow), visitor, before, did, late });
    }
    all
}

/// At the same time for each slow route and the visitor who takes it.
async fn each<F, T>(visitors: &[Visitor], make: impl Fn(&'static str, Visitor) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut made = in_parallel(SLOW.len(), SLOW.len(), |n| {
        let one = make(SLOW[n], visitors[n].clone());
        async move { (n, one.await) }
    })
    .await;
    made.sort_by_key(|(n, _)| *n);
    made.into_iter().map(|(_, one)| one).collect()
}

impl Overlap {
    /// The user's live sessions, seen from a session that is made to look.
    async fn sessions_alive(&self, probe: &Probe) -> usize {
        probe.sessions_of(&self.user).await
    }

    fn is(&self, routes: &[&str]) -> bool {
        routes.iter().any(|route| self.slow.starts_with(route))
    }

    /// The slow request, which was late for a change of id, left the one session under its new id, or none where it was a logout,
    /// and told of no other id.
    async fn left_one_session_or_ended_it(&self, probe: &Probe) {
        let (slow, ends) = (self.slow, self.is(&["/slow-destroy"]));
        match self.late.set_cookie() {
            None => assert!(!ends, "a logout that ended the session says so"),
            Some(cookie) => assert!(ends && cookie.deletes(), "{slow} spoke of a dead id: {cookie:?}"),
        }
        assert!(!self.before.is_alive().await, "the old id lives after {slow}");
        assert_eq!(self.visitor.is_alive().await, !ends, "{slow}");
        assert_eq!(self.sessions_alive(probe).await, usize::from(!ends), "{slow} forked the session");
    }
}

async fn no_slow_request_survives(place: Place, end: &'static str) {
    let probe = place.start(&[]);
    for overlap in overlaps(&probe, end).await {
        overlap.did.ok();
        // What arrives late is ordered before the end (and then without effect), or told that the session is gone.
        if overlap.is(&["/slow-put", "/slow-regenerate", "/lock-count"]) {
            overlap.late.refused(410, "gone");
        } else {
            overlap.late.ok();
        }
        overlap.late.without_cookie();
        let slow = overlap.slow;
        assert!(!overlap.visitor.is_alive().await, "alive after {end} and {slow}");
        assert!(!overlap.before.is_alive().await, "alive after {end} and {slow}");
        assert_eq!(overlap.sessions_alive(&probe).await, 0, "a session came back after {end} by {slow}");
    }
    assert!(probe.counter("resurrections_prevented").await >= 5);
}

async fn c2_no_slow_request_survives_a_destroy(place: Place) {
    no_slow_request_survives(place, "/destroy").await;
}

async fn c2_no_slow_request_survives_a_revocation(place: Place) {
    no_slow_request_survives(place, "/revoke-user/USER").await;
}

async fn c4_no_slow_request_forks_a_regenerated_session(place: Place) {
    let probe = place.start(&[]);
    for overlap in overlaps(&probe, "/regenerate").await {
        overlap.did.ok();
        assert!(overlap.did.set_cookie().is_some(), "the new id is told");
        assert_ne!(overlap.visitor.cookie(), overlap.before.cookie());
        if overlap.is(&["/slow-put", "/slow-regenerate"]) {
            overlap.late.refused(410, "gone");
        } else {
            overlap.late.ok();
        }
        overlap.left_one_session_or_ended_it(&probe).await;
    }
}

async fn c4_no_slow_request_reaches_a_session_that_somebody_logged_into_meanwhile(place: Place) {
    let probe = place.start(&[]);
    let mut visitors = Vec::new();
    for _ in SLOW {
        visitors.push(probe.visitor_with_session().await);
    }
    for overlap in overlaps_of(visitors, "/login/USER").await {
        let slow = overlap.slow;
        overlap.did.ok();
        assert!(overlap.did.set_cookie().is_some(), "the new id is told");
        let ends = overlap.is(&["/slow-destroy"]);
        // What was stored before the login is taken along: under the lock, and by the route that saves before it sleeps.
        let before = overlap.is(&["/lock-count", "/release"]);
        if overlap.is(&["/slow-put", "/slow-regenerate"]) {
            overlap.late.refused(410, "gone");
        } else if overlap.is(&["/stream"]) {
            assert!(!overlap.late.whole, "a body that ends well says that all was stored");
        } else if ends || before {
            overlap.late.ok();
        } else {
            overlap.late.refused(409, "conflict");
        }
        overlap.left_one_session_or_ended_it(&probe).await;
        if !ends {
            assert_eq!(overlap.visitor.get("/whoami").await.ok(), format!("\"{}\"", overlap.user));
            let key = if overlap.is(&["/count", "/lock-count"]) { "/get/n" } else { "/get/k" };
            let planted = overlap.visitor.get(key).await.status == 200;
            assert_eq!(planted, before, "{slow} reached the session of who logged in");
        }
    }
}

async fn c4_a_logout_in_flight_ends_the_session_that_was_regenerated_meanwhile(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    let logout = visitor.hold("/slow-destroy").await;
    visitor.get("/regenerate").await.ok();
    visitor.get("/regenerate").await.ok();
    logout.response().await.ok();
    assert!(!visitor.is_alive().await);
}

async fn c4_nothing_from_before_a_login_is_planted_in_the_authenticated_session(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let planted = visitor.hold("/slow-set/address/attacker").await;
    visitor.get("/login/ada").await.ok();
    let late = planted.response().await;
    late.refused(409, "conflict");
    late.without_cookie();
    assert_eq!(visitor.get("/all").await.json(), serde_json::json!({ "seed": 1 }));
}

async fn c4_a_buffered_write_in_flight_reaches_the_regenerated_session(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let fresh = visitor.hold("/slow-set/colour/red").await;
    let stale = visitor.hold("/slow-set/seed/2").await;
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
    assert_eq!(probe.sessions_of("ada").await, 0);
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
    let late = visitor.hold("/slow-put/seed/1").await;
    visitor.get("/destroy").await.ok();
    late.response().await.refused(410, "gone");
}

async fn a_write_over_a_cleared_session_is_a_conflict(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let late = visitor.hold("/slow-set/colour/red").await;
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
