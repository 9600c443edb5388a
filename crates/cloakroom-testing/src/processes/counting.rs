//! Processes that add to one number.

use std::path::Path;
use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::store::{Acquire, Acquired, Committed, Created, LeaseOwner, Loaded, Snapshot, Store};

use super::program::Dir;
use super::{Place, command};
use crate::requests;

pub(super) const BY_COMMIT: &str = "count by commit";
pub(super) const UNDER_LEASE: &str = "count under lease";

const PROCESSES: u64 = 3;
const EACH: u64 = 150;
const ENTRY: &str = "n";

/// C1: processes that add by compare-and-commit lose nothing.
pub fn count_by_commit<P: Place>() {
    count::<P>(BY_COMMIT);
}

/// C5: processes that add under the lease exclude one another; none of them meets a conflict.
pub fn count_under_lease<P: Place>() {
    count::<P>(UNDER_LEASE);
}

/// C2: what one handle ended is ended for another one at once, to read and to write.
pub fn an_end_is_seen_at_once<P: Place>() {
    let dir = Dir::new();
    runtime().block_on(async {
        let (one, other) = (P::open(&dir.path()).await, P::open(&dir.path()).await);
        let key = begin(&one).await;
        let version = live(&other, key).await.record.version;
        one.end(requests::end(key)).await.unwrap();
        assert!(matches!(other.load(key).await.unwrap(), Loaded::Ended(_)));
        let late = other.commit(requests::commit(key, version, number(1))).await.unwrap();
        assert!(matches!(late, Committed::Ended(_)), "{late:?}");
        P::close(one).await;
        P::close(other).await;
    });
}

fn count<P: Place>(how: &str) {
    let dir = Dir::new();
    runtime().block_on(async {
        let store = P::open(&dir.path()).await;
        let key = begin(&store).await;
        let children: Vec<_> =
            (0..PROCESSES).map(|_| command(&[], "child", how, &dir.path()).spawn().unwrap()).collect();
        for child in children {
            let out = child.wait_with_output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        }
        // A handle that was open all along sees it all.
        assert_eq!(told(&live(&store, key).await), PROCESSES * EACH);
        P::look_around(&store, &[]).await;
        P::close(store).await;
    });
}

/// In the child.
pub(super) fn work<P: Place>(how: &str, path: &Path) {
    runtime().block_on(async {
        let store = P::open(path).await;
        for turn in 0..EACH {
            if how == UNDER_LEASE { add_under_lease(&store, turn).await } else { add(&store).await }
        }
        P::close(store).await;
    });
}

async fn add(store: &dyn Store) {
    let mut snapshot = live(store, key()).await;
    loop {
        let write = requests::commit(key(), snapshot.record.version, number(told(&snapshot) + 1));
        match store.commit(write).await.unwrap() {
            Committed::Committed(_) => return,
            Committed::Conflict(newer) => snapshot = newer,
            other => panic!("{other:?}"),
        }
    }
}

async fn add_under_lease(store: &dyn Store, turn: u64) {
    let owner = (u128::from(std::process::id()) << 64) | u128::from(turn);
    let request = Acquire { key: key(), owner: LeaseOwner(owner), lease: Duration::from_secs(3600) };
    let since = Instant::now();
    let snapshot = loop {
        match store.acquire(request).await.unwrap() {
            Acquired::Acquired { snapshot, .. } => break snapshot,
            Acquired::Locked { .. } => {
                assert!(since.elapsed() < Duration::from_secs(60), "the lease is never free");
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            other => panic!("{other:?}"),
        }
    };
    let mut write = requests::commit(key(), snapshot.record.version, number(told(&snapshot) + 1));
    write.lease = requests::held(owner, 0);
    // Nobody else can have come in between: no conflict is possible under the lease.
    let written = store.commit(write).await.unwrap();
    assert!(matches!(written, Committed::Committed(_)), "{written:?}");
    store.release(requests::release(key(), owner)).await.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// The session that everybody adds to.
fn key() -> StoreKey {
    StoreKey::from_bytes([7; StoreKey::LEN])
}

async fn begin(store: &dyn Store) -> StoreKey {
    let created = store.create(requests::create(key(), number(0))).await.unwrap();
    assert!(matches!(created, Created::Created { .. }), "{created:?}");
    key()
}

async fn live(store: &dyn Store, key: StoreKey) -> Snapshot {
    match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot,
        other => panic!("the session is {other:?}"),
    }
}

fn number(n: u64) -> cloakroom::payload::Payload {
    requests::data(&[(ENTRY, n.to_string().as_bytes())])
}

fn told(snapshot: &Snapshot) -> u64 {
    let digits = snapshot.record.payload.get(ENTRY).unwrap();
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}
