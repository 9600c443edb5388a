//! Was it as if one after the other? Histories of concurrent operations, and a checker for them.
//!
//! A [`Recorder`] notes when each operation was called, when it was answered, and with what. [`check`] then searches
//! for an order of the operations, one at a time, that respects real time (what was answered before another was
//! called comes first) and that a sequential model explains: linearizability, as Wing and Gong test it ("Testing and
//! Verifying Concurrent Objects", 1993), with the memory of visited states that Lowe adds ("Testing for
//! Linearizability", 2017). An operation that was never answered may have happened at any time after it was called, or
//! never.
//!
//! The model of a session is [`session::Session`]: reads, puts, increments, logins and destroys, alone or several in
//! one step. On servers whose replicas take over the last writes may be lost: [`failover`] allows for that. Any other one is a few lines: see [`Model`].
//!
//! ```
//! use cloakroom_testing::history::{Recorder, session};
//! use session::{Answer, Call, Step};
//!
//! let recorder = Recorder::new();
//! let first = recorder.call(Call::one(1, Step::increment("visits", 1)));
//! let second = recorder.call(Call::one(1, Step::increment("visits", 1)));
//! first.answered(Answer::seen(1));
//! second.answered(Answer::seen(1));                       // a lost update: both saw the first visit
//! assert!(session::check(&recorder.history()).is_unexplained());
//! ```

pub mod failover;
mod record;
mod search;
pub mod session;

pub use record::{Event, Pending, Recorder};
pub use search::{Model, Stuck, Verdict, check};
