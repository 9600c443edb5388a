//! A store that keeps nothing for other processes is told as one.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

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

#[cfg(target_os = "linux")]
#[test]
fn a_child_ends_with_its_parent() {
    let nowhere = Path::new("");
    let mut parent = processes::command(&[], "family", "parent", nowhere).spawn().unwrap();
    let mut told = processes::told(&mut parent);
    let child = told.next().unwrap();
    assert!(parent.wait().unwrap().success());
    let runs = || std::fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| !line.is_empty());
    let began = Instant::now();
    while runs() {
        assert!(began.elapsed() < Duration::from_secs(30), "it is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// No test by itself: a parent that leaves a child behind, which would be there for ever.
#[test]
fn family() {
    let Some((role, nowhere)) = processes::role() else { return };
    if role == "parent" {
        let mut child = processes::command(&[], "family", "child", &nowhere).spawn().unwrap();
        processes::told(&mut child).next().unwrap();
        processes::tell(&child.id().to_string());
    } else {
        processes::tell("it has seen its parent");
        std::thread::sleep(Duration::MAX);
    }
}
