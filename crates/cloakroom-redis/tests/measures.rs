//! Numbers for the manual, `docs/redis.md`. Measured, not asserted, so not part of the tests:
//!
//! ```text
//! cargo test --release -p cloakroom-redis --test measures -- --ignored --nocapture --test-threads 1
//! ```
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use cloakroom::store::{Acquired, Loaded, Store};
use cloakroom_testing::requests;
use support::{Kind, Server};

const KINDS: [Kind; 2] = [Kind::Redis, Kind::Valkey];

fn used(server: &Server) -> u64 {
    let info = server.raw("INFO memory");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn bytes_per_session() {
    const SESSIONS: usize = 50_000;
    for kind in KINDS {
        for (data, logged_in) in [(0, false), (100, false), (1000, false), (1000, true)] {
            let server = Server::start_with(kind, &["--appendonly", "no"]);
            let store = server.store();
            store.ping().await.unwrap();
            let value = vec![7; data];
            let before = used(&server);
            let mut running = tokio::task::JoinSet::new();
            for n in 0..SESSIONS {
                let payload = requests::data(&[("k", &value)]);
                let request = match logged_in {
                    false => requests::create(requests::key(), payload),
                    true => {
                        let mut request = requests::create_for(
                            requests::key(),
                            requests::bind(&requests::user(&format!("user-{n}"))),
                        );
                        request.payload = payload;
                        request
                    }
                };
                running.spawn(store.create(request));
                if running.len() >= 64 {
                    running.join_next().await.unwrap().unwrap().unwrap();
                }
            }
            while let Some(done) = running.join_next().await {
                done.unwrap().unwrap();
            }
            let each = (used(&server) - before) / SESSIONS as u64;
            println!("{kind:?}: {each} bytes per session of {data} bytes, logged in: {logged_in}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn operations_per_second() {
    for kind in KINDS {
        for at_once in [1, 16, 64] {
            let server = Server::start_with(kind, &["--appendonly", "no"]);
            let store = server.store();
            let key = requests::key();
            store.create(requests::create(key, requests::data(&[("k", &[7; 1000])]))).await.unwrap();
            let until = Instant::now() + Duration::from_secs(2);
            let mut reading = tokio::task::JoinSet::new();
            for _ in 0..at_once {
                let store = store.clone();
                reading.spawn(async move {
                    let mut reads = 0u64;
                    while Instant::now() < until {
                        assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));
                        reads += 1;
                    }
                    reads
                });
            }
            let reads: u64 = reading.join_all().await.into_iter().sum();
            let until = Instant::now() + Duration::from_secs(2);
            let mut writing = tokio::task::JoinSet::new();
            for _ in 0..at_once {
                let store = store.clone();
                writing.spawn(async move {
                    let mut writes = 0u64;
                    let key = requests::key();
                    store.create(requests::create(key, requests::data(&[]))).await.unwrap();
                    let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!() };
                    let mut version = found.record.version;
                    let payload = requests::data(&[("k", &[7; 1000])]);
                    while Instant::now() < until {
                        let request = requests::commit(key, version, payload.clone());
                        version = version.next(request.op);
                        store.commit(request).await.unwrap();
                        writes += 1;
                    }
                    writes
                });
            }
            let writes: u64 = writing.join_all().await.into_iter().sum();
            println!(
                "{kind:?}, {at_once} at once: {} reads/s, {} commits/s of 1,000 bytes",
                reads / 2,
                writes / 2
            );
        }
    }
}

/// From a holder's release to the moment that a waiter on another handle has the lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn from_a_release_to_the_next_holder() {
    for kind in KINDS {
        let server = Server::start_with(kind, &["--appendonly", "no"]);
        let (holder, waiter) = (server.store(), server.store());
        let key = requests::key();
        holder.create(requests::create(key, requests::data(&[]))).await.unwrap();
        let mut took = Vec::new();
        for _ in 0..500 {
            let Acquired::Acquired { .. } = holder.acquire(requests::acquire(key, 1)).await.unwrap() else {
                panic!()
            };
            let waiting = tokio::spawn({
                let waiter = waiter.clone();
                async move {
                    loop {
                        match waiter.acquire(requests::acquire(key, 2)).await.unwrap() {
                            Acquired::Acquired { .. } => return Instant::now(),
                            _ => waiter.released(key).unwrap().await.unwrap(),
                        }
                    }
                }
            });
            tokio::time::sleep(Duration::from_millis(3)).await;
            let released = Instant::now();
            holder.release(requests::release(key, 1)).await.unwrap();
            took.push(waiting.await.unwrap().saturating_duration_since(released));
            waiter.release(requests::release(key, 2)).await.unwrap();
        }
        took.sort_unstable();
        println!("{kind:?}: {:?} in the median, {:?} at the 99th percentile", took[250], took[494]);
    }
}

/// The store beside the client library alone, asking the same server for values of the same size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn beside_the_client_library_alone() {
    const ROUND: Duration = Duration::from_secs(2);
    let script = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return redis.call('TIME')[1]";
    for kind in KINDS {
        let server = Server::start_with(kind, &["--appendonly", "no"]);
        let store = server.store();
        let client = ::redis::Client::open(server.url()).unwrap();
        let raw = client.get_multiplexed_async_connection().await.unwrap();
        let sha: String =
            ::redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(&mut raw.clone()).await.unwrap();
        for at_once in [16, 64] {
            let mut sums = [0u64; 4];
            // Turn and turn about, so that what else the machine does falls on all of them.
            for _ in 0..3 {
                for (which, sum) in sums.iter_mut().enumerate() {
                    let until = Instant::now() + ROUND;
                    let mut running = tokio::task::JoinSet::new();
                    for n in 0..at_once {
                        let (store, mut raw, sha) = (store.clone(), raw.clone(), sha.clone());
                        running.spawn(async move {
                            let payload = requests::data(&[("k", &[7; 1000])]);
                            let key = requests::key();
                            let name = format!("raw:{n}");
                            store.create(requests::create(key, payload.clone())).await.unwrap();
                            let value = vec![7u8; 1147];
                            let _: () = ::redis::cmd("SET")
                                .arg(&name)
                                .arg(&value)
                                .query_async(&mut raw)
                                .await
                                .unwrap();
                            let mut done = 0u64;
                            while Instant::now() < until {
                                if which % 2 == 0 {
                                    let got: Vec<u8> =
                                        ::redis::cmd("GET").arg(&name).query_async(&mut raw).await.unwrap();
                                    assert_eq!(got.len(), value.len());
                                    if which == 2 {
                                        let mut set = ::redis::cmd("EVALSHA");
                                        set.arg(&sha).arg(1).arg(&name).arg(&value).arg(3_600_000);
                                        let _: ::redis::Value = set.query_async(&mut raw).await.unwrap();
                                    }
                                } else {
                                    let Loaded::Live(found) = store.load(key).await.unwrap() else {
                                        panic!()
                                    };
                                    if which == 3 {
                                        let request =
                                            requests::commit(key, found.record.version, payload.clone());
                                        store.commit(request).await.unwrap();
                                    }
                                }
                                done += 1;
                            }
                            done
                        });
                    }
                    *sum += running.join_all().await.into_iter().sum::<u64>();
                }
            }
            let [get, load, pair, update] = sums.map(|sum| sum as f64 / 6.0);
            println!(
                "{kind:?}, {at_once} at once: GET {get:.0}/s, load {load:.0}/s ({:.2}); GET and a script that sets \
                 {pair:.0}/s, load and commit {update:.0}/s ({:.2})",
                load / get,
                update / pair
            );
        }
    }
}
