//! One store, one process: what goes in comes out, and stays.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::Duration;

use cloakroom::clock::{Clock, Timestamp};
use cloakroom::store::{
    Acquired, Committed, Created, Ended, Ending, Loaded, Renamed, ScanFrom, Store, StoreErrorKind,
    StoreStats, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};
use cloakroom_sqlite::SqliteStore;
use cloakroom_testing::{ManualClock, chain};
use support::*;

async fn open(dir: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(dir.path().join("s.db")).await.unwrap()
}

#[tokio::test]
async fn c8_what_was_stored_is_there_after_closing_and_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let v1 = created(&store, key(1), "one").await;
    let Committed::Committed(at) = store.commit(commit(key(1), v1, "two")).await.unwrap() else { panic!() };
    assert_eq!(at.record.version.counter, 2);
    created(&store, key(2), "gone").await;
    assert!(matches!(store.end(end(key(2))).await.unwrap(), Ended::Ended(Some(_))));
    store.close().await.unwrap();
    assert!(!dir.path().join("s.db-wal").exists(), "a clean close leaves no log behind");

    let store = open(&dir).await;
    assert_eq!(store.lost_commits(), 0);
    let found = live(&store, key(1)).await;
    assert_eq!(found.record, at.record);
    assert_eq!(text(&found.record.payload.clone()), "two");
    assert_eq!(store.load(key(2)).await.unwrap(), Loaded::Ended(Ending::Destroyed));
    assert_eq!(store.load(key(3)).await.unwrap(), Loaded::Missing);
}

#[tokio::test]
async fn the_same_under_a_runtime_of_one_thread_and_without_any() {
    // `#[tokio::test]` is the runtime of one thread; this is none at all.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    std::thread::spawn(move || {
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        let mut run = |mut future: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
            while future.as_mut().poll(&mut cx).is_pending() {
                std::thread::sleep(Duration::from_micros(100));
            }
        };
        run(Box::pin(async move {
            let store = SqliteStore::open(path).await.unwrap();
            created(&store, key(1), "one").await;
            assert_eq!(text(&live(&store, key(1)).await.record.payload.clone()), "one");
            store.close().await.unwrap();
        }));
    })
    .join()
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_concurrent_commits_on_one_session_take_effect_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    created(&store, key(1), "0").await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    let mut at = live(&store, key(1)).await;
                    loop {
                        let n: u64 = text(&at.record.payload.clone()).parse().unwrap();
                        let next = commit(key(1), at.record.version, &(n + 1).to_string());
                        match store.commit(next).await.unwrap() {
                            Committed::Committed(_) => break,
                            Committed::Conflict(current) => at = current,
                            other => panic!("{other:?}"),
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(text(&live(&store, key(1)).await.record.payload.clone()), "400");
}

#[tokio::test]
async fn an_operation_whose_future_is_dropped_at_once_is_made_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for n in 0..50 {
        drop(store.create(create(key(n), "x")));
    }
    store.close().await.unwrap();
    let store = open(&dir).await;
    for n in 0..50 {
        match store.load(key(n)).await.unwrap() {
            Loaded::Live(found) => assert_eq!(text(&found.record.payload.clone()), "x"),
            other => assert_eq!(other, Loaded::Missing),
        }
    }
}

#[tokio::test]
async fn dropping_the_last_handle_finishes_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let answers: Vec<_> = (0..200).map(|n| store.create(create(key(n), "x"))).collect();
    drop(store);
    for answer in answers {
        assert!(matches!(answer.await.unwrap(), Created::Created { .. }));
    }
    let store = open(&dir).await;
    assert_eq!(store.stats().await.unwrap().live, Some(200));
}

#[tokio::test]
async fn after_close_everything_is_refused_as_unavailable_and_nothing_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    created(&store, key(1), "one").await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    for error in [
        store.load(key(1)).await.unwrap_err(),
        store.create(create(key(2), "x")).await.unwrap_err(),
        store.purge(5).await.unwrap_err(),
        store.stats().await.unwrap_err(),
        store.scan(ScanFrom { after: None, limit: 5 }).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("is closed"), "{error}");
    }
}

#[tokio::test]
async fn c13_a_full_queue_refuses_and_what_was_accepted_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::builder(dir.path().join("s.db")).queue_bound(8).open().await.unwrap();
    // Another connection holds the write lock, so that nothing leaves the queue.
    let blocker = rusqlite::Connection::open(dir.path().join("s.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answers: Vec<_> = (0..100).map(|n| store.create(create(key(n), "x"))).collect();
    blocker.execute_batch("ROLLBACK").unwrap();
    let mut stored = 0;
    let mut refused = 0;
    for answer in answers {
        match answer.await {
            Ok(_) => stored += 1,
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                assert!(error.to_string().contains("overloaded"), "{error}");
                refused += 1;
            }
        }
    }
    assert!((8..=20).contains(&stored), "{stored} stored, {refused} refused");
    assert_eq!(store.stats().await.unwrap().live, Some(stored));
}

