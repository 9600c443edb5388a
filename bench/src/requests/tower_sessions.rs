//! `tower-sessions` with its own memory store, used as its documentation shows.

use axum::Router;
use axum::routing::get;
use tower_layer::Layer;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

use super::subject::{Subject, Wrapped};
use super::{BASKET_ITEMS, Item, Scenario, USUAL, basket, profile};

/// The subject.
pub fn subject(scenario: Scenario) -> Box<dyn Subject> {
    let router = Router::new()
        .route("/untouched", get(|| async { "ok" }))
        .route("/read", get(read))
        .route("/increment", get(increment))
        .route("/new", get(new))
        .route("/basket", get(change))
        .route("/quantity", get(quantity))
        .route("/prepare-usual", get(prepare_usual))
        .route("/prepare-large", get(prepare_large))
        .route("/prepare-basket", get(prepare_basket));
    Box::new(Wrapped::new(scenario, true, || SessionManagerLayer::new(MemoryStore::default()).layer(router)))
}

async fn read(session: Session) -> String {
    session.get::<u64>("n").await.expect("read").unwrap_or_default().to_string()
}

async fn increment(session: Session) -> String {
    let n = session.get::<u64>("n").await.expect("read").unwrap_or_default() + 1;
    session.insert("n", n).await.expect("written");
    n.to_string()
}

async fn new(session: Session) -> &'static str {
    session.insert("n", 1).await.expect("written");
    "ok"
}

async fn change(session: Session) -> &'static str {
    let mut basket = session.get::<Vec<Item>>("basket").await.expect("read").unwrap_or_default();
    basket[BASKET_ITEMS / 2].quantity += 1;
    session.insert("basket", basket).await.expect("written");
    "ok"
}

async fn quantity(session: Session) -> String {
    let basket = session.get::<Vec<Item>>("basket").await.expect("read").unwrap_or_default();
    basket[BASKET_ITEMS / 2].quantity.to_string()
}

async fn prepare_usual(session: Session) -> &'static str {
    session.insert("n", 1).await.expect("written");
    for (key, value) in USUAL {
        session.insert(key, value).await.expect("written");
    }
    "ok"
}

async fn prepare_large(session: Session) -> &'static str {
    let (basket, visits, preferences) = profile();
    session.insert("n", 1).await.expect("written");
    session.insert("basket", basket).await.expect("written");
    session.insert("visits", visits).await.expect("written");
    for (key, value) in preferences {
        session.insert(&key, value).await.expect("written");
    }
    "ok"
}

async fn prepare_basket(session: Session) -> &'static str {
    session.insert("basket", basket(BASKET_ITEMS)).await.expect("written");
    "ok"
}
