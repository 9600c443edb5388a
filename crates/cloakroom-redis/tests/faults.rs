//! What happens to the server, and what must not happen to a session.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/counter.rs"]
mod counter;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::record::Record;
use cloakroom::store::{
    Acquired, Commit, Committed, Created, LeaseOwner, LeaseRef, Loaded, RevokeWhich, Store, StoreError,
    StoreErrorKind,
};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use counter::{SLACK, Settled, Slowest, back, count, counter, live, new_counter, settled};
use support::pace::Pace;
use support::{Kind, Server};

const WORKERS: usize = 8;
/// Operations that a record remembers.
const REMEMBERED: u64 = 4;
/// Many who count in one session, asking again under the same operation id where an answer was lost, as the engine does.
struct Load {
    stop: Arc<AtomicBool>,
    slowest: Arc<Slowest>,
    workers: Vec<tokio::task::JoinHandle<Tally>>,
}

/// What became of increments.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    /// They were acknowledged.
    made: u64,
    /// Nobody can tell: the answer was lost, and by the time the session was seen again, it remembered later ones only.
    untold: u64,
    refused: u64,
}

impl Tally {
    /// Each that was acknowledged was made once; none that was refused.
    #[track_caller]
    fn check(&self, record: &Record) {
        let stored = u64::try_from(count(record)).unwrap();
        assert!((self.made..=self.made + self.untold).contains(&stored), "{stored} in the store of {self:?}");
        assert!(self.made > 20, "{self:?}");
    }
}

