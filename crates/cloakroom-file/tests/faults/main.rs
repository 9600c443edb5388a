//! Disks that fail: full, or with I/O errors. Each scenario runs in a process of its own with [`shim.c`](../shim.c)
//! preloaded, which makes the calls fail while a fault is switched on.
//!
//! In all of them (C9): what was refused is an error of the right kind and is not readable afterwards, what was
//! acknowledged is there, and the same store goes on by itself when the trouble is over.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../../cloakroom-sqlite/tests/support/mod.rs"]
mod support;

use std::path::Path;

use cloakroom::UserId;
use cloakroom::store::{Committed, Loaded, Renamed, Store, StoreError, StoreErrorKind};
use cloakroom_file::{FileStore, OpenErrorKind};
use cloakroom_testing::chain;
use cloakroom_testing::processes::{FileLayer, Switch, command, role};
use support::*;

/// Starts the child and sees to it that it came to its end.
fn run(scenario: &str) {
    let dir = tempfile::tempdir().unwrap();
    let layer = FileLayer::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c"));
    let mut child = command(&[], "child", scenario, &dir.path().join("sessions"));
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
fn c9_a_file_that_cannot_be_flushed_or_put_in_place_is_refused_and_not_readable() {
    run("flushes fail");
}

#[test]
fn c8_c9_where_a_directory_cannot_be_flushed_the_outcome_is_unknown_and_stays_so_until_it_can() {
    run("directory flushes fail");
}

#[test]
fn c6_c9_a_committed_change_of_id_whose_renames_fail_is_finished_by_the_next_request() {
    run("renames fail");
}

#[test]
fn c9_a_session_that_cannot_be_read_is_unavailable_not_absent() {
    run("reads fail");
}

#[test]
fn a_full_disk_is_named_when_a_store_is_to_be_made_on_it() {
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
            "flushes fail" => flushes_fail(&path).await,
            "directory flushes fail" => directory_flushes_fail(&path).await,
            "renames fail" => renames_fail(&path).await,
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

async fn value(store: &FileStore, n: u64) -> String {
    text(&live(store, key(n)).await.record.payload.clone())
}

/// Each kind of write is refused, and nothing of it is there, in this process and in another one.
async fn all_is_refused_under(fault: &str, path: &Path) {
    let store = FileStore::open(path).await.unwrap();
    let version = created(&store, key(0), "before").await;
    store.create(create_for(key(1), "hers", "ann")).await.unwrap();
    let ann = UserId::new("ann").unwrap();
    let fault = Switch::on(fault);
    for _ in 0..3 {
        assert_eq!(kind(store.commit(commit(key(0), version, "refused")).await), StoreErrorKind::Unavailable);
        assert_eq!(kind(store.create(create(key(2), "refused")).await), StoreErrorKind::Unavailable);
        assert_eq!(
            kind(store.create(create_for(key(3), "refused", "ann")).await),
            StoreErrorKind::Unavailable
        );
        assert_eq!(
            kind(store.rename(rename(key(0), key(4), version, "refused")).await),
            StoreErrorKind::Unavailable
        );
        assert_eq!(kind(store.end(end(key(0))).await), StoreErrorKind::Unavailable);
        assert_eq!(kind(store.revoke(revoke("ann")).await), StoreErrorKind::Unavailable);
    }
    let other = FileStore::builder(path).inline_reads(false).open().await;
    // Opening flushes as well.
    let other = other.unwrap_or_else(|_| store.clone());
    for store in [&store, &other] {
        assert_eq!(value(store, 0).await, "before");
        assert_eq!(value(store, 1).await, "hers");
        assert_eq!(store.list_user(ann.clone()).await.unwrap().len(), 1);
        for n in 2..5 {
            assert_eq!(store.load(key(n)).await.unwrap(), Loaded::Missing, "what was refused is not there");
        }
    }
    drop(fault);
    let committed = store.commit(commit(key(0), version, "after")).await.unwrap();
    let Committed::Committed(snapshot) = committed else { panic!("{committed:?}") };
    store.rename(rename(key(0), key(4), snapshot.record.version, "moved")).await.unwrap();
    assert_eq!(store.revoke(revoke("ann")).await.unwrap().count, 1);
    assert_eq!(value(&FileStore::open(path).await.unwrap(), 4).await, "moved");
    while store.purge(100).await.unwrap().more {}
    for dir in std::fs::read_dir(path.join("entries")).unwrap() {
        for file in std::fs::read_dir(dir.unwrap().path()).unwrap() {
            let name = file.unwrap().file_name();
            assert!(!name.to_str().unwrap().starts_with(".new-"), "{name:?} is left");
        }
    }
}

async fn full_disk(path: &Path) {
    all_is_refused_under("full", path).await;
}

async fn flushes_fail(path: &Path) {
    all_is_refused_under("flush", path).await;
}

async fn directory_flushes_fail(path: &Path) {
    let store = FileStore::open(path).await.unwrap();
    let version = created(&store, key(0), "before").await;
    let fault = Switch::on("flush-dir");
    let asked = commit(key(0), version, "who knows");
    assert_eq!(kind(store.commit(asked.clone()).await), StoreErrorKind::Unknown);
    // It is in place, and it is not said to be stored before it is on the disk.
    for _ in 0..3 {
        assert_eq!(kind(store.commit(asked.clone()).await), StoreErrorKind::Unavailable);
    }
    assert_eq!(kind(store.end(end(key(0))).await), StoreErrorKind::Unavailable);
    // A change of id is flushed before it is committed: it did not happen, for certain.
    let now = live(&store, key(0)).await.record.version;
    assert_eq!(kind(store.rename(rename(key(0), key(1), now, "refused")).await), StoreErrorKind::Unavailable);
    assert_eq!(store.load(key(1)).await.unwrap(), Loaded::Missing);
    drop(fault);
    // Asked again, it is told what it did.
    let committed = store.commit(asked).await.unwrap();
    assert!(matches!(committed, Committed::Committed(_)), "{committed:?}");
    assert_eq!(value(&store, 0).await, "who knows");
}

async fn renames_fail(path: &Path) {
    let store = FileStore::open(path).await.unwrap();
    let version = created(&store, key(0), "before").await;
    let fault = Switch::on("rename");
    assert_eq!(kind(store.commit(commit(key(0), version, "refused")).await), StoreErrorKind::Unavailable);
    let asked = rename(key(0), key(1), version, "moved");
    assert_eq!(kind(store.rename(asked.clone()).await), StoreErrorKind::Unknown);
    // It is committed, and nobody reads past it.
    assert_eq!(kind(store.load(key(0)).await), StoreErrorKind::Unavailable);
    assert_eq!(kind(store.load(key(1)).await), StoreErrorKind::Unavailable);
    drop(fault);
    assert_eq!(value(&store, 1).await, "moved");
    assert!(matches!(store.load(key(0)).await.unwrap(), Loaded::Ended(_)));
    let again = store.rename(asked).await.unwrap();
    assert!(matches!(again, Renamed::Renamed { .. }), "{again:?}");
}

async fn reads_fail(path: &Path) {
    let store = FileStore::open(path).await.unwrap();
    for n in 0..20 {
        created(&store, key(n), "x").await;
    }
    let fault = Switch::on("read");
    for n in 0..20 {
        assert_eq!(kind(store.load(key(n)).await), StoreErrorKind::Unavailable);
    }
    assert_eq!(kind(store.create(create(key(1), "over it")).await), StoreErrorKind::Unavailable);
    assert_eq!(kind(store.end(end(key(1))).await), StoreErrorKind::Unavailable);
    drop(fault);
    for n in 0..20 {
        assert_eq!(value(&store, n).await, "x");
    }
}

async fn create_on_full_disk(path: &Path) {
    let fault = Switch::on("full");
    let error = FileStore::open(path).await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::DiskFull, "{error}");
    assert!(error.to_string().contains("make room"), "{error}");
    drop(fault);
    let store = FileStore::open(path).await.unwrap();
    created(&store, key(1), "after").await;
}
