//! Changes of id: by login, on request, and by age.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::harness::{
    Place, Probe, Request, Response, Since, Visitor, across_processes, everywhere_and_side_by_side,
    given_time, in_parallel, seconds, sleep_ms,
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

/// How long ids last before they are due, and how much of that an old one works on: so many milliseconds, of a case that is given them.
#[derive(Clone, Copy)]
struct Renewing {
    due: u64,
    grace: u64,
}

impl Renewing {
    /// Where an id lasts for so long.
    fn after(ms: u64) -> Self {
        Renewing { due: ms, grace: ms * 14 / 15 }
    }

    fn start(self, place: Place, flags: &[&str]) -> Probe {
        let (due, grace) = (seconds(self.due), seconds(self.grace));
        place.start(&[&["--renewal", &due, "--grace", &grace], flags].concat())
    }

    /// Another process over the same store.
    fn start_again(self, here: &Probe) -> Probe {
        here.start_again(&["--renewal", &seconds(self.due), "--grace", &seconds(self.grace)])
    }

    /// A visitor whose id was just renewed, one that still holds the old id, in its grace, and from when on that is so.
    async fn renewed(self, probe: &Probe) -> (Visitor, Visitor, Since) {
        let visitor = probe.visitor_with_session().await;
        let old = visitor.stolen();
        sleep_ms(self.due + 10).await;
        let since = Since::now();
        visitor.get("/get/seed").await.ok();
        assert_ne!(visitor.cookie(), old.cookie(), "the id was due");
        (visitor, old, since)
    }
}

/// For what has little to ask while an id is in its grace.
const SOON: u64 = 300;

/// For what has much to ask: a machine takes its time where a server has to answer as well, or each file is flushed by itself.
fn later(place: Place) -> u64 {
    match place.is_served() || place.store == "file" {
        false => SOON,
        true => 1_500,
    }
}

async fn s30_a_renewed_id_works_on_for_its_grace_and_is_told_the_new_one(place: Place) {
    for mode in ["merge", "exclusive"] {
        given_time(later(place), async |ms| {
            let renewing = Renewing::after(ms);
            let probe = renewing.start(place, &["--mode", mode]);
            let (visitor, old, since) = renewing.renewed(&probe).await;
            let told = old.stolen().get("/get/seed").await;
            since.within(renewing.grace)?;
            assert_eq!(told.number(), 1);
            assert_eq!(told.set_cookie().map(|c| c.pair()), visitor.cookie());
            // It writes to the same session, too.
            for (route, key) in
                [("/set/a/1", "a"), ("/put/b/1", "b"), ("/incr/c", "c"), ("/lock-count/d", "d")]
            {
                let response = old.stolen().get(route).await;
                let stored = visitor.stolen().get(&format!("/get/{key}")).await;
                since.within(renewing.grace)?;
                response.ok();
                assert_eq!(response.set_cookie().map(|c| c.pair()), visitor.cookie(), "{route}");
                assert_eq!(stored.number(), 1);
            }
            sleep_ms(renewing.grace + 10).await;
            let past = old.get("/state").await;
            assert_eq!(past.without_cookie().json()["present"], false);
            Ok(())
        })
        .await;
    }
}

async fn s30_whatever_changes_the_session_ends_the_grace(place: Place) {
    given_time(later(place), async |ms| {
        let renewing = Renewing::after(ms);
        let probe = Arc::new(renewing.start(place, &[]));
        let routes = ["/login/ada", "/bind/eve", "/regenerate", "/destroy", "/revoke-user/bob"];
        let all = in_parallel(routes.len(), routes.len(), |i| {
            let probe = Arc::clone(&probe);
            async move {
                let visitor = if routes[i].starts_with("/revoke") {
                    probe.logged_in("bob").await
                } else {
                    probe.visitor_with_session().await
                };
                let old = visitor.stolen();
                sleep_ms(renewing.due + 10).await;
                let since = Since::now();
                visitor.get("/state").await.ok();
                assert_ne!(visitor.cookie(), old.cookie(), "the id was due");
                let in_its_grace = old.stolen().is_alive().await;
                visitor.get(routes[i]).await.ok();
                let after = old.get("/state").await;
                // It would still be in its grace but for that change.
                since.within(renewing.grace)?;
                assert!(in_its_grace, "{}", routes[i]);
                assert_eq!(after.without_cookie().json()["present"], false, "{}", routes[i]);
                Ok(())
            }
        });
        all.await.into_iter().collect()
    })
    .await;
}

