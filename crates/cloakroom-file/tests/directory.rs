//! The directory: which ones are taken and which refused, who may read what is in it, and what becomes of a store whose
//! directory goes away.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-sqlite/tests/support/mod.rs"]
mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloakroom::UserId;
use cloakroom::store::{Loaded, Store, StoreErrorKind};
use cloakroom_file::{FileStore, OpenErrorKind};
use cloakroom_testing::ManualClock;
use support::*;
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    (dir, path)
}

/// Everything below, itself included.
fn all(path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_owned());
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            all(&entry.unwrap().path(), found);
        }
    }
}

fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    all(path, &mut found);
    found
}

async fn refused(path: &Path) -> (OpenErrorKind, String) {
    let before = path.exists().then(|| below(path));
    let error = FileStore::open(path).await.unwrap_err();
    assert_eq!(path.exists().then(|| below(path)), before, "a refused directory was changed");
    assert!(path.as_os_str().is_empty() || error.to_string().contains(path.to_str().unwrap()), "{error}");
    (error.kind(), error.to_string())
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn only_its_owner_may_read_what_is_in_it() {
    let (_dir, path) = place();
    let store = FileStore::open(&path).await.unwrap();
    store.create(create_for(key(1), "x", "ann")).await.unwrap();
    let version = created(&store, key(2), "x").await;
    store.rename(rename(key(2), key(3), version, "y")).await.unwrap();
    for file in below(&path) {
        let there = std::fs::metadata(&file).unwrap();
        let expected = if there.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(there.mode() & 0o7777, expected, "{}", file.display());
    }
}

#[tokio::test]
async fn c10_no_name_and_no_file_holds_a_user_in_the_clear_but_inside_a_session() {
    let (_dir, path) = place();
    let store = FileStore::open(&path).await.unwrap();
    store.create(create_for(key(1), "x", "ann@example.org")).await.unwrap();
    assert!(below(&path).iter().all(|file| !file.to_str().unwrap().contains("ann")));
}

#[tokio::test]
async fn directories_that_cannot_be_trusted_or_are_something_else_are_refused_with_the_way_out() {
    let (dir, path) = place();
    std::fs::create_dir(&path).unwrap();
    for mode in [0o777, 0o770, 0o702, 0o1777] {
        allow(&path, mode);
        let (kind, text) = refused(&path).await;
        assert!(matches!(kind, OpenErrorKind::WritableByOthers { .. }), "{kind:?}");
        assert!(text.contains("chmod 700"), "{text}");
    }
    allow(&path, 0o755);
    FileStore::open(&path).await.unwrap();
    // Nor may a part of it be written by others.
    allow(&path.join("entries/07"), 0o777);
    assert!(matches!(refused(&path).await.0, OpenErrorKind::WritableByOthers { .. }));
    allow(&path.join("entries/07"), 0o700);

    let file = dir.path().join("file");
    std::fs::write(&file, "a letter").unwrap();
    assert_eq!(refused(&file).await.0, OpenErrorKind::NotADirectory);
    assert_eq!(refused(&dir.path().join("no/where")).await.0, OpenErrorKind::NoParent);
    assert_eq!(refused(Path::new("")).await.0, OpenErrorKind::NotAPath);
    let (kind, text) = refused(dir.path()).await;
    assert_eq!(kind, OpenErrorKind::Foreign);
    assert!(text.contains("empty directory"), "{text}");
}

#[tokio::test]
async fn a_store_of_a_later_release_and_one_without_a_known_format_are_left_as_they_are() {
    let (_dir, path) = place();
    FileStore::open(&path).await.unwrap();
    let format = std::fs::read_to_string(path.join("format")).unwrap();
    assert_eq!(format, "cloakroom sessions, format 1\n");
    for (text, expected) in [
        ("cloakroom sessions, format 2\n", OpenErrorKind::NewerFormat { found: 2, supported: 1 }),
        ("cloakroom sessions, format 0\n", OpenErrorKind::Corrupt),
        ("cloakroom sessions, format 99999999999\n", OpenErrorKind::Corrupt),
        ("", OpenErrorKind::Corrupt),
        ("\u{0}\u{0}", OpenErrorKind::Corrupt),
    ] {
        std::fs::write(path.join("format"), text).unwrap();
        assert_eq!(refused(&path).await.0, expected, "{text:?}");
    }
    std::fs::write(path.join("format"), format).unwrap();
    FileStore::open(&path).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_may_open_a_directory_that_is_not_there_yet_at_the_same_time() {
    for _ in 0..5 {
        let (_dir, path) = place();
        let opening: Vec<_> = (0..8)
            .map(|n| {
                let path = path.clone();
                tokio::spawn(async move {
                    let store = FileStore::open(&path).await.unwrap();
                    created(&store, key(n), "x").await;
                })
            })
            .collect();
        for opened in opening {
            opened.await.unwrap();
        }
        let store = FileStore::open(&path).await.unwrap();
        for n in 0..8 {
            live(&store, key(n)).await;
        }
    }
}

#[tokio::test]
async fn c9_where_the_directory_is_gone_sessions_are_unavailable_and_not_absent() {
    let (dir, path) = place();
    let store = FileStore::open(&path).await.unwrap();
    let version = created(&store, key(1), "x").await;
    let away = dir.path().join("away");
    let check = async || {
        for error in [
            store.load(key(1)).await.unwrap_err(),
            store.load(key(2)).await.unwrap_err(),
            store.commit(commit(key(1), version, "y")).await.unwrap_err(),
            store.create(create(key(3), "y")).await.unwrap_err(),
            store.list_user(UserId::new("ann").unwrap()).await.unwrap_err(),
            store.scan(cloakroom::store::ScanFrom { after: None, limit: 9 }).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("put them back"), "{error}");
        }
    };
    std::fs::rename(&path, &away).unwrap();
    check().await;
    std::fs::rename(&away, &path).unwrap();
    live(&store, key(1)).await;
    // Another store in its place is not the one that was opened, though it looks like it.
    std::fs::rename(&path, &away).unwrap();
    FileStore::open(&path).await.unwrap();
    let error = store.load(key(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(store.commit(commit(key(1), version, "y")).await.is_err());
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::rename(&away, &path).unwrap();
    live(&store, key(1)).await;
    std::fs::remove_dir_all(&path).unwrap();
    check().await;
}

#[tokio::test]
async fn what_a_killed_process_left_is_never_read_and_purged() {
    let (_dir, path) = place();
    let clock = ManualClock::new();
    let store = FileStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    created(&store, key(1), "x").await;
    let session =
        below(&path).into_iter().find(|file| file.is_file() && file.starts_with(path.join("entries")));
    let session = session.unwrap();
    let left = session.with_file_name(".new-00000000000000ff");
    std::fs::copy(&session, &left).unwrap();
    std::fs::write(session.with_file_name("notes"), "not ours").unwrap();
    let page = store.scan(cloakroom::store::ScanFrom { after: None, limit: 9 }).await.unwrap();
    assert_eq!(page.sessions.len(), 1);
    // In any round, whether a session is due or not.
    assert_eq!(store.purge(10).await.unwrap().removed, 0);
    assert!(!left.exists() && session.exists());
    assert!(session.with_file_name("notes").exists(), "what is not ours is left alone");
    live(&store, key(1)).await;
}

#[tokio::test]
async fn a_purge_stops_at_its_limit_and_goes_on_where_it_was_and_keeps_what_is_leased() {
    let (_dir, path) = place();
    let clock = ManualClock::new();
    let store = FileStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    for n in 0..100 {
        created(&store, key(n), "x").await;
    }
    store.acquire(acquire(key(7), 1, 5 * HOUR)).await.unwrap();
    clock.advance(4 * HOUR);
    let mut removed = Vec::new();
    loop {
        let purged = store.purge(30).await.unwrap();
        removed.push(purged.removed);
        if !purged.more {
            break;
        }
    }
    assert_eq!(removed.iter().sum::<usize>(), 99, "{removed:?}");
    assert!(removed.iter().all(|n| *n <= 30), "{removed:?}");
    // Whoever holds the lease is told that it expired, not that nobody has heard of it.
    assert!(matches!(store.load(key(7)).await.unwrap(), Loaded::Ended(_)));
    clock.advance(2 * HOUR);
    assert_eq!(store.purge(30).await.unwrap().removed, 1);
    assert_eq!(store.load(key(7)).await.unwrap(), Loaded::Missing);
}

#[tokio::test]
async fn the_index_of_users_heals_whatever_was_lost_of_it_or_left_in_it() {
    let (_dir, path) = place();
    let clock = ManualClock::new();
    let store = FileStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    let ann = UserId::new("ann").unwrap();
    for n in 0..5 {
        store.create(create_for(key(n), "x", "ann")).await.unwrap();
    }
    store.close().await;
    let indexed =
        || -> Vec<PathBuf> { below(&path.join("users")).into_iter().filter(|p| p.is_file()).collect() };
    assert_eq!(indexed().len(), 5);
    for file in indexed() {
        std::fs::remove_file(file).unwrap();
    }
    let store = FileStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    while store.purge(100).await.unwrap().more {}
    assert_eq!(store.list_user(ann.clone()).await.unwrap().len(), 5);
    // Past their time they go from the sessions, and so from the index, and the user's own directory with them.
    clock.advance(4 * HOUR);
    while store.purge(100).await.unwrap().more {}
    assert!(indexed().is_empty());
    let users = below(&path.join("users"));
    assert_eq!(users.len(), 1 + 32, "{users:?}");
}

#[tokio::test]
async fn a_closed_store_refuses_and_what_it_took_is_done() {
    let (_dir, path) = place();
    let store = FileStore::open(&path).await.unwrap();
    let waiting: Vec<_> = (0..50).map(|n| store.create(create(key(n), "x"))).collect();
    store.close().await;
    for answer in waiting {
        answer.await.unwrap();
    }
    let error = store.create(create(key(99), "x")).await.unwrap_err();
    assert!(error.kind() == StoreErrorKind::Unavailable && error.to_string().contains("closed"), "{error}");
}

/// As applications write "never".
#[tokio::test]
async fn c9_a_busy_timeout_without_an_end_is_one_like_others() {
    let (_dir, path) = place();
    let store = FileStore::builder(&path).busy_timeout(Duration::MAX).open().await.unwrap();
    // Somebody has all of it locked for longer than one try takes.
    let locked: Vec<_> = std::fs::read_dir(path.join("entries"))
        .unwrap()
        .map(|dir| std::fs::File::open(dir.unwrap().path()).unwrap())
        .inspect(|dir| dir.lock().unwrap())
        .collect();
    let creating = tokio::spawn(store.create(create(key(1), "x")));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!creating.is_finished(), "it was not waited for");
    drop(locked);
    creating.await.unwrap().unwrap();
}

#[tokio::test]
async fn c9_a_directory_that_stays_locked_refuses_writes_and_not_reads() {
    let (_dir, path) = place();
    let store = FileStore::builder(&path).busy_timeout(Duration::from_millis(50)).open().await.unwrap();
    let version = created(&store, key(1), "x").await;
    let locked: Vec<_> = std::fs::read_dir(path.join("entries"))
        .unwrap()
        .map(|dir| std::fs::File::open(dir.unwrap().path()).unwrap())
        .inspect(|dir| dir.lock().unwrap())
        .collect();
    let error = store.commit(commit(key(1), version, "y")).await.unwrap_err();
    assert!(error.kind() == StoreErrorKind::Unavailable && error.to_string().contains("locked"), "{error}");
    assert_eq!(text(&live(&store, key(1)).await.record.payload.clone()), "x");
    // A write that nobody waits for any more is not made when the lock is free.
    let dropped = FileStore::open(&path).await.unwrap();
    drop(dropped.commit(commit(key(1), version, "dropped")));
    drop(locked);
    dropped.close().await;
    assert_eq!(text(&live(&store, key(1)).await.record.payload.clone()), "x");
    store.commit(commit(key(1), version, "y")).await.unwrap();
}
