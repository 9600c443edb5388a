//! Deadlines, judged by the server.

use crate::harness::{Place, Visitor, everywhere_and_side_by_side, in_parallel, sleep_ms};

everywhere_and_side_by_side! {
    s36_an_idle_session_ends_whatever_the_cookie_says,
    s37_a_busy_session_ends_at_its_absolute_deadline,
    s38_login_restarts_both_deadlines_and_activity_the_idle_one,
    s39_background_requests_are_no_sign_of_life,
    x07_m06_reading_and_writing_renew_the_time_to_live,
    c2_a_session_that_expires_under_a_request_is_not_revived,
}

async fn left(visitor: &Visitor, which: &str) -> f64 {
    visitor.get("/state").await.json()[which].as_f64().unwrap()
}

async fn s36_an_idle_session_ends_whatever_the_cookie_says(place: Place) {
    let probe = place.start(&["--idle", "0.8", "--cookie-lifetime", "86400"]);
    let visitor = probe.visitor_with_session().await;
    assert!(visitor.is_alive().await);
    sleep_ms(850).await;
    let response = visitor.get("/state").await;
    assert_eq!(response.without_cookie().json()["present"], false);
    // Redis removes it by itself, at that very moment: nobody is there to count it. What is beside PHP's value stays a while.
    let counted = u64::from(!place.is_served() || place.php.is_some());
    assert_eq!(probe.counter("sessions_expired").await, counted);
    // Nor can it be written to any more.
    let cookie = visitor.cookie();
    visitor.get("/set/k/1").await.ok();
    assert_ne!(visitor.cookie(), cookie);
}

async fn s37_a_busy_session_ends_at_its_absolute_deadline(place: Place) {
    let probe = place.start(&["--idle", "1.2", "--absolute", "2"]);
    let visitor = probe.logged_in("ada").await;
    for _ in 0..5 {
        sleep_ms(250).await;
        visitor.get("/incr/n").await.without_cookie().ok();
    }
    sleep_ms(800).await;
    assert!(!visitor.is_alive().await);
}

async fn s38_login_restarts_both_deadlines_and_activity_the_idle_one(place: Place) {
    let probe = place.start(&["--idle", "50", "--absolute", "100"]);
    let visitor = probe.visitor_with_session().await;
    sleep_ms(300).await;
    assert!(left(&visitor, "idle_left").await < 49.75, "looking does not write while it need not");
    visitor.get("/incr/n").await.ok();
    assert!(left(&visitor, "idle_left").await > 49.8);
    assert!(left(&visitor, "absolute_left").await < 99.75);
    visitor.get("/regenerate").await.ok();
    visitor.get("/bind/ada").await.ok();
    assert!(left(&visitor, "absolute_left").await < 99.75);
    visitor.get("/login/ada").await.ok();
    assert!(left(&visitor, "absolute_left").await > 99.8);
    assert!(left(&visitor, "idle_left").await > 49.8);
}

async fn s39_background_requests_are_no_sign_of_life(place: Place) {
    let probe = place.start(&["--idle", "0.4"]);
    let (polled, used) = (probe.visitor_with_session().await, probe.visitor_with_session().await);
    for _ in 0..5 {
        sleep_ms(100).await;
        polled.get("/background").await.ok();
        used.get("/get/seed").await.ok();
    }
    assert!(used.is_alive().await);
    assert!(!polled.is_alive().await);
}

async fn x07_m06_reading_and_writing_renew_the_time_to_live(place: Place) {
    let probe = std::sync::Arc::new(place.start(&["--idle", "0.6"]));
    let routes = ["/get/seed", "/set/seed/1", "/incr/n", "/read-only/seed", "/lock-count/m"];
    in_parallel(routes.len(), routes.len(), |i| {
        let probe = std::sync::Arc::clone(&probe);
        async move {
            let visitor = probe.visitor_with_session().await;
            sleep_ms(350).await;
            visitor.get(routes[i]).await.ok();
            sleep_ms(350).await;
            assert!(visitor.is_alive().await, "{}", routes[i]);
        }
    })
    .await;
}

async fn c2_a_session_that_expires_under_a_request_is_not_revived(place: Place) {
    let probe = place.start(&["--idle", "0.3"]);
    let (one, two) = (probe.visitor_with_session().await, probe.visitor_with_session().await);
    let (old_one, old_two) = (one.stolen(), two.stolen());
    let buffered = one.start("/slow-set/k/1?ms=350").await;
    let awaited = two.start("/slow-put/k/1?ms=350").await;
    buffered.response().await.without_cookie().ok();
    awaited.response().await.without_cookie().refused(410, "gone");
    assert!(!old_one.is_alive().await);
    assert!(!old_two.is_alive().await);
}
