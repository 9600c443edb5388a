//! Requests that failed with a conflict and are run again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use bytes::Bytes;
use cloakroom::{
    CookieConfig, MemoryStore, Outcome, ReplayLayer, Session, SessionConfig, SessionError, SessionLayer,
    SessionManager,
};
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use tokio::sync::Barrier;
use tower::{Layer, ServiceExt};

/// What a request does with its session.
type Act = fn(Session) -> Pin<Box<dyn Future<Output = Result<(), SessionError>> + Send>>;

/// An application whose handlers another request gets in the way of.
#[derive(Clone)]
struct Scene {
    sessions: SessionManager,
    /// How often another request interferes, still.
    interferences: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
}

impl Scene {
    fn new(interferences: usize) -> Self {
        Scene {
            sessions: SessionManager::new(MemoryStore::new(), SessionConfig::new()).unwrap(),
            interferences: Arc::new(AtomicUsize::new(interferences)),
            runs: Arc::default(),
        }
    }

    /// The cookie of a session with `n = 0` in it.
    async fn visitor(&self) -> String {
        let handle = self.sessions.open(&Request::new(()), None);
        handle.open().await.unwrap().set("n", 0).unwrap();
        let mut response = Response::new(());
        let outcome = self.sessions.close(&handle, StatusCode::OK, response.headers_mut()).await;
        assert!(matches!(outcome, Outcome::Done));
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// What another request does with the visitor's session.
    async fn another<F, R>(&self, cookie: &str, act: F)
    where
        F: FnOnce(Session) -> R,
        R: Future<Output = Result<(), SessionError>>,
    {
        let request = Request::get("/").header("cookie", cookie).body(()).unwrap();
        let handle = self.sessions.open(&request, None);
        act(handle.open().await.unwrap()).await.unwrap();
        let mut response = Response::new(());
        let _ = self.sessions.close(&handle, StatusCode::OK, response.headers_mut()).await;
    }

    async fn stored(&self, cookie: &str, key: &'static str) -> Option<u32> {
        let request = Request::get("/").header("cookie", cookie).body(()).unwrap();
        self.sessions.open(&request, None).open().await.unwrap().get(key).unwrap()
    }

    /// Counts with `get` and `set`, while another request counts too, as often as there are interferences.
    async fn count(&self, session: &Session, cookie: &str) -> Result<u32, SessionError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let n: u32 = session.get("n")?.unwrap_or(0);
        let interfere =
            self.interferences.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if interfere.is_ok() {
            let add = |s: Session| async move {
                s.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.map(drop)
            };
            self.another(cookie, add).await;
        }
        session.set("n", n + 1)?;
        Ok(n + 1)
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    fn app(&self, path: &str, route: axum::routing::MethodRouter, layer: ReplayLayer) -> Router {
        Router::new().route(path, route).layer(SessionLayer::of(self.sessions.clone())).layer(layer)
    }
}

fn cookie_of(headers: &http::HeaderMap) -> String {
    headers["cookie"].to_str().unwrap().to_owned()
}

fn post_of(cookie: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/").header("cookie", cookie).body(body.into()).unwrap()
}

/// A route that counts and answers with the body and an extension of the request.
fn echo(scene: &Scene) -> axum::routing::MethodRouter {
    let scene = scene.clone();
    post(move |session: Session, request: axum::extract::Request| async move {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.map_err(|_| StatusCode::BAD_REQUEST);
        let n = scene.count(&session, &cookie_of(&parts.headers)).await?;
        let tag = parts.extensions.get::<&'static str>().copied().unwrap_or_default();
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        Ok::<_, SessionError>(([("x-run", n.to_string()), ("x-tag", tag.to_owned())], body))
    })
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn c1_concurrent_counters_that_read_and_then_write_all_count_when_replayed() {
    const N: usize = 4;
    let scene = Scene::new(0);
    let cookie = scene.visitor().await;
    let (barrier, arrived) = (Arc::new(Barrier::new(N)), Arc::new(AtomicUsize::new(0)));
    let route = get(move |session: Session| async move {
        let n: u32 = session.get("n")?.unwrap_or(0);
        // All have read before anyone writes: without a replay, all but one are refused.
        if arrived.fetch_add(1, Ordering::SeqCst) < N {
            barrier.wait().await;
        }
        session.set("n", n + 1)?;
        Ok::<_, SessionError>("ok")
    });
    let app = scene.app("/", route, ReplayLayer::new());
    let tasks: Vec<_> = (0..N)
        .map(|_| {
            let request = Request::get("/").header("cookie", &cookie).body(Body::empty()).unwrap();
            tokio::spawn(app.clone().oneshot(request))
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(scene.stored(&cookie, "n").await, Some(4));
    let metrics = scene.sessions.metrics();
    assert_eq!((metrics.replays, metrics.conflicts_refused), (3, 3));
    assert!(scene.sessions.metrics_text().contains("cloakroom_replays_total 3\n"));
}

#[tokio::test]
async fn a_replayed_request_is_the_same_one_and_only_its_last_answer_leaves() {
    let scene = Scene::new(2);
    let cookie = scene.visitor().await;
    let app = scene.app("/", echo(&scene), ReplayLayer::new());
    let mut request = post_of(&cookie, "a coat");
    request.extensions_mut().insert("kept");
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // Two runs counted on top of what the other requests had counted, and conflicted; the third one counts.
    assert_eq!(response.headers()["x-run"], "3");
    assert_eq!(response.headers()["x-tag"], "kept");
    assert_eq!(response.headers().get_all("cache-control").iter().count(), 1);
    assert_eq!(response.headers()["vary"], "Cookie");
    assert!(!response.headers().contains_key("set-cookie"), "nothing about the id has changed");
    assert_eq!(text(response).await, "a coat");
    assert_eq!((scene.runs(), scene.stored(&cookie, "n").await), (3, Some(3)));
}

#[tokio::test]
async fn replays_are_bounded_in_number_and_in_time() {
    for (layer, runs) in [
        (ReplayLayer::new(), 4),
        (ReplayLayer::new().replays(1), 2),
        (ReplayLayer::new().replays(0), 1),
        (ReplayLayer::new().within(Duration::ZERO), 1),
    ] {
        let scene = Scene::new(usize::MAX);
        let cookie = scene.visitor().await;
        let response = scene.app("/", echo(&scene), layer).oneshot(post_of(&cookie, "x")).await.unwrap();
        assert_eq!((response.status(), scene.runs()), (StatusCode::CONFLICT, runs), "{layer:?}");
        assert_eq!(text(response).await, r#"{"error":"conflict"}"#);
    }
}

/// A service that is ready for one request; no clone of it ever is.
struct OnePlace<S> {
    inner: S,
    taken: bool,
}

impl<S: Clone> Clone for OnePlace<S> {
    fn clone(&self) -> Self {
        OnePlace { inner: self.inner.clone(), taken: true }
    }
}

impl<S, R> tower::Service<R> for OnePlace<S>
where
    S: tower::Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.taken { Poll::Pending } else { self.inner.poll_ready(cx) }
    }

    fn call(&mut self, request: R) -> S::Future {
        self.inner.call(request)
    }
}

#[tokio::test]
async fn a_replay_that_finds_no_place_in_time_does_not_begin_and_is_not_counted() {
    let scene = Scene::new(usize::MAX);
    let cookie = scene.visitor().await;
    let inner = Router::new().route("/", echo(&scene)).layer(SessionLayer::of(scene.sessions.clone()));
    let layer = ReplayLayer::new().within(Duration::from_millis(200));
    let app = layer.layer(OnePlace { inner, taken: false });
    let answer = tokio::time::timeout(Duration::from_secs(60), app.oneshot(post_of(&cookie, "x")));
    let response = answer.await.expect("it waits for a place without end").unwrap();
    assert_eq!((response.status(), scene.runs()), (StatusCode::CONFLICT, 1));
    assert_eq!(text(response).await, r#"{"error":"conflict"}"#);
    assert_eq!(scene.sessions.metrics().replays, 0);
}

#[tokio::test]
async fn a_request_whose_awaited_write_stands_is_not_replayed() {
    let acts: [(&str, Act); 7] = [
        ("put", |s| Box::pin(async move { s.put("seen", true).await })),
        ("update", |s| Box::pin(async move { s.increment("seen", 1).await.map(drop) })),
        ("save", |s| {
            Box::pin(async move {
                s.set("seen", true)?;
                s.save().await
            })
        }),
        ("lock", |s| Box::pin(async move { s.lock().await.map(drop) })),
        ("devices", |s| Box::pin(async move { s.revoke_others().await.map(drop) })),
        ("device", |s| {
            Box::pin(async move {
                let devices = s.devices().await?;
                let other = devices.iter().find(|device| !device.current).unwrap();
                assert_eq!(s.revoke(other.handle.as_str()).await?, 1);
                Ok(())
            })
        }),
        ("login", |s| Box::pin(async move { s.bind_user("ada").await })),
    ];
    for (name, act) in acts {
        let scene = Scene::new(0);
        let cookie = scene.visitor().await;
        // Devices are a user's: the visitor of these cases has logged in, on two of them.
        let cookie = if name.starts_with("device") {
            let elsewhere = scene.visitor().await;
            logged_in(&scene, &elsewhere).await;
            logged_in(&scene, &cookie).await
        } else {
            cookie
        };
        let runs = Arc::clone(&scene.runs);
        let inner = scene.clone();
        let route = get(move |session: Session| async move {
            runs.fetch_add(1, Ordering::SeqCst);
            act(session.clone()).await?;
            let n: u32 = session.get("n")?.unwrap_or(0);
            // The id may have changed: whoever it is, the other request comes with the id of now.
            let id = session.id().unwrap();
            let cookie = format!("__Host-id={}", id.expose());
            inner.another(&cookie, |s: Session| async move { s.put("n", 100).await }).await;
            session.set("n", n + 1)?;
            Ok::<_, SessionError>("ok")
        });
        let app = scene.app("/", route, ReplayLayer::new());
        let request = Request::get("/").header("cookie", &cookie).body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        assert_eq!((response.status(), scene.runs()), (StatusCode::CONFLICT, 1), "{name}");
        assert_eq!(
            response.headers().contains_key("set-cookie"),
            name == "login",
            "{name}: a new id is told"
        );
    }
}

async fn logged_in(scene: &Scene, cookie: &str) -> String {
    let request = Request::get("/").header("cookie", cookie).body(()).unwrap();
    let handle = scene.sessions.open(&request, None);
    handle.open().await.unwrap().login("ada").await.unwrap();
    let mut response = Response::new(());
    let _ = scene.sessions.close(&handle, StatusCode::OK, response.headers_mut()).await;
    response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_conflict_with_a_new_id_is_not_replayed_and_leaves_its_cookie_alone() {
    let changes: [(&str, Act); 2] = [
        ("login", |s| Box::pin(async move { s.login("ada").await })),
        ("regenerate", |s| {
            Box::pin(async move {
                s.set("n", 7)?;
                s.regenerate().await
            })
        }),
    ];
    for (name, change) in changes {
        let scene = Scene::new(0);
        let cookie = scene.visitor().await;
        let inner = scene.clone();
        let route = get(move |session: Session, headers: http::HeaderMap| async move {
            inner.runs.fetch_add(1, Ordering::SeqCst);
            let n: u32 = session.get("n")?.unwrap_or(0);
            if inner.runs() == 1 {
                inner.another(&cookie_of(&headers), change).await;
            }
            session.set("n", n + 1)?;
            Ok::<_, SessionError>("ok")
        });
        let request = Request::get("/").header("cookie", &cookie).body(Body::empty()).unwrap();
        let response = scene.app("/", route, ReplayLayer::new()).oneshot(request).await.unwrap();
        assert_eq!((response.status(), scene.runs()), (StatusCode::CONFLICT, 1), "{name}");
        assert!(!response.headers().contains_key("set-cookie"), "{name}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_arrives_whole_and_is_not_replayed() {
    for announced in [true, false] {
        let scene = Scene::new(1);
        let cookie = scene.visitor().await;
        let long = "x".repeat(100);
        let body = if announced { Body::from(long.clone()) } else { Body::new(Frames::of(&long, false)) };
        let arrived = Arc::new(AtomicUsize::new(0));
        let (inner, seen) = (scene.clone(), Arc::clone(&arrived));
        let route = post(move |session: Session, headers: http::HeaderMap, body: Bytes| async move {
            seen.fetch_add(body.len(), Ordering::SeqCst);
            inner.count(&session, &cookie_of(&headers)).await.map(|_| "ok")
        });
        let app = scene.app("/", route, ReplayLayer::new().body_limit(99));
        let response = app.oneshot(post_of(&cookie, body)).await.unwrap();
        assert_eq!((response.status(), scene.runs()), (StatusCode::CONFLICT, 1));
        assert_eq!(arrived.load(Ordering::SeqCst), 100, "announced: {announced}");
    }
}

#[tokio::test]
async fn a_body_within_the_limit_is_replayed_whether_it_was_read_or_not() {
    // Of unknown length, as long as the limit is.
    let scene = Scene::new(1);
    let cookie = scene.visitor().await;
    let body = Body::new(Frames::of(&"x".repeat(100), false));
    let app = scene.app("/", echo(&scene), ReplayLayer::new().body_limit(100));
    let response = app.oneshot(post_of(&cookie, body)).await.unwrap();
    assert_eq!((response.status(), scene.runs()), (StatusCode::OK, 2));
    assert_eq!(text(response).await, "x".repeat(100));

    // The first run does not look at the body, the second one reads all of it.
    let scene = Scene::new(1);
    let cookie = scene.visitor().await;
    let inner = scene.clone();
    let route = post(move |session: Session, request: axum::extract::Request| async move {
        let cookie = cookie_of(request.headers());
        let mut body = request.into_body();
        let first = inner.runs() == 0;
        if first {
            // One frame of it, and no more.
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            assert!(frame.unwrap().unwrap().is_data());
        }
        inner.count(&session, &cookie).await?;
        let text = if first { Bytes::new() } else { to_bytes(body, usize::MAX).await.unwrap() };
        Ok::<_, SessionError>(text)
    });
    let app = scene.app("/", route, ReplayLayer::new());
    let response = app.oneshot(post_of(&cookie, Body::new(Frames::of("a long coat", false)))).await.unwrap();
    assert_eq!((response.status(), scene.runs()), (StatusCode::OK, 2));
    assert_eq!(text(response).await, "a long coat");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_to_the_handler_and_not_replayed() {
    let scene = Scene::new(1);
    let cookie = scene.visitor().await;
    let app = scene.app("/", echo(&scene), ReplayLayer::new());
    let response = app.oneshot(post_of(&cookie, Body::new(Frames::of("half a co", true)))).await.unwrap();
    assert_eq!((response.status(), scene.runs()), (StatusCode::CONFLICT, 1));

    let scene = Scene::new(0);
    let cookie = scene.visitor().await;
    let app = scene.app("/", echo(&scene), ReplayLayer::new());
    let response = app.oneshot(post_of(&cookie, Body::new(Frames::of("half a co", true)))).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST, "the handler saw the error");
}

#[tokio::test]
async fn a_request_inside_two_session_layers_is_not_replayed() {
    for inner_conflicts in [true, false] {
        let scene = Scene::new(1);
        let cookie = scene.visitor().await;
        let other_cookie = CookieConfig::new().name("__Host-staff");
        let staff =
            SessionManager::new(MemoryStore::new(), SessionConfig::new().cookie(other_cookie)).unwrap();
        let (shop, here) = (scene.sessions.clone(), scene.clone());
        let route = get(move |handle: cloakroom::SessionHandle, headers: http::HeaderMap| async move {
            let session = handle.of(&shop).unwrap().open().await?;
            here.count(&session, &cookie_of(&headers)).await.map(|_| "ok")
        });
        let (shop, staff) = (SessionLayer::of(scene.sessions.clone()), SessionLayer::of(staff));
        let app = Router::new().route("/", route);
        let app = if inner_conflicts { app.layer(shop).layer(staff) } else { app.layer(staff).layer(shop) };
        let request = Request::get("/").header("cookie", &cookie).body(Body::empty()).unwrap();
        let response = app.layer(ReplayLayer::new()).oneshot(request).await.unwrap();
        assert_eq!((response.status(), scene.runs()), (StatusCode::CONFLICT, 1));
    }
}

/// The conflict is one of a request that the handler made of its own, to an application with sessions of its own.
#[tokio::test]
async fn a_conflict_that_a_handler_passes_on_does_not_have_its_own_request_replayed() {
    let scene = Scene::new(usize::MAX);
    let cookie = scene.visitor().await;
    let behind = Router::new().route("/", echo(&scene)).layer(SessionLayer::of(scene.sessions.clone()));
    let runs = Arc::new(AtomicUsize::new(0));
    let route = post({
        let runs = Arc::clone(&runs);
        async move |session: Session| {
            runs.fetch_add(1, Ordering::SeqCst);
            session.put("seen", true).await?;
            Ok::<_, SessionError>(behind.oneshot(post_of(&cookie, "x")).await.unwrap())
        }
    });
    let app = Router::new().route("/", route).layer(SessionLayer::new(MemoryStore::new()));
    let request = Request::post("/").body(Body::empty()).unwrap();
    let response = app.layer(ReplayLayer::new()).oneshot(request).await.unwrap();
    assert_eq!((response.status(), runs.load(Ordering::SeqCst)), (StatusCode::CONFLICT, 1));
}

#[tokio::test]
async fn an_adapter_of_ones_own_is_told_whether_to_run_a_request_again() {
    for (puts, expected) in [(false, true), (true, false)] {
        let scene = Scene::new(1);
        let cookie = scene.visitor().await;
        let request = Request::get("/").header("cookie", &cookie).body(()).unwrap();
        let handle = scene.sessions.open(&request, None);
        let session = handle.open().await.unwrap();
        if puts {
            session.put("seen", true).await.unwrap();
        }
        scene.count(&session, &cookie).await.unwrap();
        drop(session);
        let mut response = Response::new(());
        let outcome = scene.sessions.close(&handle, StatusCode::OK, response.headers_mut()).await;
        let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!(handle.may_replay(&error), expected);
    }
}

/// A body of unknown length, a few bytes at a time, that may break off at its end.
struct Frames {
    frames: std::vec::IntoIter<Bytes>,
    breaks_off: bool,
}

impl Frames {
    fn of(text: &str, breaks_off: bool) -> Self {
        let frames: Vec<_> = text.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
        Frames { frames: frames.into_iter(), breaks_off }
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(match self.frames.next() {
            Some(data) => Some(Ok(Frame::data(data))),
            None if std::mem::take(&mut self.breaks_off) => Some(Err(std::io::Error::other("cut"))),
            None => None,
        })
    }
}
