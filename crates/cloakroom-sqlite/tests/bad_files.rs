//! Files that cannot be used: a clear error that says what, where and what to do; and nothing is lost.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Stdio;

use cloakroom::store::{Committed, Store, StoreErrorKind};
use cloakroom_sqlite::{OpenErrorKind, SqliteStore};
use cloakroom_testing::processes::{command, role};
use support::*;

/// The refusal, checked to name the file and to leave its bytes alone.
async fn refused(path: &Path) -> (OpenErrorKind, String) {
    let before = std::fs::read(path).ok();
    let error = SqliteStore::open(path).await.expect_err("this file must be refused");
    assert_eq!(std::fs::read(path).ok(), before, "a file that is refused is left as it is");
    let text = error.to_string();
    assert!(text.contains(path.file_name().unwrap().to_str().unwrap()), "names no file: {text}");
    (error.kind(), text)
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "these are not the sessions you are looking for\n".repeat(100)).unwrap();
    assert!(matches!(refused(&path).await.0, OpenErrorKind::NotADatabase));
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("theirs.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA application_id = 77; CREATE TABLE invoices (n INTEGER);").unwrap();
    drop(db);
    assert!(matches!(refused(&path).await.0, OpenErrorKind::Foreign));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_its_version_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("newer.db");
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA user_version = 4711; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(db);
    let (kind, text) = refused(&path).await;
    assert!(matches!(kind, OpenErrorKind::NewerSchema { found: 4711, .. }), "{kind:?}");
    assert!(text.contains("4711"), "{text}");
}

#[tokio::test]
async fn a_missing_directory_and_a_path_through_a_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (kind, _) = refused(&dir.path().join("no/such/sessions.db")).await;
    assert!(matches!(kind, OpenErrorKind::NoDirectory), "{kind:?}");
    std::fs::write(dir.path().join("file"), "x").unwrap();
    assert!(SqliteStore::open(dir.path().join("file/sessions.db")).await.is_err());
}

#[tokio::test]
async fn a_damaged_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.db");
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 0..200 {
        created(&store, key(n), &"value".repeat(50)).await;
    }
    store.close().await.unwrap();
    // Everything behind the header of the first page: the schema itself.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let (kind, _) = refused(&path).await;
    assert!(matches!(kind, OpenErrorKind::Corrupt), "{kind:?}");
}

#[tokio::test]
async fn s61_a_damaged_record_is_an_error_for_itself_and_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let version = created(&store, key(1), "one").await;
    created(&store, key(2), "two").await;
    let db = rusqlite::Connection::open(&path).unwrap();
    let stored = |db: &rusqlite::Connection| -> Vec<u8> {
        db.query_row("SELECT entry FROM entries WHERE key = ?1", [key(1).as_bytes()], |r| r.get(0)).unwrap()
    };
    let mut entry = stored(&db);
    entry[40] ^= 1;
    db.execute("UPDATE entries SET entry = ?2 WHERE key = ?1", (key(1).as_bytes(), &entry)).unwrap();

    assert_eq!(store.load(key(1)).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    let written = store.commit(commit(key(1), version, "over it")).await;
    assert_eq!(written.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(stored(&db), entry, "what cannot be read is neither deleted nor overwritten");
    assert_eq!(text(&live(&store, key(2)).await.record.payload.clone()), "two");
}

/// A log that lost its end to a flipped bit is told of; a process that was killed is not.
#[tokio::test]
async fn a_flipped_bit_in_the_log_is_noticed_and_a_plain_crash_is_no_false_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::builder(&path).checkpoint_pages(1_000_000).open().await.unwrap();
    let mut version = created(&store, key(1), "0").await;
    for n in 1..=50 {
        let written = store.commit(commit(key(1), version, &n.to_string())).await.unwrap();
        let Committed::Committed(snapshot) = written else { panic!("{written:?}") };
        version = snapshot.record.version;
    }
    // As the disk is at a crash: copied while the store is open.
    let crashed = tempfile::tempdir().unwrap();
    let flipped = tempfile::tempdir().unwrap();
    for name in ["s.db", "s.db-wal", "s.db-commits"] {
        for copy in [&crashed, &flipped] {
            std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
    }
    let again = SqliteStore::open(crashed.path().join("s.db")).await.unwrap();
    assert_eq!(again.lost_commits(), 0, "a crash alone loses nothing and alarms nobody");
    assert_eq!(text(&live(&again, key(1)).await.record.payload.clone()), "50");

    let log = flipped.path().join("s.db-wal");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&log, bytes).unwrap();
    let again = SqliteStore::open(flipped.path().join("s.db")).await.unwrap();
    let lost = again.lost_commits();
    assert!((1..=51).contains(&lost), "the bit cost commits and nobody was told: {lost}");
}

/// In a process of its own, because the limit on file sizes is the process's.
#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    // 512-byte blocks in sh: files of at most 1 MiB. SIGXFSZ is ignored, so that writes fail with EFBIG.
    let under = ["sh", "-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""];
    let mut child = command(&under, "fills_the_disk", "fill", &dir.path().join("s.db"));
    let child = child.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
    let line = said.lines().find_map(|l| l.split_once("acknowledged ")).expect("the child's count").1;
    let acknowledged: u64 = line.trim().parse().unwrap();
    assert!(acknowledged > 10, "{said}");

    // With room again, everything acknowledged is there, and writes work.
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = SqliteStore::open(dir.path().join("s.db")).await.unwrap();
        assert_eq!(store.lost_commits(), 0);
        for n in 0..acknowledged {
            live(&store, key(n)).await;
        }
        created(&store, key(1_000_000), "room").await;
    });
}

#[tokio::test]
async fn fills_the_disk() {
    let Some((_, path)) = role() else { return };
    let store = SqliteStore::open(path).await.unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match store.create(create(key(acknowledged), &"x".repeat(4000))).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 5000, "the limit does not bind");
    };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    // Reads go on, and what was refused is not there.
    live(&store, key(0)).await;
    assert!(!matches!(store.load(key(acknowledged)).await, Ok(cloakroom::store::Loaded::Live(_))));
    println!("acknowledged {acknowledged}");
}
