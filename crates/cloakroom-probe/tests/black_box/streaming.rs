//! Changes that are made while the body streams.

use crate::harness::{Place, Request, everywhere, sleep_ms};

everywhere! {
    what_a_stream_writes_is_stored_before_its_end_is_told,
    the_head_and_the_first_chunk_leave_before_the_write,
    a_stream_that_is_cut_writes_nothing,
    a_body_that_is_never_sent_writes_nothing,
    a_session_cannot_be_started_after_the_head,
    a_stream_merges_with_what_others_wrote_meanwhile,
}

async fn what_a_stream_writes_is_stored_before_its_end_is_told(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let response = visitor.get("/stream/k/late?ms=20").await;
    response.without_cookie();
    assert_eq!(response.ok(), "one\ntwo\n");
    assert_eq!(visitor.get("/get/k").await.ok(), "\"late\"");
}

async fn the_head_and_the_first_chunk_leave_before_the_write(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let mut streaming = visitor.hold("/stream/k/late").await;
    streaming.until_received("one\n").await;
    assert_eq!(visitor.get("/get/k").await.status, 404);
    streaming.response().await.ok();
    assert_eq!(visitor.get("/get/k").await.status, 200);
}

async fn a_stream_that_is_cut_writes_nothing(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let mut streaming = visitor.send(Request::get("/stream/k/late?ms=600")).await;
    streaming.until_received("one\n").await;
    streaming.hang_up();
    sleep_ms(700).await;
    assert_eq!(visitor.get("/get/k").await.status, 404);
}

async fn a_body_that_is_never_sent_writes_nothing(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    assert_eq!(visitor.ask(Request::new("HEAD", "/stream/k/late")).await.status, 200);
    sleep_ms(50).await;
    assert_eq!(visitor.get("/get/k").await.status, 404);
    visitor.get("/incr/n").await.ok();
}

async fn a_session_cannot_be_started_after_the_head(place: Place) {
    let probe = place.start(&[]);
    let response = probe.get("/stream/k/late?ms=50").await;
    response.without_cookie();
    assert_eq!(response.status, 200);
    assert!(!response.whole, "the client must see that it failed: {response:?}");
    assert_eq!(response.body, "one\n");
    assert_eq!(probe.counter("sessions_created").await, 0);
}

async fn a_stream_merges_with_what_others_wrote_meanwhile(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let mut streaming = visitor.hold("/stream/k/late").await;
    streaming.until_received("one\n").await;
    visitor.get("/set/other/1").await.ok();
    visitor.get("/incr/n").await.ok();
    streaming.response().await.ok();
    let all = visitor.get("/all").await.json();
    assert_eq!(all, serde_json::json!({ "seed": 1, "other": 1, "n": 1, "k": "late" }));
}
