//! Several processes on one directory.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-sqlite/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use cloakroom::store::{Acquired, Committed, LeaseOwner, Loaded, Release, Store};
use cloakroom_file::FileStore;
use support::*;

const EACH: u64 = 150;

fn child(dir: &Path, work: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "works_as_a_child", "--nocapture"])
        .env("CLOAKROOM_CHILD", dir)
        .env("CLOAKROOM_WORK", work)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Adds `EACH` to the number under key 1: by compare-and-commit, or under the lease.
#[tokio::test]
async fn works_as_a_child() {
    let Some(dir) = std::env::var_os("CLOAKROOM_CHILD") else { return };
    let store = FileStore::open(Path::new(&dir).join("sessions")).await.unwrap();
    let locked = std::env::var("CLOAKROOM_WORK").unwrap() == "lease";
    for turn in 0..EACH {
        if locked { add_under_lease(&store, turn).await } else { add(&store).await }
    }
    store.close().await;
}

async fn add(store: &FileStore) {
    let mut snapshot = live(store, key(1)).await;
    loop {
        let next: u64 = text(&snapshot.record.payload.clone()).parse::<u64>().unwrap() + 1;
        match store.commit(commit(key(1), snapshot.record.version, &next.to_string())).await.unwrap() {
            Committed::Committed(_) => return,
            Committed::Conflict(newer) => snapshot = newer,
            other => panic!("{other:?}"),
        }
    }
}

async fn add_under_lease(store: &FileStore, turn: u64) {
    let owner = LeaseOwner((u128::from(std::process::id()) << 64) | u128::from(turn));
    let request = cloakroom::store::Acquire { key: key(1), owner, lease: HOUR };
    let snapshot = loop {
        match store.acquire(request).await.unwrap() {
            Acquired::Acquired { snapshot, .. } => break snapshot,
            Acquired::Locked { .. } => tokio::time::sleep(std::time::Duration::from_micros(500)).await,
            other => panic!("{other:?}"),
        }
    };
    let next: u64 = text(&snapshot.record.payload.clone()).parse::<u64>().unwrap() + 1;
    let mut write = commit(key(1), snapshot.record.version, &next.to_string());
    write.lease = Some(cloakroom::store::LeaseRef { owner, hold: 0 });
    // Nobody else can have come in between: no conflict is possible under the lease.
    let written = store.commit(write).await.unwrap();
    assert!(matches!(written, Committed::Committed(_)), "{written:?}");
    store.release(Release { key: key(1), owner }).await.unwrap();
}

async fn count_together(work: &str) {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path().join("sessions")).await.unwrap();
    created(&store, key(1), "0").await;
    let children: Vec<Child> = (0..3).map(|_| child(dir.path(), work)).collect();
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    }
    // A handle that was open all along sees it all.
    assert_eq!(text(&live(&store, key(1)).await.record.payload.clone()), (3 * EACH).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_processes_that_count_by_compare_and_commit_lose_nothing() {
    count_together("compare").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_processes_that_count_under_the_lease_exclude_one_another() {
    count_together("lease").await;
}

#[tokio::test]
async fn c2_an_end_in_one_handle_is_an_end_in_the_other_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let one = FileStore::open(dir.path().join("sessions")).await.unwrap();
    let other = FileStore::open(dir.path().join("sessions")).await.unwrap();
    let version = created(&one, key(1), "x").await;
    live(&other, key(1)).await;
    one.end(end(key(1))).await.unwrap();
    assert!(matches!(other.load(key(1)).await.unwrap(), Loaded::Ended(_)));
    assert!(matches!(other.commit(commit(key(1), version, "y")).await.unwrap(), Committed::Ended(_)));
}
