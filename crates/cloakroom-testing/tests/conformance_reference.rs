//! The reference store passes the suite it is the model of; so do the wrappers around it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;

use cloakroom::store::Store;
use cloakroom_testing::conformance::{Outcome, Subject, run_all};
use cloakroom_testing::{Fault, FaultStore, ManualClock, ReferenceStore, SpyStore};

/// With every capability that a store in memory can have.
async fn on_a_manual_clock() -> Subject {
    let clock = ManualClock::new();
    let store = ReferenceStore::with_clock(clock.clone());
    let same = store.clone();
    Subject::new(Arc::new(store))
        .clock(clock)
        .second_handle(move || {
            let same: Arc<dyn Store> = Arc::new(same.clone());
            async move { same }
        })
        // Closing and opening a store in memory is keeping it.
        .reopen(|store| async move { store })
        .unavailable(|| async {
            let away = FaultStore::new(Arc::new(ReferenceStore::new()));
            away.always(None, Fault::Unavailable);
            let away: Arc<dyn Store> = Arc::new(away);
            away
        })
}

mod manual {
    cloakroom_testing::conformance_tests!(super::on_a_manual_clock);
}

/// In real time the suite waits for deadlines instead of moving a clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_reference_store_passes_in_real_time() {
    let report = run_all(|| async { Subject::new(Arc::new(ReferenceStore::new())) }).await;
    assert!(report.passed(), "{report}");
    let skipped = report.outcomes().filter(|(_, outcome)| matches!(outcome, Outcome::Skipped(_))).count();
    assert!((1..=10).contains(&skipped), "{report}");
}

/// Wrappers are stores: they pass too, answering at once or later, and asked twice each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_spy_and_a_faultless_fault_store_pass() {
    let report = run_all(|| async {
        let clock = ManualClock::new();
        let store = SpyStore::new(Arc::new(ReferenceStore::with_clock(clock.clone())));
        Subject::new(Arc::new(FaultStore::new(Arc::new(store)))).clock(clock)
    })
    .await;
    assert!(report.passed(), "{report}");
    assert!(report.outcomes().count() > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_reference_store_passes_when_every_answer_comes_later() {
    let report = run_all(|| async {
        let clock = ManualClock::new();
        let late = FaultStore::new(Arc::new(ReferenceStore::with_clock(clock.clone())));
        late.always(None, Fault::Delay(std::time::Duration::ZERO));
        Subject::new(Arc::new(late)).clock(clock)
    })
    .await;
    assert!(report.passed(), "{report}");
}
