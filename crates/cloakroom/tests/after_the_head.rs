//! Who still holds the session when the response's head has left: a body that streams, a task that goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use cloakroom::{
    CacheLimiter, CookieConfig, ErrorKind, Locking, MemoryStore, Mode, Session, SessionConfig, SessionHandle,
    SessionLayer, SessionManager,
};
use cloakroom_testing::{Fault, Gate, Op};
use house::House;
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body as _, Frame};
use tower::ServiceExt;

fn exclusive(wait: Duration) -> SessionConfig {
    SessionConfig::new().mode(Mode::Exclusive).locking(Locking { wait, ..Locking::default() })
}

#[tokio::test]
async fn c5_a_session_that_is_opened_after_the_head_takes_no_lease() {
    let house = House::new(exclusive(Duration::from_millis(50)));
    let id = house.newcomer().await;
    let streams = house.arrive(&[&id]);
    house.leave(&streams, StatusCode::OK).await;
    // A body that goes on for hours.
    let session = streams.open().await.unwrap();
    assert!(!session.is_locked());
    let other = house.arrive(&[&id]).open().await.map(drop);
    assert!(other.is_ok(), "{other:?}: nobody gives the lease back before the stream ends");
    session.put("n", 2).await.unwrap();
}

/// Nobody could be told of the new id.
#[tokio::test]
async fn c4_the_id_cannot_change_after_the_head_and_the_session_lives_on_under_it() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let streams = house.arrive(&[&id]);
    let session = streams.open().await.unwrap();
    house.leave(&streams, StatusCode::OK).await;
    let calls = house.faults.calls();
    session.set("buffered", 1).unwrap();
    for refused in [session.regenerate().await, session.login("ada").await] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::HeadSent);
        assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(refused.to_string().contains("head"), "{refused}");
    }
    assert_eq!(house.faults.calls(), calls, "the store was asked");
    // What needs no cookie goes on, with what was buffered before the refusal.
    session.save().await.unwrap();
    let now = house.arrive(&[&id]).read_only().await.unwrap();
    assert_eq!((now.get::<u32>("buffered").unwrap(), now.user()), (Some(1), None));
}

#[tokio::test]
async fn c9_no_session_is_started_after_the_head() {
    let house = House::new(SessionConfig::new());
    let streams = house.arrive(&[]);
    let session = streams.open().await.unwrap();
    house.leave(&streams, StatusCode::OK).await;
    let kinds = [
        session.set("n", 1).unwrap_err().kind(),
        session.put("n", 1).await.unwrap_err().kind(),
        session.update("n", |n: Option<u32>| n.unwrap_or(0)).await.unwrap_err().kind(),
        session.login("ada").await.unwrap_err().kind(),
        session.lock().await.unwrap_err().kind(),
        session.flash("hello").unwrap_err().kind(),
        session.csrf_token().await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::HeadSent; 7]);
    assert_eq!(session.get::<u32>("n").unwrap(), None, "what was refused is not readable");
    assert_eq!(house.faults.calls(), 0);
}

#[tokio::test]
async fn c5_a_lease_that_comes_after_the_head_is_given_back() {
    let house = House::new(exclusive(Duration::from_secs(30)));
    let id = house.newcomer().await;
    let gate = Gate::new();
    house.faults.at_op(Op::Acquire, 1, Fault::Hold(gate.clone()));
    let streams = house.arrive(&[&id]);
    let opening = tokio::spawn({
        let streams = streams.clone();
        async move { streams.open().await }
    });
    gate.arrived().await;
    house.leave(&streams, StatusCode::OK).await;
    gate.open();
    let session = opening.await.unwrap().unwrap();
    assert!(!session.is_locked());
    house.arrive(&[&id]).open().await.map(drop).expect("nobody holds the lease");
}

#[tokio::test]
async fn c5_a_guard_that_outlives_the_head_gives_the_lease_of_exclusive_mode_back() {
    for commits in [true, false] {
        let house = House::new(exclusive(Duration::from_millis(200)));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        // The body goes on with both.
        let streams = handle.open().await.unwrap();
        let mut guard = streams.lock().await.unwrap();
        assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::OK);
        guard.set("n", 2).unwrap();
        if commits {
            guard.commit().await.unwrap();
        } else {
            drop(guard);
        }
        assert!(!streams.is_locked());
        let next = house.arrive(&[&id]).open().await.map(drop);
        assert!(next.is_ok(), "{next:?}: the lease is renewed for as long as the body streams");
    }
}

/// A body that opens its session when it is asked for the text.
struct Late(Pin<Box<dyn Future<Output = Bytes> + Send>>);

impl Late {
    fn of(handle: SessionHandle) -> Self {
        Late(Box::pin(async move {
            let name = handle.open().await.unwrap().get::<String>("name").unwrap();
            Bytes::from(name.unwrap_or_else(|| "stranger".to_owned()))
        }))
    }
}

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(ready!(self.0.as_mut().poll(cx))))))
    }
}

