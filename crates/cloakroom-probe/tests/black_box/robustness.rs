//! Stores that are away or damaged, sessions that are too large, visitors who leave or never stay.

use std::time::{Duration, Instant};

use crate::harness::{Disk, Place, everywhere, in_parallel, on_disk, sleep_ms};

everywhere! {
    s60_m10_a_refused_write_is_loud_and_leaves_no_phantom,
    s62_a_session_too_large_is_refused_before_the_write,
    s70_crawlers_without_cookies_create_nothing,
    c6_a_handler_that_fails_commits_nothing_of_what_it_buffered,
    c6_unless_it_was_told_to,
    c6_a_client_that_leaves_before_the_end_commits_nothing,
    c7_no_visitor_ever_sees_another_one_s_session,
    c13_hostile_keys_and_values_are_clear_errors_or_kept_as_they_are,
    c12_a_request_that_does_not_ask_for_its_session_makes_no_store_call,
}

on_disk! {
    s59_while_the_store_takes_no_writes_nothing_is_lost_and_no_cookie_touched,
    s61_a_record_that_cannot_be_read_is_an_error_and_is_left_as_it_is,
    p13_a_record_that_vanished_under_a_request_is_not_written_again,
}

async fn s60_m10_a_refused_write_is_loud_and_leaves_no_phantom(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    visitor.get("/big/100000").await.without_cookie().refused(413, "too_large");
    assert_eq!(visitor.get("/get/big").await.status, 404);
    visitor.get("/set//1").await.refused(400, "invalid_key");
    assert_eq!(visitor.get("/all").await.json(), serde_json::json!({ "seed": 1 }));
    visitor.get("/set/k/1").await.ok();
    assert_eq!(visitor.get("/get/k").await.number(), 1);
    // Nor does it make a session of nobody.
    probe.get("/big/100000").await.without_cookie().refused(413, "too_large");
}

async fn s62_a_session_too_large_is_refused_before_the_write(place: Place) {
    let probe = place.start(&["--max-bytes", "500"]);
    let visitor = probe.visitor();
    visitor.get("/big/300").await.ok();
    let more = "y".repeat(300);
    for route in ["set", "put", "save"] {
        visitor.get(&format!("/{route}/more/{more}")).await.refused(413, "too_large");
    }
    visitor.get(&format!("/flash/{more}")).await.refused(413, "too_large");
    assert_eq!(visitor.get("/get/more").await.status, 404);
    // Each fits for itself; together they do not: whoever comes second is refused, and nothing is lost.
    let visitor = probe.visitor_with_session().await;
    let half = "z".repeat(300);
    let (one, two) = (format!("/slow-set/one/{half}"), format!("/slow-set/two/{half}"));
    let (one, two) = (visitor.hold(&one).await, visitor.hold(&two).await);
    let answers = [("one", one.response().await), ("two", two.response().await)];
    let (stored, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer.status == 200);
    let ([(stored, _)], [(_, refused)]) = (&stored[..], &refused[..]) else { panic!("{answers:?}") };
    refused.without_cookie().refused(413, "too_large");
    let all = visitor.get("/all").await.json();
    assert_eq!(all, serde_json::json!({ "seed": 1, *stored: half }));
}

async fn s70_crawlers_without_cookies_create_nothing(place: Place) {
    let probe = place.start(&[]);
    let routes = [
        "/plain",
        "/get/k",
        "/all",
        "/state",
        "/peek",
        "/read-only/k",
        "/remove/k",
        "/clear",
        "/take/k",
        "/regenerate",
        "/destroy",
        "/whoami",
        "/devices",
        "/revoke-others",
        "/flash",
        "/cached/k",
        "/cached-plain",
        "/protected",
        "/background",
        "/fail/k/1",
        "/panic/k/1",
        "/lock-drop/k/1",
        "/lock-rollback/k/1",
        "/reload/k/1",
        "/nowhere",
    ];
    for route in routes {
        probe.get(route).await.without_cookie();
    }
    assert_eq!(probe.counter("sessions_created").await, 0);
}

async fn c6_a_handler_that_fails_commits_nothing_of_what_it_buffered(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    for route in ["/fail/seed/2", "/panic/seed/2"] {
        assert_eq!(visitor.get(route).await.without_cookie().status, 500);
        assert_eq!(visitor.get("/get/seed").await.number(), 1);
    }
}

async fn c6_unless_it_was_told_to(place: Place) {
    let probe = place.start(&["--commit-on-5xx"]);
    let visitor = probe.visitor_with_session().await;
    assert_eq!(visitor.get("/fail/seed/2").await.status, 500);
    assert_eq!(visitor.get("/get/seed").await.number(), 2);
    // A panic is no answer of the handler's.
    assert_eq!(visitor.get("/panic/seed/3").await.status, 500);
    assert_eq!(visitor.get("/get/seed").await.number(), 2);
}

async fn c6_a_client_that_leaves_before_the_end_commits_nothing(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    visitor.start("/slow-set/seed/2?ms=500").await.hang_up();
    visitor.start("/slow-put/seed/2?ms=500").await.hang_up();
    visitor.start("/slow-destroy?ms=500").await.hang_up();
    sleep_ms(600).await;
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
}

async fn c7_no_visitor_ever_sees_another_one_s_session(place: Place) {
    let probe = place.start(&[]);
    let address = probe.address;
    in_parallel(30, 30, |i| async move {
        let visitor = crate::harness::Visitor::new(address);
        visitor.get(&format!("/ambient/who/visitor{i}")).await.ok();
        for _ in 0..5 {
            visitor.get(&format!("/ambient/again/visitor{i}")).await.ok();
            let slow = format!("/slow-set/slow/visitor{i}?ms=5");
            visitor.get(&slow).await.ok();
            let all = visitor.get("/all").await.json();
            for key in ["who", "again", "slow"] {
                assert_eq!(all[key], format!("visitor{i}"), "{all}");
            }
        }
    })
    .await;
}

