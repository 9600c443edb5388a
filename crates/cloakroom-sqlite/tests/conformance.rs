//! The conformance suite on SQLite files: every rule of a store, one test each.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use cloakroom::StoreKey;
use cloakroom::store::Store;
use cloakroom_sqlite::SqliteStore;
use cloakroom_testing::ManualClock;
use cloakroom_testing::conformance::{Subject, run_all};

async fn open(path: std::path::PathBuf, clock: ManualClock) -> Arc<dyn Store> {
    Arc::new(SqliteStore::builder(path).clock(clock).open().await.unwrap())
}

/// Flips a bit in the middle of what is stored, as a failing disk would.
async fn damage(path: std::path::PathBuf, key: StoreKey) {
    let db = rusqlite::Connection::open(path).unwrap();
    let entry: Vec<u8> =
        db.query_row("SELECT entry FROM entries WHERE key = ?1", [key.as_bytes()], |row| row.get(0)).unwrap();
    let mut entry = entry;
    let middle = entry.len() / 2;
    entry[middle] ^= 0x10;
    let changed =
        db.execute("UPDATE entries SET entry = ?2 WHERE key = ?1", (key.as_bytes(), entry)).unwrap();
    assert_eq!(changed, 1);
}

async fn on_a_file() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.db");
    let (clock, damaged) = (ManualClock::new(), path.clone());
    let by = clock.clone();
    let subject = Subject::opened(move || open(path.clone(), by.clone())).await;
    subject.clock(clock).damage(move |key| damage(damaged.clone(), key)).keep(dir)
}

mod manual {
    cloakroom_testing::conformance_tests!(super::on_a_file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_passes_in_real_time() {
    let report = run_all(|| async {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("sessions.db")).await.unwrap();
        Subject::new(Arc::new(store)).keep(dir)
    })
    .await;
    assert!(report.passed(), "{report}");
}
