//! Cloakroom on its Redis store, with its default configuration, and the same behind its near cache.

use axum::Router;
use axum::routing::get;
use cloakroom::{NearCache, Session, SessionError, SessionLayer};
use cloakroom_redis::RedisStore;
use tower_layer::Layer;

use super::Subject;
use super::routed::Routed;
use super::server::Server;
use crate::requests::USUAL;

type Answer<T> = Result<T, SessionError>;

/// Where its sessions are.
pub const DATABASE: u8 = 2;

/// The subject.
pub fn subject(server: &Server) -> Box<dyn Subject> {
    let url = server.url(DATABASE);
    Box::new(Routed::new("cloakroom", true, async move || {
        let store = RedisStore::new(&url).expect("an address");
        SessionLayer::new(store).layer(router())
    }))
}

/// For the table.
pub const NEAR: &str = "behind its cache";

/// The subject behind a near cache.
pub fn near(server: &Server) -> Box<dyn Subject> {
    let url = server.url(6);
    Box::new(Routed::new(NEAR, true, async move || {
        let store = RedisStore::new(&url).expect("an address");
        SessionLayer::new(NearCache::new(store)).layer(router())
    }))
}

fn router() -> Router {
    Router::new()
        .route("/read", get(read))
        .route("/increment", get(increment))
        .route("/prepare", get(prepare))
}

async fn read(session: Session) -> Answer<String> {
    Ok(session.get::<u64>("n")?.unwrap_or_default().to_string())
}

async fn increment(session: Session) -> Answer<String> {
    let n = session.get::<u64>("n")?.unwrap_or_default() + 1;
    session.set("n", n)?;
    Ok(n.to_string())
}

async fn prepare(session: Session) -> Answer<&'static str> {
    session.set("n", 1)?;
    for (key, value) in USUAL {
        session.set(key, value)?;
    }
    Ok("ok")
}
