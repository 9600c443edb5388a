//! Everything at once, for as long as one likes: sessions live and end on two processes, while every few seconds something
//! happens to the server they are kept on. In the end nothing is wrong, and nothing has grown.
//!
//! `./test` runs twelve seconds of it; `./soak 600 redis` as many as it is told, and says how it goes.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

#[path = "../black_box/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod harness;

mod chance;
mod chronicle;
mod cluster;
mod ground;
mod growth;
mod life;
mod notes;
mod progress;
mod pulse;
mod sentinels;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use chance::Chance;
use chronicle::Chronicle;
use cluster::ClusterGround;
use ground::{Ground, Standalone};
use growth::Growth;
use harness::servers::Kind;
use harness::{Place, Probe, signal, sleep_ms};
use life::House;
use progress::Progress;
use sentinels::SentinelGround;
use tally::Tally;

/// The short form, in seconds.
const SHORT: u64 = 12;
/// Faults take longer there.
const SHORT_ON_A_CLUSTER: u64 = 24;
/// And there the sentinels have to lose their patience first.
const SHORT_UNDER_SENTINELS: u64 = 28;
/// With `CLOAKROOM_LONG`.
const LONG: u64 = 120;
/// Sessions that live at the same time.
const AT_ONCE: u64 = 10;
/// Of a session nobody uses: short, so that expiry is a part of it.
const IDLE: Duration = Duration::from_secs(8);
/// The longest that one lives, in seconds: an index of a user's sessions is kept that long, and each life has a user of its own.
const ABSOLUTE: &str = "45";
const FLAGS: [&str; 4] = ["--idle", "8", "--absolute", ABSOLUTE];

#[test]
fn nothing_is_lost_and_nothing_grows_on_redis() {
    soak("redis", SHORT, |_| {
        let first = Place::REDIS_AXUM.start(&FLAGS);
        (Arc::new(Standalone::of(first.server().clone())), first)
    });
}

#[test]
fn nothing_is_lost_and_nothing_grows_on_valkey() {
    soak("valkey", SHORT, |_| {
        let first = Place::VALKEY_AXUM.start(&FLAGS);
        (Arc::new(Standalone::of(first.server().clone())), first)
    });
}

#[test]
fn nothing_is_lost_and_nothing_grows_on_a_cluster_of_redis() {
    soak_on_a_cluster("cluster", Kind::Redis);
}

#[test]
fn nothing_is_lost_and_nothing_grows_on_a_cluster_of_valkey() {
    soak_on_a_cluster("cluster of Valkey", Kind::Valkey);
}

fn soak_on_a_cluster(name: &str, kind: Kind) {
    soak(name, SHORT_ON_A_CLUSTER, |seed| {
        let ground = ClusterGround::start(kind, seed);
        let first = Place::CLUSTER_AXUM.start_over_cluster(ground.cluster(), &FLAGS);
        (Arc::new(ground), first)
    });
}

#[test]
fn nothing_is_lost_and_nothing_grows_under_sentinels() {
    soak("sentinels", SHORT_UNDER_SENTINELS, |seed| {
        let ground = SentinelGround::start(Kind::Redis, seed);
        let first = Place::SENTINEL_AXUM.start_over(ground.group(), &FLAGS);
        (Arc::new(ground), first)
    });
}

fn length(short: u64) -> Duration {
    let asked = std::env::var("CLOAKROOM_SOAK").ok();
    Duration::from_secs(match asked {
        Some(seconds) => seconds.parse().expect("CLOAKROOM_SOAK is a number of seconds"),
        None if std::env::var_os("CLOAKROOM_LONG").is_some() => LONG,
        None => short,
    })
}

/// On what `start` starts, with a process over it.
fn soak(name: &str, short: u64, start: impl FnOnce(u64) -> (Arc<dyn Ground>, Probe)) {
    let seed = std::env::var("CLOAKROOM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    let (ground, first) = start(seed);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(name, seed, ground, first, length(short)));
}

async fn run(name: &str, seed: u64, ground: Arc<dyn Ground>, mut first: Probe, length: Duration) {
    // Two processes, each behind a framework and, to a single server, on a connection of its own kind.
    first.place.framework = "hyper";
    let second = first.start_again(&FLAGS);
    first.place.framework = "axum";
    let processes = [first.pid(), second.pid()];
    let until = Instant::now() + length;
    let doors = [first.address, second.address];
    let chronicle = Arc::new(Chronicle::new());
    let house =
        Arc::new(House { doors, ground: ground.clone(), chronicle: chronicle.clone(), idle: IDLE, until });

    let tally = Arc::new(Tally::default());
    let mut lives = JoinSet::new();
    for worker in 0..AT_ONCE {
        let (house, tally) = (house.clone(), tally.clone());
        lives.spawn(async move {
            let mut number = worker;
            while Instant::now() < until {
                house.life(number, Chance::of(seed, number), &tally).await;
                number += AT_ONCE;
            }
        });
    }
    let troubles = tokio::task::spawn_blocking({
        let (ground, tally, mut chance) = (ground.clone(), tally.clone(), Chance::of(seed, u64::MAX));
        move || ground::trouble(&*ground, until, &mut chance, &chronicle, &tally)
    });
    let mut progress = Progress::new(name, length);
    let mut growth = Growth::new(processes.len());
    while Instant::now() < until {
        sleep_ms(1_000).await;
        growth.look(&processes, &*ground);
        progress.show(&tally, &growth);
    }
    troubles.await.unwrap();
    lives.join_all().await;
    progress.finish();

    println!("{}", tally.summary(name, length, seed));
    println!("{}", growth.summary());
    if let Some(remark) = ground.remark() {
        println!("  {remark}");
    }
    let wrong = [tally.wrong(length), growth.wrong()].concat();
    for process in processes {
        // Still there, and willing to stop.
        signal(process, "-TERM");
    }
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    println!("  nothing was wrong");
}
