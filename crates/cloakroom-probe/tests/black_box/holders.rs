//! C5 over and over: whoever holds the lock is stopped past its lease, or killed, and somebody in another process goes on.
//!
//! `./test` runs a few rounds of each; the long run a thousand.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::{Place, Probe, Visitor, across_processes_for_long, signal, sleep_ms};

across_processes_for_long! {
    c5_s68_whoever_is_stopped_past_its_lease_is_refused_in_every_round,
    p04_c5_whoever_is_killed_frees_the_lock_within_one_lease_in_every_round,
}

const LEASE_MS: u64 = 200;
const FLAGS: [&str; 2] = ["--lock-lease-ms", "200"];
/// Holders that are stopped or killed side by side, each a process of its own.
const SIDE_BY_SIDE: u32 = 8;

/// Rounds for each of them.
fn rounds() -> u32 {
    if std::env::var_os("CLOAKROOM_LONG").is_some() { 1_000 / SIDE_BY_SIDE } else { 2 }
}

async fn c5_s68_whoever_is_stopped_past_its_lease_is_refused_in_every_round(place: Place) {
    let there = place.start(&FLAGS);
    let mut holders = JoinSet::new();
    for _ in 0..SIDE_BY_SIDE {
        let (here, next) = (there.start_again(&FLAGS), there.address);
        holders.spawn(async move {
            for round in 0..rounds() {
                let visitor = here.visitor_with_session().await;
                let elsewhere = Visitor::presenting(next, &visitor.cookie().unwrap());
                let calls = store_calls(&here).await;
                let holder = visitor.start("/lock-count/n?ms=100").await;
                // The lock must be held by the time it stops; a request that was done by then tests nothing.
                until_locked(&here, calls).await;
                signal(here.pid(), "-STOP");
                sleep_ms(3 * LEASE_MS).await;
                let next = elsewhere.get("/lock-count/n").await.number();
                signal(here.pid(), "-CONT");
                let holder = holder.response().await;
                let all = elsewhere.get("/get/n").await.number();
                if holder.status == 200 {
                    // It had committed before it stopped.
                    assert_eq!((holder.number(), next, all), (1, 2, 2), "round {round}");
                    continue;
                }
                holder.without_cookie().refused(409, "lease_lost");
                assert_eq!((next, all), (1, 1), "round {round}: what the next holder stored stands");
            }
        });
    }
    holders.join_all().await;
}

async fn p04_c5_whoever_is_killed_frees_the_lock_within_one_lease_in_every_round(place: Place) {
    let there = place.start(&FLAGS);
    let mut holders = JoinSet::new();
    for _ in 0..SIDE_BY_SIDE {
        let (mut here, next) = (there.start_again(&FLAGS), there.address);
        holders.spawn(async move {
            for round in 0..rounds() {
                let visitor = here.visitor_with_session().await;
                let elsewhere = Visitor::presenting(next, &visitor.cookie().unwrap());
                let calls = store_calls(&here).await;
                let _holder = visitor.start("/lock-count/n?ms=60000").await;
                until_locked(&here, calls).await;
                here.kill();
                let killed = Instant::now();
                assert_eq!(elsewhere.get("/lock-count/n").await.number(), 1, "round {round}");
                // One lease, and what a busy machine takes to answer.
                let took = killed.elapsed();
                assert!(took < Duration::from_millis(LEASE_MS + 500), "round {round}: {took:?}");
                here = here.start_again(&FLAGS);
            }
        });
    }
    holders.join_all().await;
}

/// How many calls of this process the store has answered so far.
async fn store_calls(probe: &Probe) -> u64 {
    let text = probe.get("/metrics").await.ok();
    let count = text.lines().find_map(|line| line.strip_prefix("cloakroom_store_latency_seconds_count "));
    count.unwrap_or_else(|| panic!("no store calls in {text}")).parse().unwrap()
}

/// Waits until the request that began after so many calls has loaded its session and taken the lock.
async fn until_locked(probe: &Probe, calls: u64) {
    let soon = Instant::now() + Duration::from_secs(10);
    while store_calls(probe).await < calls + 2 {
        assert!(Instant::now() < soon, "nobody takes the lock");
        sleep_ms(1).await;
    }
}
