//! A cluster that changes under load: slots move from node to node, a primary is killed and its replica takes over.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom::NearCache;
use cloakroom::store::{Loaded, Store};
use cloakroom_testing::requests;
use counting::{Counter, count_on, number};
use support::cluster::Cluster;
use support::pace::Pace;
use support::{Kind, name_of};

/// Of a slot on its way.
const LONG: Duration = Duration::from_millis(800);

async fn sessions_are_served_while_slots_move(kind: Kind) {
    let cluster = Arc::new(Cluster::start(kind));
    let store = cluster.store();
    let near = NearCache::new(cluster.store());
    let go_on = Arc::new(AtomicBool::new(true));
    let mut running = Vec::new();
    let mut slots = Vec::new();
    // Each in a slot of its own, which can move but once at a time.
    let mut keys = Vec::new();
    while keys.len() < 9 {
        let key = requests::key();
        let slot = cluster.slot(&name_of(&key));
        if !slots.contains(&slot) {
            slots.push(slot);
            keys.push(key);
        }
    }
    let last = keys.pop().unwrap();
    for key in keys {
        running.push(count_on(Counter::begin(&store, key).await, go_on.clone()));
    }
    let reading = {
        let (near, go_on, key) = (near.clone(), go_on.clone(), last);
        let mut counter = Counter::begin(&store, key).await;
        tokio::spawn(async move {
            let pace = Pace::here();
            while go_on.load(Ordering::Relaxed) {
                counter.count().await;
                let written = pace.now();
                // What another process wrote shows soon, wherever the slot is on its way to.
                loop {
                    let Loaded::Live(found) = near.load(key).await.unwrap() else {
                        panic!("it is not there")
                    };
                    assert!(written.elapsed() < LONG / 2, "it stays outdated, or waits");
                    if number(&found.record) == number(&counter.record) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                near.load(key).await.unwrap();
            }
            counter
        })
    };
    let moving = {
        let cluster = cluster.clone();
        tokio::task::spawn_blocking(move || {
            for round in 0..2 {
                for (n, slot) in slots.iter().enumerate() {
                    let from = (cluster.first_owner(*slot) + round) % 3;
                    // One of them, where nobody changes an id, for so long that it is noticed who waits for the end of it.
                    let linger = if n + 1 == slots.len() { LONG } else { Duration::from_millis(15) };
                    cluster.move_slot(*slot, from, (from + 1) % 3, linger);
                }
            }
        })
    };
    moving.await.unwrap();
    go_on.store(false, Ordering::Relaxed);
    running.push(reading);
    let mut counted = 0;
    for counter in running {
        let counter = counter.await.unwrap();
        let Loaded::Live(found) = store.load(counter.key).await.unwrap() else { panic!("a session is gone") };
        assert_eq!(counter.lost, 0);
        assert_eq!(number(&found.record), number(&counter.record), "acknowledged and there");
        let errors = counter.undisturbed_errors();
        assert!(errors.is_empty(), "{errors:?}");
        assert!(counter.slowest < LONG / 2, "held up for {:?}", counter.slowest);
        counted += number(&found.record);
    }
    assert!(counted > 100, "there was hardly any load: {counted}");
    assert!(near.counts().hits > 0, "{:?}", near.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_serves_sessions_while_their_slots_move() {
    sessions_are_served_while_slots_move(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn valkey_serves_sessions_while_their_slots_move() {
    sessions_are_served_while_slots_move(Kind::Valkey).await;
}

async fn a_replica_takes_over(kind: Kind) {
    let cluster = Arc::new(Cluster::start(kind));
    let store = cluster.store();
    let go_on = Arc::new(AtomicBool::new(true));
    let mut running = Vec::new();
    for _ in 0..12 {
        let key = requests::key();
        let home = cluster.first_owner(cluster.slot(&name_of(&key)));
        running.push((home, count_on(Counter::begin(&store, key).await, go_on.clone())));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pace = Pace::here();
    cluster.nodes[0].kill();
    let (killed, began) = (pace.now(), Instant::now());
    let taken_over = || cluster.nodes[3].raw("ROLE").contains("master");
    while !taken_over() {
        assert!(began.elapsed() < Duration::from_secs(30), "no replica takes over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took_over = killed.elapsed();
    // Served again, and then some.
    tokio::time::sleep(Duration::from_secs(3)).await;
    go_on.store(false, Ordering::Relaxed);
    let mut lost = 0;
    for (home, counter) in running {
        let counter = tokio::time::timeout(Duration::from_secs(20), counter).await.unwrap().unwrap();
        let Loaded::Live(found) = store.load(counter.key).await.unwrap() else { panic!("a session is gone") };
        assert_eq!(number(&found.record), number(&counter.record), "acknowledged and there");
        if home == 0 {
            // Once: what the replica had not received.
            assert!(counter.losses <= 1, "lost {} times", counter.losses);
            let late = counter.gap.saturating_sub(took_over);
            assert!(late < Duration::from_millis(1_500), "served {late:?} after the replica took over");
            lost += counter.lost;
        } else {
            assert_eq!(counter.lost, 0);
            let errors = counter.undisturbed_errors();
            assert!(errors.is_empty(), "of another node: {errors:?}");
            assert!(counter.gap < Duration::from_secs(2), "held up by another node: {:?}", counter.gap);
        }
    }
    println!("lost to asynchronous replication: {lost} acknowledged writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_of_redis_takes_over_under_load() {
    a_replica_takes_over(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_of_valkey_takes_over_under_load() {
    a_replica_takes_over(Kind::Valkey).await;
}
