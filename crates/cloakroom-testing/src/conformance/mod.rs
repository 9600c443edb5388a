//! The conformance suite: is this a store?
//!
//! Every rule of [`cloakroom::store::protocol`], and what the trait asks beyond it, as cases with a sentence each.
//! A store that passes behaves under the session engine like the ones that come with it.
//!
//! One line runs all of it, one `#[test]` for each case:
//!
//! ```
//! mod conformance {
//!     use std::sync::Arc;
//!     use cloakroom_testing::conformance::Subject;
//!     use cloakroom_testing::{ManualClock, ReferenceStore};
//!
//!     async fn subject() -> Subject {
//!         let clock = ManualClock::new();
//!         let store = ReferenceStore::with_clock(clock.clone());
//!         let same = store.clone();
//!         Subject::new(Arc::new(store))
//!             .clock(clock)
//!             .second_handle(move || {
//!                 let same: Arc<dyn cloakroom::store::Store> = Arc::new(same.clone());
//!                 async move { same }
//!             })
//!     }
//!
//!     cloakroom_testing::conformance_tests!(subject);
//! }
//! # fn main() {}
//! ```
//!
//! [`run_all`] does the same from a program and answers with a [`Report`]. What a store can do beyond the trait is
//! told by the [`Subject`]: cases that need what it has not are reported as skipped, with the reason.

#[macro_use]
mod verdict;

mod bed;
mod cases;
mod list;
mod run;
mod subject;

pub use run::{Case, Outcome, Report, check, run_all, run_case, run_case_in_time};
pub use subject::Subject;
pub use verdict::Failure;
