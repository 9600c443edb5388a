//! Two layers with different cookies serve one application.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use cloakroom::{
    CookieConfig, MemoryStore, SessionConfig, SessionError, SessionHandle, SessionLayer, SessionManager,
};
use http::Request;
use tower::ServiceExt;

#[tokio::test]
async fn each_layer_has_its_own_cookie_and_a_handler_reaches_both() {
    let manager = |name: &str| {
        let cookie = CookieConfig::new().name(format!("__Host-{name}"));
        SessionManager::new(MemoryStore::new(), SessionConfig::new().cookie(cookie)).unwrap()
    };
    let (shop, staff) = (manager("shop"), manager("staff"));
    let (inner, outer) = (shop.clone(), staff.clone());
    let handler = move |handle: SessionHandle| async move {
        let shop = handle.of(&shop).expect("the inner layer's").open().await?;
        let staff = handle.of(&staff).expect("the outer layer's").open().await?;
        shop.set("who", "a customer")?;
        staff.set("who", "a clerk")?;
        Ok::<_, SessionError>("ok")
    };
    let app: Router =
        Router::new().route("/", get(handler)).layer(SessionLayer::of(inner)).layer(SessionLayer::of(outer));
    let response = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    let mut names: Vec<_> = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|c| c.to_str().unwrap().split('=').next().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["__Host-shop", "__Host-staff"]);
}
