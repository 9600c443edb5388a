//! A number in a session, counted up while things happen to the server.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::payload::Payload;
use cloakroom::record::Record;
use cloakroom::store::{Commit, Committed, Created, Loaded, Store, StoreErrorKind};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;

use crate::support::pace::Pace;

/// How much longer than its deadline a call may take on a busy machine.
pub const SLACK: Duration = Duration::from_millis(1500);

pub fn counter(n: i64) -> Payload {
    requests::data(&[("n", &n.to_le_bytes())])
}

pub fn count(record: &Record) -> i64 {
    i64::from_le_bytes(record.payload.get("n").unwrap().try_into().unwrap())
}

pub async fn new_counter(store: &RedisStore) -> StoreKey {
    let key = requests::key();
    let created = store.create(requests::create(key, counter(0))).await.unwrap();
    assert!(matches!(created, Created::Created { .. }));
    key
}

pub async fn live(store: &dyn Store, key: StoreKey) -> Arc<Record> {
    match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot.record,
        other => panic!("{other:?}"),
    }
}

/// Waits until the store answers again; how long that took at the machine's pace.
pub async fn back(store: &RedisStore) -> Duration {
    let (began, pace) = (Instant::now(), Pace::here());
    let asked = pace.now();
    while store.ping().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "the store does not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    asked.elapsed()
}

/// Waits until it is so.
pub async fn soon(what: &str, it: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !it().await {
        assert!(began.elapsed() < Duration::from_secs(20), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The longest that one of several calls took, at the machine's pace.
pub struct Slowest {
    pace: Pace,
    millis: AtomicU64,
}

impl Slowest {
    pub fn here() -> Arc<Self> {
        Arc::new(Slowest { pace: Pace::here(), millis: AtomicU64::new(0) })
    }

    pub async fn timed<A>(&self, answer: impl Future<Output = A>) -> A {
        let began = self.pace.now();
        let answer = answer.await;
        self.millis.fetch_max(u64::try_from(began.elapsed().as_millis()).unwrap(), Ordering::Relaxed);
        answer
    }

    pub fn took(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// What became of a commit.
pub struct Settled {
    pub answer: Committed,
    /// An earlier try was not answered: it may have been made.
    pub unknown: bool,
}

/// Commits, and asks again under the same operation id where an answer was lost, as the engine does. `None`: it was not made, for certain.
pub async fn settled(store: &RedisStore, request: &Commit, slowest: &Slowest) -> Option<Settled> {
    let mut unknown = false;
    loop {
        match slowest.timed(store.commit(request.clone())).await {
            Ok(answer) => return Some(Settled { answer, unknown }),
            Err(error) if error.kind() == StoreErrorKind::Unknown => unknown = true,
            // Not made this time; but an earlier try may have been.
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
                if !unknown {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}
