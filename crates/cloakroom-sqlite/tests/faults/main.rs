//! Disks that fail: full, or with I/O errors. Each scenario runs in a process of its own with [`shim.c`](../shim.c)
//! preloaded, which makes the calls fail while a fault is switched on.
//!
//! In all of them (C9): what was refused is an error of the right kind and is not readable afterwards, what was
//! acknowledged is there, and the same store goes on by itself when the trouble is over.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use cloakroom::store::{Committed, Loaded, Store, StoreError, StoreErrorKind};
use cloakroom_sqlite::{OpenErrorKind, SqliteStore};
use cloakroom_testing::chain;
use cloakroom_testing::processes::{FileLayer, Switch, command, role};
use support::*;

/// Starts the child and sees to it that it came to its end.
fn run(scenario: &str) {
    let dir = tempfile::tempdir().unwrap();
    let layer = FileLayer::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c"));
    let mut child = command(&[], "child", scenario, &dir.path().join("s.db"));
    let output = layer
        .under_with_faults(&mut child, &dir.path().join("faults"))
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains(&format!("{scenario}: done")), "{out}\n{err}");
}

#[test]
fn c9_a_full_disk_refuses_writes_as_unavailable_until_there_is_room_again() {
    run("full disk");
}

#[test]
fn c9_a_failed_flush_is_settled_as_not_having_happened() {
    run("flush fails once");
}

#[test]
fn c9_where_flushes_go_on_failing_the_outcome_is_unknown() {
    run("flushes fail");
}

#[test]
fn c9_a_log_that_cannot_be_written_refuses_writes_and_not_reads() {
    run("writes fail");
}

#[test]
fn c9_a_session_that_cannot_be_read_is_unavailable_not_absent() {
    run("reads fail");
}

#[test]
fn a_full_disk_is_named_when_a_store_is_to_be_created_on_it() {
    run("create on full disk");
}

/// Where the child begins. On its own it has nothing to do.
#[test]
fn child() {
    let Some((scenario, path)) = role() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match scenario.as_str() {
            "full disk" => full_disk(&path).await,
            "flush fails once" => flush_fails_once(&path).await,
            "flushes fail" => flushes_fail(&path).await,
            "writes fail" => writes_fail(&path).await,
            "reads fail" => reads_fail(&path).await,
            "create on full disk" => create_on_full_disk(&path).await,
            other => panic!("no such scenario: {other}"),
        }
    });
    println!("{scenario}: done");
}

fn kind<A: std::fmt::Debug>(answer: Result<A, StoreError>) -> StoreErrorKind {
    let error = answer.unwrap_err();
    println!("{}", chain(&error));
    error.kind()
}

/// What a process would find that opened the file after this one was killed now.
async fn after_a_kill(path: &Path) -> (tempfile::TempDir, SqliteStore) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["s.db", "s.db-wal", "s.db-commits"] {
        std::fs::copy(path.with_file_name(name), copy.path().join(name)).unwrap();
    }
    let store = SqliteStore::open(copy.path().join("s.db")).await.unwrap();
    assert_eq!(store.lost_commits(), 0);
    (copy, store)
}

async fn full_disk(path: &Path) {
    let store = SqliteStore::builder(path).checkpoint_pages(20).open().await.unwrap();
    let version = created(&store, key(0), "before").await;
    let full = Switch::on("full");
    let mut stored = 0;
    let error = loop {
        // The log has room of its own until it would have to grow.
        match store.create(create(key(stored + 1), &"x".repeat(3000))).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1000, "the disk is not full");
    };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("make room"), "{error}");
    let many: Vec<_> = (2000..2020).map(|n| store.create(create(key(n), &"x".repeat(3000)))).collect();
    for answer in many {
        assert_eq!(kind(answer.await), StoreErrorKind::Unavailable);
    }
    assert_eq!(text(&live(&store, key(0)).await.record.payload.clone()), "before", "reads go on");
    drop(full);

    let committed = store.commit(commit(key(0), version, "after")).await.unwrap();
    assert!(matches!(committed, Committed::Committed(_)));
    created(&store, key(2000), "after").await;
    for n in 1..=stored {
        live(&store, key(n)).await;
    }
    for n in 2001..2020 {
        assert_eq!(store.load(key(n)).await.unwrap(), Loaded::Missing, "what was refused is not there");
    }
    assert_eq!(store.stats().await.unwrap().live, Some(stored + 2));
    store.close().await.unwrap();
    let again = SqliteStore::open(path).await.unwrap();
    assert_eq!(again.lost_commits(), 0);
    assert_eq!(text(&live(&again, key(0)).await.record.payload.clone()), "after");
}

