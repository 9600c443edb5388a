//! Changes of id: by login, on request, and by age.

use std::collections::BTreeSet;

use crate::harness::{
    Place, Probe, Request, Visitor, across_processes, everywhere_and_side_by_side, in_parallel, sleep_ms,
};

everywhere_and_side_by_side! {
    s29_a_login_changes_the_id_and_the_old_one_gives_nothing,
    s29_an_id_that_was_planted_before_the_login_stays_anonymous,
    s30_a_renewed_id_works_on_for_its_grace_and_is_told_the_new_one,
    s30_whatever_changes_the_session_ends_the_grace,
    s30_a_request_in_its_grace_does_not_overwrite_a_newer_cookie,
    s31_in_its_grace_an_old_id_never_reaches_a_higher_privilege,
    s32_the_use_of_an_id_past_its_grace_is_noticed,
    s33_parallel_requests_on_a_due_id_make_one_successor,
    s34_a_late_writer_does_not_recreate_the_old_id,
    s35_the_absolute_deadline_survives_rotation,
    s38_a_renewal_does_not_restart_the_absolute_deadline,
    a_copy_that_is_kept_on_purpose_is_independent,
    the_old_id_of_a_user_cannot_be_kept,
    login_over_another_user_starts_empty_and_over_nobody_keeps_the_data,
}

across_processes! {
    s30_the_grace_holds_on_every_node,
}

async fn s29_a_login_changes_the_id_and_the_old_one_gives_nothing(place: Place) {
    let probe = place.start(&[]);
    for route in ["/login/ada", "/bind/ada", "/login-then-fail/ada"] {
        let visitor = probe.visitor_with_session().await;
        let before = visitor.stolen();
        visitor.get(route).await;
        assert_ne!(visitor.cookie(), before.cookie());
        assert_eq!(visitor.get("/whoami").await.ok(), "\"ada\"");
        assert_eq!(before.get("/whoami").await.status, 404);
        assert!(!before.is_alive().await, "{route}");
    }
}

async fn s29_an_id_that_was_planted_before_the_login_stays_anonymous(place: Place) {
    let probe = place.start(&[]);
    // The attacker has a session of their own, and the victim's browser is made to carry its id.
    let attacker = probe.visitor_with_session().await;
    let victim = attacker.stolen();
    victim.get("/login/ada").await.ok();
    assert_eq!(attacker.get("/whoami").await.status, 404);
    attacker.get("/set/address/attacker").await.ok();
    assert_eq!(victim.get("/get/address").await.status, 404);
    assert_eq!(victim.get("/whoami").await.ok(), "\"ada\"");
}

/// Ids are due after 300 ms and work on for 280.
const RENEWING: [&str; 4] = ["--renewal", "0.3", "--grace", "0.28"];