async fn c13_hostile_keys_and_values_are_clear_errors_or_kept_as_they_are(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let long = "k".repeat(257);
    for (key, status) in [
        ("", 400),
        ("%00", 400),
        ("a%0Ab", 400),
        ("a%7Fb", 400),
        ("%C2%85", 400),
        ("%00flash:0123456789abcdef", 400),
        (long.as_str(), 413),
    ] {
        for route in ["set", "put", "save"] {
            let response = visitor.get(&format!("/{route}/{key}/1")).await;
            assert_eq!(response.status, status, "{route} {key:?}: {response:?}");
        }
        assert_eq!(visitor.get(&format!("/get/{key}")).await.status, 404, "{key:?}");
    }
    assert_eq!(visitor.get("/set/%FF/1").await.status, 400);
    for key in [
        "0",
        "-1",
        "1e3",
        "__proto__",
        "%20",
        "..",
        "%2F",
        "a.b",
        "%F0%9F%A7%A5",
        "%27%3B--",
        "null",
        "%E2%80%AE",
    ] {
        visitor.get(&format!("/set/{key}/%22{key}%22")).await.ok();
        visitor.get(&format!("/get/{key}")).await.ok();
    }
    for value in [
        "null",
        "true",
        "-9223372036854775808",
        "18446744073709551615",
        "1.5",
        "[]",
        "{}",
        "%5B%5B%5B1%5D%5D%5D",
        "%22%22",
    ] {
        visitor.get(&format!("/put/v/{value}")).await.ok();
        let back = visitor.get("/get/v").await.ok();
        let sent = value.replace("%5B", "[").replace("%5D", "]").replace("%22", "\"");
        assert_eq!(back, sent);
    }
    // A megabyte in the path is HTTP's business, and the server lives on.
    let response = visitor.get(&format!("/set/{}/1", "k".repeat(1 << 20))).await;
    assert!([413, 414, 431].contains(&response.status), "{response:?}");
    visitor.get("/incr/n").await.ok();
    // Only so many keys.
    for i in 0..256 {
        if visitor.get(&format!("/put/key{i}/1")).await.status == 413 {
            break;
        }
    }
    visitor.get("/put/one-more/1").await.refused(413, "too_large");
}

async fn c12_a_request_that_does_not_ask_for_its_session_makes_no_store_call(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let opened = probe.counter("opened").await;
    for _ in 0..5 {
        visitor.get("/plain").await.without_cookie().ok();
        visitor.get("/cached-plain").await.without_cookie().ok();
    }
    assert_eq!(probe.counter("opened").await, opened);
}

async fn s59_while_the_store_takes_no_writes_nothing_is_lost_and_no_cookie_touched(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    // Somebody else holds the store for longer than a request may wait.
    let other = Disk::of(&probe).block();
    let routes = [
        "/set/seed/2",
        "/put/seed/2",
        "/incr/n",
        "/login/ada",
        "/regenerate",
        "/destroy",
        "/lock-count/n",
        "/flash/hi",
        "/count/n",
    ];
    let started = Instant::now();
    in_parallel(routes.len() * 2, 50, |i| {
        // Half of them by somebody who has no session yet.
        let visitor = if i < routes.len() { visitor.stolen() } else { probe.visitor() };
        let route = routes[i % routes.len()];
        async move {
            let response = visitor.get(route).await;
            if visitor.cookie().is_none() && ["/regenerate", "/destroy"].contains(&route) {
                response.without_cookie().ok();
                return;
            }
            assert_eq!(response.without_cookie().status, 503, "{route}: {response:?}");
        }
    })
    .await;
    // Side by side, each within its deadline: one after the other they would take three times as long.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    // Reading goes on.
    assert_eq!(visitor.get("/get/seed").await.without_cookie().number(), 1);
    drop(other);
    visitor.get("/incr/n").await.without_cookie().ok();
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
}

async fn s61_a_record_that_cannot_be_read_is_an_error_and_is_left_as_it_is(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let other = probe.visitor_with_session().await;
    visitor.get("/set/marked/needle").await.ok();
    let disk = Disk::of(&probe);
    let at = |entry: &[u8]| entry.windows(6).position(|w| w == b"needle");
    let (key, mut entry) = disk.entries().into_iter().find(|(_, entry)| at(entry).is_some()).unwrap();
    let at = at(&entry).unwrap();
    entry[at] ^= 1;
    disk.replace(key, &entry);
    let before = disk.entries();
    for route in
        ["/get/seed", "/state", "/set/k/1", "/put/k/1", "/incr/k", "/login/ada", "/regenerate", "/peek"]
    {
        visitor.get(route).await.without_cookie().refused(500, "decode");
    }
    assert_eq!(disk.entries(), before, "it was repaired, or deleted");
    assert_eq!(other.get("/get/seed").await.number(), 1);
}

async fn p13_a_record_that_vanished_under_a_request_is_not_written_again(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let buffered = visitor.hold("/slow-set/k/1").await;
    let awaited = visitor.hold("/slow-put/k/1").await;
    Disk::of(&probe).clear();
    // Not in silence either: somebody's data is lost before its time.
    buffered.response().await.without_cookie().refused(503, "lost");
    awaited.response().await.without_cookie().refused(503, "lost");
    assert!(!visitor.is_alive().await);
    assert!(Disk::of(&probe).entries().is_empty());
    assert_eq!(probe.counter("lost_records").await, 2);
}
