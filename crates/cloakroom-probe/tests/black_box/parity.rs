//! What the systems before this one promise, seen from outside; the others of their lines are beside what they are about.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Disk, Place, everywhere, in_parallel, on_disk};

everywhere! {
    r02_the_session_does_not_start_with_the_request,
    r04_r05_what_is_set_is_persisted_when_the_handler_is_done,
    r08_the_user_is_restored_without_creating_a_session,
    p02_get_set_has_remove_increment_destroy,
    p05_p12_a_made_up_id_gets_a_new_one_and_never_a_record,
    p07_an_anonymous_visit_makes_one_cookie_and_one_record,
    p08_a_returning_visitor_gets_no_cookie_and_no_second_record,
    p10_two_hundred_anonymous_requests_make_two_hundred_records,
    p11_two_hundred_requests_with_one_cookie_count_exactly,
    x03_set_put_delete_clear_refresh_all,
    x05_a_lock_without_data_makes_no_cookie_and_a_commit_does,
    x05_an_emptied_session_stays_until_it_is_destroyed,
    x09_a_value_written_in_one_request_is_read_in_the_next,
    m01_ambient_code_reads_and_writes_the_request_s_session,
    m02_put_stores_at_once,
    m03_keys_keep_their_order_of_insertion,
    m04_regenerate_keeps_the_data_and_destroy_may_be_called_on_nothing,
    m08_a_known_id_is_accepted_without_a_new_cookie,
    flash_messages_show_once_and_survive_a_redirect,
    save_and_reload_within_a_request,
}

on_disk! { p09_a_store_that_was_flushed_gives_a_new_session_and_no_error }

const MADE_UP: &str = "id=AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH";

async fn r02_the_session_does_not_start_with_the_request(place: Place) {
    let probe = place.start(&[]);
    probe.get("/plain").await.without_cookie().ok();
    probe.get_with(MADE_UP, "/plain").await.without_cookie().ok();
    assert_eq!(probe.counter("opened").await, 0);
}

async fn r04_r05_what_is_set_is_persisted_when_the_handler_is_done(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    visitor.get("/set/basket/%5B1,2%5D").await.ok();
    // The response has come, so it is stored: the next request is never faster than the save.
    for n in 0..20 {
        visitor.get(&format!("/set/n/{n}")).await.ok();
        assert_eq!(visitor.get("/get/n").await.number(), n);
    }
    assert_eq!(visitor.get("/get/basket").await.json(), json!([1, 2]));
}

async fn r08_the_user_is_restored_without_creating_a_session(place: Place) {
    let probe = place.start(&[]);
    assert_eq!(probe.get("/whoami").await.without_cookie().status, 404);
    let visitor = probe.logged_in("ada").await;
    assert_eq!(visitor.get("/whoami").await.without_cookie().ok(), "\"ada\"");
}

async fn p02_get_set_has_remove_increment_destroy(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    visitor.get("/set/a/1").await.ok();
    assert_eq!(visitor.get("/get/a").await.number(), 1);
    assert_eq!(visitor.get("/incr/a").await.number(), 2);
    visitor.get("/remove/a").await.ok();
    assert_eq!(visitor.get("/get/a").await.status, 404);
    assert_eq!(visitor.get("/incr/a").await.number(), 1, "from nothing");
    let state = visitor.get("/state").await.json();
    assert_eq!((&state["present"], &state["empty"], &state["len"]), (&json!(true), &json!(false), &json!(1)));
    visitor.get("/destroy").await.ok();
    assert!(!visitor.is_alive().await);
}

