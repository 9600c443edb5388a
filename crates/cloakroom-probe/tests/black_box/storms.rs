//! Everything at once on one session, in both modes: no server error, no second session, nothing left locked.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::{Place, Probe, Response, Visitor, everywhere_and_side_by_side, in_parallel};

everywhere_and_side_by_side! {
    c4_parallel_regenerations_leave_one_session,
    c4_parallel_logins_leave_one_session,
    c2_parallel_logouts_and_writes_leave_none,
    c4_c5_any_mixture_leaves_at_most_one_session_and_no_lock,
    c1_exclusive_mode_counts_exactly_with_every_kind_of_write,
    c5_a_session_that_ends_under_those_who_wait_for_it_frees_them_at_once,
}

const MODES: [&str; 2] = ["merge", "exclusive"];

/// Asks all of them at once, with the cookie that the visitor holds now.
async fn storm(
    visitor: &Visitor,
    times: usize,
    at_once: usize,
    route: impl Fn(usize) -> String,
) -> Vec<Response> {
    in_parallel(times, at_once, |i| {
        let (visitor, route) = (visitor.stolen(), route(i));
        async move { visitor.get(&route).await }
    })
    .await
}

/// The cookies that came back and open a session; there are at most as many as are expected.
async fn alive(probe: &Probe, responses: &[Response]) -> Vec<Visitor> {
    let told: BTreeSet<String> = responses
        .iter()
        .filter_map(Response::set_cookie)
        .filter(|c| !c.deletes())
        .map(|c| c.pair())
        .collect();
    let mut alive = Vec::new();
    for cookie in told {
        let visitor = probe.presenting(Some(&cookie));
        if visitor.is_alive().await {
            alive.push(visitor);
        }
    }
    alive
}

async fn c4_parallel_regenerations_leave_one_session(place: Place) {
    for mode in MODES {
        let probe = place.start(&["--mode", mode]);
        let visitor = probe.logged_in("ada").await;
        let responses = storm(&visitor, 20, 20, |_| "/regenerate".to_owned()).await;
        let changed = responses.iter().filter(|r| r.set_cookie().is_some()).count();
        assert_eq!(changed, 1, "{mode}: one of them changed the id, and told it");
        for response in &responses {
            assert!([200, 410].contains(&response.status), "{mode}: {response:?}");
        }
        let alive = alive(&probe, &responses).await;
        assert_eq!(alive.len(), 1);
        assert_eq!(probe.sessions_of("ada").await, 1, "{mode}");
        assert!(!visitor.is_alive().await);
    }
}

async fn c4_parallel_logins_leave_one_session(place: Place) {
    for mode in MODES {
        let probe = place.start(&["--mode", mode]);
        let visitor = probe.visitor_with_session().await;
        let responses = storm(&visitor, 20, 20, |_| "/login/ada".to_owned()).await;
        // In merge mode the others find the session gone. In exclusive mode they come after, with an id that is dead by
        // then, so that each is a login of somebody new.
        let logged_in = alive(&probe, &responses).await;
        assert!(responses.iter().all(|r| r.status == 410 || r.set_cookie().is_some()), "{mode}");
        let all = probe.sessions_of("ada").await;
        assert_eq!(all, logged_in.len(), "{mode}: a session that nobody was told of");
        let mut with_data = 0;
        for visitor in &logged_in {
            assert_eq!(visitor.get("/whoami").await.ok(), "\"ada\"");
            with_data += usize::from(visitor.get("/get/seed").await.status == 200);
        }
        assert_eq!(with_data, 1, "{mode}: the session was taken along by one of them");
        assert!(!visitor.is_alive().await);
    }
}

