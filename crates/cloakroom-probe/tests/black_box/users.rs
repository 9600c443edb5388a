//! A user's sessions: listed, ended, capped.

use crate::harness::{
    Place, Probe, Since, Visitor, across_processes, everywhere_and_side_by_side, given_time, in_parallel,
    seconds, sleep_ms,
};

everywhere_and_side_by_side! {
    s42_a_logout_deletes_the_record_and_the_cookie,
    s45_clear_site_data_can_be_switched_on,
    s46_a_user_sees_their_sessions_and_ends_one_the_others_or_all,
    s46_nobody_ends_a_session_of_somebody_else,
    s47_a_listing_never_shows_a_dead_session,
    s48_the_cap_holds_under_parallel_logins,
    s48_a_login_over_the_cap_ends_the_oldest,
}

across_processes! {
    s49_a_revocation_is_seen_by_every_node_at_once,
}

async fn devices(visitor: &Visitor) -> Vec<serde_json::Value> {
    visitor.get("/devices").await.json().as_array().unwrap().clone()
}

async fn three(probe: &Probe, user: &str) -> [Visitor; 3] {
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(probe.logged_in(user).await);
        // Each has a moment of its own.
        sleep_ms(3).await;
    }
    all.try_into().ok().unwrap()
}

async fn s42_a_logout_deletes_the_record_and_the_cookie(place: Place) {
    let probe = place.start(&[]);
    for route in ["/destroy", "/logout"] {
        let visitor = probe.logged_in("ada").await;
        visitor.get("/set/secret/1").await.ok();
        let replayed = visitor.stolen();
        assert!(visitor.get(route).await.set_cookie().unwrap().deletes());
        assert_eq!(visitor.cookie(), None);
        assert_eq!(replayed.get("/whoami").await.status, 404);
        assert_eq!(replayed.get("/get/secret").await.status, 404);
        assert!(!replayed.is_alive().await);
    }
}

