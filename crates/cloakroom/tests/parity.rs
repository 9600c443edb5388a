//! Lines of `docs/parity.md` that the black-box suite has no route for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use cloakroom::{Key, MemoryStore, Session, SessionConfig, SessionError, SessionLayer};
use cloakroom_testing::{Op, SpyStore};
use house::House;
use serde::{Deserialize, Serialize};
use tower::ServiceExt;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
    cents: i64,
    options: BTreeMap<String, Option<bool>>,
}

const BASKET: Key<Vec<Item>> = Key::new("basket");

#[tokio::test]
async fn r01_a_session_is_its_cookie_s_and_holds_any_serializable_value() {
    let house = House::new(SessionConfig::new());
    let coat = Item {
        name: "überzieher".to_owned(),
        cents: -1,
        options: BTreeMap::from([("lined".to_owned(), Some(true)), ("size".to_owned(), None)]),
    };
    // The same user at two browsers: two cookies, two baskets.
    let mut ids = Vec::new();
    for n in 0..2 {
        let basket = vec![coat.clone(); n];
        let work = |s: Session| async move {
            s.login("ada").await?;
            s.set(BASKET, basket)
        };
        let answer = house.visit(None, work).await;
        ids.push(answer.id().unwrap());
        let sent: String = answer.headers.values().map(|v| v.to_str().unwrap()).collect();
        assert!(!sent.contains("zieher") && !sent.contains("ada"), "only the id is on the client: {sent}");
    }
    for (n, id) in ids.iter().enumerate() {
        let session = house.arrive(&[id]).open().await.unwrap();
        assert_eq!(session.get(BASKET).unwrap().unwrap(), vec![coat.clone(); n]);
    }
}

#[tokio::test]
async fn p02_decrement_is_an_increment_by_less_than_nothing() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    for (by, sum) in [(-3, -3), (1, -2), (-40, -42), (i64::MIN, i64::MIN), (-1, i64::MIN), (i64::MAX, -1)] {
        let answer =
            house.visit(Some(&id), |s: Session| async move { s.increment("sum", by).await.map(drop) });
        answer.await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        assert_eq!(session.get::<i64>("sum").unwrap(), Some(sum), "{by} more");
    }
}

#[tokio::test]
async fn x02_middleware_and_handler_have_the_same_session_and_see_each_other_s_changes() {
    async fn before_and_after(
        session: Session,
        request: Request,
        next: Next,
    ) -> Result<Response, SessionError> {
        session.set("before", "set by the middleware")?;
        let response = next.run(request).await;
        assert_eq!(session.get::<String>("inside")?.as_deref(), Some("set by the handler"));
        session.set("after", true)?;
        Ok(response)
    }
    async fn handler(session: Session) -> Result<String, SessionError> {
        session.set("inside", "set by the handler")?;
        Ok(session.get("before")?.unwrap_or_default())
    }
    let spy = SpyStore::new(Arc::new(MemoryStore::new()));
    let app = Router::new()
        .route("/", get(handler))
        .layer(from_fn(before_and_after))
        .layer(SessionLayer::new(spy.clone()));
    let response = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert!(response.headers().contains_key("set-cookie"));
    let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
    assert_eq!(body, "set by the middleware");
    // All three changes in one go, and the middleware is in place by itself: nobody started or saved anything.
    assert_eq!(spy.calls().ops(), [Op::Create]);
}

#[tokio::test]
async fn m10_a_refused_value_is_not_readable_and_the_one_before_still_is() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    session.set("n", vec![0u8; 1 << 20]).unwrap_err();
    assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
    session.set("", 2).unwrap_err();
    session.put("n\0", 2).await.unwrap_err();
    assert_eq!(session.keys(), ["n"]);
    session.put("n", 2).await.unwrap();
    assert_eq!(session.get::<u8>("n").unwrap(), Some(2), "later writes work again");
}