async fn p05_p12_a_made_up_id_gets_a_new_one_and_never_a_record(place: Place) {
    let probe = place.start(&[]);
    let address = probe.address;
    let issued = in_parallel(200, 20, |_| async move {
        let visitor = crate::harness::Visitor::presenting(address, MADE_UP);
        assert_eq!(visitor.get("/incr/n").await.number(), 1);
        visitor.cookie().unwrap()
    })
    .await;
    assert_eq!(issued.into_iter().filter(|c| c != MADE_UP).collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(probe.counter("sessions_created").await, 200);
    assert_eq!(probe.get_with(MADE_UP, "/state").await.json()["present"], false);
}

async fn p07_an_anonymous_visit_makes_one_cookie_and_one_record(place: Place) {
    let probe = place.start(&[]);
    let first = probe.get("/incr/n").await;
    assert_eq!(first.number(), 1);
    assert!(first.set_cookie().is_some());
    assert_eq!(probe.counter("sessions_created").await, 1);
    let second = probe.get("/incr/n").await;
    assert_eq!(second.number(), 1);
    assert_eq!(probe.counter("sessions_created").await, 2);
}

async fn p08_a_returning_visitor_gets_no_cookie_and_no_second_record(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    visitor.get("/incr/n").await.ok();
    assert_eq!(visitor.get("/incr/n").await.without_cookie().number(), 2);
    assert_eq!(probe.counter("sessions_created").await, 1);
}

async fn p10_two_hundred_anonymous_requests_make_two_hundred_records(place: Place) {
    let probe = place.start(&[]);
    let address = probe.address;
    let cookies = in_parallel(200, 20, |_| async move {
        let visitor = crate::harness::Visitor::new(address);
        assert_eq!(visitor.get("/incr/n").await.number(), 1);
        visitor.cookie().unwrap()
    })
    .await;
    assert_eq!(cookies.iter().collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(probe.counter("sessions_created").await, 200);
}

async fn p11_two_hundred_requests_with_one_cookie_count_exactly(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    in_parallel(200, 20, |_| {
        let visitor = visitor.clone();
        async move { visitor.get("/incr/n").await.without_cookie().ok() }
    })
    .await;
    assert_eq!(visitor.get("/get/n").await.number(), 200);
    assert_eq!(probe.counter("sessions_created").await, 1);
}

async fn x03_set_put_delete_clear_refresh_all(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    visitor.get("/set/a/1").await.ok();
    visitor.get("/put/b/2").await.ok();
    visitor.get("/remove/a").await.ok();
    visitor.get("/set/c/%7B%22deep%22:%5Bnull,true,1.5,%22x%22%5D%7D").await.ok();
    let all = json!({ "b": 2, "c": { "deep": [null, true, 1.5, "x"] } });
    assert_eq!(visitor.get("/all").await.json(), all);
    let before = visitor.cookie();
    visitor.get("/regenerate").await.ok();
    assert_ne!(visitor.cookie(), before);
    assert_eq!(visitor.get("/all").await.json(), all);
    visitor.get("/clear").await.ok();
    assert_eq!(visitor.get("/all").await.json(), json!({}));
    assert_eq!(visitor.get("/state").await.json()["empty"], true);
}

async fn x05_a_lock_without_data_makes_no_cookie_and_a_commit_does(place: Place) {
    let probe = place.start(&[]);
    for route in ["/lock-drop/k/1", "/lock-rollback/k/1"] {
        probe.get(route).await.without_cookie().ok();
    }
    assert!(probe.get("/lock-count/k").await.set_cookie().is_some());
}

async fn x05_an_emptied_session_stays_until_it_is_destroyed(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    visitor.get("/remove/seed").await.without_cookie().ok();
    let state = visitor.get("/state").await.json();
    assert_eq!((&state["present"], &state["empty"]), (&json!(true), &json!(true)));
}

async fn x09_a_value_written_in_one_request_is_read_in_the_next(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    visitor.get("/set/greeting/h%C3%A9llo%20w%C3%B6rld").await.ok();
    for route in ["/get/greeting", "/read-only/greeting"] {
        assert_eq!(visitor.get(route).await.ok(), "\"h\u{e9}llo w\u{f6}rld\"");
    }
}

async fn m01_ambient_code_reads_and_writes_the_request_s_session(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    assert!(visitor.get("/ambient/k/1").await.set_cookie().is_some());
    visitor.get("/ambient/k/2").await.without_cookie().ok();
    assert_eq!(visitor.get("/get/k").await.number(), 2);
}

async fn m02_put_stores_at_once(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    // The handler is still asleep, after its `save`, when another request reads.
    let asleep = visitor.start("/release/k/1?ms=20000").await;
    while visitor.get("/get/k").await.status == 404 {}
    assert_eq!(visitor.get("/get/k").await.number(), 1);
    asleep.hang_up();
    assert_eq!(visitor.get("/get/k").await.number(), 1);
}

async fn m03_keys_keep_their_order_of_insertion(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    for key in ["zebra", "apple", "10", "9", "mango"] {
        visitor.get(&format!("/set/{key}/1")).await.ok();
    }
    visitor.get("/set/apple/2").await.ok();
    visitor.get("/remove/10").await.ok();
    visitor.get("/set/10/1").await.ok();
    let text = visitor.get("/all").await.ok();
    let order: Vec<usize> = ["zebra", "apple", "9", "mango", "10"]
        .iter()
        .map(|k| text.find(&format!("\"{k}\"")).unwrap())
        .collect();
    assert!(order.is_sorted(), "{text}");
}

async fn m04_regenerate_keeps_the_data_and_destroy_may_be_called_on_nothing(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let response = visitor.get("/regenerate").await;
    assert!(!response.set_cookie().unwrap().deletes());
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
    probe.get("/regenerate").await.without_cookie().ok();
    probe.get("/destroy").await.without_cookie().ok();
    assert!(visitor.get("/destroy").await.set_cookie().unwrap().deletes());
    visitor.get("/destroy").await.without_cookie().ok();
}

async fn m08_a_known_id_is_accepted_without_a_new_cookie(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    assert_eq!(visitor.get("/get/seed").await.without_cookie().number(), 1);
    visitor.get("/set/seed/2").await.without_cookie().ok();
}

async fn flash_messages_show_once_and_survive_a_redirect(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    visitor.get("/flash/first").await.ok();
    visitor.get("/flash/second").await.ok();
    visitor.get("/get/none").await;
    assert_eq!(visitor.get("/flash").await.json(), json!(["first", "second"]));
    assert_eq!(visitor.get("/flash").await.json(), json!([]));
    // They are nobody's key, and adding never conflicts.
    let added = in_parallel(10, 10, |i| {
        let visitor = visitor.clone();
        async move { visitor.get(&format!("/flash/message{i}")).await.ok() }
    })
    .await;
    assert_eq!(added.len(), 10);
    assert_eq!(visitor.get("/state").await.json()["len"], 0);
    assert_eq!(visitor.get("/flash").await.json().as_array().unwrap().len(), 10);
}

async fn save_and_reload_within_a_request(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    assert_eq!(visitor.get("/save/k/1").await.number(), 1);
    assert_eq!(visitor.get("/get/k").await.number(), 1);
    assert_eq!(visitor.get("/reload/k/2").await.number(), 1);
    assert_eq!(visitor.get("/get/k").await.number(), 1);
}

async fn p09_a_store_that_was_flushed_gives_a_new_session_and_no_error(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    Disk::of(&probe).clear();
    let before = visitor.cookie();
    assert_eq!(visitor.get("/incr/n").await.number(), 1);
    assert_ne!(visitor.cookie(), before);
}
