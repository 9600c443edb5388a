//! C5 over and over: whoever holds the lock is stopped past its lease, or killed, and somebody in another process goes on.
//!
//! `./test` runs a few rounds of each; the long run a thousand.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::{Place, Probe, Response, Visitor, across_processes_for_long, signal, sleep_ms};

across_processes_for_long! {
    c5_s68_whoever_is_stopped_past_its_lease_is_refused_in_every_round,
    p04_c5_whoever_is_killed_frees_the_lock_within_one_lease_in_every_round,
}

const LEASE: Duration = Duration::from_millis(200);
const FLAGS: [&str; 2] = ["--lock-lease-ms", "200"];
/// Holders that are stopped or killed side by side, each a process of its own.
const SIDE_BY_SIDE: u32 = 8;

/// Rounds for each of them that count.
fn rounds() -> u32 {
    if std::env::var_os("CLOAKROOM_LONG").is_some() { 1_000 / SIDE_BY_SIDE } else { 2 }
}

/// A round in which the holder had committed before it was stopped shows nothing: it is made up for, but not for ever.
fn tries() -> u32 {
    2 * rounds() + 5
}

async fn c5_s68_whoever_is_stopped_past_its_lease_is_refused_in_every_round(place: Place) {
    let there = place.start(&FLAGS);
    let mut holders = JoinSet::new();
    for _ in 0..SIDE_BY_SIDE {
        let (here, next) = (there.start_again(&FLAGS), there.address);
        holders.spawn(async move {
            let mut refused = 0;
            for round in 0..tries() {
                let (visitor, elsewhere) = guest(&here, next).await;
                let calls = store_calls(&here).await;
                let holder = visitor.start("/lock-count/n?ms=150").await;
                // The lock must be held by the time it stops; a request that was done by then tests nothing.
                until_locked(&here, calls).await;
                signal(here.pid(), "-STOP");
                tokio::time::sleep(3 * LEASE).await;
                let next = locked_anew(&elsewhere).await;
                signal(here.pid(), "-CONT");
                let holder = holder.response().await;
                let all = elsewhere.get("/get/n").await.number();
                if holder.status == 200 {
                    // It had committed before it stopped.
                    assert_eq!((holder.number(), next, all), (1, 2, 2), "round {round}");
                    continue;
                }
                assert_eq!((next, all), (1, 1), "round {round}: what the next holder stored stands");
                if holder.without_cookie().status == 503 {
                    // Another one that stands still keeps the store from saying so.
                    holder.refused(503, "unavailable");
                    continue;
                }
                holder.refused(409, "lease_lost");
                refused += 1;
                if refused == rounds() {
                    return round + 1;
                }
            }
            panic!("only {refused} of {} rounds stopped a holder", tries());
        });
    }
    let tried: u32 = holders.join_all().await.into_iter().sum();
    println!("{place:?}: {} holders refused in {tried} rounds", SIDE_BY_SIDE * rounds());
}

/// Every holder has the lock when it is killed: it would keep it for a minute.
async fn p04_c5_whoever_is_killed_frees_the_lock_within_one_lease_in_every_round(place: Place) {
    let there = place.start(&FLAGS);
    let mut holders = JoinSet::new();
    for _ in 0..SIDE_BY_SIDE {
        let (mut here, next) = (there.start_again(&FLAGS), there.address);
        holders.spawn(async move {
            let mut took = Vec::new();
            for round in 0..rounds() {
                let (visitor, elsewhere) = guest(&here, next).await;
                let calls = store_calls(&here).await;
                let _holder = visitor.start("/lock-count/n?ms=60000").await;
                until_locked(&here, calls).await;
                here.kill();
                let killed = Instant::now();
                assert_eq!(locked_anew(&elsewhere).await, 1, "round {round}");
                took.push(killed.elapsed());
                here = here.start_again(&FLAGS);
            }
            took
        });
    }
    let mut took = holders.join_all().await.concat();
    took.sort_unstable();
    let [half, most, nearly_all] = [50, 95, 99].map(|percent| took[(took.len() - 1) * percent / 100]);
    let last = took[took.len() - 1];
    println!("{place:?}: {} locks free after {half:?} {most:?} {nearly_all:?} {last:?}", took.len());
    // One lease, a look a millisecond after its end, and what a busy machine takes for that.
    assert!(half < LEASE + Duration::from_millis(100), "{took:?}");
    assert!(last < LEASE + Duration::from_millis(500), "{took:?}");
}

/// A session in this process, known in the next one, which has asked its store before.
async fn guest(here: &Probe, next: SocketAddr) -> (Visitor, Visitor) {
    let visitor = here.visitor();
    while is_passing(&visitor.get("/set/seed/1").await) {}
    let elsewhere = Visitor::presenting(next, &visitor.cookie().unwrap());
    while is_passing(&elsewhere.get("/set/seed/2").await) {}
    (visitor, elsewhere)
}

/// Takes the lock, counts, and says what it came to.
async fn locked_anew(visitor: &Visitor) -> i64 {
    loop {
        let counted = visitor.get("/lock-count/n").await;
        if !is_passing(&counted) {
            return counted.number();
        }
    }
}

/// What shows nothing and changes nothing, and is asked for again: a machine may keep a process waiting for longer than a lease, and a process
/// that is stopped in the middle of a write to SQLite keeps the others from writing.
fn is_passing(response: &Response) -> bool {
    let passing = [(409, "lease_lost"), (503, "unavailable")];
    passing.iter().any(|(status, kind)| {
        response.status == *status && response.body == format!("{{\"error\":\"{kind}\"}}")
    })
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
