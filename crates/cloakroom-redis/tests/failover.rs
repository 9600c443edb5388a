//! Another server takes over, under load, and the history checker is told what that may take back: some of the last writes, once, and
//! nothing else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/counter.rs"]
mod counter;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::record::Record;
use cloakroom::store::{Acquired, Committed, LeaseOwner, LeaseRef, Loaded, Store, StoreErrorKind};
use cloakroom_redis::RedisStore;
use cloakroom_testing::history::{self, Recorder};
use cloakroom_testing::requests;
use counter::{SLACK, Settled, Slowest, back, count, counter, live, new_counter, settled, soon};
use support::Kind;
use support::pace::Pace;
use support::sentinels::Group;

// A failover under load, and a checker that knows what one may lose.

/// One counter that many add to, on a server whose last writes a failover may take back, once and in one piece.
struct CounterWithFailover;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    now: i64,
    failed_over: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Call {
    /// Answered with the sum.
    Increment,
    /// Answered with the number.
    Read,
    /// So many of the last increments are taken back. Never answered: nobody is told.
    Lose(i64),
}

impl history::Model for CounterWithFailover {
    type Call = Call;
    type Answer = Answer;
    type State = State;

    fn initial(&self) -> State {
        State { now: 0, failed_over: false }
    }

    fn step(&self, state: &State, call: &Call, answer: Option<&Answer>) -> Option<State> {
        if answer == Some(&Answer::NotMade) {
            return Some(state.clone());
        }
        let now = match call {
            Call::Increment => state.now + 1,
            Call::Read => state.now,
            // Increments by one from zero: what was lost is what the counter fell by.
            Call::Lose(_) if state.failed_over => return None,
            Call::Lose(lost) => state.now - lost,
        };
        let fits = answer.is_none_or(|told| *told == Answer::Sum(now)) && now >= 0;
        fits.then_some(State { now, failed_over: state.failed_over || matches!(call, Call::Lose(_)) })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Sum(i64),
    NotMade,
}

type History = Recorder<Call, Answer>;

/// Many who add to one counter and read it, asking again under the same operation id where an answer was lost, as the engine does.
struct Load {
    stop: Arc<AtomicBool>,
    slowest: Arc<Slowest>,
    made: Arc<AtomicU64>,
    history: History,
    workers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(store: &RedisStore, key: StoreKey) -> Self {
        let load = Load {
            stop: Arc::default(),
            slowest: Slowest::here(),
            made: Arc::default(),
            history: Recorder::new(),
            workers: Vec::new(),
        };
        let worker = |n: u32| {
            let (store, stop, slowest) = (store.clone(), load.stop.clone(), load.slowest.clone());
            let (made, history) = (load.made.clone(), load.history.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let done = match n {
                        0 => read(&store, key, &slowest, &history).await,
                        _ => increment(&store, key, &slowest, &history).await,
                    };
                    made.fetch_add(u64::from(done), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(15)).await;
                }
            })
        };
        let workers = (0..4).map(worker).collect();
        Load { workers, ..load }
    }

    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Waits until so much more was answered.
    async fn goes_on(&self, by: u64) {
        let until = self.made() + by;
        soon("the load goes on", async || self.made() >= until).await;
    }

    /// All answers must be explained by one failover that took back some of the last increments; how many.
    async fn end(self, deadline: Duration) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.unwrap();
        }
        let slowest = self.slowest.took();
        assert!(slowest < deadline + SLACK, "a call took {slowest:?}");
        let history = self.history.history();
        let mut sums: Vec<(u64, i64)> = history
            .iter()
            .filter_map(|event| match (&event.call, &event.answer) {
                (Call::Increment, Some((Answer::Sum(sum), at))) => Some((*at, *sum)),
                _ => None,
            })
            .collect();
        sums.sort_unstable();
        // By how much it fell, give or take those who were at it at the same time.
        let (mut highest, mut fell) = (0, 0);
        for (_, sum) in &sums {
            fell = fell.max(highest - sum + 1);
            highest = highest.max(*sum);
        }
        for lost in (fell - 4).max(0)..=fell + 4 {
            let mut history = history.clone();
            history.push(history::Event { call: Call::Lose(lost), called: 0, answer: None });
            if history::check(&CounterWithFailover, &history, 400_000).is_explained() {
                return lost;
            }
        }
        panic!("no failover explains the answers: it fell by {fell} in {sums:?}");
    }
}

