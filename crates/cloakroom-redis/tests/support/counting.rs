//! Counts up in a session of a cluster, and notes what was lost, how long nothing was answered (at the machine's pace), and what went
//! wrong.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::record::Record;
use cloakroom::store::{Committed, Created, Loaded, Renamed, Store, StoreErrorKind};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;

use crate::support::pace::{Moment, Pace};

pub fn number(record: &Record) -> u64 {
    let value = record.payload.get("n").unwrap_or_default();
    std::str::from_utf8(value).unwrap().parse().unwrap_or(0)
}

/// Counts up in one session, one after the other, as long as it is told to.
pub struct Counter {
    pub store: RedisStore,
    pub key: StoreKey,
    before: StoreKey,
    pub record: Arc<Record>,
    /// Numbers that were acknowledged and are not there any more.
    pub lost: u64,
    pub losses: u32,
    /// The longest time without an acknowledgement.
    pub gap: Duration,
    /// The longest that an answer to a commit took.
    pub slowest: Duration,
    last: Moment,
    pace: Pace,
    pub errors: Vec<String>,
}

impl Counter {
    pub async fn begin(store: &RedisStore, key: StoreKey) -> Self {
        let created = store.create(requests::create(key, requests::data(&[("n", b"0")]))).await.unwrap();
        let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
        let pace = Pace::here();
        Counter {
            store: store.clone(),
            key,
            before: key,
            record: snapshot.record,
            lost: 0,
            losses: 0,
            gap: Duration::ZERO,
            slowest: Duration::ZERO,
            last: pace.now(),
            pace,
            errors: Vec::new(),
        }
    }

    /// Errors but those that a busy machine makes: who says nothing for a quarter of a second seems to have stood still, and what it answers then
    /// is not believed where its slot is another one's by now, or nobody can tell. What was made is recognised when it is asked for again.
    pub fn undisturbed_errors(&self) -> Vec<&String> {
        self.errors.iter().filter(|error| !error.contains(" stood still")).collect()
    }

    fn acknowledged(&mut self, record: Arc<Record>) {
        self.record = record;
        self.gap = self.gap.max(self.last.elapsed());
        self.last = self.pace.now();
    }

    pub async fn count(&mut self) {
        let next = number(&self.record) + 1;
        let data = requests::data(&[("n", next.to_string().as_bytes())]);
        let mut request = requests::commit(self.key, self.record.version, data);
        // As the engine's have it.
        request.base = Some(self.record.clone());
        let asked = self.pace.now();
        loop {
            match self.store.commit(request.clone()).await {
                Ok(Committed::Committed(snapshot)) => {
                    self.slowest = self.slowest.max(asked.elapsed());
                    assert_eq!(number(&snapshot.record), next);
                    return self.acknowledged(snapshot.record);
                }
                // Nobody else writes here: what was acknowledged is gone.
                Ok(Committed::Conflict(snapshot)) => return self.found(snapshot.record),
                // The change of its id as well.
                Ok(Committed::Missing) => return self.back_to_the_id_before().await,
                Ok(other) => panic!("{other:?}"),
                // As the engine does: the same again, under the same operation.
                Err(error) => {
                    assert_ne!(error.kind(), StoreErrorKind::Corrupt, "{error}");
                    self.errors.push(error.to_string());
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    fn found(&mut self, record: Arc<Record>) {
        self.lost += number(&self.record) - number(&record);
        self.losses += 1;
        self.record = record;
    }

    async fn back_to_the_id_before(&mut self) {
        self.key = self.before;
        let Ok(Loaded::Live(found)) = self.store.load(self.key).await else { panic!("a session is gone") };
        self.found(found.record);
    }

    async fn change_id(&mut self) {
        let to = requests::successor(self.key);
        let rename = requests::rename(self.key, to, self.record.version, self.record.payload.clone());
        loop {
            match self.store.rename(rename.clone()).await {
                Ok(Renamed::Conflict(snapshot)) => return self.found(snapshot.record),
                Ok(Renamed::Missing) => return self.back_to_the_id_before().await,
                Ok(Renamed::Renamed { snapshot, .. }) => {
                    (self.before, self.key) = (self.key, to);
                    return self.acknowledged(snapshot.record);
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => self.errors.push(error.to_string()),
            }
        }
    }
}

pub fn count_on(mut counter: Counter, go_on: Arc<AtomicBool>) -> tokio::task::JoinHandle<Counter> {
    tokio::spawn(async move {
        for n in 1_u32.. {
            if !go_on.load(Ordering::Relaxed) {
                break;
            }
            counter.count().await;
            if n % 50 == 0 {
                counter.change_id().await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        counter
    })
}
