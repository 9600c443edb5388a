//! Each fault does what it says, to the call it was planned for and to no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::{Store, StoreErrorKind, Touch};
use cloakroom_testing::{Fault, FaultStore, Gate, Op, ReferenceStore, SpyStore};
use common::*;

/// A store with faults, and a spy underneath that tells what was executed.
fn store() -> (FaultStore, SpyStore) {
    let spy = SpyStore::new(Arc::new(ReferenceStore::new()));
    (FaultStore::new(Arc::new(spy.clone())), spy)
}

const MOMENT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_refused_call_is_not_executed() {
    for (fault, kind) in [
        (Fault::Unavailable, StoreErrorKind::Unavailable),
        (Fault::Full, StoreErrorKind::Full),
        (Fault::Corrupt, StoreErrorKind::Corrupt),
        (Fault::LoseRequest, StoreErrorKind::Unknown),
    ] {
        let (store, spy) = store();
        store.at(1, fault);
        let error = store.create(create(new_key(), payload(&[]))).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(spy.calls().is_empty());
    }
}

#[tokio::test]
async fn a_lost_answer_belongs_to_an_executed_call() {
    let (store, spy) = store();
    let key = new_key();
    store.at(1, Fault::LoseAnswer);
    let error = store.create(create(key, payload(&[]))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unknown);
    assert_eq!(spy.calls().ops(), [Op::Create]);
    live(&store, key).await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_never_answers_executed_or_not() {
    let (store, spy) = store();
    for (fault, executed) in [(Fault::Hang, 0), (Fault::HangAfter, 1)] {
        spy.clear();
        store.at(1, fault);
        let call = store.create(create(new_key(), payload(&[])));
        assert!(tokio::time::timeout(HOUR, call).await.is_err());
        assert_eq!(spy.count(Op::Create), executed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_caller_does_not_call_the_operation_back() {
    let gate = Gate::new();
    gate.open();
    for fault in [
        Fault::LoseAnswer,
        Fault::HangAfter,
        Fault::Delay(MOMENT),
        Fault::DelayAnswer(MOMENT),
        Fault::Twice,
        Fault::ReplayAfter(MOMENT),
        Fault::Hold(gate.clone()),
        Fault::HoldAnswer(gate.clone()),
    ] {
        let (store, spy) = store();
        let name = fault.name();
        store.at(1, fault);
        drop(store.create(create(new_key(), payload(&[]))));
        tokio::time::sleep(2 * MOMENT).await;
        assert!(spy.count(Op::Create) >= 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_is_executed_late_a_delayed_answer_comes_late() {
    for (fault, executed_at_once) in [(Fault::Delay(HOUR), 0), (Fault::DelayAnswer(HOUR), 1)] {
        let (store, spy) = store();
        store.at(1, fault);
        let started = tokio::time::Instant::now();
        let call = tokio::spawn(store.create(create(new_key(), payload(&[]))));
        tokio::time::sleep(MOMENT).await;
        assert_eq!(spy.count(Op::Create), executed_at_once);
        call.await.unwrap().unwrap();
        assert!(started.elapsed() >= HOUR);
        assert_eq!(spy.count(Op::Create), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_executed_twice_has_the_same_operation_id_both_times() {
    for fault in [Fault::Twice, Fault::ReplayAfter(MOMENT)] {
        let (store, spy) = store();
        let key = new_key();
        let record = created(&store, key, payload(&[])).await;
        store.at_op(Op::Commit, 1, fault);
        let request = commit(key, record.version, payload(&[("n", "1")]));
        store.commit(request).await.unwrap();
        tokio::time::sleep(2 * MOMENT).await;
        assert_eq!(spy.count(Op::Commit), 2);
        assert_eq!(live(&store, key).await.version.counter, 2);
    }
}

#[tokio::test]
async fn a_gate_holds_a_call_until_it_is_opened() {
    let (store, spy) = store();
    let (before, after) = (Gate::new(), Gate::new());
    store.at(1, Fault::Hold(before.clone()));
    store.at(2, Fault::HoldAnswer(after.clone()));
    let first = tokio::spawn(store.create(create(new_key(), payload(&[]))));
    before.arrived().await;
    assert_eq!(spy.count(Op::Create), 0);
    let second = tokio::spawn(store.create(create(new_key(), payload(&[]))));
    after.arrived().await;
    assert_eq!(spy.count(Op::Create), 1);
    assert!(!first.is_finished() && !second.is_finished());
    before.open();
    first.await.unwrap().unwrap();
    after.open();
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn rules_count_their_own_calls_from_when_they_were_made() {
    let (store, _) = store();
    let (key, other) = (new_key(), new_key());
    let touch = |key| Touch { key, idle: HOUR };
    store.load(key).await.unwrap();
    store.at_op(Op::Load, 2, Fault::Unavailable);
    store.at_key(Op::Touch, key, 1, Fault::Corrupt);
    store.load(key).await.unwrap();
    store.touch(touch(other)).await.unwrap();
    store.load(key).await.unwrap_err();
    store.touch(touch(key)).await.unwrap_err();
    store.load(key).await.unwrap();
    store.touch(touch(key)).await.unwrap();

    let befallen: Vec<_> = store.injected().iter().map(|i| (i.call, i.op, i.fault.name())).collect();
    assert_eq!(befallen, [(4, Op::Load, "unavailable"), (5, Op::Touch, "corrupt")]);
    assert_eq!(store.calls(), 7);

    store.always(Some(Op::Load), Fault::Unavailable);
    store.load(key).await.unwrap_err();
    store.load(key).await.unwrap_err();
    store.touch(touch(key)).await.unwrap();
    store.heal();
    store.load(key).await.unwrap();
}

#[tokio::test]
async fn random_faults_follow_from_the_seed() {
    let run = |seed| async move {
        let (store, _) = store();
        store.at_random(seed, 300, &[Op::Load], vec![Fault::Unavailable, Fault::LoseAnswer]);
        for _ in 0..200 {
            let _ = store.load(new_key()).await;
            store.touch(Touch { key: new_key(), idle: HOUR }).await.unwrap();
        }
        store.injected().iter().map(|i| (i.call, i.fault.name())).collect::<Vec<_>>()
    };
    let (once, again, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(once, again);
    assert_ne!(once, other);
    assert!((30..90).contains(&once.len()), "{} of 200", once.len());
    assert!(once.iter().any(|(_, fault)| *fault == "lose answer"));
}

#[tokio::test]
async fn without_a_fault_an_answer_at_once_stays_an_answer_at_once() {
    let (store, _) = store();
    assert!(store.load(new_key()).try_ready().is_ok());
    assert!(store.load_many(vec![new_key()]).try_ready().is_ok());
    assert!(store.released(new_key()).is_none());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "in vain: 1 calls at the Gate(closed, 0 arrived)")]
async fn a_call_that_never_comes_is_not_waited_for_for_ever() {
    Gate::new().arrived().await;
}