async fn flush_fails_once(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    let version = created(&store, key(0), "before").await;
    for round in 1..20 {
        let _fault = Switch::on("flush-once");
        assert_eq!(kind(store.commit(commit(key(0), version, "refused")).await), StoreErrorKind::Unavailable);
        // It will not come back from the log either.
        let (_copy, found) = after_a_kill(path).await;
        assert_eq!(text(&live(&found, key(0)).await.record.payload.clone()), "before", "round {round}");
        assert_eq!(text(&live(&store, key(0)).await.record.payload.clone()), "before", "round {round}");
    }
    let committed = store.commit(commit(key(0), version, "after")).await.unwrap();
    assert!(matches!(committed, Committed::Committed(_)));
    let (_copy, found) = after_a_kill(path).await;
    assert_eq!(text(&live(&found, key(0)).await.record.payload.clone()), "after");
}

async fn flushes_fail(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    let version = created(&store, key(0), "before").await;
    let fault = Switch::on("flush");
    assert_eq!(kind(store.commit(commit(key(0), version, "who knows")).await), StoreErrorKind::Unknown);
    assert_eq!(text(&live(&store, key(0)).await.record.payload.clone()), "before");
    // Nor is it known which of the two a crash would leave, but it is one of them, whole.
    let (_copy, found) = after_a_kill(path).await;
    assert!(
        ["before", "who knows"].contains(&text(&live(&found, key(0)).await.record.payload.clone()).as_str())
    );
    drop(fault);

    let committed = store.commit(commit(key(0), version, "after")).await.unwrap();
    assert!(matches!(committed, Committed::Committed(_)));
    let (_copy, found) = after_a_kill(path).await;
    assert_eq!(text(&live(&found, key(0)).await.record.payload.clone()), "after");
}

async fn writes_fail(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    let version = created(&store, key(0), "before").await;
    let fault = Switch::on("write");
    let refused = kind(store.commit(commit(key(0), version, "refused")).await);
    assert!(matches!(refused, StoreErrorKind::Unavailable | StoreErrorKind::Unknown));
    assert_eq!(text(&live(&store, key(0)).await.record.payload.clone()), "before");
    assert_eq!(kind(store.end(end(key(0))).await), refused);
    drop(fault);
    let (_copy, found) = after_a_kill(path).await;
    assert_eq!(text(&live(&found, key(0)).await.record.payload.clone()), "before");
    let committed = store.commit(commit(key(0), version, "after")).await.unwrap();
    assert!(matches!(committed, Committed::Committed(_)));
}

async fn reads_fail(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    for n in 0..500 {
        created(&store, key(n), &"x".repeat(500)).await;
    }
    store.close().await.unwrap();
    let store = SqliteStore::builder(path).readers(1).open().await.unwrap();
    let fault = Switch::on("read");
    let mut failed = 0;
    for n in 0..500 {
        match store.load(key(n)).await {
            Ok(Loaded::Live(_)) => {} // its page is in memory
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert!(is_trouble(error.kind()), "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 400, "{failed} lookups failed");
    assert!(is_trouble(kind(store.create(create(key(1), "over it")).await)));
    drop(fault);
    for n in 0..500 {
        live(&store, key(n)).await;
    }
    created(&store, key(1000), "after").await;
}

/// SQLite takes an I/O error in reading for a damaged file.
fn is_trouble(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Corrupt)
}

async fn create_on_full_disk(path: &Path) {
    let fault = Switch::on("full");
    let error = SqliteStore::open(path).await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::DiskFull, "{error}");
    assert!(error.to_string().contains("make room"), "{error}");
    drop(fault);
    let store = SqliteStore::open(path).await.unwrap();
    created(&store, key(1), "after").await;
}
