//! Cloakroom with its own memory store and its default configuration.

use axum::Router;
use axum::routing::get;
use cloakroom::{MemoryStore, Session, SessionError, SessionLayer};
use tower_layer::Layer;

use super::subject::{Subject, Wrapped};
use super::{BASKET_ITEMS, Item, Scenario, USUAL, basket, profile};

type Answer<T> = Result<T, SessionError>;

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
    Box::new(Wrapped::new(scenario, true, || SessionLayer::new(MemoryStore::new()).layer(router)))
}

async fn read(session: Session) -> Answer<String> {
    Ok(session.get::<u64>("n")?.unwrap_or_default().to_string())
}

async fn increment(session: Session) -> Answer<String> {
    let n = session.get::<u64>("n")?.unwrap_or_default() + 1;
    session.set("n", n)?;
    Ok(n.to_string())
}

async fn new(session: Session) -> Answer<&'static str> {
    session.set("n", 1)?;
    Ok("ok")
}

async fn change(session: Session) -> Answer<&'static str> {
    let mut basket = session.get::<Vec<Item>>("basket")?.unwrap_or_default();
    basket[BASKET_ITEMS / 2].quantity += 1;
    session.set("basket", basket)?;
    Ok("ok")
}

async fn quantity(session: Session) -> Answer<String> {
    let basket = session.get::<Vec<Item>>("basket")?.unwrap_or_default();
    Ok(basket[BASKET_ITEMS / 2].quantity.to_string())
}

async fn prepare_usual(session: Session) -> Answer<&'static str> {
    session.set("n", 1)?;
    for (key, value) in USUAL {
        session.set(key, value)?;
    }
    Ok("ok")
}

async fn prepare_large(session: Session) -> Answer<&'static str> {
    let (basket, visits, preferences) = profile();
    session.set("n", 1)?;
    session.set("basket", basket)?;
    session.set("visits", visits)?;
    for (key, value) in preferences {
        session.set(key.as_str(), value)?;
    }
    Ok("ok")
}

async fn prepare_basket(session: Session) -> Answer<&'static str> {
    session.set("basket", basket(BASKET_ITEMS))?;
    Ok("ok")
}
