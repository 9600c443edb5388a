//! Defects that other session libraries have or had, each as the visitor meets it.
//!
//! Three more need a store that fails: `crates/cloakroom/tests/peer_defects.rs`.

use crate::harness::{
    Place, Request, Since, everywhere, given_time, in_parallel, seconds, side_by_side, sleep_ms,
};

everywhere! {
    lost_increment,
    logout_undone_by_a_writer_in_flight,
    logout_undone_by_a_reader_in_flight,
    logout_undone_by_a_rotator_in_flight,
    clear_before_load_adopts_a_cookie_id,
    rotate_followed_by_a_5xx_destroys_the_session,
    remove_not_persisted,
    rotated_cookie_overwritten_by_a_slower_response,
    removal_cookie_without_its_attributes,
    cookie_on_every_response,
}

side_by_side! {
    lost_increment,
    logout_undone_by_a_writer_in_flight,
    logout_undone_by_a_reader_in_flight,
    logout_undone_by_a_rotator_in_flight,
    rotated_cookie_overwritten_by_a_slower_response,
}

/// Well-formed, and never issued.
const MADE_UP: &str = "id=AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH";

async fn lost_increment(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    // At the same time, in two processes where there are two.
    let answers = in_parallel(2, 2, |_| {
        let visitor = visitor.clone();
        async move { visitor.get("/count/n?ms=100").await }
    });
    let mut answers = answers.await;
    answers.sort_by_key(|answer| answer.status);
    answers[0].ok();
    // Not "2", not a second "1": the number it computed rests on what is no longer true.
    answers[1].refused(409, "conflict");
    assert_eq!(visitor.get("/get/n").await.number(), 1);
    assert_eq!(visitor.get("/count/n").await.number(), 2);
}

async fn logout_undone_by_a_writer_in_flight(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    let old = visitor.stolen();
    let writer = visitor.hold("/slow-set/k/1").await;
    visitor.get("/destroy").await.ok();
    writer.response().await.without_cookie().ok();
    assert!(!old.is_alive().await);
}

async fn logout_undone_by_a_reader_in_flight(place: Place) {
    // Every read that comes later than a tenth of a second slides the idle deadline.
    let probe = place.start(&["--idle", "1", "--cookie-lifetime", "3600"]);
    for _ in 0..3 {
        let visitor = probe.logged_in("ada").await;
        let old = visitor.stolen();
        sleep_ms(110).await;
        let readers = tokio::spawn(in_parallel(30, 15, {
            let old = old.clone();
            move |_| {
                let reader = old.stolen();
                async move { reader.get("/all").await }
            }
        }));
        visitor.get("/destroy").await.ok();
        for response in readers.await.unwrap() {
            response.ok();
        }
        assert!(!old.is_alive().await);
    }
}

async fn logout_undone_by_a_rotator_in_flight(place: Place) {
    given_time(100, async |due| {
        let (renewal, grace) = (seconds(due), seconds(due * 9 / 10));
        let probe = place.start(&["--renewal", &renewal, "--grace", &grace]);
        let since = Since::now();
        let visitor = probe.logged_in("ada").await;
        let old = visitor.stolen();
        // One rotates on request, one because the id is due when it ends.
        let by_request = visitor.hold("/slow-regenerate").await;
        let by_age = visitor.hold("/slow-set/k/1").await;
        visitor.get("/destroy").await.ok();
        since.within(due)?;
        sleep_ms(due + 10).await;
        by_request.response().await.without_cookie().refused(410, "gone");
        by_age.response().await.without_cookie().ok();
        assert!(!old.is_alive().await);
        assert_eq!(probe.sessions_of("ada").await, 0);
        Ok(())
    })
    .await;
}