async fn s45_clear_site_data_can_be_switched_on(place: Place) {
    let probe = place.start(&["--clear-site-data"]);
    let visitor = probe.logged_in("ada").await;
    assert_eq!(visitor.get("/whoami").await.header("clear-site-data"), None);
    let stolen = visitor.stolen();
    let gone = visitor.get("/destroy").await;
    assert_eq!(gone.header("clear-site-data"), Some(r#""cache", "cookies", "storage""#));
    assert_eq!(stolen.get("/destroy").await.header("clear-site-data"), None, "it ended nothing");
    let without = place.start(&[]);
    assert_eq!(without.logged_in("ada").await.get("/destroy").await.header("clear-site-data"), None);
}

async fn s46_a_user_sees_their_sessions_and_ends_one_the_others_or_all(place: Place) {
    let probe = place.start(&[]);
    let [one, two, three] = three(&probe, "ada").await;
    let other = probe.logged_in("eve").await;
    let seen = devices(&two).await;
    assert_eq!(seen.len(), 3);
    let current: Vec<bool> = seen.iter().map(|d| d["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [false, true, false], "oldest first, and which one asks");
    for device in &seen {
        assert!(device["created"].as_f64().unwrap() > 1e9);
        assert!(device["last_seen"].as_f64() >= device["created"].as_f64());
        let handle = device["handle"].as_str().unwrap();
        for visitor in [&one, &two, &three] {
            assert!(!visitor.cookie().unwrap().contains(handle), "a handle is no id");
            let opened = Visitor::presenting(probe.address, &format!("id={handle}"));
            assert!(!opened.is_alive().await);
        }
    }

    let first = seen[0]["handle"].as_str().unwrap();
    assert_eq!(two.get(&format!("/revoke/{first}")).await.number(), 1);
    assert!(!one.is_alive().await);
    assert_eq!(two.get(&format!("/revoke/{first}")).await.number(), 0, "it is gone");
    assert_eq!(two.get("/revoke-others").await.number(), 1);
    assert!(!three.is_alive().await);
    assert!(two.is_alive().await);
    assert_eq!(probe.get("/revoke-user/ada").await.without_cookie().number(), 1);
    assert!(!two.is_alive().await);
    assert!(other.is_alive().await);
}

async fn s46_nobody_ends_a_session_of_somebody_else(place: Place) {
    let probe = place.start(&[]);
    let (ada, eve) = (probe.logged_in("ada").await, probe.logged_in("eve").await);
    let handle = devices(&ada).await[0]["handle"].as_str().unwrap().to_owned();
    assert_eq!(eve.get(&format!("/revoke/{handle}")).await.number(), 0);
    let nobody = probe.visitor_with_session().await;
    assert_eq!(nobody.get(&format!("/revoke/{handle}")).await.number(), 0);
    assert_eq!(nobody.get("/revoke-others").await.number(), 0);
    assert_eq!(nobody.get("/devices").await.json(), serde_json::json!([]));
    assert!(ada.is_alive().await);
}

async fn s47_a_listing_never_shows_a_dead_session(place: Place) {
    given_time(100, async |ms| {
        let lasts = 5 * ms;
        let probe = place.start(&["--idle", &seconds(lasts)]);
        let since = Since::now();
        let idle = probe.logged_in("ada").await;
        let logged_in = Since::now();
        logged_in.sleep_until(3 * ms).await;
        let used = Since::now();
        let [gone, moved, here] = three(&probe, "ada").await;
        let all = devices(&here).await.len();
        since.within(lasts)?;
        assert_eq!(all, 4);
        gone.get("/destroy").await.ok();
        moved.get("/regenerate").await.ok();
        logged_in.sleep_until(lasts + ms / 3).await;
        let used_again = Since::now();
        for visitor in [&moved, &here] {
            let answer = visitor.get("/incr/n").await;
            used.within(lasts)?;
            answer.ok();
        }
        // The first has expired, though nobody has removed it yet; the moved one is one, not two.
        let left = devices(&here).await.len();
        let idle = idle.is_alive().await;
        moved.get("/login/eve").await.ok();
        let without_the_moved = devices(&here).await.len();
        used_again.within(lasts)?;
        assert_eq!((left, idle, without_the_moved), (2, false, 1));
        Ok(())
    })
    .await;
}

async fn s48_the_cap_holds_under_parallel_logins(place: Place) {
    let probe = place.start(&["--max-sessions-per-user", "3"]);
    let visitors = in_parallel(20, 20, |_| {
        let visitor = probe.visitor();
        async move {
            visitor.get("/login/ada").await.ok();
            visitor
        }
    })
    .await;
    let mut alive = 0;
    for visitor in &visitors {
        alive += usize::from(visitor.is_alive().await);
    }
    assert_eq!(alive, 3);
    assert_eq!(probe.counter("evicted").await, 17);
}

async fn s48_a_login_over_the_cap_ends_the_oldest(place: Place) {
    let probe = place.start(&["--max-sessions-per-user", "2"]);
    let [one, two, three] = three(&probe, "ada").await;
    assert!(!one.is_alive().await);
    assert!(two.is_alive().await && three.is_alive().await);
    // A change of id is no second session.
    two.get("/regenerate").await.ok();
    two.get("/login/ada").await.ok();
    assert!(two.is_alive().await && three.is_alive().await);
}

async fn s49_a_revocation_is_seen_by_every_node_at_once(place: Place) {
    let here = place.start(&[]);
    let there = here.start_again(&[]);
    let visitor = here.logged_in("ada").await;
    let cookie = visitor.cookie().unwrap();
    let elsewhere = Visitor::presenting(there.address, &cookie);
    assert!(elsewhere.is_alive().await);
    // A request is under way on the other node when this one ends the session.
    let late = elsewhere.hold("/slow-put/k/1").await;
    assert_eq!(here.get("/revoke-user/ada").await.number(), 1);
    place.shows(async || !elsewhere.is_alive().await).await;
    late.response().await.without_cookie().refused(410, "gone");
    assert!(!elsewhere.is_alive().await && !visitor.is_alive().await);
}
