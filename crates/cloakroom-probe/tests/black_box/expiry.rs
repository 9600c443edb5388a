//! Deadlines, judged by the server.

use std::sync::Arc;

use crate::harness::{
    Place, Since, Visitor, everywhere_and_side_by_side, given_time, in_parallel, seconds, sleep_ms,
};

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
    given_time(800, async |lasts| {
        let probe = place.start(&["--idle", &seconds(lasts), "--cookie-lifetime", "86400"]);
        let since = Since::now();
        let visitor = probe.visitor_with_session().await;
        let alive = visitor.is_alive().await;
        since.within(lasts)?;
        assert!(alive);
        sleep_ms(lasts + 50).await;
        let response = visitor.get("/state").await;
        assert_eq!(response.without_cookie().json()["present"], false);
        // Redis removes it by itself, at that very moment: nobody is there to count it. What is beside PHP's value stays a while.
        let counted = u64::from(!place.is_served() || place.php.is_some());
        assert_eq!(probe.counter("sessions_expired").await, counted);
        // Nor can it be written to any more.
        let cookie = visitor.cookie();
        visitor.get("/set/k/1").await.ok();
        assert_ne!(visitor.cookie(), cookie);
        Ok(())
    })
    .await;
}

async fn s37_a_busy_session_ends_at_its_absolute_deadline(place: Place) {
    given_time(250, async |ms| {
        let (idle, absolute) = (5 * ms, 8 * ms);
        let probe = place.start(&["--idle", &seconds(idle), "--absolute", &seconds(absolute)]);
        let since = Since::now();
        let visitor = probe.logged_in("ada").await;
        let logged_in = Since::now();
        for _ in 0..5 {
            sleep_ms(ms).await;
            let answer = visitor.get("/incr/n").await;
            since.within(absolute)?;
            answer.without_cookie().ok();
        }
        let used = Since::now();
        logged_in.sleep_until(absolute + 50).await;
        let alive = visitor.is_alive().await;
        // It would still be there but for that deadline.
        used.within(idle)?;
        assert!(!alive, "alive past its absolute deadline");
        Ok(())
    })
    .await;
}

async fn s38_login_restarts_both_deadlines_and_activity_the_idle_one(place: Place) {
    let probe = place.start(&["--idle", "50", "--absolute", "100"]);
    let visitor = probe.visitor_with_session().await;
    // Longer than two writes in a row may be one from the other to be one visit.
    sleep_ms(1_000).await;
    assert!(left(&visitor, "idle_left").await < 49.05, "looking does not write while it need not");
    // What was restarted since then has that much left, and what was not at least a second less.
    let restarted = async |which: &str, of: f64, since: Since| {
        let left = left(&visitor, which).await;
        let least = of - since.seconds() - 0.05;
        assert!(left > least, "{which}: {left} left, {least} at least if it was restarted");
    };
    let since = Since::now();
    visitor.get("/incr/n").await.ok();
    restarted("idle_left", 50.0, since).await;
    assert!(left(&visitor, "absolute_left").await < 99.05);
    visitor.get("/regenerate").await.ok();
    visitor.get("/bind/ada").await.ok();
    assert!(left(&visitor, "absolute_left").await < 99.05);
    let since = Since::now();
    visitor.get("/login/ada").await.ok();
    restarted("absolute_left", 100.0, since).await;
    restarted("idle_left", 50.0, since).await;
}

async fn s39_background_requests_are_no_sign_of_life(place: Place) {
    given_time(100, async |ms| {
        let lasts = 4 * ms;
        let probe = place.start(&["--idle", &seconds(lasts)]);
        let polled = probe.visitor_with_session().await;
        let mut since = Since::now();
        let used = probe.visitor_with_session().await;
        for _ in 0..5 {
            sleep_ms(ms).await;
            polled.get("/background").await.ok();
            let again = Since::now();
            let answer = used.get("/get/seed").await;
            since.within(lasts)?;
            answer.ok();
            since = again;
        }
        let alive = used.is_alive().await;
        since.within(lasts)?;
        assert!(alive);
        assert!(!polled.is_alive().await);
        Ok(())
    })
    .await;
}

async fn x07_m06_reading_and_writing_renew_the_time_to_live(place: Place) {
    given_time(300, async |ms| {
        let lasts = 2 * ms;
        let probe = Arc::new(place.start(&["--idle", &seconds(lasts)]));
        let routes = ["/get/seed", "/set/seed/1", "/incr/n", "/read-only/seed", "/lock-count/m"];
        let all = in_parallel(routes.len(), routes.len(), |i| {
            let probe = Arc::clone(&probe);
            async move {
                let since = Since::now();
                let visitor = probe.visitor_with_session().await;
                since.sleep_until(ms * 7 / 6).await;
                let used = Since::now();
                let answer = visitor.get(routes[i]).await;
                since.within(lasts)?;
                answer.ok();
                sleep_ms(ms * 7 / 6).await;
                let alive = visitor.is_alive().await;
                used.within(lasts)?;
                assert!(alive, "{}", routes[i]);
                Ok(())
            }
        });
        all.await.into_iter().collect()
    })
    .await;
}

async fn c2_a_session_that_expires_under_a_request_is_not_revived(place: Place) {
    given_time(300, async |lasts| {
        let probe = place.start(&["--idle", &seconds(lasts)]);
        let since = Since::now();
        let (one, two) = (probe.visitor_with_session().await, probe.visitor_with_session().await);
        let (old_one, old_two) = (one.stolen(), two.stolen());
        let buffered = one.hold("/slow-set/k/1").await;
        let awaited = two.hold("/slow-put/k/1").await;
        since.within(lasts)?;
        sleep_ms(lasts + 50).await;
        buffered.response().await.without_cookie().ok();
        awaited.response().await.without_cookie().refused(410, "gone");
        assert!(!old_one.is_alive().await);
        assert!(!old_two.is_alive().await);
        Ok(())
    })
    .await;
}