/// To one who authenticated otherwise, or to a request that does something.
#[tokio::test]
async fn c11_a_response_that_depends_on_who_asks_is_not_made_public() {
    let cache = CacheLimiter::Public { max_age: Duration::from_secs(60) };
    let manager = SessionManager::new(MemoryStore::new(), SessionConfig::new().cache_limiter(cache)).unwrap();
    for (method, authorization, made_public) in [
        ("GET", None, true),
        ("HEAD", None, true),
        ("GET", Some("Basic YTpi"), false),
        ("HEAD", Some("Bearer x"), false),
        ("POST", None, false),
        ("DELETE", None, false),
        ("OPTIONS", None, false),
    ] {
        let mut request = http::Request::builder().method(method);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let handle = manager.open(&request.body(()).unwrap(), None);
        let mut headers = http::HeaderMap::new();
        let _ = manager.close(&handle, http::StatusCode::OK, &mut headers).await;
        assert_eq!(
            headers.contains_key("cache-control"),
            made_public,
            "{method} {authorization:?}: {headers:?}"
        );
    }
}

#[tokio::test]
async fn c11_a_response_whose_body_may_yet_open_the_session_is_not_left_public() {
    let cache = CacheLimiter::Public { max_age: Duration::from_secs(60) };
    let layer = |config| SessionLayer::of(SessionManager::new(MemoryStore::new(), config).unwrap());
    let staff = SessionConfig::new().cookie(CookieConfig::new().name("__Host-staff"));
    let plain = get(async |_: SessionHandle| "the same for everyone");
    let late = get(async |handle: SessionHandle| {
        ([("cache-control", "public, max-age=600")], Body::new(Late::of(handle)))
    });
    // The outer of two layers is held by nobody either when the inner one is done.
    for outer in [None, Some(layer(staff.cache_limiter(CacheLimiter::NoCache)))] {
        let app = Router::new().route("/plain", plain.clone()).route("/late", late.clone());
        let app = app.layer(layer(SessionConfig::new().cache_limiter(cache)));
        let app = match outer {
            Some(outer) => app.layer(outer),
            None => app,
        };
        let ask = |path: &str| app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap());
        let plain = ask("/plain").await.unwrap();
        assert_eq!(plain.headers()["cache-control"], "public, max-age=60");
        assert!(!plain.headers().contains_key("vary"));
        let late = ask("/late").await.unwrap();
        let said = late.headers()["cache-control"].to_str().unwrap();
        assert!(said.contains("private") && !said.contains("public"), "{said}");
        assert_eq!(late.headers()["vary"], "Cookie");
    }
}

/// A body that writes to its session and ends with trailers, as gRPC's do.
struct Trailing {
    session: Session,
    sent: bool,
}

impl http_body::Body for Trailing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = if std::mem::replace(&mut self.sent, true) {
            Frame::trailers(HeaderMap::new())
        } else {
            self.session.set("streamed", true).unwrap();
            Frame::data(Bytes::from_static(b"text"))
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

#[tokio::test]
async fn c9_what_a_body_changed_is_committed_before_its_trailers_are_told() {
    for fails in [false, true] {
        let house = House::new(SessionConfig::new());
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let session = handle.open().await.unwrap();
        house.leave(&handle, StatusCode::OK).await;
        let mut body = Box::pin(house.manager.wrap_body(&handle, Trailing { session, sent: false }));
        let mut next = async || poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        assert!(next().await.unwrap().unwrap().is_data());
        if fails {
            house.faults.always(Some(Op::Commit), Fault::Unavailable);
        }
        // With the trailers the stream is over: servers ask for nothing behind them.
        let last = next().await.unwrap();
        assert_eq!(last.map(|frame| frame.is_trailers()).ok(), (!fails).then_some(true));
        drop(body);
        let stored = house.arrive(&[&id]).read_only().await.unwrap().has("streamed");
        assert_eq!(stored, !fails);
    }
}

/// A body that says how long it is, and has trailers all the same.
struct Announced {
    session: Session,
    text: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(text) = self.text.take() {
            self.session.set("streamed", true).unwrap();
            return Poll::Ready(Some(Ok(Frame::data(text))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.text.as_ref().map_or(0, |text| text.len() as u64))
    }
}

#[tokio::test]
async fn trailers_behind_a_body_of_known_length_are_passed_on() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    house.leave(&handle, StatusCode::OK).await;
    let body =
        Announced { session, text: Some(Bytes::from_static(b"text")), trailers: Some(HeaderMap::new()) };
    let mut body = Box::pin(house.manager.wrap_body(&handle, body));
    let first = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
    assert!(first.unwrap().unwrap().is_data() && !body.is_end_stream());
    assert!(house.arrive(&[&id]).read_only().await.unwrap().has("streamed"), "its bytes end the response");
    let second = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
    assert!(second.expect("the trailers").unwrap().is_trailers() && body.is_end_stream());
    assert!(poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_none());
}

#[tokio::test]
async fn a_body_whose_last_bytes_wait_for_the_commit_is_not_at_its_end() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    house.leave(&handle, StatusCode::OK).await;
    let gate = Gate::new();
    house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
    let body = Announced { session, text: Some(Bytes::from_static(b"text")), trailers: None };
    let mut body = Box::pin(house.manager.wrap_body(&handle, body));
    let pending = poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx).is_pending())).await;
    assert!(pending && !body.is_end_stream());
    gate.open();
    let last = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
    assert!(last.unwrap().unwrap().is_data() && body.is_end_stream());
}

