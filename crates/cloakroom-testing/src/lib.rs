//! For testing with [`cloakroom`], and for testing stores written for it.
//!
//! | what | for |
//! |---|---|
//! | [`ManualClock`] | a clock that stands still until it is told to move |
//! | [`SpyStore`] | which store calls did this request make, and what did they change? |
//! | [`FaultStore`] | what happens when the n-th call fails, hangs, loses its answer or runs twice? |
//! | [`PushingStore`] | what does one node see of another's writes when news are late, lost or cut off? |
//! | [`RecallStore`] | commits that name the record they replace, as the engine's do |
//! | [`conformance`] | is this a store? Every rule of the trait as a case of its own |
//! | [`history`] | was it as if one after the other? Recorded histories, and a checker for them |
//! | [`processes`] | do processes exclude each other, and does one that is killed take anything along? |
//! | [`ReferenceStore`] | the smallest correct store: a worked example, and a model to compare with |
//! | [`hand_on!`] | what a store around another one leaves as it is |
//! | [`Rng`] | choices that a seed repeats |
//! | [`requests`] | requests to a store with everything filled in |
//! | [`chain`] | all that an error says, with what lies underneath it |
//!
//! [`SpyStore`], [`FaultStore`], [`PushingStore`] and [`RecallStore`] are stores themselves, so that they go around any store and around each other.

mod chain;
mod clock;
pub mod conformance;
pub mod fault;
mod hand_on;
pub mod history;
pub mod processes;
mod push;
mod recall;
mod reference;
pub mod requests;
mod rng;
pub mod spy;

pub use chain::chain;
pub use clock::ManualClock;
pub use fault::{Fault, FaultStore, Gate};
pub use push::PushingStore;
pub use recall::RecallStore;
pub use reference::ReferenceStore;
pub use rng::Rng;
pub use spy::{Op, SpyStore};
