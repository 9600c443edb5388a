//! What the store takes on the server, for the arithmetic in its manual: bytes for each session, and how soon a lock
//! gets from one process to the next.

use std::time::{Duration, Instant};

use cloakroom::store::{Acquired, Store};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use serde::Serialize;
use tokio::runtime::Builder;

use super::server::Server;
use crate::stats::Spread;

const SESSIONS: usize = 20_000;
const HANDOVERS: usize = 500;

/// What was found.
#[derive(Serialize)]
pub struct Facts {
    /// Memory by what a session holds.
    pub sessions: Vec<Size>,
    /// Microseconds from a holder's release to the moment that a waiter of another process has the lock.
    pub handover_us: Spread,
}

/// What a session takes.
#[derive(Serialize)]
pub struct Size {
    /// Bytes of its data.
    pub data: usize,
    /// Whether a user is logged in to it.
    pub logged_in: bool,
    /// Bytes of the server's memory, keys and expiries included.
    pub bytes: u64,
}

/// Measures both.
pub fn find(server: &Server) -> Facts {
    eprintln!("on a server: bytes for each session, and the way of a lock …");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut sessions = Vec::new();
        for (data, logged_in) in [(0, false), (100, false), (1_000, false), (1_000, true)] {
            let bytes = size(server, data, logged_in).await;
            sessions.push(Size { data, logged_in, bytes });
        }
        Facts { sessions, handover_us: handovers(server).await }
    })
}

/// By how much the server's memory grows, for each of many sessions that are made at once.
async fn size(server: &Server, data: usize, logged_in: bool) -> u64 {
    let store = RedisStore::new(&server.url(7)).expect("an address");
    let value = vec![7; data];
    let before = server.used_memory().await;
    let mut making = tokio::task::JoinSet::new();
    for n in 0..SESSIONS {
        let payload = if data == 0 { requests::data(&[]) } else { requests::data(&[("k", &value)]) };
        let mut request = requests::create(requests::key(), payload);
        if logged_in {
            request.bind = Some(requests::bind(&requests::user(&format!("user-{n}"))));
        }
        making.spawn(store.create(request));
        if making.len() >= 64 {
            making.join_next().await.expect("one").expect("it ran").expect("it was stored");
        }
    }
    for made in making.join_all().await {
        made.expect("it was stored");
    }
    let after = server.used_memory().await;
    server.empty(7).await;
    (after - before) / SESSIONS as u64
}

async fn handovers(server: &Server) -> Spread {
    let store = || RedisStore::new(&server.url(7)).expect("an address");
    // Each with connections of its own, as in processes of their own.
    let (holder, waiter) = (store(), store());
    let key = requests::key();
    holder.create(requests::create(key, requests::data(&[]))).await.expect("a session");
    let mut took = Vec::with_capacity(HANDOVERS);
    for _ in 0..HANDOVERS {
        let held = holder.acquire(requests::acquire(key, 1)).await.expect("an answer");
        assert!(matches!(held, Acquired::Acquired { .. }), "{held:?}");
        let waiting = tokio::spawn({
            let waiter = waiter.clone();
            async move {
                loop {
                    match waiter.acquire(requests::acquire(key, 2)).await.expect("an answer") {
                        Acquired::Acquired { .. } => return Instant::now(),
                        _ => waiter.released(key).expect("a signal").await.expect("a signal"),
                    }
                }
            }
        });
        // By then it waits.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let released = Instant::now();
        holder.release(requests::release(key, 1)).await.expect("an answer");
        let held = waiting.await.expect("it ran");
        took.push(held.saturating_duration_since(released).as_secs_f64() * 1e6);
        waiter.release(requests::release(key, 2)).await.expect("an answer");
    }
    Spread::of(took)
}
