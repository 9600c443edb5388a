//! Many requests on one session at the same time: nothing that was acknowledged is lost.

use std::collections::BTreeSet;

use crate::harness::{Place, Response, Visitor, across_processes, everywhere_and_side_by_side, in_parallel};

everywhere_and_side_by_side! {
    c1_two_hundred_increments_at_twenty_in_parallel_are_exact,
    c1_two_hundred_lock_counts_at_twenty_in_parallel_are_exact,
    c1_two_hundred_read_then_written_counts_equal_the_success_responses,
    c1_two_hundred_read_then_written_counts_are_exact_in_exclusive_mode,
    c1_sixty_overlapping_writes_of_different_keys_all_survive,
    c1_a_put_of_the_value_it_saw_replaces_what_came_between,
    c1_last_write_wins_where_that_was_chosen_and_is_counted,
}

across_processes! { c1_two_processes_count_as_exactly_as_one }

const TIMES: usize = 200;
const AT_ONCE: usize = 20;

/// Each answer is a number of its own, from 1 to `TIMES`.
fn assert_each_number_once(responses: &[Response]) {
    let numbers: BTreeSet<i64> = responses.iter().map(Response::number).collect();
    assert_eq!(numbers, (1..=TIMES as i64).collect());
}

async fn c1_two_hundred_increments_at_twenty_in_parallel_are_exact(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let responses = in_parallel(TIMES, AT_ONCE, |_| {
        let visitor = visitor.clone();
        async move { visitor.get("/incr/n").await }
    })
    .await;
    assert_each_number_once(&responses);
    assert_eq!(visitor.get("/get/n").await.number(), TIMES as i64);
}

async fn c1_two_hundred_lock_counts_at_twenty_in_parallel_are_exact(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let responses = in_parallel(TIMES, AT_ONCE, |_| {
        let visitor = visitor.clone();
        async move { visitor.get("/lock-count/n").await }
    })
    .await;
    assert_each_number_once(&responses);
    assert_eq!(visitor.get("/get/n").await.number(), TIMES as i64);
}

async fn c1_two_hundred_read_then_written_counts_equal_the_success_responses(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let responses = in_parallel(TIMES, AT_ONCE, |_| {
        let visitor = visitor.clone();
        async move { visitor.get("/count/n?ms=2").await }
    })
    .await;
    let (done, refused): (Vec<_>, Vec<_>) = responses.into_iter().partition(|r| r.status == 200);
    for response in &refused {
        response.refused(409, "conflict");
    }
    assert!(!done.is_empty());
    assert!(!refused.is_empty(), "nothing overlapped: the test shows nothing");
    let numbers: BTreeSet<i64> = done.iter().map(Response::number).collect();
    assert_eq!(numbers.len(), done.len(), "two success responses with one number");
    assert_eq!(visitor.get("/get/n").await.number(), done.len() as i64);
    assert_eq!(probe.counter("conflicts_refused").await, refused.len() as u64);
}

async fn c1_two_hundred_read_then_written_counts_are_exact_in_exclusive_mode(place: Place) {
    let probe = place.start(&["--mode", "exclusive"]);
    let visitor = probe.visitor_with_session().await;
    let responses = in_parallel(TIMES, AT_ONCE, |_| {
        let visitor = visitor.clone();
        async move { visitor.get("/count/n?ms=1").await }
    })
    .await;
    assert_each_number_once(&responses);
    assert_eq!(visitor.get("/get/n").await.number(), TIMES as i64);
}

async fn c1_sixty_overlapping_writes_of_different_keys_all_survive(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let responses = in_parallel(60, 60, |i| {
        let visitor = visitor.clone();
        async move { visitor.get(&format!("/slow-set/key{i}/{i}?ms=100")).await }
    })
    .await;
    for response in &responses {
        assert_eq!(response.ok(), "ok");
        response.without_cookie();
    }
    let all = visitor.get("/all").await.json();
    for i in 0..60 {
        assert_eq!(all[format!("key{i}")], i, "{all}");
    }
    assert_eq!(all["seed"], 1);
}

/// "Nothing changes" was true when the session was opened; it is not when `put` is awaited.
async fn c1_a_put_of_the_value_it_saw_replaces_what_came_between(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let late = visitor.hold("/slow-put/seed/1").await;
    visitor.get("/put/seed/2").await.ok();
    late.response().await.ok();
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
}

async fn c1_last_write_wins_where_that_was_chosen_and_is_counted(place: Place) {
    let probe = place.start(&["--on-conflict", "overwrite"]);
    let visitor = probe.visitor_with_session().await;
    let responses = in_parallel(20, 20, |_| {
        let visitor = visitor.clone();
        async move { visitor.get("/count/n?ms=50").await }
    })
    .await;
    for response in &responses {
        response.ok();
    }
    assert!(visitor.get("/get/n").await.number() < 20);
    assert!(probe.counter("overwritten").await > 0);
    assert_eq!(probe.counter("conflicts_refused").await, 0);
}

async fn c1_two_processes_count_as_exactly_as_one(place: Place) {
    let here = place.start(&[]);
    let there = here.start_again(&[]);
    let visitor = here.visitor_with_session().await;
    let elsewhere = Visitor::presenting(there.address, &visitor.cookie().unwrap());
    let of = |i: usize| if i.is_multiple_of(2) { visitor.clone() } else { elsewhere.clone() };
    for (route, key) in [("/incr/n", "n"), ("/lock-count/m", "m")] {
        let responses = in_parallel(TIMES, AT_ONCE, |i| {
            let visitor = of(i);
            async move { visitor.get(route).await }
        })
        .await;
        assert_each_number_once(&responses);
        let path = format!("/get/{key}");
        place.shows(async || elsewhere.get(&path).await.number() == TIMES as i64).await;
    }
    let responses = in_parallel(60, AT_ONCE, |i| {
        let visitor = of(i);
        async move { visitor.get(&format!("/slow-set/key{i}/{i}?ms=20")).await.ok() }
    })
    .await;
    assert_eq!(responses.len(), 60);
    let all = async || {
        let all = visitor.get("/all").await.json();
        (0..60).all(|i| all[format!("key{i}")] == i)
    };
    place.shows(all).await;
}
