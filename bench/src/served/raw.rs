//! The client library alone: `GET`, and for an increment the write behind it. Nothing is checked or decoded, and what is
//! written is what was read with another number in it.
//!
//! The write is one of two: the very script by which `cloakroom-redis` replaces a session, given what that gives it where
//! the deadline has slid a moment ago, as it nearly always has here; or a plain `SET`, which compares nothing. Both leave
//! the key its expiry. Names and values are as long as those that `cloakroom-redis` has in the same run.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use redis::aio::MultiplexedConnection;

use super::Subject;
use super::routed::Routed;
use super::server::{Server, Stored};

/// For the table: with the script.
pub const NAME: &str = "client alone";
/// The same with a plain `SET`.
pub const PLAIN: &str = "client, plain SET";

const REPLACE: &str = include_str!("../../../crates/cloakroom-redis/src/lua/replace.lua");
/// Bytes that the script compares.
const COMPARED: usize = 90;
/// Milliseconds that a value is kept.
const LIFE: u64 = 7_200_000;

#[derive(Clone)]
struct Raw {
    connection: MultiplexedConnection,
    /// Of the script, where the write is to be that.
    sha: Option<String>,
    ends: u64,
    stored: Stored,
}

/// The subject of this name, with values like this one.
pub fn subject(name: &'static str, server: &Server, stored: &Stored) -> Box<dyn Subject> {
    let plain = name == PLAIN;
    let (url, stored) = (server.url(if plain { 8 } else { 1 }), stored.clone());
    Box::new(Routed::new(name, true, async move || {
        let client = redis::Client::open(url).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a server");
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(REPLACE).query_async(&mut connection).await;
        let sha = Some(load.expect("a script")).filter(|_| !plain);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        let ends = u64::try_from(since.as_millis()).expect("a time") + LIFE;
        Router::new()
            .route("/read", get(read))
            .route("/increment", get(increment))
            .route("/prepare", get(prepare))
            .with_state(Raw { connection, sha, ends, stored })
    }))
}

/// The number is the first eight bytes.
fn with_number(mut value: Vec<u8>, n: u64) -> Vec<u8> {
    *value.first_chunk_mut().expect("more than a number") = n.to_be_bytes();
    value
}

fn number(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn name(headers: &HeaderMap) -> &[u8] {
    headers.get(header::COOKIE).map_or(b"", |cookie| cookie.as_bytes())
}

impl Raw {
    async fn get(&mut self, name: &[u8]) -> Vec<u8> {
        let mut get = redis::cmd("GET");
        get.arg(name);
        get.query_async(&mut self.connection).await.expect("an answer")
    }

    async fn set(&mut self, name: &[u8], before: &[u8], after: &[u8]) {
        let answer: redis::Value = match &self.sha {
            Some(sha) => {
                let mut replace = redis::cmd("EVALSHA");
                replace.arg(sha).arg(1).arg(name).arg(before.get(..COMPARED).expect("a head"));
                replace.arg(after);
                replace.query_async(&mut self.connection).await.expect("an answer")
            }
            None => {
                let mut set = redis::cmd("SET");
                set.arg(name).arg(after).arg("KEEPTTL");
                set.query_async(&mut self.connection).await.expect("an answer")
            }
        };
        assert!(matches!(answer, redis::Value::Int(1) | redis::Value::Okay), "not replaced");
    }
}

async fn read(State(mut raw): State<Raw>, headers: HeaderMap) -> String {
    number(&raw.get(name(&headers)).await).to_string()
}

async fn increment(State(mut raw): State<Raw>, headers: HeaderMap) -> String {
    let name = name(&headers);
    let before = raw.get(name).await;
    let n = number(&before) + 1;
    let after = with_number(before.clone(), n);
    raw.set(name, &before, &after).await;
    n.to_string()
}

async fn prepare(State(mut raw): State<Raw>) -> ([(header::HeaderName, String); 1], &'static str) {
    let next: u64 =
        redis::cmd("INCR").arg("names").query_async(&mut raw.connection).await.expect("an answer");
    // As long as the name of a session of ours.
    let cookie = format!("raw:{next:0width$}", width = raw.stored.name.len() - "raw:".len());
    let mut set = redis::cmd("SET");
    set.arg(&cookie).arg(with_number(raw.stored.value.clone(), 1)).arg("PXAT").arg(raw.ends);
    let _: redis::Value = set.query_async(&mut raw.connection).await.expect("an answer");
    ([(header::SET_COOKIE, cookie)], "ok")
}
