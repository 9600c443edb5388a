//! Clients that read, compute and commit over a store that loses answers: whatever happens is as if they came one
//! after the other; and clients that skip a step are found out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod common;

use std::sync::Arc;

use cloakroom::record::Record;
use cloakroom::store::{Committed, Ended, Loaded, Store, StoreErrorKind};
use cloakroom::{MemoryStore, StoreKey};
use cloakroom_testing::history::session::{self, Answer, Call, Step};
use cloakroom_testing::history::{Recorder, Verdict};
use cloakroom_testing::{Fault, FaultStore, Op, ReferenceStore, requests};
use common::*;

type History = Recorder<Call, Answer>;

fn number(record: &Record) -> i64 {
    record.payload.get("n").map_or(0, |value| i64::from_le_bytes(value.try_into().unwrap()))
}

/// What a client does with a conflict.
#[derive(Clone, Copy, PartialEq)]
enum Manners {
    /// Computes anew from the record it is told.
    Good,
    /// Writes what it had computed over the record it is told: the classic lost update.
    Bad,
}

async fn increment(store: &dyn Store, history: &History, key: StoreKey, manners: Manners) {
    let pending = history.call(Call::one(1, Step::increment("n", 1)));
    let Ok(loaded) = store.load(key).await else { return pending.answered(Answer::Refused) };
    let Loaded::Live(snapshot) = loaded else { return pending.answered(Answer::Gone) };
    // Time for the others to come in between.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let (mut sum, mut version) = (number(&snapshot.record) + 1, snapshot.record.version);
    loop {
        let data = requests::data(&[("n", &sum.to_le_bytes())]);
        match store.commit(commit(key, version, data)).await {
            Ok(Committed::Committed(_)) => return pending.answered(Answer::seen(sum)),
            Ok(Committed::Conflict(told)) => {
                version = told.record.version;
                if manners == Manners::Good {
                    sum = number(&told.record) + 1;
                }
            }
            Ok(Committed::Ended(_)) => return pending.answered(Answer::Gone),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                return pending.answered(Answer::Refused);
            }
            // May have happened: no answer is the honest one.
            Err(_) => return,
            Ok(other) => panic!("{other:?}"),
        }
    }
}

async fn read(store: &dyn Store, history: &History, key: StoreKey) {
    let pending = history.call(Call::one(1, Step::read("n")));
    match store.load(key).await {
        Ok(Loaded::Live(snapshot)) if snapshot.record.payload.is_empty() => {
            pending.answered(Answer::seen_nothing())
        }
        Ok(Loaded::Live(snapshot)) => pending.answered(Answer::seen(number(&snapshot.record))),
        Ok(_) => pending.answered(Answer::seen_nothing()),
        Err(_) => pending.answered(Answer::Refused),
    }
}

async fn destroy(store: &dyn Store, history: &History, key: StoreKey) {
    let pending = history.call(Call::one(1, Step::Destroy));
    match store.end(end(key)).await {
        Ok(Ended::Ended(_) | Ended::NotLive) => pending.answered(Answer::done()),
        Err(error) if error.kind() == StoreErrorKind::Unavailable => pending.answered(Answer::Refused),
        Err(_) => {}
    }
}

/// Six clients at once, on one session, to its end; answers with the verdict and whether anything went wrong.
async fn six_clients(store: Arc<dyn Store>, manners: Manners, seed: u64, per_mille: u32) -> (Verdict, usize) {
    let faults = FaultStore::new(store);
    let key = new_key();
    created(&faults, key, payload(&[])).await;
    let harm = vec![Fault::Unavailable, Fault::LoseAnswer, Fault::LoseRequest, Fault::Twice];
    faults.at_random(seed, per_mille, &[Op::Load, Op::Commit, Op::End], harm);
    let history = Recorder::new();
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (faults, history) = (faults.clone(), history.clone());
            tokio::spawn(async move {
                for round in 0..20 {
                    match (client, round) {
                        (0, 15) => destroy(&faults, &history, key).await,
                        (1, _) => read(&faults, &history, key).await,
                        _ => increment(&faults, &history, key, manners).await,
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    (session::check(&history.history()), faults.injected().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_c2_compare_and_commit_is_explained_on_a_store_that_loses_answers() {
    for seed in 0..20 {
        let stores: [Arc<dyn Store>; 2] = [Arc::new(ReferenceStore::new()), Arc::new(MemoryStore::new())];
        for store in stores {
            let name = store.name();
            let (verdict, injected) = six_clients(store, Manners::Good, seed, 100).await;
            assert!(verdict.is_explained(), "{name}, seed {seed}: {verdict:?}");
            assert!(injected > 0, "{name}, seed {seed}: nothing went wrong");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_a_client_that_overwrites_what_it_has_not_read_is_found_out() {
    let mut found_out = 0;
    for seed in 0..10 {
        let store = Arc::new(ReferenceStore::new());
        let (verdict, _) = six_clients(store, Manners::Bad, seed, 0).await;
        found_out += usize::from(verdict.is_unexplained());
    }
    assert!(found_out >= 8, "{found_out} of 10 histories with lost updates were rejected");
}