/// The last bytes wait for the commit, and so does whoever reads them; a task of the handler need not.
#[tokio::test]
async fn c9_what_is_set_while_the_commit_of_a_body_is_under_way_is_refused_and_not_lost_in_silence() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let gate = Gate::new();
    house.faults.at_op(Op::Commit, 1, Fault::HoldAnswer(gate.clone()));
    let handle = house.arrive(&[&id]);
    let task = handle.open().await.unwrap();
    house.leave(&handle, StatusCode::OK).await;
    let mut body = Box::pin(house.manager.wrap_body(&handle, Body::from("text")));
    task.set("in-time", 1).unwrap();
    let reads = tokio::spawn(async move { poll_fn(|cx| body.as_mut().poll_frame(cx)).await });
    gate.arrived().await;
    assert_eq!(task.set("late", 2).unwrap_err().kind(), ErrorKind::HeadSent);
    gate.open();
    reads.await.unwrap().unwrap().unwrap();
    assert_eq!(house.arrive(&[&id]).read_only().await.unwrap().keys(), ["n", "in-time"]);
}

/// A task that goes on asks for what it had buffered to be stored, in either way.
async fn told_of_its_loss(house: &House, id: &str, session: &Session, kind: ErrorKind) {
    assert_eq!(session.save().await.map_err(|e| e.kind()), Err(kind));
    assert!(session.lock().await.is_err());
    assert!(!house.arrive(&[id]).read_only().await.unwrap().has("order"));
}

#[tokio::test]
async fn c9_a_save_of_what_went_with_a_client_that_hung_up_is_refused() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let task = handle.open().await.unwrap();
    task.set("order", 7).unwrap();
    house.manager.abandon(&handle);
    drop(handle);
    told_of_its_loss(&house, &id, &task, ErrorKind::HeadSent).await;
}

/// The body of a `HEAD`, or one that the client no longer reads.
#[tokio::test]
async fn c9_a_save_of_what_went_with_a_body_that_was_cut_is_refused() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let task = handle.open().await.unwrap();
    house.leave(&handle, StatusCode::OK).await;
    let body = house.manager.wrap_body(&handle, Body::empty());
    task.set("order", 7).unwrap();
    drop(body);
    told_of_its_loss(&house, &id, &task, ErrorKind::HeadSent).await;
}

#[tokio::test]
async fn c9_a_save_of_what_went_with_a_response_that_failed_is_refused_until_the_session_is_read_anew() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        let house = House::new(SessionConfig::new().mode(mode));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let task = handle.open().await.unwrap();
        task.set("order", 7).unwrap();
        house.leave(&handle, StatusCode::INTERNAL_SERVER_ERROR).await;
        // It may rest on what is lost.
        task.set("billed", true).unwrap();
        told_of_its_loss(&house, &id, &task, ErrorKind::HeadSent).await;
        task.reload().await.unwrap();
        task.set("order", 8).unwrap();
        task.save().await.unwrap();
        assert_eq!(task.lock().await.unwrap().get("order").unwrap(), Some(8));
    }
}

/// Of the first one the client was told, and nobody else.
#[tokio::test]
async fn c9_a_save_after_a_commit_that_was_refused_or_dropped_says_what_became_of_it() {
    for slow in [false, true] {
        for (ends, kind) in [(false, ErrorKind::Conflict), (true, ErrorKind::Gone)] {
            let house = House::new(SessionConfig::new());
            let id = house.newcomer().await;
            let handle = house.arrive(&[&id]);
            let task = handle.open().await.unwrap();
            let seen: Option<u32> = task.get("n").unwrap();
            task.set("n", seen.map(|n| n + 1)).unwrap();
            task.set("order", 7).unwrap();
            house
                .visit(Some(&id), |s| async move { if ends { s.destroy().await } else { s.set("n", 5) } })
                .await;
            if slow {
                house.faults.always(None, Fault::Delay(Duration::from_millis(1)));
            }
            house.leave(&handle, StatusCode::OK).await;
            told_of_its_loss(&house, &id, &task, kind).await;
        }
    }
}

#[tokio::test]
async fn c9_a_save_after_the_commit_of_a_body_that_failed_is_refused() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let task = handle.open().await.unwrap();
    house.leave(&handle, StatusCode::OK).await;
    let mut body = Box::pin(house.manager.wrap_body(&handle, Body::from("text")));
    task.set("order", 7).unwrap();
    house.faults.always(Some(Op::Commit), Fault::Unavailable);
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap_err();
    house.faults.heal();
    told_of_its_loss(&house, &id, &task, ErrorKind::Unavailable).await;
}
