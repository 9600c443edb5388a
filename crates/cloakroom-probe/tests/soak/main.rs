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
mod ground;
mod growth;
mod life;
mod progress;
mod pulse;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use chance::Chance;
use ground::{Ground, Standalone};
use growth::Growth;
use harness::servers::Kind;
use harness::{Place, signal, sleep_ms};
use life::House;
use progress::Progress;
use tally::Tally;

/// The short form, in seconds.
const SHORT: u64 = 12;
/// With `CLOAKROOM_LONG`.
const LONG: u64 = 120;
/// Sessions that live at the same time.
const AT_ONCE: u64 = 10;
/// Of a session nobody uses: short, so that expiry is a part of it.
const IDLE: Duration = Duration::from_secs(8);
/// The longest that one lives, in seconds: an index of a user's sessions is kept that long, and each life has a user of its own.
const ABSOLUTE: &str = "45";

#[test]
fn nothing_is_lost_and_nothing_grows_on_redis() {
    soak(Place::REDIS_AXUM, Kind::Redis);
}

#[test]
fn nothing_is_lost_and_nothing_grows_on_valkey() {
    soak(Place::VALKEY_AXUM, Kind::Valkey);
}

fn length() -> Duration {
    let asked = std::env::var("CLOAKROOM_SOAK").ok();
    Duration::from_secs(match asked {
        Some(seconds) => seconds.parse().expect("CLOAKROOM_SOAK is a number of seconds"),
        None if std::env::var_os("CLOAKROOM_LONG").is_some() => LONG,
        None => SHORT,
    })
}

fn soak(place: Place, kind: Kind) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(place, kind, length()));
}

async fn run(place: Place, kind: Kind, length: Duration) {
    let seed = std::env::var("CLOAKROOM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    let idle = IDLE.as_secs().to_string();
    let flags = ["--idle", &idle, "--absolute", ABSOLUTE];
    // Two processes, each behind a framework and on a connection of its own kind.
    let mut first = place.start(&flags);
    first.place.framework = "hyper";
    let second = first.start_again(&flags);
    first.place.framework = "axum";
    let processes = [first.pid(), second.pid()];
    let until = Instant::now() + length;
    let house = Arc::new(House { doors: [first.address, second.address], idle: IDLE, until });
    let ground: Arc<dyn Ground> = Arc::new(Standalone::of(first.server().clone()));

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
        move || ground::trouble(&*ground, until, &mut chance, &tally)
    });
    let name = format!("{kind:?}").to_lowercase();
    let mut progress = Progress::new(&name, length);
    let mut growth = Growth::new(processes.len());
    while Instant::now() < until {
        sleep_ms(1_000).await;
        growth.look(&processes, &*ground);
        progress.show(&tally, &growth);
    }
    troubles.await.unwrap();
    lives.join_all().await;
    progress.finish();

    println!("{}", tally.summary(&name, length, seed));
    println!("{}", growth.summary());
    let wrong = [tally.wrong(length), growth.wrong()].concat();
    for process in processes {
        // Still there, and willing to stop.
        signal(process, "-TERM");
    }
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    println!("  nothing was wrong");
}
