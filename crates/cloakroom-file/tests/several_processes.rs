//! Several processes on one directory: they exclude each other, and what was acknowledged before one was killed is there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{StoreKey, UserId};
use cloakroom_file::FileStore;
use cloakroom_testing::processes::{self, Line, Place, rounds};

struct Directory;

impl Place for Directory {
    type Store = FileStore;

    async fn open(path: &Path) -> FileStore {
        // Whoever waits for the others is told when they are too slow, which on a busy machine they may be; here nobody is.
        FileStore::builder(path).busy_timeout(Duration::from_secs(60)).open().await.unwrap()
    }

    async fn close(store: FileStore) {
        store.close().await;
    }

    /// Every user's sessions are listed, and nothing else.
    async fn look_around(store: &FileStore, found: &[(Line, u64)]) {
        let mut alive: BTreeMap<String, BTreeSet<StoreKey>> = BTreeMap::new();
        for (line, step) in found {
            alive.entry(line.user()).or_default().extend(line.lives_at(*step));
        }
        for (user, alive) in alive {
            let listed = store.list_user(UserId::new(&user).unwrap()).await.unwrap();
            assert_eq!(listed.iter().map(|session| session.key).collect::<BTreeSet<_>>(), alive, "{user}");
        }
        while store.purge(1000).await.unwrap().more {}
    }

    /// Nothing that was begun is left over.
    fn look_at_path(path: &Path) {
        let left = unfinished(path);
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(std::fs::metadata(path.join("redo")).unwrap().len(), 0);
    }
}

/// Files that were begun by a process that was killed.
fn unfinished(dir: &Path) -> Vec<PathBuf> {
    let dirs = std::fs::read_dir(dir.join("entries")).unwrap();
    let files = dirs.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with('.')).collect()
}

/// No test by itself: what the others start.
#[test]
fn child() {
    processes::child::<Directory>();
}

#[test]
fn c8_kill_9_under_load_loses_nothing_that_was_acknowledged() {
    processes::one_is_killed::<Directory>(rounds(10, 50));
}

#[test]
fn c8_of_two_processes_on_one_directory_one_is_killed_and_the_other_goes_on() {
    processes::one_of_two_is_killed::<Directory>(rounds(10, 50));
}

#[test]
fn c1_processes_that_count_by_compare_and_commit_lose_nothing() {
    processes::count_by_commit::<Directory>();
}

#[test]
fn c5_processes_that_count_under_the_lease_exclude_one_another() {
    processes::count_under_lease::<Directory>();
}

#[test]
fn c2_an_end_in_one_handle_is_an_end_in_the_other_at_once() {
    processes::an_end_is_seen_at_once::<Directory>();
}
