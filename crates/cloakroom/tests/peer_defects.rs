//! Defects of other session libraries that need a store which fails. The others are in the black-box suite of the probe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use cloakroom::store::Store;
use cloakroom::{MemoryStore, Session, SessionConfig, SessionError, SessionLayer, SessionManager};
use cloakroom_testing::{Fault, FaultStore, ManualClock, Op};
use http::{Request, Response, StatusCode};
use tower::ServiceExt;

/// What may befall a call that changes something. With all but the last two, nothing was changed.
fn faults() -> Vec<Fault> {
    vec![
        Fault::Unavailable,
        Fault::Full,
        Fault::Hang,
        Fault::LoseRequest,
        Fault::LoseAnswer,
        Fault::HangAfter,
    ]
}

struct App {
    router: Router,
    faults: FaultStore,
    store: Arc<dyn Store>,
}

fn app() -> App {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let faults = FaultStore::new(Arc::clone(&store));
    let config = SessionConfig::new().deadlines(Duration::from_millis(200), Duration::from_millis(30));
    let manager = SessionManager::over(Arc::new(faults.clone()), config).unwrap();
    let router = Router::new()
        .route("/set", get(|s: Session| async move { s.set("colour", "red").map(|()| "ok") }))
        .route("/put", get(|s: Session| async move { s.put("colour", "red").await.map(|()| "ok") }))
        .route(
            "/read",
            get(|s: Session| async move { s.get::<String>("colour").map(Option::unwrap_or_default) }),
        )
        .route("/blue", get(|s: Session| async move { s.set("colour", "blue").map(|()| "ok") }))
        // Whatever goes wrong, this handler says that all is well.
        .route("/careless", get(careless))
        .layer(SessionLayer::of(manager));
    App { router, faults, store }
}

async fn careless(session: Session) -> Result<&'static str, SessionError> {
    session.set("colour", "blue")?;
    let _ = session.save().await;
    let _ = session.get::<String>("colour")?;
    session.set("size", "large")?;
    Ok("saved")
}

impl App {
    async fn ask(&self, path: &str, cookie: Option<&str>) -> Response<Body> {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn session(&self) -> String {
        let response = self.ask("/set", None).await;
        response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn colour(&self, cookie: &str) -> String {
        let response = self.ask("/read", Some(cookie)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }
}

/// Elsewhere, a session that could not be loaded is taken for a new and empty one, which the next save puts in its place.
#[tokio::test]
async fn transient_load_error_overwrites_the_stored_session() {
    for fault in [Fault::Unavailable, Fault::Hang, Fault::Corrupt] {
        for route in ["/set", "/put", "/blue", "/careless"] {
            let app = app();
            let cookie = app.session().await;
            let stored = app.store.stats().await.unwrap().live;
            app.faults.at_op(Op::Load, 1, fault.clone());
            let failed = app.ask(route, Some(&cookie)).await;
            assert!(failed.status().is_server_error(), "{fault:?} {route}: {}", failed.status());
            assert!(!failed.headers().contains_key("set-cookie"), "{fault:?} {route}");
            // The store is well again, and everything is as it was.
            assert_eq!(app.colour(&cookie).await, "red", "{fault:?} {route}");
            assert_eq!(app.store.stats().await.unwrap().live, stored, "{fault:?} {route}");
        }
    }
}

/// Elsewhere, the response has left, or the error is logged and dropped, and the visitor is told that it worked.
#[tokio::test]
async fn save_failure_answered_with_200() {
    for fault in faults() {
        for route in ["/blue", "/careless"] {
            let app = app();
            let cookie = app.session().await;
            app.faults.always(Some(Op::Commit), fault.clone());
            let failed = app.ask(route, Some(&cookie)).await;
            assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE, "{fault:?} {route}");
            assert!(!failed.headers().contains_key("set-cookie"), "{fault:?} {route}");
            app.faults.heal();
            let colour = app.colour(&cookie).await;
            let may_have_landed = matches!(fault, Fault::LoseAnswer | Fault::HangAfter);
            assert!(colour == "red" || (may_have_landed && colour == "blue"), "{fault:?} {route}: {colour}");
        }
        // Nor is a first visitor given a cookie for a session that was not made.
        let app = app();
        app.faults.always(Some(Op::Create), fault.clone());
        let failed = app.ask("/set", None).await;
        assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE, "{fault:?}");
        assert!(!failed.headers().contains_key("set-cookie"), "{fault:?}");
    }
}

/// Elsewhere, the task that removes expired sessions ends with its first error, and the store grows for ever.
#[tokio::test]
async fn purge_stops_after_one_error() {
    let clock = ManualClock::new();
    let memory = MemoryStore::builder().clock(clock.clone()).build();
    let faults = FaultStore::new(Arc::new(memory));
    let config = SessionConfig::new().purge_every(Some(Duration::from_millis(5)));
    let manager = SessionManager::over(Arc::new(faults.clone()), config).unwrap();
    let handle = manager.open(&Request::new(()), None);
    handle.open().await.unwrap().set("colour", "red").unwrap();
    let _ = manager.close(&handle, StatusCode::OK, &mut http::HeaderMap::new()).await;

    for n in 1..=3 {
        faults.at_op(Op::Purge, n, Fault::Unavailable);
    }
    clock.advance(Duration::from_secs(8 * 24 * 3600));
    let purged = async {
        while manager.metrics().purged == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), purged).await.expect("nothing was purged after the errors");
    assert_eq!(faults.injected().len(), 3, "the errors came first");
}
