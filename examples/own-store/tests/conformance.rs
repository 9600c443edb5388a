//! The store that the documentation walks through is one: every rule of the trait, and what a crash may leave of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use cloakroom::store::{Created, Loaded, Store};
use cloakroom_testing::conformance::Subject;
use cloakroom_testing::{ManualClock, requests};
use own_store::OwnStore;

async fn subject() -> Subject {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let open = {
        let clock = clock.clone();
        move || -> Arc<dyn Store> { Arc::new(OwnStore::with_clock(&path, clock.clone()).unwrap()) }
    };
    Subject::new(open())
        .clock(clock)
        .reopen(move |old| {
            drop(old);
            let store = open();
            async move { store }
        })
        .keep(folder)
}

mod conformance {
    cloakroom_testing::conformance_tests!(super::subject);
}

/// Whatever part of the last step is in the file when the power is cut: the step is not there, and all before it are.
#[tokio::test]
async fn c6_c8_what_a_crash_leaves_of_a_step_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let (first, second) = (requests::key(), requests::key());
    let store = OwnStore::open(&path).unwrap();
    create(&store, first).await;
    let before = std::fs::read(&path).unwrap().len();
    create(&store, second).await;
    drop(store);
    let all = std::fs::read(&path).unwrap();
    for length in before..all.len() {
        let crashed = folder.path().join("crashed");
        std::fs::write(&crashed, &all[..length]).unwrap();
        assert_eq!(live(&crashed, &[first, second]).await, [true, false], "{length} bytes of {}", all.len());
    }
    assert_eq!(live(&path, &[first, second]).await, [true, true]);
}

async fn create(store: &OwnStore, key: cloakroom::StoreKey) {
    let request = requests::create(key, requests::data(&[("n", b"1")]));
    assert!(matches!(store.create(request).await.unwrap(), Created::Created { .. }));
}

async fn live(path: &Path, keys: &[cloakroom::StoreKey]) -> Vec<bool> {
    let store = OwnStore::open(path).unwrap();
    let mut live = Vec::new();
    for key in keys {
        live.push(matches!(store.load(*key).await.unwrap(), Loaded::Live(_)));
    }
    live
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let _store = OwnStore::open(&path).unwrap();
    assert_eq!(OwnStore::open(&path).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// What the page shows is what is here.
#[test]
fn the_walk_through_shows_this_store() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../../docs/writing-a-store.md")).unwrap();
    let source = std::fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let plain = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let source = plain(&source);
    let shown: Vec<&str> =
        page.split("```rust,ignore").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(shown.len() > 4);
    let elsewhere = |part: &&str| part.contains("conformance_tests!");
    for part in shown.into_iter().filter(|part| !elsewhere(part)) {
        assert!(source.contains(plain(part).trim()), "not in src/lib.rs:{part}");
    }
}
