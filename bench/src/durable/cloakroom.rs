//! `cloakroom-sqlite` with its default settings: compare-and-commit, group commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom::payload::Payload;
use cloakroom::record::{Lifetime, Version};
use cloakroom::store::{Commit, Committed, Create, Created, Loaded, Store as _};
use cloakroom::{OpId, RecordId, StoreKey};
use cloakroom_sqlite::SqliteStore;
use tokio::runtime::Runtime;

use super::{BYTES, SESSIONS, Subject, turn};

const HOUR: Duration = Duration::from_secs(3600);

/// The store, and the version of each session as its writer knows it.
pub struct Store {
    runtime: Runtime,
    store: SqliteStore,
    versions: Vec<(StoreKey, Version)>,
}

impl Store {
    /// A new store in a new file.
    pub fn open(path: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let (store, versions) = runtime.block_on(async {
            let store = SqliteStore::open(path).await.expect("opened");
            let mut versions = Vec::with_capacity(SESSIONS);
            for session in 0..SESSIONS {
                let create = Create {
                    key: key(session),
                    op: OpId::generate(),
                    record_id: RecordId::generate(),
                    lifetime: Lifetime { idle: HOUR, absolute: HOUR, renewal: None },
                    bind: None,
                    payload: payload(1),
                    marker: Duration::from_secs(60),
                };
                match store.create(create).await.expect("stored") {
                    Created::Created { snapshot, .. } => {
                        versions.push((key(session), snapshot.record.version))
                    }
                    Created::Exists => panic!("the table was not empty"),
                }
            }
            (store, versions)
        });
        Store { runtime, store, versions }
    }
}

impl Subject for Store {
    fn name(&self) -> &'static str {
        "cloakroom-sqlite"
    }

    fn write(&mut self, writers: usize, length: Duration) -> u64 {
        let done = Arc::new(AtomicBool::new(false));
        let part = SESSIONS / writers;
        let (store, versions) = (&self.store, &mut self.versions);
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..writers)
                .map(|writer| {
                    let (store, done) = (store.clone(), Arc::clone(&done));
                    let mut mine = versions[writer * part..][..part].to_vec();
                    tokio::spawn(async move {
                        let mut count = 0;
                        while !done.load(Ordering::Relaxed) {
                            let session = turn(writer, writers, count) - writer * part;
                            let (key, version) = &mut mine[session];
                            *version = commit(&store, *key, *version).await;
                            count += 1;
                        }
                        (count, mine)
                    })
                })
                .collect();
            tokio::time::sleep(length).await;
            done.store(true, Ordering::Relaxed);
            let mut written = 0;
            for (writer, task) in tasks.into_iter().enumerate() {
                let (count, mine) = task.await.expect("no panic");
                written += count;
                versions[writer * part..][..part].copy_from_slice(&mine);
            }
            written
        })
    }

    fn check(&mut self, acknowledged: u64) {
        let mut commits = 0;
        for (key, _) in &self.versions {
            match self.runtime.block_on(self.store.load(*key)).expect("read") {
                // The first version is that of the creation.
                Loaded::Live(snapshot) => commits += snapshot.record.version.counter - 1,
                other => panic!("a session is gone: {other:?}"),
            }
        }
        assert_eq!(commits, acknowledged);
    }
}

async fn commit(store: &SqliteStore, key: StoreKey, expected: Version) -> Version {
    let commit = Commit {
        key,
        op: OpId::generate(),
        expected,
        base: None,
        lease: None,
        release: false,
        epoch: 0,
        payload: payload(2),
        slide: Some(HOUR),
        unless_seen_within: Duration::ZERO,
    };
    match store.commit(commit).await.expect("stored") {
        Committed::Committed(snapshot) => snapshot.record.version,
        refused => panic!("nobody else writes this session: {refused:?}"),
    }
}

fn key(session: usize) -> StoreKey {
    let mut key = [0; StoreKey::LEN];
    // Spread over the table as digests are.
    let spread = (session as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    key[..8].copy_from_slice(&spread.to_be_bytes());
    key[8..16].copy_from_slice(&(session as u64).to_be_bytes());
    StoreKey::from_bytes(key)
}

/// One entry; six bytes say how long its key and value are.
fn payload(fill: u8) -> Payload {
    let mut bytes = vec![fill; BYTES];
    bytes[..2].copy_from_slice(&1_u16.to_le_bytes());
    bytes[2..6].copy_from_slice(&(BYTES as u32 - 7).to_le_bytes());
    bytes[6] = b'k';
    Payload::from_bytes(&bytes).expect("one entry")
}
