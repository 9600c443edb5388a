//! `axum_session` 0.22 with its Redis pool, and its own cache, which other processes' writes do not reach, off.

use ::axum_session::{Session, SessionConfig, SessionLayer, SessionStore};
use actix_web::cookie::time::Duration;
use axum::Router;
use axum::routing::get;
use axum_session_redispool::SessionRedisPool;
use redis_pool::SingleRedisPool;
use tower_layer::Layer;

use super::Subject;
use super::routed::Routed;
use super::server::Server;
use crate::requests::USUAL;

type Redis = Session<SessionRedisPool>;

/// The subject.
pub fn subject(server: &Server) -> Box<dyn Subject> {
    let url = server.url(4);
    Box::new(Routed::new("axum_session", true, async move || {
        let client = redis::Client::open(url).expect("an address");
        let pool: SingleRedisPool = client.into();
        let config = SessionConfig::default().with_memory_lifetime(Duration::ZERO).with_secure(false);
        let store = SessionStore::new(Some(SessionRedisPool::from(pool)), config).await.expect("a store");
        let router = Router::new()
            .route("/read", get(read))
            .route("/increment", get(increment))
            .route("/prepare", get(prepare));
        SessionLayer::new(store).layer(router)
    }))
}

async fn read(session: Redis) -> String {
    session.get::<u64>("n").unwrap_or_default().to_string()
}

async fn increment(session: Redis) -> String {
    let n = session.get::<u64>("n").unwrap_or_default() + 1;
    session.set("n", n);
    n.to_string()
}

async fn prepare(session: Redis) -> &'static str {
    session.set("n", 1);
    for (key, value) in USUAL {
        session.set(key, value);
    }
    "ok"
}
