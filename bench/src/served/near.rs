//! One lookup by itself: a near cache that was told of nothing new, beside a `GET` of the same value by the client library.
//!
//! Without routes and cookies around, which take the same time either way: what is compared is where the session comes from.

use std::time::{Duration, Instant};

use cloakroom::NearCache;
use cloakroom::store::{Loaded, Store};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use serde::Serialize;
use tokio::runtime::Builder;

use super::server::Server;
use super::{Effort, Share};
use crate::requests::USUAL;
use crate::stats::Spread;

/// Lookups under way at the same time.
const AT_ONCE: [usize; 3] = [1, 16, 64];
/// Lookups in memory for each that goes to the server, so that a batch takes some time.
const MORE: usize = 20;

/// One row of the table.
#[derive(Serialize)]
pub struct Row {
    /// How many are under way at the same time.
    pub at_once: usize,
    /// Microseconds of a `GET`.
    pub get_us: Spread,
    /// Microseconds of a lookup in the cache.
    pub near_us: Spread,
    /// How fast the cache is.
    pub of_raw: Share,
}

/// Measures it.
pub fn run(effort: Effort, server: &Server) -> Vec<Row> {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(server, effort))
}

async fn measure(server: &Server, effort: Effort) -> Vec<Row> {
    let near = NearCache::new(RedisStore::new(&server.url(0)).expect("an address"));
    let client = redis::Client::open(server.url(0)).expect("an address");
    let raw = client.get_multiplexed_async_connection().await.expect("a server");
    let key = requests::key();
    let usual: Vec<_> = USUAL.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
    near.create(requests::create(key, requests::data(&usual))).await.expect("a session");
    // The very value that the store would ask for.
    let names: Vec<String> =
        redis::cmd("KEYS").arg("cloakroom:*").query_async(&mut raw.clone()).await.expect("an answer");
    let [name] = names.as_slice() else { panic!("{} keys for one session", names.len()) };

    let mut rows = Vec::new();
    for at_once in AT_ONCE {
        let (mut get_us, mut near_us) = (Vec::new(), Vec::new());
        let batch = if at_once == 1 { effort.batch / 8 } else { effort.batch };
        for _ in 0..effort.rounds {
            let get = at_the_same_time(at_once, batch, |lookups| {
                let (mut raw, name) = (raw.clone(), name.clone());
                async move {
                    for _ in 0..lookups {
                        let mut get = redis::cmd("GET");
                        get.arg(&name);
                        let value: Vec<u8> = get.query_async(&mut raw).await.expect("an answer");
                        assert!(value.len() > 300);
                    }
                }
            });
            get_us.push(get.await.as_secs_f64() * 1e6 / batch as f64);
            let look_up = at_the_same_time(at_once, MORE * batch, |lookups| {
                let near = near.clone();
                async move {
                    for _ in 0..lookups {
                        assert!(matches!(near.load(key).await, Ok(Loaded::Live(_))));
                    }
                }
            });
            near_us.push(look_up.await.as_secs_f64() * 1e6 / (MORE * batch) as f64);
        }
        let times = get_us.iter().zip(&near_us).map(|(get, near)| get / near).collect();
        let times = Spread::of(times);
        let at_least = (at_once <= 16).then_some(5.0);
        let of_raw = Share { name: super::raw::NAME, times, at_least };
        rows.push(Row { at_once, get_us: Spread::of(get_us), near_us: Spread::of(near_us), of_raw });
    }
    let counts = near.counts();
    assert!(counts.hits > 100 * counts.misses, "it is not the cache that was measured: {counts:?}");
    rows
}

/// So many lookups, spread over so many tasks.
async fn at_the_same_time<F>(at_once: usize, lookups: usize, look_up: impl Fn(usize) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        running.spawn(look_up(lookups / at_once));
    }
    running.join_all().await;
    began.elapsed()
}
