//! One request after another through the tower layer: what a visitor sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use cloakroom::{Session, SessionError, SessionLayer};
use cloakroom_testing::ReferenceStore;
use http::{Request, Response, StatusCode};
use tower::ServiceExt;

async fn visit(session: Session) -> Result<String, SessionError> {
    let n = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1).await?;
    Ok(n.to_string())
}

async fn buffered(session: Session) -> Result<String, SessionError> {
    let n = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.set("visits", n)?;
    Ok(n.to_string())
}

async fn locked(session: Session) -> Result<String, SessionError> {
    let mut guard = session.lock().await?;
    let n = guard.get::<u32>("visits")?.unwrap_or(0) + 1;
    guard.set("visits", n)?;
    guard.commit().await?;
    Ok(n.to_string())
}

fn app() -> Router {
    Router::new()
        .route("/visit", get(visit))
        .route("/buffered", get(buffered))
        .route("/locked", get(locked))
        .route("/plain", get(|| async { "ok" }))
        .route("/login", get(|s: Session| async move { s.login("ada").await.map(|()| "ok") }))
        .route("/destroy", get(|s: Session| async move { s.destroy().await.map(|()| "ok") }))
        .route(
            "/whoami",
            get(|s: Session| async move { s.user().map_or("nobody".to_owned(), |u| u.as_str().to_owned()) }),
        )
        .layer(SessionLayer::new(ReferenceStore::new()))
}

async fn ask(app: &Router, path: &str, cookie: Option<&str>) -> Response<Body> {
    let mut request = Request::get(path);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn cookie(response: &Response<Body>) -> Option<String> {
    let text = response.headers().get("set-cookie")?.to_str().unwrap();
    Some(text.split(';').next().unwrap().to_owned())
}

async fn text(response: Response<Body>) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_visitor_is_counted_by_every_kind_of_write() {
    let app = app();
    let first = ask(&app, "/visit", None).await;
    let id = cookie(&first).expect("a cookie for a new session");
    assert!(id.starts_with("__Host-id="), "{id}");
    assert_eq!(text(first).await, "1");
    let second = ask(&app, "/buffered", Some(&id)).await;
    assert_eq!(cookie(&second), None, "nothing changed about the id");
    assert_eq!(second.headers()["cache-control"], "no-store, no-cache, must-revalidate");
    assert_eq!(text(second).await, "2");
    assert_eq!(text(ask(&app, "/locked", Some(&id)).await).await, "3");
    assert_eq!(text(ask(&app, "/visit", Some(&id)).await).await, "4");
}

#[tokio::test]
async fn c12_a_request_that_never_opens_its_session_is_left_alone() {
    let app = app();
    let response = ask(&app, "/plain", None).await;
    for name in ["set-cookie", "vary", "cache-control"] {
        assert!(response.headers().get(name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_login_changes_the_id_and_a_logout_ends_it() {
    let app = app();
    let id = cookie(&ask(&app, "/visit", None).await).unwrap();
    let in_id = cookie(&ask(&app, "/login", Some(&id)).await).unwrap();
    assert_ne!(id, in_id);
    assert_eq!(text(ask(&app, "/whoami", Some(&in_id)).await).await, "ada");
    assert_eq!(text(ask(&app, "/whoami", Some(&id)).await).await, "nobody");
    let out = ask(&app, "/destroy", Some(&in_id)).await;
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(text(ask(&app, "/whoami", Some(&in_id)).await).await, "nobody");
}
