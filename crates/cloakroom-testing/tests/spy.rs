//! The spy records every call, in order, with its answer and with what it changes, and disturbs nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::record::Version;
use cloakroom::store::{ScanFrom, Store, StoreErrorKind, Touch};
use cloakroom::{OpId, UserId};
use cloakroom_testing::spy::{Answer, KeyChanges, KeyCounts};
use cloakroom_testing::{Fault, FaultStore, Op, ReferenceStore, SpyStore};
use common::*;

fn spy() -> SpyStore {
    SpyStore::new(Arc::new(ReferenceStore::new()))
}

#[tokio::test]
async fn calls_are_in_order_with_their_answers() {
    let (spy, key, gone) = (spy(), new_key(), new_key());
    let record = created(&spy, key, payload(&[("a", "1")])).await;
    spy.load_many(vec![gone, key]).await.unwrap();
    let stale = Version { counter: 7, op: OpId::generate() };
    spy.commit(commit(key, stale, payload(&[]))).await.unwrap();
    spy.commit(commit(key, record.version, payload(&[]))).await.unwrap();
    spy.end(end(key)).await.unwrap();
    spy.load(key).await.unwrap();
    spy.touch(Touch { key, idle: HOUR }).await.unwrap();

    let calls = spy.calls();
    assert_eq!(calls.ops(), [Op::Create, Op::LoadMany, Op::Commit, Op::Commit, Op::End, Op::Load, Op::Touch]);
    let answers: Vec<_> = calls.iter().map(|call| call.answer.clone().unwrap()).collect();
    assert_eq!(
        answers,
        [
            Answer::Created,
            Answer::Many(vec![Answer::Missing, Answer::Live]),
            Answer::Conflict,
            Answer::Committed,
            Answer::Ended,
            Answer::Ended,
            Answer::NotLive,
        ]
    );
    assert_eq!(calls[1].keys, [gone, key]);
    assert_eq!(spy.count(Op::Commit), 2);
}

#[tokio::test]
async fn x10_reads_writes_and_locks_are_counted_for_each_session() {
    let (spy, key, other) = (spy(), new_key(), new_key());
    let record = created(&spy, key, payload(&[])).await;
    created(&spy, other, payload(&[])).await;
    spy.load(key).await.unwrap();
    spy.load_many(vec![other, key]).await.unwrap();
    spy.acquire(acquire(key, 1)).await.unwrap();
    let successor = new_key();
    let mut moved = rename(key, successor, record.version, payload(&[]));
    moved.lease = Some(cloakroom::store::LeaseRef { owner: cloakroom::store::LeaseOwner(1), hold: 0 });
    spy.rename(moved).await.unwrap();

    let counted = KeyCounts { reads: 2, writes: 2, locks: 1, ..KeyCounts::default() };
    assert_eq!(spy.counts_of(key), counted);
    assert_eq!(spy.counts_of(other), KeyCounts { reads: 1, writes: 1, ..KeyCounts::default() });
    assert_eq!(spy.counts_of(successor), KeyCounts { writes: 1, ..KeyCounts::default() });
    assert_eq!(spy.calls().of(other).ops(), [Op::Create, Op::LoadMany]);
}

#[tokio::test]
async fn x10_a_write_tells_which_entries_it_adds_changes_and_removes() {
    let (spy, key) = (spy(), new_key());
    let record = created(&spy, key, payload(&[("keep", "1"), ("edit", "1"), ("drop", "1")])).await;
    assert_eq!(spy.calls()[0].changes.as_ref().unwrap().added, ["drop", "edit", "keep"]);

    let mark = spy.mark();
    let next = payload(&[("new", "1"), ("edit", "2"), ("keep", "1")]);
    spy.commit(commit(key, record.version, next)).await.unwrap();
    let expected = KeyChanges {
        added: vec!["new".to_owned()],
        changed: vec!["edit".to_owned()],
        removed: vec!["drop".to_owned()],
    };
    assert_eq!(spy.since(mark)[0].changes, Some(expected));

    // The same data again, in another order: nothing changes.
    let record = live(&spy, key).await;
    let same = payload(&[("keep", "1"), ("edit", "2"), ("new", "1")]);
    spy.commit(commit(key, record.version, same)).await.unwrap();
    assert!(spy.calls().last().unwrap().changes.as_ref().unwrap().is_empty());
}

#[tokio::test]
async fn the_log_can_be_read_from_a_mark_and_cleared() {
    let (spy, key) = (spy(), new_key());
    spy.load(key).await.unwrap();
    let mark = spy.mark();
    assert!(spy.since(mark).is_empty());
    spy.load(key).await.unwrap();
    spy.clear();
    assert!(spy.calls().is_empty());
    spy.scan(ScanFrom { after: None, limit: 10 }).await.unwrap();
    spy.purge(10).await.unwrap();
    spy.stats().await.unwrap();
    spy.list_user(UserId::new("ann").unwrap()).await.unwrap();
    assert_eq!(spy.since(mark).ops(), [Op::Scan, Op::Purge, Op::Stats, Op::ListUser]);
    assert_eq!(spy.calls().without_housekeeping().ops(), [Op::Scan, Op::ListUser]);
}

#[tokio::test]
async fn an_answer_at_once_stays_an_answer_at_once() {
    let (spy, key) = (spy(), new_key());
    assert!(spy.load(key).try_ready().is_ok());
    assert!(spy.create(create(key, payload(&[]))).try_ready().is_ok());
    assert!(spy.load_many(vec![key]).try_ready().is_ok());
    assert_eq!(spy.calls().last().unwrap().answer, Some(Answer::Many(vec![Answer::Live])));
}

#[tokio::test]
async fn a_call_without_an_answer_and_a_failed_one_are_told_apart() {
    let faults = FaultStore::new(Arc::new(ReferenceStore::new()));
    let spy = SpyStore::new(Arc::new(faults.clone()));
    faults.at(1, Fault::Hang);
    faults.at(2, Fault::Unavailable);
    let hangs = tokio::time::timeout(Duration::from_millis(5), spy.load(new_key())).await;
    assert!(hangs.is_err());
    spy.load(new_key()).await.unwrap_err();
    assert_eq!(spy.calls()[0].answer, None);
    assert_eq!(spy.calls()[1].answer, Some(Answer::Failed(StoreErrorKind::Unavailable)));
}

#[tokio::test]
async fn c10_the_log_shows_digest_prefixes_and_no_values() {
    let (spy, key) = (spy(), new_key());
    created(&spy, key, payload(&[("card", "4111111111111111")])).await;
    let text = format!("{:?}", spy.calls());
    assert!(text.contains(&format!("{key:?}")) && text.contains("card"));
    assert!(!text.contains("4111"));
}