async fn clear_before_load_adopts_a_cookie_id(place: Place) {
    let probe = place.start(&[]);
    for first in ["/clear", "/remove/k", "/take/k", "/regenerate", "/destroy", "/flash"] {
        probe.get_with(MADE_UP, first).await.without_cookie();
        assert_eq!(probe.get_with(MADE_UP, "/state").await.json()["present"], false, "{first} adopted it");
    }
    for write in ["/set/k/1", "/put/k/1", "/incr/k", "/lock-count/k", "/login/ada", "/flash/hi", "/save/k/1"]
    {
        let cookie = probe.get_with(MADE_UP, write).await.set_cookie().unwrap();
        assert_ne!(cookie.pair(), MADE_UP, "{write} adopted it");
        assert_eq!(probe.get_with(MADE_UP, "/state").await.json()["present"], false, "{write} adopted it");
    }
}

async fn rotate_followed_by_a_5xx_destroys_the_session(place: Place) {
    let probe = place.start(&[]);
    for route in ["/login-then-fail/ada", "/login-then-panic/ada"] {
        let visitor = probe.visitor_with_session().await;
        let old = visitor.stolen();
        let response = visitor.get(route).await;
        assert_eq!(response.status, 500);
        assert!(!response.set_cookie().expect("the new id is told").deletes());
        assert_eq!(visitor.get("/whoami").await.ok(), "\"ada\"");
        assert_eq!(visitor.get("/get/seed").await.number(), 1);
        assert!(!old.is_alive().await);
    }
}

async fn remove_not_persisted(place: Place) {
    let probe = place.start(&[]);
    for route in ["/remove/seed", "/take/seed", "/clear"] {
        let visitor = probe.visitor_with_session().await;
        visitor.get(route).await.ok();
        assert_eq!(visitor.get("/get/seed").await.status, 404, "{route}");
        assert!(visitor.is_alive().await, "an emptied session stays until it is destroyed");
    }
}

async fn rotated_cookie_overwritten_by_a_slower_response(place: Place) {
    // A persistent cookie is sent anew when the session is used: not by a response that knows an old id only.
    let probe = place.start(&["--cookie-lifetime", "3600", "--idle", "4"]);
    for rotate in ["/regenerate", "/login/ada"] {
        let visitor = probe.visitor_with_session().await;
        sleep_ms(410).await;
        let slower = [
            visitor.hold("/slow-put/k/1").await,
            visitor.hold("/slow-set/k/1").await,
            visitor.hold("/count/n").await,
        ];
        visitor.get(rotate).await.ok();
        let rotated = visitor.cookie();
        for slower in slower {
            visitor.note(slower.response().await.without_cookie());
        }
        assert_eq!(visitor.cookie(), rotated);
        assert!(visitor.is_alive().await);
    }
}

async fn removal_cookie_without_its_attributes(place: Place) {
    let flags = [
        "--cookie-name",
        "__Secure-shop",
        "--domain",
        "shop.example",
        "--partitioned",
        "--same-site",
        "none",
        "--cookie-lifetime",
        "3600",
    ];
    let probe = place.start(&flags);
    let here = |path: &str| Request::get(path).host("www.shop.example");
    let set = probe.ask(here("/set/k/1")).await.set_cookie().unwrap();
    let gone = probe.ask(here("/destroy").header("cookie", set.pair())).await.set_cookie().unwrap();
    assert!(gone.deletes());
    assert_eq!((gone.name.as_str(), gone.value.as_str()), ("__Secure-shop", ""));
    for attribute in ["Path", "Domain", "Secure", "Partitioned", "HttpOnly", "SameSite"] {
        assert!(set.has(attribute), "{set:?}");
        assert!(gone.has(attribute), "without {attribute} browsers keep the cookie: {gone:?}");
        assert_eq!(gone.attribute(attribute), set.attribute(attribute));
    }
}

async fn cookie_on_every_response(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let routes = [
        "/plain",
        "/get/seed",
        "/get/none",
        "/all",
        "/state",
        "/peek",
        "/read-only/seed",
        "/set/k/1",
        "/put/k/2",
        "/incr/n",
        "/count/n",
        "/lock-count/n",
        "/flash/hi",
        "/flash",
        "/remove/k",
        "/clear",
        "/fail/k/1",
        "/panic/k/1",
        "/cached/k",
        "/background",
        "/devices",
    ];
    for route in routes {
        visitor.get(route).await.without_cookie();
    }
}
