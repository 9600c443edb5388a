//! A store that keeps nothing for other processes is told as one.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use cloakroom_testing::ReferenceStore;
use cloakroom_testing::processes::{self, Place};

/// Sessions in memory, in each process its own.
struct Nowhere;

impl Place for Nowhere {
    type Store = ReferenceStore;

    async fn open(_: &Path) -> ReferenceStore {
        ReferenceStore::new()
    }

    async fn close(_: ReferenceStore) {}
}

/// No test by itself: what the others start.
#[test]
fn child() {
    processes::child::<Nowhere>();
}

#[test]
#[should_panic(expected = "acknowledged up to step")]
fn what_was_acknowledged_and_is_gone_is_noticed() {
    processes::one_is_killed::<Nowhere>(1);
}

#[test]
#[should_panic(expected = "test child ... FAILED")]
fn processes_that_do_not_see_each_other_are_noticed() {
    processes::count_by_commit::<Nowhere>();
}

#[test]
#[should_panic(expected = "the session is Missing")]
fn handles_that_do_not_see_each_other_are_noticed() {
    processes::an_end_is_seen_at_once::<Nowhere>();
}
