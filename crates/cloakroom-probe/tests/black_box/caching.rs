//! What responses say to caches.

use crate::harness::{Place, Request, Response, everywhere, sleep_ms};

everywhere! {
    s50_a_response_with_a_cookie_is_not_stored_by_any_cache,
    s51_a_response_that_read_the_session_is_private_and_varies_by_the_cookie,
    s52_a_response_that_did_not_has_neither,
    s54_errors_and_head_responses_too,
    m09_the_cache_limiter_speaks_as_php_does,
    m09_an_application_s_cache_control_only_gets_stricter,
    x08_max_age_is_kept_and_public_is_dropped,
}

const LIMITERS: [&str; 5] = ["nocache", "private", "private_no_expire", "public", "none"];

#[track_caller]
fn assert_private(response: &Response, what: &str) {
    assert!(!response.caching("public"), "{what}: {response:?}");
    assert!(response.caching("private") || response.caching("no-store"), "{what}: {response:?}");
    assert_eq!(response.header("vary"), Some("Cookie"), "{what}: {response:?}");
}

async fn s50_a_response_with_a_cookie_is_not_stored_by_any_cache(place: Place) {
    for limiter in LIMITERS {
        let probe = place.start(&["--cache-limiter", limiter, "--renewal", "0.1", "--grace", "0.09"]);
        let visitor = probe.visitor();
        for route in ["/set/k/1", "/login/ada", "/login-then-fail/ada", "/login-then-panic/eve", "/destroy"] {
            let response = visitor.get(route).await;
            assert!(response.set_cookie().is_some(), "{route}");
            assert_private(&response, &format!("{limiter} {route}"));
        }
        // The application says `public, max-age=604800`, and the id is due.
        visitor.get("/set/k/1").await.ok();
        sleep_ms(110).await;
        let response = visitor.get("/cached/k").await;
        assert!(response.set_cookie().is_some());
        assert_private(&response, limiter);
        assert!(
            !response.caching("max-age=604800") || response.caching("no-store"),
            "{limiter}: {response:?}"
        );
    }
}

async fn s51_a_response_that_read_the_session_is_private_and_varies_by_the_cookie(place: Place) {
    for limiter in LIMITERS {
        let probe = place.start(&["--cache-limiter", limiter]);
        let visitor = probe.visitor_with_session().await;
        for route in [
            "/get/seed",
            "/read-only/seed",
            "/peek",
            "/cached/seed",
            "/ambient/k/1",
            "/flash",
            // Cut for who has no session, a while after the head has left: without a pause it may not have left yet.
            "/stream/k/1?ms=100",
        ] {
            // Also for somebody who has no session: that is what it depends on.
            for response in [visitor.get(route).await, probe.get(route).await] {
                assert_private(&response, &format!("{limiter} {route}"));
            }
        }
    }
}

async fn s52_a_response_that_did_not_has_neither(place: Place) {
    for limiter in ["nocache", "private", "private_no_expire", "none"] {
        let probe = place.start(&["--cache-limiter", limiter]);
        let visitor = probe.visitor_with_session().await;
        let plain = visitor.get("/plain").await;
        for name in ["cache-control", "vary", "pragma", "expires", "set-cookie"] {
            assert_eq!(plain.header(name), None, "{limiter}");
        }
        let cached = visitor.get("/cached-plain").await;
        assert_eq!(cached.header("cache-control"), Some("public, max-age=604800"));
        assert_eq!(cached.header("vary"), None);
    }
}

async fn s54_errors_and_head_responses_too(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    for (route, status) in [
        ("/get/none", 404),
        ("/fail/k/1", 500),
        ("/panic/k/1", 500),
        ("/big/100000", 413),
        ("/set//1", 400),
        ("/protected", 200),
    ] {
        let response = visitor.get(route).await;
        assert_eq!(response.status, status, "{route}");
        if route != "/protected" {
            assert_private(&response, route);
        }
    }
    let [one, two] = [visitor.hold("/count/n").await, visitor.hold("/count/n").await];
    // Whichever of the two comes first.
    let (one, two) = (one.response().await, two.response().await);
    let (first, conflict) = if one.status == 409 { (two, one) } else { (one, two) };
    first.ok();
    assert_eq!(conflict.status, 409);
    assert_private(&conflict, "a conflict");
    let head = visitor.ask(Request::new("HEAD", "/get/seed")).await;
    assert_eq!(head.status, 200);
    assert_private(&head, "HEAD");
}

async fn m09_the_cache_limiter_speaks_as_php_does(place: Place) {
    let says = |limiter: &'static str| async move {
        let probe = place.start(&["--cache-limiter", limiter]);
        let opened = probe.get("/state").await;
        let plain = probe.get("/plain").await;
        (opened, plain)
    };
    let past = Some("Thu, 19 Nov 1981 08:52:00 GMT");
    let (opened, _) = says("nocache").await;
    assert_eq!(opened.header("cache-control"), Some("no-store, no-cache, must-revalidate"));
    assert_eq!(opened.header("pragma"), Some("no-cache"));
    assert_eq!(opened.header("expires"), past);
    let (opened, _) = says("private").await;
    assert_eq!(opened.header("cache-control"), Some("private, max-age=10800"));
    assert_eq!(opened.header("expires"), past);
    let (opened, _) = says("private_no_expire").await;
    assert_eq!(opened.header("cache-control"), Some("private, max-age=10800"));
    assert_eq!(opened.header("expires"), None);
    let (opened, plain) = says("public").await;
    assert_eq!(opened.header("cache-control"), Some("private, max-age=10800"));
    assert_eq!(plain.header("cache-control"), Some("public, max-age=10800"));
    assert!(plain.header("expires").is_some());
    let (opened, plain) = says("none").await;
    assert_eq!(opened.header("cache-control"), Some("private"));
    assert_eq!(plain.header("cache-control"), None);
}

async fn m09_an_application_s_cache_control_only_gets_stricter(place: Place) {
    for limiter in LIMITERS {
        let probe = place.start(&["--cache-limiter", limiter]);
        let visitor = probe.visitor_with_session().await;
        let response = visitor.get("/cached/seed").await;
        assert_private(&response, limiter);
        assert_eq!(response.caching("no-store"), limiter == "nocache", "{limiter}: {response:?}");
    }
}

async fn x08_max_age_is_kept_and_public_is_dropped(place: Place) {
    let probe = place.start(&["--cache-limiter", "private"]);
    let visitor = probe.visitor_with_session().await;
    let response = visitor.get("/cached/seed").await;
    assert_eq!(response.number(), 1);
    assert_eq!(response.header("cache-control"), Some("max-age=604800, private"));
}