#[tokio::test]
async fn a_lock_held_by_somebody_else_is_unavailable_after_the_busy_timeout_and_has_no_effect() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::builder(&path).busy_timeout(Duration::from_millis(50)).open().await.unwrap();
    created(&store, key(1), "one").await;
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.create(create(key(2), "two")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("another process"), "{error}");
    live(&store, key(1)).await; // readers do not wait for writers
    blocker.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.load(key(2)).await.unwrap(), Loaded::Missing);
    created(&store, key(2), "two").await;
}

#[tokio::test]
async fn who_waits_behind_others_is_refused_as_soon_as_it_would_be_alone_and_not_sooner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let timeout = Duration::from_secs(4);
    let store = SqliteStore::builder(&path).busy_timeout(timeout).open().await.unwrap();
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ask = |n| {
        let asked = std::time::Instant::now();
        let answer = store.create(create(key(n), "x"));
        async move { (answer.await, asked.elapsed()) }
    };
    // The writer waits with the first one; the next two come together, the last one later.
    let first = tokio::spawn(ask(1));
    tokio::time::sleep(timeout / 4).await;
    let (second, third) = (tokio::spawn(ask(2)), tokio::spawn(ask(3)));
    tokio::time::sleep(timeout / 4).await;
    let last = tokio::spawn(ask(4));
    for refused in [first, second, third] {
        let (answer, after) = refused.await.unwrap();
        assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert!(after >= timeout, "refused after {after:?}");
        assert!(after < timeout * 3 / 2, "it waited {after:?}, its own time and that of those before it");
    }
    // It still has time when the others have not.
    blocker.execute_batch("ROLLBACK").unwrap();
    let (answer, _) = last.await.unwrap();
    assert!(matches!(answer.unwrap(), Created::Created { .. }));
    for n in 1..=3 {
        assert_eq!(store.load(key(n)).await.unwrap(), Loaded::Missing);
    }
}

#[tokio::test]
async fn s40_s41_time_is_judged_by_the_stores_clock_and_purge_removes_what_is_past_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let store = SqliteStore::builder(dir.path().join("s.db")).clock(clock.clone()).open().await.unwrap();
    let live_count = async || store.stats().await.unwrap().live;
    for n in 0..600 {
        created(&store, key(n), "x").await;
    }
    created(&store, key(1000), "stays").await;
    assert_eq!(live_count().await, Some(601));
    assert_eq!(store.purge(1000).await.unwrap().removed, 0, "nothing is due");

    // One is slid forwards: the index still files it under its first deadline.
    clock.advance(2 * HOUR);
    let touched = store.touch(Touch { key: key(1000), idle: 3 * HOUR }).await.unwrap();
    assert_eq!(touched, Touched::Touched { idle_deadline: clock.now().after(3 * HOUR) });
    clock.advance(HOUR);
    assert_eq!(store.load(key(5)).await.unwrap(), Loaded::Ended(Ending::Expired));
    assert!(matches!(
        store.commit(commit(key(5), live(&store, key(1000)).await.record.version, "x")).await.unwrap(),
        Committed::Ended(Ending::Expired)
    ));

    let first = store.purge(100).await.unwrap();
    assert!(first.removed <= 100 && first.more, "{first:?}");
    let rest = store.purge(10_000).await.unwrap();
    assert_eq!(first.removed + rest.removed, 600);
    assert!(!rest.more);
    assert_eq!(store.load(key(5)).await.unwrap(), Loaded::Missing);
    live(&store, key(1000)).await;
    assert_eq!(live_count().await, Some(1));

    // Its own time comes as well, and a marker's does.
    store.end(end(key(1000))).await.unwrap();
    assert_eq!(live_count().await, Some(0));
    assert_eq!(store.purge(10).await.unwrap().removed, 0, "the marker is remembered");
    clock.advance(MARKER);
    assert_eq!(store.purge(10).await.unwrap().removed, 1);
    let StoreStats { live, bytes, .. } = store.stats().await.unwrap();
    assert_eq!(live, Some(0));
    assert!(bytes.unwrap() > 0);
}

#[tokio::test]
async fn purge_leaves_a_session_alone_while_somebody_holds_its_lease() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let store = SqliteStore::builder(dir.path().join("s.db")).clock(clock.clone()).open().await.unwrap();
    let mut short = create(key(1), "x");
    short.lifetime.idle = Duration::from_secs(5);
    store.create(short).await.unwrap();
    let taken = store.acquire(acquire(key(1), 7, Duration::from_secs(30))).await.unwrap();
    assert!(matches!(taken, Acquired::Acquired { .. }));
    clock.advance(Duration::from_secs(10));
    assert_eq!(store.purge(10).await.unwrap().removed, 0);
    assert_eq!(
        store.load(key(1)).await.unwrap(),
        Loaded::Ended(Ending::Expired),
        "the holder is told what happened"
    );
    clock.advance(Duration::from_secs(20));
    assert_eq!(store.purge(10).await.unwrap().removed, 1);
}

