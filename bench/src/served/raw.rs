//! The client library alone, asking for values of the size that a stored session has: `GET`, and for an increment a script
//! that sets as well. Nothing is compared and nothing decoded.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use redis::aio::MultiplexedConnection;

use super::Subject;
use super::routed::Routed;
use super::server::Server;

/// For the table.
pub const NAME: &str = "client alone";

/// Bytes that Cloakroom stores for the usual session.
const STORED: usize = 480;
const SET: &str = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return redis.call('TIME')[1]";

#[derive(Clone)]
struct Raw {
    connection: MultiplexedConnection,
    sha: String,
}

/// The subject.
pub fn subject(server: &Server) -> Box<dyn Subject> {
    let url = server.url(1);
    Box::new(Routed::new(NAME, true, async move || {
        let client = redis::Client::open(url).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a server");
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(SET).query_async(&mut connection).await;
        let sha: String = load.expect("a script");
        Router::new()
            .route("/read", get(read))
            .route("/increment", get(increment))
            .route("/prepare", get(prepare))
            .with_state(Raw { connection, sha })
    }))
}

/// The number is the first eight bytes.
fn value(n: u64) -> Vec<u8> {
    let mut value = n.to_be_bytes().to_vec();
    value.resize(STORED, b'.');
    value
}

fn number(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn name(headers: &HeaderMap) -> &[u8] {
    headers.get(header::COOKIE).map_or(b"", |cookie| cookie.as_bytes())
}

async fn read(State(mut raw): State<Raw>, headers: HeaderMap) -> String {
    let mut get = redis::cmd("GET");
    get.arg(name(&headers));
    let value: Vec<u8> = get.query_async(&mut raw.connection).await.expect("an answer");
    number(&value).to_string()
}

async fn increment(State(mut raw): State<Raw>, headers: HeaderMap) -> String {
    let mut get = redis::cmd("GET");
    get.arg(name(&headers));
    let stored: Vec<u8> = get.query_async(&mut raw.connection).await.expect("an answer");
    let n = number(&stored) + 1;
    let mut set = redis::cmd("EVALSHA");
    set.arg(&raw.sha).arg(1).arg(name(&headers)).arg(value(n)).arg(7_200_000);
    let _: redis::Value = set.query_async(&mut raw.connection).await.expect("an answer");
    n.to_string()
}

async fn prepare(State(mut raw): State<Raw>) -> ([(header::HeaderName, String); 1], &'static str) {
    let next: u64 =
        redis::cmd("INCR").arg("names").query_async(&mut raw.connection).await.expect("an answer");
    // As long as the name of a session of ours.
    let cookie = format!("raw:{{aaaa}}{next:039}");
    let mut set = redis::cmd("SET");
    set.arg(&cookie).arg(value(1));
    let _: redis::Value = set.query_async(&mut raw.connection).await.expect("an answer");
    ([(header::SET_COOKIE, cookie)], "ok")
}
