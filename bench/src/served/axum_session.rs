//! `axum_session` 0.22 with its Redis pool; and once more with its own cache, which other processes' writes do not reach.

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

/// For the table.
pub const CACHED: &str = "axum_session cached";

/// The subject, its cache off.
pub fn subject(server: &Server) -> Box<dyn Subject> {
    with("axum_session", server.url(4), SessionConfig::default().with_memory_lifetime(Duration::ZERO))
}

/// With its cache on, as it is unless told otherwise.
pub fn cached(server: &Server) -> Box<dyn Subject> {
    with(CACHED, server.url(9), SessionConfig::default())
}

fn with(name: &'static str, url: String, config: SessionConfig) -> Box<dyn Subject> {
    Box::new(Routed::new(name, true, async move || {
        let client = redis::Client::open(url).expect("an address");
        let pool: SingleRedisPool = client.into();
        let config = config.with_secure(false);
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