async fn s30_a_request_in_its_grace_does_not_overwrite_a_newer_cookie(place: Place) {
    for change in ["/login/ada", "/regenerate", "/destroy"] {
        given_time(SOON, async |ms| {
            let renewing = Renewing::after(ms);
            let probe = renewing.start(place, &[]);
            let (visitor, old, since) = renewing.renewed(&probe).await;
            // They were told the successor's id when they opened the session; by the time they answer it is dead.
            let slow = [
                old.hold("/slow-set/k/1").await,
                old.hold("/slow-put/k/1").await,
                old.hold("/count/n").await,
            ];
            since.within(renewing.grace)?;
            visitor.get(change).await.ok();
            for slow in slow {
                slow.response().await.without_cookie();
            }
            assert_eq!(visitor.is_alive().await, change != "/destroy");
            Ok(())
        })
        .await;
    }
}

async fn s31_in_its_grace_an_old_id_never_reaches_a_higher_privilege(place: Place) {
    given_time(SOON, async |ms| {
        let renewing = Renewing::after(ms);
        let probe = renewing.start(place, &[]);
        let (visitor, old, since) = renewing.renewed(&probe).await;
        visitor.get("/login/admin").await.ok();
        let told = old.get("/whoami").await;
        since.within(renewing.grace)?;
        assert_eq!(told.without_cookie().status, 404);
        assert_eq!(old.get("/set/planted/1").await.status, 200);
        assert_eq!(visitor.get("/get/planted").await.status, 404);
        Ok(())
    })
    .await;
}

async fn s32_the_use_of_an_id_past_its_grace_is_noticed(place: Place) {
    let renewing = Renewing::after(SOON);
    let probe = renewing.start(place, &[]);
    let (_, old, _) = renewing.renewed(&probe).await;
    assert_eq!(probe.counter("obsolete_ids").await, 0);
    sleep_ms(renewing.grace + 10).await;
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
    given_time(later(place), async |ms| {
        let renewing = Renewing::after(ms);
        let probe = renewing.start(place, &[]);
        let visitor = probe.visitor_with_session().await;
        sleep_ms(renewing.due + 10).await;
        let since = Since::now();
        let told = ask_all(&visitor, &["/get/seed", "/set/k/1", "/state", "/flash/hi", "/all"]).await;
        // Each in the old one's grace, and before the new one is due.
        since.within(renewing.grace)?;
        let told = cookies(&told);
        assert_eq!(told.len(), 1, "not one successor");
        assert_eq!(probe.counter("sessions_renewed").await, 1);
        let successor = probe.presenting(told.first().map(String::as_str));
        assert_eq!(successor.stolen().get("/get/k").await.number(), 1);

        // A renewal waits for nobody: where the session is locked all the time, a later request makes it.
        let visitor = probe.visitor_with_session().await;
        let before = probe.counter("sessions_renewed").await;
        sleep_ms(renewing.due + 10).await;
        let since = Since::now();
        let mut told =
            ask_all(&visitor, &["/incr/n", "/lock-count/m", "/get/seed", "/incr/n", "/incr/n"]).await;
        told.push(visitor.get("/state").await);
        since.within(renewing.grace)?;
        let told = cookies(&told);
        assert_eq!(told.len(), 1, "not one successor");
        assert_eq!(probe.counter("sessions_renewed").await, before + 1);
        let successor = probe.presenting(told.first().map(String::as_str));
        assert_eq!(successor.get("/get/n").await.number(), 12);
        assert_eq!(successor.get("/get/m").await.number(), 4);
        Ok(())
    })
    .await;
}

/// Twenty requests at once with the id that the visitor holds now.
async fn ask_all(visitor: &Visitor, routes: &'static [&'static str]) -> Vec<Response> {
    in_parallel(20, 20, |i| {
        let visitor = visitor.stolen();
        async move { visitor.get(routes[i % routes.len()]).await }
    })
    .await
}