async fn read(store: &RedisStore, key: StoreKey, slowest: &Slowest, history: &History) -> bool {
    let pending = history.call(Call::Read);
    match slowest.timed(store.load(key)).await {
        Ok(Loaded::Live(snapshot)) => {
            pending.answered(Answer::Sum(count(&snapshot.record)));
            true
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            pending.answered(Answer::NotMade);
            false
        }
    }
}

async fn increment(store: &RedisStore, key: StoreKey, slowest: &Slowest, history: &History) -> bool {
    let mut record = match slowest.timed(store.load(key)).await {
        Ok(Loaded::Live(snapshot)) => snapshot.record,
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            return false;
        }
    };
    loop {
        let sum = count(&record) + 1;
        let request = requests::commit(key, record.version, counter(sum));
        let pending = history.call(Call::Increment);
        let Some(Settled { answer, unknown }) = settled(store, &request, slowest).await else {
            pending.answered(Answer::NotMade);
            return false;
        };
        match answer {
            Committed::Committed(_) => {
                pending.answered(Answer::Sum(sum));
                return true;
            }
            Committed::Conflict(snapshot) => {
                if unknown {
                    // Asked again, and not recognised: not made, made before several others, or taken back.
                    return false;
                }
                pending.answered(Answer::NotMade);
                record = snapshot.record;
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn c1_c9_a_killed_primary_is_followed_by_another_under_load(kind: Kind) {
    let group = Group::start(kind);
    let deadline = Duration::from_secs(2);
    let store = group.builder().call_deadline(deadline).build().unwrap();
    let key = new_counter(&store).await;
    let load = Load::on(&store, key);
    load.goes_on(100).await;
    let primary = group.primary();
    primary.kill();
    let next = group.wait_for_another_than(primary.port());
    let took = back(&store).await;
    assert!(took < Duration::from_secs(1), "back {took:?} after the sentinels named it");
    load.goes_on(100).await;
    assert!(next.calls("evalsha") + next.calls("eval") > 20, "somebody else serves");
    let lost = load.end(deadline).await;
    println!("{kind:?}: {lost} increments were lost to asynchronous replication");
    drop(store);
}

async fn c1_c9_a_primary_that_stands_still_is_left_and_never_written_to_again(kind: Kind) {
    let group = Group::start(kind);
    let deadline = Duration::from_secs(2);
    let store = group.builder().call_deadline(deadline).build().unwrap();
    let key = new_counter(&store).await;
    let load = Load::on(&store, key);
    load.goes_on(100).await;
    let old = group.primary();
    old.pause();
    group.wait_for_another_than(old.port());
    let took = back(&store).await;
    assert!(took < Duration::from_secs(1), "back {took:?} after the sentinels named it");
    load.goes_on(50).await;
    // It takes itself for the primary still, for some seconds to come.
    old.resume();
    soon("it makes what it had been sent", async || old.raw("PING").contains("PONG")).await;
    assert!(old.raw("ROLE").contains("master"), "the test comes too late");
    old.forget_calls();
    load.goes_on(100).await;
    let asked = old.raw("INFO commandstats");
    assert!(!asked.contains("cmdstat_eval") && !asked.contains("cmdstat_get:"), "{asked}");
    let lost = load.end(deadline).await;
    println!("{kind:?}: {lost} increments were lost to asynchronous replication");
}

async fn c1_an_ordered_failover_is_followed_at_once(kind: Kind) {
    let group = Group::start(kind);
    let store = group.store();
    let key = new_counter(&store).await;
    let load = Load::on(&store, key);
    load.goes_on(50).await;
    let old = group.primary();
    group.fail_over();
    group.wait_for_another_than(old.port());
    let pace = Pace::here();
    let named = pace.now();
    soon("the old primary is left", async || {
        old.forget_calls();
        let before = load.made();
        soon("the load goes on", async || load.made() > before + 10).await;
        old.calls("evalsha") == 0
    })
    .await;
    // Not when it is demoted, ten seconds later.
    assert!(named.elapsed() < Duration::from_secs(3), "left after {:?}", named.elapsed());
    // The old primary goes on for as long as the sentinels take to find that the new one is one: so much is lost to that.
    let lost = load.end(Duration::from_secs(2)).await;
    println!("{kind:?}: {lost} increments were lost to asynchronous replication");
}

/// What the replicas had, the new primary serves, to the byte; the rest is gone as a whole, and nobody can build on it.
async fn c1_a_failover_loses_what_no_replica_received_and_nothing_else(kind: Kind) {
    let group = Group::start(kind);
    let store = group.store();
    let mut acknowledged = BTreeMap::new();
    for _ in 0..8 {
        let key = new_counter(&store).await;
        acknowledged.insert(key, live(&store, key).await);
    }
    let one_more = async |acknowledged: &mut BTreeMap<StoreKey, Arc<Record>>| {
        for (key, record) in acknowledged {
            let request = requests::commit(*key, record.version, counter(count(record) + 1));
            let Committed::Committed(snapshot) = store.commit(request).await.unwrap() else { panic!() };
            *record = snapshot.record;
        }
    };
    one_more(&mut acknowledged).await;
    let old = group.primary();
    group.in_step();
    let received = acknowledged.clone();
    // The replicas lose their connection, and may not make it again.
    assert!(old.raw("ACL SETUSER default -psync -sync").contains("+OK"));
    old.raw("CLIENT KILL TYPE replica");
    for _ in 0..3 {
        one_more(&mut acknowledged).await;
    }
    let late = new_counter(&store).await;
    old.kill();
    let next = group.wait_for_another_than(old.port());
    back(&store).await;

    let directly = next.store();
    for (key, lost) in &acknowledged {
        let served = live(&store, *key).await;
        assert_eq!(served, received[key], "what the replica has is served");
        assert_eq!(served, live(&directly, *key).await);
        // Over what was taken back nothing can be written, nor is it mixed with what is there.
        let request = requests::commit(*key, lost.version, counter(99));
        let answer = store.commit(request).await.unwrap();
        assert!(matches!(&answer, Committed::Conflict(there) if there.record == served), "{answer:?}");
        let next = requests::commit(*key, served.version, counter(count(&served) + 1));
        let Committed::Committed(made) = store.commit(next).await.unwrap() else { panic!() };
        // The same number, and another version all the same.
        assert_ne!(made.record.version, lost.version);
    }
    assert_eq!(store.load(late).await.unwrap(), Loaded::Missing);
}

/// The condition of the fence: a lease counts where it is in the record. One that no replica received is refused, whoever has it by then.
async fn c5_a_lease_that_no_replica_received_admits_nobody(kind: Kind) {
    let group = Group::start(kind);
    let store = group.store();
    let (kept, taken) = (new_counter(&store).await, new_counter(&store).await);
    let acquire = async |key, owner| match store.acquire(requests::acquire(key, owner)).await.unwrap() {
        Acquired::Acquired { snapshot, .. } => snapshot.record,
        other => panic!("{other:?}"),
    };
    let under = |key, record: &Record, owner| {
        let mut request = requests::commit(key, record.version, counter(5));
        request.lease = Some(LeaseRef { owner: LeaseOwner(owner), hold: 0 });
        request
    };
    let kept_record = acquire(kept, 1).await;
    let old = group.primary();
    group.in_step();
    old.raw("ACL SETUSER default -psync -sync");
    old.raw("CLIENT KILL TYPE replica");
    let lost_record = acquire(taken, 2).await;
    old.kill();
    group.wait_for_another_than(old.port());
    back(&store).await;
    // One that came along holds on, and keeps others out.
    let locked = store.acquire(requests::acquire(kept, 3)).await.unwrap();
    assert!(matches!(locked, Acquired::Locked { .. }), "{locked:?}");
    // The other one is refused, before and after somebody else has it.
    let late = under(taken, &lost_record, 2);
    assert_eq!(store.commit(late.clone()).await.unwrap(), Committed::LeaseLost);
    let fresh = acquire(taken, 4).await;
    assert_eq!(store.commit(late).await.unwrap(), Committed::LeaseLost);
    assert!(matches!(store.commit(under(taken, &fresh, 4)).await.unwrap(), Committed::Committed(_)));
    assert!(matches!(store.commit(under(kept, &kept_record, 1)).await.unwrap(), Committed::Committed(_)));
}

support::on_both! {
    c1_c9_a_killed_primary_is_followed_by_another_under_load
    c1_c9_a_primary_that_stands_still_is_left_and_never_written_to_again
    c1_an_ordered_failover_is_followed_at_once
    c1_a_failover_loses_what_no_replica_received_and_nothing_else
    c5_a_lease_that_no_replica_received_admits_nobody
}
