//! `tower-sessions` 0.14 with `tower-sessions-redis-store` 0.16, the newest that has one, on a pool as its documentation
//! makes it.

use axum::Router;
use axum::routing::get;
use tower_layer::Layer;
use tower_sessions_014::{Session, SessionManagerLayer, session};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

use super::Subject;
use super::routed::Routed;
use super::server::Server;
use crate::requests::USUAL;

/// For the table.
pub const NAME: &str = "tower-sessions";

/// The subject.
pub fn subject(server: &Server) -> Box<dyn Subject> {
    let url = server.url(3);
    Box::new(Routed::new(NAME, true, async move || {
        let config = Config::from_url(&url).expect("an address");
        let pool = Pool::new(config, None, None, None, 6).expect("a pool");
        pool.connect();
        pool.wait_for_connect().await.expect("a server");
        let router = Router::new()
            .route("/read", get(read))
            .route("/increment", get(increment))
            .route("/prepare", get(prepare));
        SessionManagerLayer::new(RedisStore::new(pool)).layer(router)
    }))
}

type Answer<T> = Result<T, Refused>;

/// `session::Error` is no response.
struct Refused(session::Error);

impl From<session::Error> for Refused {
    fn from(error: session::Error) -> Self {
        Refused(error)
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        (http::StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}

async fn read(session: Session) -> Answer<String> {
    Ok(session.get::<u64>("n").await?.unwrap_or_default().to_string())
}

async fn increment(session: Session) -> Answer<String> {
    let n = session.get::<u64>("n").await?.unwrap_or_default() + 1;
    session.insert("n", n).await?;
    Ok(n.to_string())
}

async fn prepare(session: Session) -> Answer<&'static str> {
    session.insert("n", 1).await?;
    for (key, value) in USUAL {
        session.insert(key, value).await?;
    }
    Ok("ok")
}
