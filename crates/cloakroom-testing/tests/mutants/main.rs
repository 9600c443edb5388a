//! The suite can fail: each case of it refuses a store with some bug, and each bug is found by the cases that are
//! about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "one test crate of several files")]

mod bugs;
mod leases;
mod records;
mod store;
mod successors;
mod upkeep;
mod users;

use std::collections::BTreeSet;
use std::sync::Arc;

use bugs::{BUGS, Bug};
use cloakroom::store::Store;
use cloakroom_testing::conformance::{Case, Outcome, Subject, run_all, run_case};
use cloakroom_testing::{Fault, FaultStore, ManualClock};
use store::Mutant;

/// A store with this bug and every capability.
fn subject(bug: Bug) -> Subject {
    let clock = ManualClock::new();
    let store = Mutant::new(bug, clock.clone(), None);
    let (second, reopened, damaged) = (store.clone(), store.clone(), store.clone());
    let (first_clock, second_clock) = (clock.clone(), clock.clone());
    let share = |store: Mutant| -> Arc<dyn Store> { Arc::new(store) };
    Subject::new(Arc::new(store))
        .clock(clock)
        .second_handle(move || {
            let handle = if bug == Bug::HandlesAreApart { second.detached() } else { second.clone() };
            async move { share(handle) }
        })
        .reopen(move |_| {
            let mut data = reopened.data.lock();
            match bug {
                Bug::ReopeningForgetsLeases => {
                    let keys: Vec<_> = data.entries.keys().copied().collect();
                    keys.iter().for_each(|key| data.edit_lease(key, |lease| *lease = None));
                }
                Bug::ReopeningForgetsMarkers => {
                    data.entries
                        .retain(|_, entry| matches!(entry, cloakroom::store::protocol::Entry::Live { .. }));
                }
                _ => {}
            }
            drop(data);
            let store = if bug == Bug::ReopeningForgetsAll {
                Mutant::new(bug, first_clock.clone(), None)
            } else {
                reopened.clone()
            };
            async move { share(store) }
        })
        .bounded(move |bound| {
            let store = Mutant::new(bug, second_clock.clone(), Some(bound));
            async move { share(store) }
        })
        .unavailable(move || {
            let store = Mutant::new(bug, ManualClock::new(), None);
            async move {
                let away = FaultStore::new(share(store));
                if bug != Bug::AwayIsMissing {
                    away.always(None, Fault::Unavailable);
                }
                let away: Arc<dyn Store> = Arc::new(away);
                away
            }
        })
        .damage(move |key| {
            damaged.data.lock().damaged.insert(key);
            async {}
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_bug_every_case_passes_and_none_is_skipped() {
    let report = run_all(|| async { subject(Bug::None) }).await;
    assert!(report.outcomes().all(|(_, outcome)| matches!(outcome, Outcome::Passed)), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_bug_is_found_by_the_cases_about_it() {
    let mut runs = Vec::new();
    for (bug, cases) in BUGS {
        assert!(!cases.is_empty() || *bug == Bug::None, "{bug:?} is found by nothing");
        for name in *cases {
            let case = Case::named(name).unwrap_or_else(|| panic!("no case {name}"));
            runs.push((*bug, case, tokio::spawn(async move { run_case(case, subject(*bug)).await })));
        }
    }
    let mut missed = Vec::new();
    for (bug, case, run) in runs {
        if !matches!(run.await.unwrap(), Outcome::Failed(_)) {
            missed.push(format!("{bug:?} passes {case:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_case_finds_a_bug() {
    let finding: BTreeSet<&str> = BUGS.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    let idle: Vec<_> = Case::all().iter().filter(|case| !finding.contains(case.name())).collect();
    assert!(idle.is_empty(), "cases that no bug makes fail: {idle:#?}");
    assert!(BUGS.len() > 100, "{} bugs", BUGS.len());
}

/// The suite reports to logs as well.
#[tokio::test]
async fn a_failure_says_what_and_where_and_no_secret() {
    let case = Case::named("a_store_that_is_away_says_so_and_no_secret").unwrap();
    let subject = subject(Bug::None).unavailable(|| async {
        let away = FaultStore::new(Arc::new(Mutant::new(Bug::AwayIsMissing, ManualClock::new(), None)));
        let away: Arc<dyn Store> = Arc::new(away);
        away
    });
    let Outcome::Failed(failure) = run_case(case, subject).await else { panic!("it passed") };
    let text = failure.to_string();
    assert!(text.contains("Missing") && text.contains("capability.rs:"), "{text}");
}
