//! Damage inside the file: trouble for what is damaged, and for nothing else (S61).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;

use cloakroom::store::{Committed, Created, ScanFrom, Store, StoreErrorKind};
use cloakroom::{StoreKey, UserId};
use cloakroom_sqlite::SqliteStore;
use cloakroom_testing::ManualClock;
use rusqlite::Connection;
use support::*;

fn entry(path: &Path, key: StoreKey) -> Vec<u8> {
    let db = Connection::open(path).unwrap();
    db.query_row("SELECT entry FROM entries WHERE key = ?1", [key.as_bytes()], |row| row.get(0)).unwrap()
}

fn put(path: &Path, key: StoreKey, entry: &[u8]) {
    let db = Connection::open(path).unwrap();
    let changed =
        db.execute("UPDATE entries SET entry = ?2 WHERE key = ?1", (key.as_bytes(), entry)).unwrap();
    assert_eq!(changed, 1);
}

/// Flips one bit of a stored entry.
fn damage(path: &Path, key: StoreKey) {
    let mut bytes = entry(path, key);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    put(path, key, &bytes);
}

#[tokio::test]
async fn s61_a_damaged_record_keeps_nobody_from_ending_the_users_other_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 0..4 {
        store.create(create_for(key(n), "x", "ann")).await.unwrap();
    }
    damage(&path, key(2));
    let left = entry(&path, key(2));
    assert_eq!(store.list_user(UserId::new("ann").unwrap()).await.unwrap().len(), 3);
    assert_eq!(store.revoke(revoke("ann")).await.unwrap().count, 3);
    assert!(store.list_user(UserId::new("ann").unwrap()).await.unwrap().is_empty());
    assert_eq!(entry(&path, key(2)), left, "and is left as it is");
    assert_eq!(store.load(key(2)).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn s61_a_damaged_record_is_neither_purged_nor_in_the_way_of_a_purge_or_a_scan() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let clock = ManualClock::new();
    let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    for n in 0..20 {
        created(&store, key(n), "x").await;
    }
    for n in 0..10 {
        damage(&path, key(n));
    }
    let left: Vec<_> = (0..10).map(|n| entry(&path, key(n))).collect();
    assert_eq!(store.scan(ScanFrom { after: None, limit: 100 }).await.unwrap().sessions.len(), 10);
    clock.advance(4 * HOUR);
    // Smaller than the number of damaged records: they must not fill every round.
    let mut removed = 0;
    for _ in 0..20 {
        removed += store.purge(3).await.unwrap().removed;
    }
    assert_eq!(removed, 10);
    assert_eq!((0..10).map(|n| entry(&path, key(n))).collect::<Vec<_>>(), left);
}

#[tokio::test]
async fn s61_one_damaged_record_in_a_batch_fails_its_own_requests_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut versions = Vec::new();
    for n in 0..32 {
        versions.push(created(&store, key(n), "before").await);
    }
    damage(&path, key(7));
    // Handed in without waiting: they share transactions.
    let answers: Vec<_> =
        (0..32).map(|n| (n, store.commit(commit(key(n), versions[n as usize], "after")))).collect();
    for (n, answer) in answers {
        match answer.await {
            Ok(Committed::Committed(_)) => assert_ne!(n, 7),
            Err(error) => assert_eq!((n, error.kind()), (7, StoreErrorKind::Corrupt)),
            other => panic!("{n}: {other:?}"),
        }
    }
    for n in (0..32).filter(|n| *n != 7) {
        assert_eq!(text(&live(&store, key(n)).await.record.payload.clone()), "after");
    }
}

#[tokio::test]
async fn a_record_that_lies_under_another_key_is_damaged_not_somebody_elses_session() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    created(&store, key(1), "mine").await;
    created(&store, key(2), "theirs").await;
    put(&path, key(1), &entry(&path, key(2)));
    assert_eq!(store.load(key(1)).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(text(&live(&store, key(2)).await.record.payload.clone()), "theirs");
}

#[tokio::test]
async fn whatever_bytes_stand_in_a_row_the_answer_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    created(&store, key(1), "x").await;
    let good = entry(&path, key(1));
    let mut cases =
        vec![vec![], vec![0], vec![0xff; 3], vec![0; 4], vec![1; 500], good[..good.len() - 1].to_vec()];
    cases.extend((0..good.len()).map(|at| {
        let mut bent = good.clone();
        bent[at] ^= 0x80;
        bent
    }));
    for bytes in cases {
        put(&path, key(1), &bytes);
        assert_eq!(store.load(key(1)).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
        assert_eq!(store.end(end(key(1))).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
        assert_eq!(entry(&path, key(1)), bytes);
    }
    put(&path, key(1), &good);
    live(&store, key(1)).await;
}

/// Pages of the database overwritten behind SQLite's back: whatever they held, there is no panic, no absence of what
/// was there, no session under another's key; and what is on other pages works.
#[tokio::test]
async fn damaged_pages_are_errors_and_the_other_pages_go_on_working() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 0..400 {
        created(&store, key(n), &format!("value {n}")).await;
    }
    store.close().await.unwrap();
    let leaves: Vec<usize> = {
        let bytes = std::fs::read(&path).unwrap();
        // 10: a leaf of an index b-tree, which tables without rowid are made of. Large cells: entries.
        let is_leaf = |page: &&usize| bytes[**page * 4096] == 10 && text_in(&bytes[**page * 4096..][..4096]);
        (1..bytes.len() / 4096).collect::<Vec<_>>().iter().filter(is_leaf).copied().collect()
    };
    assert!(leaves.len() > 10, "{leaves:?}");
    for (round, fill) in [0x00, 0xA5, 0xFF].into_iter().enumerate() {
        let copy = dir.path().join(format!("{round}.db"));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[leaves[3] * 4096..][..4096].fill(fill);
        std::fs::write(&copy, &bytes).unwrap();
        let Ok(store) = SqliteStore::open(&copy).await else { panic!("the file as a whole can be used") };
        let (mut good, mut bad) = (0, 0);
        for n in 0..400 {
            match store.load(key(n)).await {
                Ok(cloakroom::store::Loaded::Live(found)) => {
                    assert_eq!(text(&found.record.payload.clone()), format!("value {n}"));
                    good += 1;
                }
                Ok(other) => panic!("fill {fill}: key {n} is {other:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
                    bad += 1;
                }
            }
        }
        assert!(good > 350 && bad > 0, "fill {fill}: {good} good, {bad} bad");
        // All of them at once: those on the damaged page fail, the others are stored.
        let answers: Vec<_> = (0..400).map(|n| store.touch(touch(key(n)))).collect();
        let mut touched = 0;
        for answer in answers {
            touched += usize::from(answer.await.is_ok());
        }
        assert_eq!(touched, good, "fill {fill}");
    }
}

fn text_in(page: &[u8]) -> bool {
    page.windows(6).any(|w| w == b"value ")
}

fn touch(key: StoreKey) -> cloakroom::store::Touch {
    cloakroom::store::Touch { key, idle: 4 * HOUR }
}

#[tokio::test]
async fn a_session_too_large_for_the_store_is_refused_and_spoils_nobody_elses_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("s.db")).await.unwrap();
    let big = "x".repeat((16 << 20) + 1);
    let (before, refused, after) = (
        store.create(create(key(1), "a")),
        store.create(create(key(2), &big)),
        store.create(create(key(3), "b")),
    );
    assert!(matches!(before.await.unwrap(), Created::Created { .. }));
    let error = refused.await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("too large"), "{error}");
    assert!(matches!(after.await.unwrap(), Created::Created { .. }));
}
