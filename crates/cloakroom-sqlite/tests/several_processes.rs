//! Several processes on one file: they exclude each other, and what was acknowledged before one was killed is there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;

use cloakroom_sqlite::SqliteStore;
use cloakroom_testing::processes::{self, Line, Place, rounds};

struct File;

impl Place for File {
    type Store = SqliteStore;

    async fn open(path: &Path) -> SqliteStore {
        SqliteStore::builder(path).checkpoint_pages(48).open().await.unwrap()
    }

    async fn close(store: SqliteStore) {
        store.close().await.unwrap();
    }

    async fn look_around(store: &SqliteStore, _: &[(Line, u64)]) {
        assert_eq!(store.lost_commits(), 0);
    }

    fn look_at_path(path: &Path) {
        let conn = rusqlite::Connection::open(path).unwrap();
        let found: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(found, "ok");
    }
}

/// No test by itself: what the others start.
#[test]
fn child() {
    processes::child::<File>();
}

#[test]
fn c8_kill_9_under_load_loses_nothing_that_was_acknowledged() {
    processes::one_is_killed::<File>(rounds(10, 50));
}

#[test]
fn c8_of_two_processes_on_one_file_one_is_killed_and_the_other_goes_on() {
    processes::one_of_two_is_killed::<File>(rounds(10, 50));
}

#[test]
fn c1_processes_that_count_by_compare_and_commit_lose_nothing() {
    processes::count_by_commit::<File>();
}

#[test]
fn c5_processes_that_count_under_the_lease_exclude_one_another() {
    processes::count_under_lease::<File>();
}

#[test]
fn c2_an_end_in_one_handle_is_an_end_in_the_other_at_once() {
    processes::an_end_is_seen_at_once::<File>();
}