/// Those that came back with responses, all of which went well.
fn cookies(responses: &[Response]) -> BTreeSet<String> {
    for response in responses {
        response.ok();
    }
    responses.iter().filter_map(Response::set_cookie).map(|c| c.pair()).collect()
}

async fn s34_a_late_writer_does_not_recreate_the_old_id(place: Place) {
    given_time(SOON, async |ms| {
        let renewing = Renewing::after(ms);
        let probe = renewing.start(place, &[]);
        let since = Since::now();
        let visitor = probe.visitor_with_session().await;
        let old = visitor.stolen();
        // They begin on the old id, before it is due, and end after the grace of the renewal that comes in between.
        let late_set = old.hold("/slow-set/buffered/1").await;
        let late_put = old.hold("/slow-put/awaited/1").await;
        since.within(renewing.due)?;
        sleep_ms(renewing.due + 10).await;
        visitor.get("/get/seed").await.ok();
        assert_ne!(visitor.cookie(), old.cookie());
        sleep_ms(renewing.grace + 10).await;
        late_set.response().await.without_cookie().ok();
        late_put.response().await.without_cookie().refused(410, "gone");
        assert!(!old.is_alive().await);
        assert_eq!(visitor.get("/get/buffered").await.number(), 1);
        assert_eq!(visitor.get("/get/awaited").await.status, 404);
        Ok(())
    })
    .await;
}

async fn s38_a_renewal_does_not_restart_the_absolute_deadline(place: Place) {
    let renewing = Renewing::after(SOON);
    let probe = renewing.start(place, &["--absolute", "100"]);
    let (visitor, ..) = renewing.renewed(&probe).await;
    let left = visitor.get("/state").await.json()["absolute_left"].as_f64().unwrap();
    assert!(left < 99.75, "{left}");
}

async fn s35_the_absolute_deadline_survives_rotation(place: Place) {
    given_time(100, async |ms| {
        let absolute = 7 * ms;
        let ages = ["--absolute", &seconds(absolute), "--renewal", &seconds(ms), "--grace", &seconds(ms / 2)];
        let probe = place.start(&ages);
        let since = Since::now();
        let visitor = probe.visitor_with_session().await;
        let mut ids = BTreeSet::new();
        for route in ["/state", "/regenerate", "/bind/ada", "/state"] {
            sleep_ms(ms + 10).await;
            let answer = visitor.get(route).await;
            since.within(absolute)?;
            answer.ok();
            ids.extend(visitor.cookie());
        }
        assert_eq!(ids.len(), 4, "by age and by request, it rotated each time");
        sleep_ms(3 * ms).await;
        assert!(!visitor.is_alive().await);
        Ok(())
    })
    .await;
}

async fn a_copy_that_is_kept_on_purpose_is_independent(place: Place) {
    let probe = place.start(&[]);
    given_time(200, async |kept| {
        let visitor = probe.visitor_with_session().await;
        let old = visitor.stolen();
        let since = Since::now();
        visitor.get(&format!("/regenerate?keep_old_ms={kept}")).await.ok();
        let written = old.get("/set/seed/2").await;
        let (new, read) = (visitor.get("/get/seed").await, old.get("/get/seed").await);
        since.within(kept)?;
        written.without_cookie().ok();
        assert_eq!((new.number(), read.number()), (1, 2));
        sleep_ms(kept + 10).await;
        assert!(!old.is_alive().await);
        assert!(visitor.is_alive().await);
        Ok(())
    })
    .await;
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
    given_time(SOON, async |ms| {
        let renewing = Renewing::after(ms);
        let here = renewing.start(place, &[]);
        let there = renewing.start_again(&here);
        let (visitor, old, since) = renewing.renewed(&here).await;
        let told = there.ask(Request::get("/get/seed").header("cookie", old.cookie().unwrap())).await;
        since.within(renewing.grace)?;
        assert_eq!(told.number(), 1);
        assert_eq!(told.set_cookie().map(|c| c.pair()), visitor.cookie());
        Ok(())
    })
    .await;
}