/// Flags for renewal, after how many milliseconds an id is due, and when its grace is over. For what has much to ask in one
/// grace: a busy machine takes its time where a server has to answer as well, or each file is flushed by itself.
fn renewing(place: Place) -> ([&'static str; 4], u64, u64) {
    match place.is_served() || place.store == "file" {
        false => (RENEWING, 310, 290),
        true => (["--renewal", "1.5", "--grace", "1.4"], 1510, 1410),
    }
}

/// A visitor whose id was just renewed, and one that still holds the old id, in its grace.
async fn renewed(probe: &Probe) -> (Visitor, Visitor) {
    renewed_after(probe, 310).await
}

async fn renewed_after(probe: &Probe, ms: u64) -> (Visitor, Visitor) {
    let visitor = probe.visitor_with_session().await;
    let old = visitor.stolen();
    sleep_ms(ms).await;
    visitor.get("/get/seed").await.ok();
    assert_ne!(visitor.cookie(), old.cookie(), "the id was due");
    (visitor, old)
}

async fn s30_a_renewed_id_works_on_for_its_grace_and_is_told_the_new_one(place: Place) {
    let (flags, due, grace) = renewing(place);
    for mode in ["merge", "exclusive"] {
        let probe = place.start(&[&flags[..], &["--mode", mode]].concat());
        let (visitor, old) = renewed_after(&probe, due).await;
        let told = old.stolen().get("/get/seed").await;
        assert_eq!(told.number(), 1);
        assert_eq!(told.set_cookie().map(|c| c.pair()), visitor.cookie());
        // It writes to the same session, too.
        for (route, key) in [("/set/a/1", "a"), ("/put/b/1", "b"), ("/incr/c", "c"), ("/lock-count/d", "d")] {
            let response = old.stolen().get(route).await;
            response.ok();
            assert_eq!(response.set_cookie().map(|c| c.pair()), visitor.cookie(), "{route}");
            assert_eq!(visitor.stolen().get(&format!("/get/{key}")).await.number(), 1);
        }
        sleep_ms(grace).await;
        let past = old.get("/state").await;
        assert_eq!(past.without_cookie().json()["present"], false);
    }
}

async fn s30_whatever_changes_the_session_ends_the_grace(place: Place) {
    let (flags, due, _) = renewing(place);
    let probe = std::sync::Arc::new(place.start(&flags));
    let routes = ["/login/ada", "/bind/eve", "/regenerate", "/destroy", "/revoke-user/bob"];
    in_parallel(routes.len(), routes.len(), |i| {
        let probe = std::sync::Arc::clone(&probe);
        async move {
            let visitor = if routes[i].starts_with("/revoke") {
                probe.logged_in("bob").await
            } else {
                probe.visitor_with_session().await
            };
            let old = visitor.stolen();
            sleep_ms(due).await;
            visitor.get("/state").await.ok();
            assert_ne!(visitor.cookie(), old.cookie(), "the id was due");
            assert!(old.stolen().is_alive().await, "it is in its grace");
            visitor.get(routes[i]).await.ok();
            let after = old.get("/state").await;
            assert_eq!(after.without_cookie().json()["present"], false, "{}", routes[i]);
        }
    })
    .await;
}

async fn s30_a_request_in_its_grace_does_not_overwrite_a_newer_cookie(place: Place) {
    let probe = place.start(&RENEWING);
    for change in ["/login/ada", "/regenerate", "/destroy"] {
        let (visitor, old) = renewed(&probe).await;
        // They were told the successor's id when they opened the session; by the time they answer it is dead.
        let slow = [
            old.start("/slow-set/k/1?ms=250").await,
            old.start("/slow-put/k/1?ms=250").await,
            old.start("/count/n?ms=250").await,
        ];
        visitor.get(change).await.ok();
        for slow in slow {
            slow.response().await.without_cookie();
        }
        assert_eq!(visitor.is_alive().await, change != "/destroy");
    }
}

async fn s31_in_its_grace_an_old_id_never_reaches_a_higher_privilege(place: Place) {
    let probe = place.start(&RENEWING);
    let (visitor, old) = renewed(&probe).await;
    visitor.get("/login/admin").await.ok();
    assert_eq!(old.get("/whoami").await.without_cookie().status, 404);
    assert_eq!(old.get("/set/planted/1").await.status, 200);
    assert_eq!(visitor.get("/get/planted").await.status, 404);
}

async fn s32_the_use_of_an_id_past_its_grace_is_noticed(place: Place) {
    let probe = place.start(&RENEWING);
    let (_, old) = renewed(&probe).await;
    assert_eq!(probe.counter("obsolete_ids").await, 0);
    sleep_ms(290).await;
    // One request each: each is counted.
    let shows = async |visitor: &Visitor| visitor.get("/state").await.json()["present"] == true;
    assert!(!shows(&old).await);
    assert_eq!(probe.counter("obsolete_ids").await, 1);
    // An id that was replaced on request has no grace.
    let visitor = probe.visitor_with_session().await;
    let replaced = visitor.stolen();
    visitor.get("/regenerate").await.ok();
    assert!(!shows(&replaced).await);
    assert_eq!(probe.counter("obsolete_ids").await, 2);
}

async fn s33_parallel_requests_on_a_due_id_make_one_successor(place: Place) {
    let (flags, due, _) = renewing(place);
    let probe = place.start(&flags);
    let visitor = probe.visitor_with_session().await;
    sleep_ms(due).await;
    let told = ask_all(&visitor, &["/get/seed", "/set/k/1", "/state", "/flash/hi", "/all"]).await;
    assert_eq!(told.len(), 1, "not one successor");
    assert_eq!(probe.counter("sessions_renewed").await, 1);
    let successor = probe.presenting(told.first().map(String::as_str));
    assert_eq!(successor.get("/get/k").await.number(), 1);

    // A renewal waits for nobody: where the session is locked all the time, a later request makes it.
    let visitor = probe.visitor_with_session().await;
    sleep_ms(due).await;
    let mut told = ask_all(&visitor, &["/incr/n", "/lock-count/m", "/get/seed", "/incr/n", "/incr/n"]).await;
    told.extend(visitor.get("/state").await.set_cookie().map(|c| c.pair()));
    assert_eq!(told.len(), 1, "not one successor");
    assert_eq!(probe.counter("sessions_renewed").await, 2);
    let successor = probe.presenting(told.first().map(String::as_str));
    assert_eq!(successor.get("/get/n").await.number(), 12);
    assert_eq!(successor.get("/get/m").await.number(), 4);
}

/// Twenty requests at once with the id that the visitor holds now; the cookies that came back.
async fn ask_all(visitor: &Visitor, routes: &'static [&'static str]) -> BTreeSet<String> {
    let told = in_parallel(20, 20, |i| {
        let visitor = visitor.stolen();
        async move {
            let response = visitor.get(routes[i % routes.len()]).await;
            response.ok();
            response.set_cookie().map(|c| c.pair())
        }
    });
    told.await.into_iter().flatten().collect()
}

