//! A server under the sessions: what is asked of it, and what its troubles look like from outside.

use std::time::{Duration, Instant};

use crate::harness::{Place, Probe, Visitor, cached, on_redis, sleep_ms};

on_redis! {
    c12_a_request_asks_as_little_of_the_server_as_it_can,
    c9_while_the_server_is_away_nothing_is_lost_and_no_cookie_touched,
    c9_a_server_that_stands_still_holds_nobody_up,
    p09_a_server_that_was_flushed_gives_a_new_session_and_no_error,
    s06_a_dump_of_the_server_holds_no_usable_cookie,
}

cached! { c9_a_server_that_stands_still_holds_nobody_up }

/// What was asked of the server: lookups and scripts. By its own count.
fn asked(probe: &Probe) -> (u64, u64) {
    let server = probe.server();
    (server.calls("get"), server.calls("evalsha") + server.calls("eval"))
}

async fn c12_a_request_asks_as_little_of_the_server_as_it_can(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    // Each script was sent once, and the clock is known.
    visitor.get("/set/k/0").await.ok();
    visitor.get("/put/k/0").await.ok();
    let nobody = probe.visitor();
    for (who, route, lookups, scripts) in [
        (Some(&visitor), "/plain", 0, 0),
        (None, "/plain", 0, 0),
        (None, "/get/k", 0, 0),
        (Some(&visitor), "/get/k", 1, 0),
        (Some(&visitor), "/set/k/1", 1, 1),
        (Some(&visitor), "/put/k/2", 1, 1),
        (Some(&visitor), "/incr/n", 1, 1),
        (None, "/set/k/1", 0, 1),
    ] {
        probe.server().forget_calls();
        who.unwrap_or(&nobody).get(route).await;
        assert_eq!(asked(&probe), (lookups, scripts), "{route}, with a session: {}", who.is_some());
    }
}

/// Waits until a visitor is served again; how long that took.
async fn back(visitor: &Visitor) -> Duration {
    let began = Instant::now();
    while visitor.get("/get/seed").await.without_cookie().status != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "the service does not come back");
        sleep_ms(10).await;
    }
    began.elapsed()
}

const ROUTES: [&str; 7] =
    ["/get/seed", "/set/seed/2", "/put/seed/2", "/login/ada", "/regenerate", "/destroy", "/lock-count/n"];

async fn c9_while_the_server_is_away_nothing_is_lost_and_no_cookie_touched(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    probe.server().kill();
    let began = Instant::now();
    for route in ROUTES {
        let response = visitor.get(route).await;
        assert_eq!(response.without_cookie().status, 503, "{route}: {response:?}");
    }
    assert_eq!(probe.get("/set/k/1").await.without_cookie().status, 503);
    visitor.get("/plain").await.ok();
    // Refused at once, not after a deadline each.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    probe.server().start_again();
    let took = back(&visitor).await;
    assert!(took < Duration::from_secs(1), "back {took:?} after the server");
    assert_eq!(visitor.get("/get/seed").await.number(), 1, "what was refused is not there");
    assert_eq!(visitor.get("/whoami").await.status, 404);
    visitor.get("/set/seed/3").await.ok();
}

async fn c9_a_server_that_stands_still_holds_nobody_up(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    probe.server().pause();
    for route in ROUTES {
        let began = Instant::now();
        let response = visitor.get(route).await;
        assert_eq!(response.without_cookie().status, 503, "{route}: {response:?}");
        assert!(began.elapsed() < Duration::from_secs(7), "{route} took {:?}", began.elapsed());
    }
    let began = Instant::now();
    visitor.get("/get/seed").await.without_cookie();
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    probe.server().resume();
    let took = back(&visitor).await;
    assert!(took < Duration::from_secs(1), "back {took:?} after the server");
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
}

async fn p09_a_server_that_was_flushed_gives_a_new_session_and_no_error(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    probe.server().raw("FLUSHALL");
    let before = visitor.cookie();
    assert_eq!(visitor.get("/incr/n").await.number(), 1);
    assert_ne!(visitor.cookie(), before);
}

async fn s06_a_dump_of_the_server_holds_no_usable_cookie(place: Place) {
    let probe = place.start(&["--renewal", "0.1", "--grace", "0.09"]);
    let visitor = probe.visitor();
    let mut ids = Vec::new();
    for route in ["/set/secret/marker-of-the-data", "/regenerate", "/login/ada", "/state", "/regenerate"] {
        visitor.get(route).await.ok();
        ids.push(visitor.cookie().unwrap().replace("id=", ""));
        sleep_ms(110).await;
        // By now it is due: an old id in its grace, its successor sealed, is in the store as well.
        visitor.get("/state").await.ok();
        ids.push(visitor.cookie().unwrap().replace("id=", ""));
    }
    // Everything that was ever written.
    let dump = probe.server().append_only_file();
    let holds = |text: &[u8]| dump.windows(text.len()).any(|w| w == text);
    assert!(holds(b"marker-of-the-data"), "this is not the store");
    for id in &ids {
        assert!(!holds(id.as_bytes()), "the store holds an id");
        assert!(!holds(&id.as_bytes()[4..]), "the store holds a secret");
    }
    // And nothing in it opens a session when it is presented as one: keys, digests, sealed ids.
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
    let mut tried = std::collections::BTreeSet::new();
    for window in dump.windows(32).filter(|w| w.iter().all(fits)) {
        if tried.insert(window.to_vec()) {
            let cookie = format!("id={}", String::from_utf8_lossy(window));
            assert!(!Visitor::presenting(probe.address, &cookie).is_alive().await);
        }
    }
    assert!(!tried.is_empty());
}
