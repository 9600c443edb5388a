//! The conformance suite on a directory of files: every rule of a store, one test each.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::store::Store;
use cloakroom_file::FileStore;
use cloakroom_testing::ManualClock;
use cloakroom_testing::conformance::{Subject, run_all};

/// Two dozen logins of one user wait for each other's flushes: on a disk that is busy with other work, for longer than usual.
const PATIENCE: Duration = Duration::from_secs(20);

async fn open(path: PathBuf, clock: ManualClock) -> Arc<dyn Store> {
    Arc::new(FileStore::builder(path).clock(clock).busy_timeout(PATIENCE).open().await.unwrap())
}

/// The file of a session: the one that has the key's name, wherever it is.
fn file_of(root: &Path, key: StoreKey) -> PathBuf {
    let name: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let dirs = std::fs::read_dir(root.join("entries")).unwrap();
    dirs.map(|dir| dir.unwrap().path().join(&name)).find(|file| file.exists()).unwrap()
}

/// Flips a bit in the middle of what is stored, as a failing disk would.
async fn damage(path: PathBuf, key: StoreKey) {
    let file = file_of(&path, key);
    let mut entry = std::fs::read(&file).unwrap();
    let middle = entry.len() / 2;
    entry[middle] ^= 0x10;
    std::fs::write(file, entry).unwrap();
}

async fn in_a_directory() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    let (clock, damaged) = (ManualClock::new(), path.clone());
    let by = clock.clone();
    let subject = Subject::opened(move || open(path.clone(), by.clone())).await;
    subject.clock(clock).damage(move |key| damage(damaged.clone(), key)).keep(dir)
}

mod manual {
    cloakroom_testing::conformance_tests!(super::in_a_directory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn files_pass_in_real_time() {
    let report = run_all(|| async {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::builder(dir.path().join("sessions")).busy_timeout(PATIENCE);
        let store = store.open().await.unwrap();
        Subject::new(Arc::new(store)).keep(dir)
    })
    .await;
    assert!(report.passed(), "{report}");
}
