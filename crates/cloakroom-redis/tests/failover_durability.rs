//! Another server takes over while many write, and each write waits until both replicas have it: whatever is acknowledged is there afterwards,
//! and what no replica confirmed is told as made and not kept.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/counter.rs"]
mod counter;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::store::{Committed, Created, Loaded, Store, StoreErrorKind};
use cloakroom_redis::{Durability, RedisStore};
use cloakroom_testing::requests;
use counter::{back, count, counter, live, new_counter, soon};
use support::sentinels::Group;
use support::waiting::{WITHIN, confirmed, made_though};
use support::{Kind, Server};

const SESSIONS: usize = 3;
const WRITERS: usize = 4;
/// The sentinels': nobody is replaced because the machine is busy.
const PATIENCE: Duration = Duration::from_secs(3);

fn store(group: &Group) -> RedisStore {
    group.builder().durability(Durability::replicas(2).within(WITHIN)).build().unwrap()
}

/// A number that several count up, and what it was when it was last acknowledged.
struct Counted {
    key: StoreKey,
    acknowledged: AtomicI64,
}

/// Several who count up each of several numbers.
struct Load {
    sessions: Vec<Arc<Counted>>,
    go_on: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU64>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn on(store: &RedisStore) -> Self {
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            let key = requests::key();
            let create = requests::create(key, counter(0));
            assert!(matches!(confirmed(|| store.create(create.clone())).await, Created::Created { .. }));
            sessions.push(Arc::new(Counted { key, acknowledged: AtomicI64::new(0) }));
        }
        let mut load = Load {
            sessions,
            go_on: Arc::new(AtomicBool::new(true)),
            asked: Arc::default(),
            acknowledged: Arc::default(),
            writers: Vec::new(),
        };
        for n in 0..SESSIONS * WRITERS {
            let (store, session) = (store.clone(), load.sessions[n % SESSIONS].clone());
            let (go_on, asked) = (load.go_on.clone(), load.asked.clone());
            let acknowledged = load.acknowledged.clone();
            load.writers.push(tokio::spawn(async move {
                while go_on.load(Ordering::SeqCst) {
                    let kept = count_up(&store, &session).await;
                    asked.fetch_add(1, Ordering::SeqCst);
                    acknowledged.fetch_add(u64::from(kept), Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }));
        }
        load
    }

    /// Waits until so many more are acknowledged.
    async fn goes_on(&self, by: u64) {
        let until = self.acknowledged.load(Ordering::SeqCst) + by;
        soon("writes are acknowledged", async || self.acknowledged.load(Ordering::SeqCst) >= until).await;
    }

    /// Waits until so many more were asked for, acknowledged or not.
    async fn goes_on_asking(&self, by: u64) {
        let until = self.asked.load(Ordering::SeqCst) + by;
        soon("writes are asked for", async || self.asked.load(Ordering::SeqCst) >= until).await;
    }

    /// All that was acknowledged is on this one.
    async fn ends_on(self, server: &Server) {
        self.go_on.store(false, Ordering::SeqCst);
        for writer in self.writers {
            writer.await.unwrap();
        }
        let directly = server.store();
        for session in self.sessions {
            let there = count(&*live(&directly, session.key).await);
            let acknowledged = session.acknowledged.load(Ordering::SeqCst);
            assert!(there >= acknowledged, "{acknowledged} was acknowledged, and {there} is there");
        }
    }
}

/// Adds one; whether that was acknowledged. What was so before is there, whatever became of the servers since.
async fn count_up(store: &RedisStore, session: &Counted) -> bool {
    let acknowledged = session.acknowledged.load(Ordering::SeqCst);
    let base = match store.load(session.key).await {
        Ok(Loaded::Live(found)) => found.record,
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            return false;
        }
    };
    assert!(count(&base) >= acknowledged, "{acknowledged} was acknowledged, and {} is there", count(&base));
    let sum = count(&base) + 1;
    let request = requests::commit(session.key, base.version, counter(sum));
    let mut in_doubt = false;
    loop {
        match store.commit(request.clone()).await {
            Ok(Committed::Committed(_)) => {
                session.acknowledged.fetch_max(sum, Ordering::SeqCst);
                return true;
            }
            Ok(Committed::Conflict(there)) => {
                let there = count(&there.record);
                assert!(there >= acknowledged, "{acknowledged} was acknowledged, and {there} is there");
                return false;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => match error.kind() {
                // Made, and it may be undone.
                StoreErrorKind::Undurable => return false,
                StoreErrorKind::Unavailable if !in_doubt => return false,
                // As the engine does: the same again.
                StoreErrorKind::Unknown | StoreErrorKind::Unavailable => in_doubt = true,
                _ => panic!("{error}"),
            },
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Has it follow the new primary, as the sentinels would after a while, so that there are two replicas again.
fn follows(old: &Server, new: &Server) {
    assert!(old.raw(&format!("REPLICAOF 127.0.0.1 {}", new.port())).starts_with("+OK"));
}

async fn c8_what_replicas_confirmed_outlives_a_primary_that_is_killed_under_load(kind: Kind) {
    let group = Group::start_patiently(kind, PATIENCE);
    let store = store(&group);
    let load = Load::on(&store).await;
    load.goes_on(50).await;
    let old = group.primary();
    old.kill();
    let new = group.wait_for_another_than(old.port());
    back(&store).await;
    // There is one replica left, and two are waited for.
    let create = requests::create(requests::key(), counter(0));
    soon("the new one is asked", async || match store.create(create.clone()).await {
        Err(error) if error.kind() == StoreErrorKind::Unavailable => false,
        answer => {
            assert!(matches!(made_though(answer, ""), Created::Created { .. }));
            true
        }
    })
    .await;
    old.start_again();
    follows(old, new);
    load.goes_on(50).await;
    load.ends_on(new).await;
}

async fn c8_what_replicas_confirmed_outlives_a_primary_that_is_replaced_and_goes_on(kind: Kind) {
    let group = Group::start_patiently(kind, PATIENCE);
    let store = store(&group);
    let load = Load::on(&store).await;
    load.goes_on(50).await;
    // It waits for nobody, and the old one takes writes for as long as nobody has heard of the new one.
    let old = group.primary();
    group.fail_over();
    let new = group.wait_for_another_than(old.port());
    // Over each of the connections for writes that are waited for.
    soon("the old one is left", async || {
        old.forget_calls();
        tokio::time::sleep(Duration::from_millis(200)).await;
        old.calls("evalsha") == 0
    })
    .await;
    follows(old, new);
    load.goes_on(50).await;
    load.ends_on(new).await;
}

async fn c8_a_primary_that_stood_still_until_it_was_replaced_acknowledges_nothing_any_more(kind: Kind) {
    let group = Group::start_patiently(kind, PATIENCE);
    let store = store(&group);
    let load = Load::on(&store).await;
    load.goes_on(50).await;
    let old = group.primary();
    old.pause();
    let new = group.wait_for_another_than(old.port());
    back(&store).await;
    old.resume();
    soon("it makes what it had been sent", async || old.raw("PING").contains("PONG")).await;
    // It takes itself for the primary still, for some seconds to come, and has no replica that could confirm anything.
    assert!(old.raw("ROLE").contains("master"), "the test comes too late");
    old.forget_calls();
    load.goes_on_asking(100).await;
    assert_eq!(old.calls("wait") + old.calls("evalsha"), 0, "writes are sent to it still");
    follows(old, new);
    load.goes_on(50).await;
    load.ends_on(new).await;
}

/// The condition, and what it is worth: what a failover takes back nobody was told to have.
async fn c8_what_a_failover_takes_back_was_told_as_made_and_not_kept(kind: Kind) {
    let group = Group::start_patiently(kind, PATIENCE);
    let (waiting, plain) = (store(&group), group.store());
    let key = new_counter(&plain).await;
    let mut record = live(&plain, key).await;
    let commit = requests::commit(key, record.version, counter(1));
    let Committed::Committed(kept) = confirmed(|| waiting.commit(commit.clone())).await else {
        panic!("it is refused")
    };
    record = kept.record;
    let old = group.primary();
    // The replicas lose their connection, and may not make it again.
    assert!(old.raw("ACL SETUSER default -psync -sync").contains("+OK"));
    old.raw("CLIENT KILL TYPE replica");
    let commit = requests::commit(key, record.version, counter(2));
    let made = made_though(waiting.commit(commit.clone()).await, "0 of 2 replicas");
    let Committed::Committed(made) = made else { panic!("{made:?}") };
    // It says no more when it is asked again, and without waiting it is acknowledged: such a write may be lost.
    made_though(waiting.commit(commit).await, "0 of 2 replicas");
    let commit = requests::commit(key, made.record.version, counter(3));
    assert!(matches!(plain.commit(commit).await.unwrap(), Committed::Committed(_)));
    old.kill();
    let new = group.wait_for_another_than(old.port());
    back(&waiting).await;
    assert_eq!(live(&waiting, key).await, live(&new.store(), key).await);
    assert_eq!(
        live(&waiting, key).await,
        record,
        "what was acknowledged with the replicas' word, and no more"
    );
}

support::on_both! {
    c8_what_replicas_confirmed_outlives_a_primary_that_is_killed_under_load
    c8_what_replicas_confirmed_outlives_a_primary_that_is_replaced_and_goes_on
    c8_a_primary_that_stood_still_until_it_was_replaced_acknowledges_nothing_any_more
    c8_what_a_failover_takes_back_was_told_as_made_and_not_kept
}
