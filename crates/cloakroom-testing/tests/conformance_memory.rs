//! The memory store that comes with the library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;

use cloakroom::MemoryStore;
use cloakroom::store::Store;
use cloakroom_testing::ManualClock;
use cloakroom_testing::conformance::{Subject, run_all};

async fn on_a_manual_clock() -> Subject {
    let clock = ManualClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let (same, bounded_clock) = (store.clone(), clock.clone());
    Subject::new(Arc::new(store))
        .clock(clock)
        .second_handle(move || {
            let same: Arc<dyn Store> = Arc::new(same.clone());
            async move { same }
        })
        .bounded(move |bound| {
            let store = MemoryStore::builder().max_sessions(bound).clock(bounded_clock.clone()).build();
            let store: Arc<dyn Store> = Arc::new(store);
            async move { store }
        })
}

mod manual {
    cloakroom_testing::conformance_tests!(super::on_a_manual_clock);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_store_passes_in_real_time() {
    let report = run_all(|| async { Subject::new(Arc::new(MemoryStore::new())) }).await;
    assert!(report.passed(), "{report}");
}
