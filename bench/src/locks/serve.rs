//! A process that serves sessions on a socket: this program again, started by itself.

use std::future::IntoFuture;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use cloakroom::{Session, SessionError, SessionLayer};
use cloakroom_redis::RedisStore;
use serde::Deserialize;

/// The command that starts it; not for users.
pub const COMMAND: &str = "--serve-locks";

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    ms: u64,
}

/// Serves on this socket until it is killed, and says when it does.
pub fn serve(url: &str, socket: &str) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let app = Router::new()
            .route("/lock", get(lock))
            .route("/read", get(read))
            .route("/new", get(new))
            .layer(SessionLayer::new(RedisStore::new(url)?));
        let listener = tokio::net::UnixListener::bind(socket)?;
        println!("ready");
        // By one of the two threads that serve: a third one would be woken for each connection.
        tokio::spawn(axum::serve(listener, app).into_future()).await??;
        Ok(())
    })
}

/// Microseconds that processes agree on.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
}

async fn new(session: Session) -> Result<&'static str, SessionError> {
    session.put("n", 0).await?;
    Ok("0 0 0")
}

async fn read(session: Session) -> Result<String, SessionError> {
    Ok(format!("{} 0 0", session.get::<u64>("n")?.unwrap_or(0)))
}

async fn lock(session: Session, Query(asked): Query<Asked>) -> Result<String, SessionError> {
    let mut guard = session.lock().await?;
    let held = now();
    let n = guard.get::<u64>("n")?.unwrap_or(0) + 1;
    if asked.ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(asked.ms)).await;
    }
    guard.set("n", n)?;
    let lets_go = now();
    guard.commit().await?;
    Ok(format!("{n} {held} {lets_go}"))
}