#[tokio::test]
async fn s46_s47_the_user_index_changes_together_with_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let ann = UserId::new("ann\0 or \u{1F9E5}").unwrap();
    for n in 0..5 {
        store.create(create_for(key(n), "x", ann.as_str())).await.unwrap();
    }
    store.create(create_for(key(9), "x", "bob")).await.unwrap();
    let keys = |list: Vec<cloakroom::store::Summary>| {
        let mut keys: Vec<StoreKey> = list.into_iter().map(|s| s.key).collect();
        keys.sort();
        keys
    };
    assert_eq!(store.list_user(ann.clone()).await.unwrap().len(), 5);
    store.end(end(key(0))).await.unwrap();
    let at = live(&store, key(1)).await;
    let moved = store.rename(rename(key(1), key(11), at.record.version, "y")).await.unwrap();
    assert!(matches!(moved, Renamed::Renamed { .. }));
    let mut expected = vec![key(2), key(3), key(4), key(11)];
    expected.sort();
    assert_eq!(keys(store.list_user(ann.clone()).await.unwrap()), expected);
    assert_eq!(keys(store.revoke(revoke(ann.as_str())).await.unwrap().ended), expected);
    assert!(store.list_user(ann).await.unwrap().is_empty());
    assert_eq!(store.load(key(2)).await.unwrap(), Loaded::Ended(Ending::Revoked));
    assert_eq!(store.list_user(UserId::new("bob").unwrap()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_scan_pages_through_every_live_session_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for n in 0..300 {
        created(&store, key(n), "x").await;
    }
    for n in 100..290 {
        store.end(end(key(n))).await.unwrap(); // markers in between
    }
    for limit in [1, 7, 64, 65, 110, 111, 5000] {
        let mut seen = Vec::new();
        let mut from = ScanFrom { after: None, limit };
        loop {
            let page = store.scan(from).await.unwrap();
            assert!(page.sessions.len() <= limit);
            seen.extend(page.sessions.iter().map(|s| s.key));
            match page.next {
                Some(next) => from.after = Some(next),
                None => break,
            }
        }
        let mut expected: Vec<_> = (0..100).chain(290..300).map(key).collect();
        expected.sort();
        assert_eq!(seen, expected, "limit {limit}");
    }
}

#[tokio::test]
async fn reads_that_take_the_detour_over_a_thread_give_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::builder(dir.path().join("s.db")).inline_reads(false).open().await.unwrap();
    created(&store, key(1), "one").await;
    assert_eq!(text(&live(&store, key(1)).await.record.payload.clone()), "one");
    let many = store.load_many(vec![key(1), key(2)]).await.unwrap();
    assert!(matches!(many.as_slice(), [Loaded::Live(_), Loaded::Missing]));
    drop(store);
    let store = open(&dir).await;
    let many = store.load_many(vec![key(2), key(1)]).await.unwrap();
    assert!(matches!(many.as_slice(), [Loaded::Missing, Loaded::Live(_)]));
}

#[tokio::test]
async fn a_deadline_beyond_what_sqlite_can_count_is_never() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(Timestamp::from_millis(u64::MAX / 2));
    let store = SqliteStore::builder(dir.path().join("s.db")).clock(clock).open().await.unwrap();
    let mut forever = create(key(1), "x");
    forever.lifetime.idle = Duration::MAX;
    forever.lifetime.absolute = Duration::MAX;
    store.create(forever).await.unwrap();
    assert_eq!(live(&store, key(1)).await.record.absolute_deadline, Timestamp::NEVER);
    assert_eq!(store.purge(10).await.unwrap().removed, 0);
}

#[tokio::test]
async fn c10_neither_keys_nor_values_reach_debug_output_or_errors() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    created(&store, key(1), "a-secret-value").await;
    store.close().await.unwrap();
    let error = store.load(key(1)).await.unwrap_err();
    let shown = format!("{store:?} {error:?} {}", chain(&error));
    assert!(!shown.contains("a-secret-value"));
}

#[tokio::test]
async fn c9_a_write_that_nobody_waits_for_any_more_is_not_made_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let v1 = created(&store, key(1), "old").await;
    created(&store, key(2), "other").await;
    // Another process's transaction keeps the writer waiting.
    let other = rusqlite::Connection::open(dir.path().join("s.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.commit(commit(key(1), v1, "refused"));
    let waited = tokio::time::timeout(Duration::from_millis(100), refused).await;
    assert!(waited.is_err(), "it is answered while the file is locked: {waited:?}");
    other.execute_batch("ROLLBACK").unwrap();
    // Requests are served in order: once this one is answered, the other's turn is over.
    assert!(matches!(store.end(end(key(2))).await.unwrap(), Ended::Ended(Some(_))));
    let found = live(&store, key(1)).await;
    assert_eq!(text(&found.record.payload.clone()), "old");
    assert_eq!(found.record.version, v1);
}
