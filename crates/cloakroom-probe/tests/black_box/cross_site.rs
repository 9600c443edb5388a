//! Requests that another site caused.

use std::collections::BTreeSet;

use crate::harness::{Place, Request, Visitor, everywhere};

everywhere! {
    s55_an_unsafe_request_from_another_site_is_refused_by_its_fetch_metadata,
    s56_without_fetch_metadata_the_origin_decides,
    s56_with_neither_a_token_is_needed,
    s57_asking_for_a_token_starts_a_session,
    s57_the_token_is_bound_to_the_session_and_masked_each_time,
    s57_a_login_rotates_the_token,
    s58_a_wrong_token_does_not_use_up_the_right_one,
    r07_a_protected_route_needs_the_token_with_post_only,
    the_header_transport_needs_no_protection,
}

async fn token(visitor: &Visitor) -> String {
    visitor.get("/csrf").await.json().as_str().unwrap().to_owned()
}

async fn s55_an_unsafe_request_from_another_site_is_refused_by_its_fetch_metadata(place: Place) {
    let probe = place.start(&["--csrf"]);
    let visitor = probe.visitor_with_session().await;
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        let response = visitor.ask(Request::post("/incr/n").header("sec-fetch-site", site)).await;
        assert_eq!(response.status, status, "{site}: {response:?}");
        response.without_cookie();
    }
    // Safe methods are let through wherever they come from: links must work.
    for method in ["GET", "HEAD", "OPTIONS"] {
        let request = Request::new(method, "/state").header("sec-fetch-site", "cross-site");
        assert_eq!(visitor.ask(request).await.status, 200, "{method}");
    }
    for method in ["PUT", "PATCH", "DELETE", "FROB"] {
        let request = Request::new(method, "/incr/n").header("sec-fetch-site", "cross-site");
        assert_eq!(visitor.ask(request).await.status, 403, "{method}");
    }
    assert_eq!(visitor.get("/get/n").await.number(), 2);
    let off = place.start(&[]);
    let visitor = off.visitor_with_session().await;
    visitor.ask(Request::post("/incr/n").header("sec-fetch-site", "cross-site")).await.ok();
}

async fn s56_without_fetch_metadata_the_origin_decides(place: Place) {
    let probe = place.start(&["--csrf"]);
    let visitor = probe.visitor_with_session().await;
    let own = format!("http://{}", probe.address);
    for (origin, status) in [
        (own.as_str(), 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        ("http://127.0.0.1.evil.example", 403),
    ] {
        let response = visitor.ask(Request::post("/incr/n").header("origin", origin)).await;
        assert_eq!(response.status, status, "{origin}: {response:?}");
    }
}

async fn s56_with_neither_a_token_is_needed(place: Place) {
    let probe = place.start(&["--csrf"]);
    let visitor = probe.visitor_with_session().await;
    visitor.ask(Request::post("/incr/n")).await.refused(403, "cross_site");
    let token = token(&visitor).await;
    let response = visitor.ask(Request::post("/incr/n").header("x-csrf-token", &token)).await;
    assert_eq!(response.number(), 1);
    // Somebody without a session has no token either.
    probe.ask(Request::post("/incr/n").header("x-csrf-token", &token)).await.refused(403, "cross_site");
}

async fn s57_asking_for_a_token_starts_a_session(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    let response = visitor.get("/csrf").await;
    assert!(response.set_cookie().is_some());
    assert!(visitor.is_alive().await);
    assert!(visitor.get("/csrf").await.set_cookie().is_none());
}

async fn s57_the_token_is_bound_to_the_session_and_masked_each_time(place: Place) {
    let probe = place.start(&[]);
    let (one, two) = (probe.visitor_with_session().await, probe.visitor_with_session().await);
    let mut tokens = BTreeSet::new();
    for _ in 0..5 {
        let token = token(&one).await;
        let response = one.ask(Request::post("/protected").header("x-csrf-token", &token)).await;
        response.ok();
        two.ask(Request::post("/protected").header("x-csrf-token", &token)).await.refused(403, "cross_site");
        tokens.insert(token);
    }
    assert_eq!(tokens.len(), 5, "the same bytes in every response could be guessed through compression");
    // A change of id keeps the forms that are open.
    let token = token(&one).await;
    one.get("/regenerate").await.ok();
    one.ask(Request::post("/protected").header("x-csrf-token", &token)).await.ok();
}

async fn s57_a_login_rotates_the_token(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let before = token(&visitor).await;
    visitor.get("/login/ada").await.ok();
    visitor.ask(Request::post("/protected").header("x-csrf-token", &before)).await.refused(403, "cross_site");
    let after = token(&visitor).await;
    visitor.ask(Request::post("/protected").header("x-csrf-token", &after)).await.ok();
}

async fn s58_a_wrong_token_does_not_use_up_the_right_one(place: Place) {
    let probe = place.start(&["--csrf"]);
    let visitor = probe.visitor_with_session().await;
    let right = token(&visitor).await;
    let mut wrong: Vec<String> = ["", "x", "AAAA", "null", " "].iter().map(|s| (*s).to_owned()).collect();
    wrong.push(right.to_lowercase() + "x");
    wrong.push(right.chars().rev().collect());
    wrong.push(right[..right.len() - 1].to_owned());
    wrong.push("A".repeat(right.len()));
    wrong.push("A".repeat(100_000));
    for wrong in &wrong {
        let response = visitor.ask(Request::post("/protected").header("x-csrf-token", wrong)).await;
        assert!([403, 431].contains(&response.status), "{wrong}: {response:?}");
        visitor.ask(Request::post("/protected").header("x-csrf-token", &right)).await.ok();
    }
}

async fn r07_a_protected_route_needs_the_token_with_post_only(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    visitor.get("/protected").await.ok();
    visitor.ask(Request::post("/protected")).await.refused(403, "cross_site");
    probe.ask(Request::post("/protected")).await.refused(403, "cross_site");
}

async fn the_header_transport_needs_no_protection(place: Place) {
    let probe = place.start(&["--csrf", "--transport", "header"]);
    // Nothing is sent along by itself, so nobody can be made to send it.
    probe.ask(Request::post("/set/k/1").header("sec-fetch-site", "cross-site")).await.ok();
}