impl Load {
    fn on(store: &RedisStore, key: StoreKey) -> Self {
        let (stop, slowest) = (Arc::new(AtomicBool::new(false)), Slowest::here());
        let worker = |_| {
            let (store, stop, slowest) = (store.clone(), stop.clone(), slowest.clone());
            tokio::spawn(async move {
                let mut tally = Tally::default();
                while !stop.load(Ordering::Relaxed) {
                    match increment(&store, key, &slowest).await {
                        Some(true) => tally.made += 1,
                        Some(false) => tally.refused += 1,
                        None => tally.untold += 1,
                    }
                }
                tally
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        Load { stop, slowest, workers }
    }

    /// What became of them, and the longest that a call took.
    async fn end(self) -> (Tally, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for worker in self.workers {
            let Tally { made, untold, refused } = worker.await.unwrap();
            all.made += made;
            all.untold += untold;
            all.refused += refused;
        }
        (all, self.slowest.took())
    }
}

/// One increment, to its end: an operation whose outcome is unknown is asked again until it is known whether it was made;
/// `None` where that cannot be told.
async fn increment(store: &RedisStore, key: StoreKey, slowest: &Slowest) -> Option<bool> {
    let mut record = match store.load(key).await {
        Ok(Loaded::Live(snapshot)) => snapshot.record,
        Ok(other) => panic!("the session is {other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            tokio::time::sleep(Duration::from_millis(2)).await;
            return Some(false);
        }
    };
    loop {
        let request: Commit = requests::commit(key, record.version, counter(count(&record) + 1));
        let Some(Settled { answer, unknown }) = settled(store, &request, slowest).await else {
            return Some(false);
        };
        match answer {
            Committed::Committed(_) => return Some(true),
            Committed::Conflict(snapshot) => {
                let newer = snapshot.record.version.counter - record.version.counter;
                if unknown && newer > REMEMBERED {
                    return None;
                }
                record = snapshot.record;
            }
            other => panic!("a commit was answered {other:?}"),
        }
    }
}

async fn scripts_are_flushed_under_load(kind: Kind) {
    let server = Server::start(kind);
    let store = server.store();
    let key = new_counter(&store).await;
    let load = Load::on(&store, key);
    for _ in 0..200 {
        server.raw("SCRIPT FLUSH");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (tally, _) = load.end().await;
    assert!(server.calls("eval") > 5, "the scripts were never sent again");
    tally.check(&*live(&store, key).await);
}

async fn connections_are_killed_under_load(kind: Kind) {
    let server = Server::start(kind);
    let store = server.builder().connections(2).build().unwrap();
    let key = new_counter(&store).await;
    let load = Load::on(&store, key);
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        server.raw("CLIENT KILL TYPE normal SKIPME yes");
    }
    let (tally, _) = load.end().await;
    back(&store).await;
    // Whatever was asked again was done once.
    tally.check(&*live(&store, key).await);
}

async fn the_server_is_killed_and_started_again_under_load(kind: Kind) {
    let server = Server::start(kind);
    let store = server.store();
    let key = new_counter(&store).await;
    let load = Load::on(&store, key);
    let pace = Pace::here();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.kill();
        // Refused at once while it is away, once that is known.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked = pace.now();
        let error = store.load(key).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(asked.elapsed() < Duration::from_millis(500), "refused after {:?}", asked.elapsed());
        server.start_again();
        let took = back(&store).await;
        assert!(took < Duration::from_secs(1), "back {took:?} after the server");
    }
    let (tally, slowest) = load.end().await;
    assert!(slowest < Duration::from_secs(2) + SLACK, "a call took {slowest:?}");
    tally.check(&*live(&store, key).await);
}

async fn no_call_hangs_while_the_server_is_stopped(kind: Kind) {
    let server = Server::start(kind);
    let deadline = Duration::from_secs(1);
    let store = server.builder().call_deadline(deadline).build().unwrap();
    let key = new_counter(&store).await;
    let load = Load::on(&store, key);
    let pace = Pace::here();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.pause();
    tokio::time::sleep(deadline + SLACK).await;
    // By now it is known to be silent.
    for _ in 0..100 {
        let asked = pace.now();
        let error = store.load(key).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(asked.elapsed() < Duration::from_millis(500), "refused after {:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.resume();
    let took = back(&store).await;
    assert!(took < Duration::from_secs(1), "back {took:?} after the server");
    let (tally, slowest) = load.end().await;
    assert!(slowest < deadline + SLACK, "a call took {slowest:?}");
    tally.check(&*live(&store, key).await);
}

async fn a_write_that_the_server_made_after_all_is_recognised(kind: Kind) {
    let server = Server::start(kind);
    let store = server.builder().call_deadline(Duration::from_millis(300)).build().unwrap();
    let key = new_counter(&store).await;
    let record = live(&store, key).await;
    let ann = requests::user("ann");
    let (bound, moved) = (requests::key(), requests::key());
    let mine = requests::create_for(bound, requests::bind(&ann));
    store.create(mine).await.unwrap();
    let version = live(&store, bound).await.version;

    let commit = requests::commit(key, record.version, counter(1));
    let rename = requests::rename(bound, moved, version, counter(7));
    let create = requests::create(requests::key(), counter(3));
    let unknown = |error: StoreError| assert_eq!(error.kind(), StoreErrorKind::Unknown, "{error}");
    server.pause();
    unknown(store.commit(commit.clone()).await.unwrap_err());
    server.resume();
    back(&store).await;
    server.pause();
    unknown(store.create(create.clone()).await.unwrap_err());
    server.resume();
    back(&store).await;

    // What was sent before the pause was made when it was over; asked again, each has the one effect and the answer.
    let again = store.commit(commit).await.unwrap();
    assert!(matches!(again, Committed::Committed(s) if s.record.version.counter == 2));
    assert!(matches!(store.create(create.clone()).await.unwrap(), Created::Created { .. }));
    assert_eq!(live(&store, create.key).await.version.counter, 1);
    for _ in 0..2 {
        assert!(matches!(
            store.rename(rename.clone()).await.unwrap(),
            cloakroom::store::Renamed::Renamed { snapshot, .. } if snapshot.record.version.counter == 2
        ));
    }
    assert_eq!(store.list_user(ann).await.unwrap().len(), 1);
}

async fn what_begins_after_its_deadline_is_not_begun(kind: Kind) {
    let server = Server::start(kind);
    let store = server.builder().call_deadline(Duration::from_millis(200)).build().unwrap();
    let key = new_counter(&store).await;
    let record = live(&store, key).await;
    server.pause();
    // The first finds out that the server is silent; the others are refused without being sent.
    let error = store.load(key).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    for n in 0..50 {
        let error = store.commit(requests::commit(key, record.version, counter(100 + n))).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
    server.resume();
    back(&store).await;
    assert_eq!(count(&*live(&store, key).await), 0, "a write that was told not to be made was made");
}

async fn a_holder_that_slept_over_its_lease_is_refused(kind: Kind) {
    let server = Server::start(kind);
    let (sleeper, other) = (server.store(), server.store());
    let key = new_counter(&sleeper).await;
    let lease = Duration::from_millis(200);
    for round in 0..5 {
        let (first, second) = (LeaseOwner(2 * round + 1), LeaseOwner(2 * round + 2));
        let mut request = requests::acquire(key, first.0);
        request.lease = lease;
        let Acquired::Acquired { snapshot, .. } = sleeper.acquire(request).await.unwrap() else { panic!() };
        tokio::time::sleep(3 * lease).await;
        let Acquired::Acquired { snapshot: fresh, .. } =
            other.acquire(requests::acquire(key, second.0)).await.unwrap()
        else {
            panic!("a lease outlives its time");
        };
        let mut late = requests::commit(key, snapshot.record.version, counter(i64::MAX));
        late.lease = Some(LeaseRef { owner: first, hold: 0 });
        assert_eq!(sleeper.commit(late.clone()).await.unwrap(), Committed::LeaseLost);
        let mut next = requests::commit(key, fresh.record.version, counter(count(&fresh.record) + 1));
        next.lease = Some(LeaseRef { owner: second, hold: 0 });
        next.release = true;
        assert!(matches!(other.commit(next).await.unwrap(), Committed::Committed(_)));
        assert_eq!(sleeper.commit(late).await.unwrap(), Committed::LeaseLost);
    }
    assert_eq!(count(&*live(&other, key).await), 5);
}

async fn a_logout_comes_through_however_busy_the_session_is(kind: Kind) {
    let server = Server::start(kind);
    let store = server.store();
    let ann = requests::user("ann");
    let key = requests::key();
    store.create(requests::create_for(key, requests::bind(&ann))).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..16)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let mut version = live(&store, key).await.version;
                while !stop.load(Ordering::Relaxed) {
                    match store.commit(requests::commit(key, version, counter(1))).await.unwrap() {
                        Committed::Committed(s) | Committed::Conflict(s) => version = s.record.version,
                        Committed::Ended(_) => return,
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ended = store.revoke(requests::revoke(&ann, RevokeWhich::All)).await.unwrap();
    assert_eq!(ended.count, 1);
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(matches!(store.load(key).await.unwrap(), Loaded::Ended(_)));
}

support::on_both! {
    scripts_are_flushed_under_load
    connections_are_killed_under_load
    the_server_is_killed_and_started_again_under_load
    no_call_hangs_while_the_server_is_stopped
    a_write_that_the_server_made_after_all_is_recognised
    what_begins_after_its_deadline_is_not_begun
    a_holder_that_slept_over_its_lease_is_refused
    a_logout_comes_through_however_busy_the_session_is
}