async fn s34_a_late_writer_does_not_recreate_the_old_id(place: Place) {
    let probe = place.start(&RENEWING);
    let visitor = probe.visitor_with_session().await;
    let old = visitor.stolen();
    sleep_ms(200).await;
    // They begin on the old id, before it is due, and end after the grace of the renewal that comes in between.
    let late_set = old.start("/slow-set/buffered/1?ms=500").await;
    let late_put = old.start("/slow-put/awaited/1?ms=500").await;
    sleep_ms(60).await;
    visitor.get("/get/seed").await.ok();
    assert_ne!(visitor.cookie(), old.cookie());
    late_set.response().await.without_cookie().ok();
    late_put.response().await.without_cookie().refused(410, "gone");
    assert!(!old.is_alive().await);
    assert_eq!(visitor.get("/get/buffered").await.number(), 1);
    assert_eq!(visitor.get("/get/awaited").await.status, 404);
}

async fn s38_a_renewal_does_not_restart_the_absolute_deadline(place: Place) {
    let probe = place.start(&[&RENEWING[..], &["--absolute", "100"]].concat());
    let (visitor, _) = renewed(&probe).await;
    let left = visitor.get("/state").await.json()["absolute_left"].as_f64().unwrap();
    assert!(left < 99.75, "{left}");
}

async fn s35_the_absolute_deadline_survives_rotation(place: Place) {
    let probe = place.start(&["--absolute", "0.7", "--renewal", "0.1", "--grace", "0.05"]);
    let visitor = probe.visitor_with_session().await;
    let mut ids = BTreeSet::new();
    for route in ["/state", "/regenerate", "/bind/ada", "/state"] {
        sleep_ms(110).await;
        visitor.get(route).await.ok();
        ids.extend(visitor.cookie());
    }
    assert_eq!(ids.len(), 4, "by age and by request, it rotated each time");
    sleep_ms(290).await;
    assert!(!visitor.is_alive().await);
}

async fn a_copy_that_is_kept_on_purpose_is_independent(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let old = visitor.stolen();
    visitor.get("/regenerate?keep_old_ms=200").await.ok();
    old.get("/set/seed/2").await.without_cookie().ok();
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
    assert_eq!(old.get("/get/seed").await.number(), 2);
    sleep_ms(210).await;
    assert!(!old.is_alive().await);
    assert!(visitor.is_alive().await);
}

async fn the_old_id_of_a_user_cannot_be_kept(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    let response = visitor.get("/regenerate?keep_old_ms=1000").await;
    response.refused(500, "config");
    assert_eq!(visitor.get("/whoami").await.ok(), "\"ada\"");
}

async fn login_over_another_user_starts_empty_and_over_nobody_keeps_the_data(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    visitor.get("/login/ada").await.ok();
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
    visitor.get("/login/ada").await.ok();
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
    visitor.get("/login/eve").await.ok();
    assert_eq!(visitor.get("/all").await.json(), serde_json::json!({}));
    assert_eq!(visitor.get("/whoami").await.ok(), "\"eve\"");
}

async fn s30_the_grace_holds_on_every_node(place: Place) {
    let here = place.start(&RENEWING);
    let there = here.start_again(&RENEWING);
    let (visitor, old) = renewed(&here).await;
    let told = there.ask(Request::get("/get/seed").header("cookie", old.cookie().unwrap())).await;
    assert_eq!(told.number(), 1);
    assert_eq!(told.set_cookie().map(|c| c.pair()), visitor.cookie());
}
