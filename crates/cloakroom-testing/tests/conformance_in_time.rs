//! A busy machine is told apart from a defect: the case that it made fail is run again, and a store that does it wrong fails.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloakroom_testing::conformance::{Case, Outcome, Subject, run_case, run_case_in_time};
use cloakroom_testing::{Fault, FaultStore, Op, ReferenceStore};

const TICK: Duration = Duration::from_millis(100);

/// A store on a machine that stands still for three ticks with each question.
fn on_a_busy_machine() -> Subject {
    let store = FaultStore::new(Arc::new(ReferenceStore::new()));
    store.always(None, Fault::Delay(3 * TICK));
    Subject::new(Arc::new(store)).tick(TICK)
}

fn case() -> &'static Case {
    Case::named("an_idle_session_expires_for_every_operation").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_case_for_which_the_machine_was_too_late_is_given_more_time() {
    let once = run_case(case(), on_a_busy_machine()).await;
    assert!(matches!(once, Outcome::Failed(_)), "{once:?}");
    let outcome = run_case_in_time(case(), || async { on_a_busy_machine() }).await;
    assert!(matches!(outcome, Outcome::Passed), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_does_it_wrong_fails_on_a_busy_machine_too() {
    for (delay, at_least) in [(Duration::ZERO, 1), (3 * TICK, 2)] {
        let made = AtomicU32::new(0);
        let wrong = || {
            made.fetch_add(1, Ordering::Relaxed);
            let store = FaultStore::new(Arc::new(ReferenceStore::new()));
            store.always(Some(Op::Load), Fault::Corrupt);
            store.always(None, Fault::Delay(delay));
            async { Subject::new(Arc::new(store)).tick(TICK) }
        };
        let outcome = run_case_in_time(case(), wrong).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        let made = made.into_inner();
        assert!(made >= at_least, "{made} rounds");
    }
}