async fn c2_parallel_logouts_and_writes_leave_none(place: Place) {
    for mode in MODES {
        let probe = place.start(&["--mode", mode]);
        let visitor = probe.logged_in("ada").await;
        let routes =
            ["/destroy", "/put/k/1", "/set/k/1", "/incr/n", "/regenerate", "/bind/ada", "/lock-count/m"];
        // The logouts come in the middle of it.
        let responses =
            storm(&visitor, 70, 35, |i| routes[if i < 21 { 1 + i % 6 } else { i % 7 }].to_owned()).await;
        for response in &responses {
            assert!(response.status < 500, "{mode}: {response:?}");
        }
        assert!(!visitor.is_alive().await);
        // Whoever came after the logout is somebody new, without a user or logged in anew under an id of their own.
        for survivor in alive(&probe, &responses).await {
            assert_ne!(survivor.cookie(), visitor.cookie());
            let n = survivor.get("/get/n").await;
            assert!(n.status == 404 || n.number() <= 1, "{mode}: data came through the logout: {n:?}");
        }
    }
}

async fn c4_c5_any_mixture_leaves_at_most_one_session_and_no_lock(place: Place) {
    let routes = [
        "/get/k",
        "/set/k/1",
        "/put/k/2",
        "/incr/n",
        "/count/c?ms=2",
        "/lock-count/m?ms=2",
        "/lock-drop/k/9",
        "/regenerate",
        "/slow-set/s/1?ms=4",
        "/slow-put/p/1?ms=4",
        "/stream/t/1?ms=3",
        "/flash/hi",
        "/flash",
        "/clear",
        "/fail/f/1",
        "/panic/f/1",
        "/release/r/1?ms=3",
        "/take/k",
        "/remove/p",
        "/slow-regenerate?ms=3",
    ];
    for mode in MODES {
        // What stays locked does so for longer than anybody waits for it.
        let locks = ["--lock-lease-ms", "60000"];
        let probe =
            place.start(&[&["--mode", mode, "--renewal", "0.06", "--grace", "0.05"][..], &locks].concat());
        let visitor = probe.logged_in("ada").await;
        // One browser: all tabs share the cookie, and keep what comes back.
        let statuses = in_parallel(300, 12, |i| {
            // A fixed but well-mixed order.
            let (visitor, route) = (visitor.clone(), routes[(i * 7919 + i / 20) % routes.len()]);
            async move { (route, visitor.get(route).await.status) }
        })
        .await;
        for (route, status) in statuses {
            let on_purpose = route.starts_with("/fail") || route.starts_with("/panic");
            assert!(status < 500 || (on_purpose && status == 500), "{mode} {route}: {status}");
        }
        for route in ["/incr/n", "/lock-count/m"] {
            let response = visitor.get(route).await;
            assert_eq!(response.status, 200, "{mode} {route}: something is still locked: {response:?}");
        }
        // The one the browser holds, and no other of the same user.
        let all = probe.sessions_of("ada").await;
        assert!(all <= 1, "{mode}: the session was forked: {all} of them");
    }
}

async fn c1_exclusive_mode_counts_exactly_with_every_kind_of_write(place: Place) {
    let probe = place.start(&["--mode", "exclusive"]);
    let visitor = probe.visitor_with_session().await;
    let routes = ["/incr/n", "/count/n", "/lock-count/n"];
    let responses = storm(&visitor, 150, 30, |i| routes[i % 3].to_owned()).await;
    let numbers: BTreeSet<i64> = responses.iter().map(Response::number).collect();
    assert_eq!(numbers, (1..=150).collect());
}

async fn c5_a_session_that_ends_under_those_who_wait_for_it_frees_them_at_once(place: Place) {
    // For much longer than they are then looked at.
    let probe = place.start(&["--lock-wait-ms", "120000"]);
    let visitor = probe.logged_in("ada").await;
    let holder = visitor.hold("/lock-count/n").await;
    let waiting = [visitor.start("/lock-count/n").await, visitor.start("/put/k/1").await];
    visitor.get("/destroy").await.ok();
    let started = Instant::now();
    holder.response().await.refused(410, "gone");
    for waiting in waiting {
        waiting.response().await.without_cookie().refused(410, "gone");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
