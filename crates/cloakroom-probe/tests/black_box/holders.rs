//! C5 over and over: whoever holds the lock is stopped past its lease, or killed, and somebody in another process goes on.
//!
//! `./test` runs a few rounds of each; the long run a thousand.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::{Place, Probe, Response, Visitor, across_processes_for_long, signal, sleep_ms, time};

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

/// A round that shows nothing is made up for, but not for ever.
fn tries() -> u32 {
    3 * rounds() + 10
}

async fn c5_s68_whoever_is_stopped_past_its_lease_is_refused_in_every_round(place: Place) {
    let there = place.start(&FLAGS);
    let mut holders = JoinSet::new();
    for _ in 0..SIDE_BY_SIDE {
        let (here, next) = (there.start_again(&FLAGS), there.address);
        holders.spawn(async move {
            let (mut refused, mut others) = (0, Vec::new());
            while refused < rounds() {
                let (visitor, elsewhere) = guest(&here, next).await;
                match stopped_past_its_lease(&here, &visitor, &elsewhere, LEASE).await {
                    Stopped::Refused => refused += 1,
                    other => others.push(other),
                }
                let tried = refused + others.len() as u32;
                assert!(tried < tries(), "only {refused} of {tried} holders were stopped: {others:?}");
            }
            refused + others.len() as u32
        });
    }
    let tried: u32 = holders.join_all().await.into_iter().sum();
    println!("{place:?}: {} holders refused in {tried} rounds", SIDE_BY_SIDE * rounds());
}

/// What came of a holder that was stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Somebody else had the lock meanwhile, and it was told that it had lost it.
    Refused,
    /// It had committed before it was stopped.
    HadCommitted,
    /// Another one that stands still keeps the store from telling it so.
    NotTold,
    /// Nobody could write: it, or somebody else, was stopped in the middle of a write to SQLite.
    InTheWay,
}

/// Stops a process that holds the lock for three leases; somebody else takes it meanwhile.
pub async fn stopped_past_its_lease(
    here: &Probe,
    visitor: &Visitor,
    elsewhere: &Visitor,
    lease: Duration,
) -> Stopped {
    // It has the lock once it pauses. On a slow machine it may have given it back before it stops.
    let holder = match visitor.try_start(&format!("/lock-count/n?ms={}", 2 * lease.as_millis())).await {
        Ok(holder) => holder,
        Err(answer) => {
            assert!(is_passing(&answer), "{answer:?}");
            return Stopped::InTheWay;
        }
    };
    signal(here.pid(), "-STOP");
    tokio::time::sleep(3 * lease).await;
    let next = tokio::time::timeout(10 * lease, locked_anew(elsewhere)).await;
    signal(here.pid(), "-CONT");
    let holder = holder.response().await;
    let Ok(next) = next else { return Stopped::InTheWay };
    let all = loop {
        // Where others are stopped, that may be unavailable.
        let all = elsewhere.get("/get/n").await;
        if !is_passing(&all) {
            break all.number();
        }
    };
    if holder.status == 200 {
        assert_eq!((holder.number(), next, all), (1, 2, 2));
        return Stopped::HadCommitted;
    }
    assert_eq!((next, all), (1, 1), "what the next holder stored stands");
    if holder.without_cookie().status == 503 {
        holder.refused(503, "unavailable");
        return Stopped::NotTold;
    }
    holder.refused(409, "lease_lost");
    Stopped::Refused
}

/// Every holder has the lock when it is killed: it would keep it for minutes.
async fn p04_c5_whoever_is_killed_frees_the_lock_within_one_lease_in_every_round(place: Place) {
    let there = place.start(&FLAGS);
    let mut holders = JoinSet::new();
    for _ in 0..SIDE_BY_SIDE {
        let (mut here, next) = (there.start_again(&FLAGS), there.address);
        holders.spawn(async move {
            let bystander = Visitor::new(next);
            let mut rounds_took = Vec::new();
            for round in 0..rounds() {
                let (visitor, elsewhere) = guest(&here, next).await;
                let _holder = visitor.hold("/lock-count/n").await;
                here.kill();
                let (number, took) = compared(&bystander, locked_anew(&elsewhere)).await;
                assert_eq!(number, 1, "round {round}");
                rounds_took.push(took);
                // Where it does not hold up the others.
                here = tokio::task::spawn_blocking(move || here.start_again(&FLAGS)).await.unwrap();
            }
            rounds_took
        });
    }
    let rounds = holders.join_all().await.concat();
    let told = |pick: fn(&Took) -> Duration| {
        let mut sorted: Vec<Duration> = rounds.iter().map(pick).collect();
        sorted.sort_unstable();
        [50, 95, 99, 100].map(|percent| sorted[(sorted.len() - 1) * percent / 100])
    };
    println!("{place:?}: {} locks free after {:?} (half, 95 %, 99 %, all)", rounds.len(), told(|r| r.whole));
    println!("the same request of who waits for nobody took up to {:?}", told(|r| r.unhindered));
    // One lease, a look a millisecond after its end, and what this machine takes for that at this time.
    let [half, .., last] = told(|r| r.whole.saturating_sub(LEASE + r.unhindered));
    assert!(half < Duration::from_millis(100), "{rounds:?}");
    assert!(last < Duration::from_millis(500), "{rounds:?}");
}

/// How long something took, and at most meanwhile the same request of somebody whom nobody keeps waiting.
#[derive(Debug, Clone, Copy)]
struct Took {
    whole: Duration,
    unhindered: Duration,
}

async fn compared<T>(bystander: &Visitor, what: impl Future<Output = T>) -> (T, Took) {
    let over = AtomicBool::new(false);
    let whole = async {
        let began = Instant::now();
        let outcome = what.await;
        over.store(true, Ordering::SeqCst);
        (outcome, began.elapsed())
    };
    let unhindered = async {
        let mut longest = Duration::ZERO;
        while !over.load(Ordering::SeqCst) {
            // Whatever comes of it.
            longest = longest.max(time(bystander.get("/lock-count/n")).await);
            sleep_ms(20).await;
        }
        longest
    };
    let ((outcome, whole), unhindered) = tokio::join!(whole, unhindered);
    (outcome, Took { whole, unhindered })
}

/// A session in this process, known in the next one, which has asked its store before.
pub async fn guest(here: &Probe, next: SocketAddr) -> (Visitor, Visitor) {
    let visitor = here.visitor();
    while is_passing(&visitor.get("/set/seed/1").await) {}
    let elsewhere = Visitor::presenting(next, &visitor.cookie().unwrap());
    while is_passing(&elsewhere.get("/set/seed/2").await) {}
    (visitor, elsewhere)
}

/// Takes the lock, counts, and says what it came to.
pub async fn locked_anew(visitor: &Visitor) -> i64 {
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
