//! A store that fails as stores do: it is away, slow, silent, loses an answer, or is asked twice.
//!
//! ```
//! use std::sync::Arc;
//! use cloakroom::store::{Store, StoreErrorKind};
//! use cloakroom::SessionId;
//! use cloakroom_testing::{Fault, FaultStore, Op, ReferenceStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let faults = FaultStore::new(Arc::new(ReferenceStore::new()));
//! let store: Arc<dyn Store> = Arc::new(faults.clone());   // hand this one to the code under test
//!
//! faults.at_op(Op::Load, 2, Fault::Unavailable);          // the second load from here on
//! let key = SessionId::generate().store_key();
//! assert!(store.load(key).await.is_ok());
//! assert_eq!(store.load(key).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
//! assert!(store.load(key).await.is_ok());
//! # });
//! ```

mod gate;
mod inject;
mod plan;
mod store;

use std::time::Duration;

pub use gate::Gate;
pub use plan::Injected;
pub use store::FaultStore;

/// What goes wrong with a call.
///
/// Each says whether the operation is executed by the store underneath. Where it is, it is executed even when the
/// caller drops the future: a request that has reached a server is not called back by closing the connection. For
/// that it runs in a task of the tokio runtime that made the call; without one it runs as far as it is awaited, and
/// delays are not available.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Not executed; answers `Unavailable`.
    Unavailable,
    /// Not executed; answers `Full`.
    Full,
    /// Not executed; answers `Corrupt`.
    Corrupt,
    /// Not executed, never answers.
    Hang,
    /// Not executed; answers `Unknown`: the question was lost, and nobody can tell.
    LoseRequest,
    /// Executed; answers `Unknown`: the answer was lost, and nobody can tell.
    LoseAnswer,
    /// Executed; answers `Undurable`, with the answer: it was made, and fewer replicas than asked for have it.
    Undurable,
    /// Executed, never answers.
    HangAfter,
    /// Executed after this long, then answers.
    Delay(Duration),
    /// Executed at once, answers after this long.
    DelayAnswer(Duration),
    /// Executed twice in a row, as when a client re-sends; answers what the second execution answered.
    Twice,
    /// Executed and answered, and executed once more this long afterwards: a copy that was under way for a while.
    ReplayAfter(Duration),
    /// Executed once the gate is opened, then answers.
    Hold(Gate),
    /// Executed at once, answers once the gate is opened.
    HoldAnswer(Gate),
}

impl Fault {
    /// A short name: for the log of a failed test.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Unavailable => "unavailable",
            Fault::Full => "full",
            Fault::Corrupt => "corrupt",
            Fault::Hang => "hang",
            Fault::LoseRequest => "lose request",
            Fault::LoseAnswer => "lose answer",
            Fault::Undurable => "undurable",
            Fault::HangAfter => "hang after",
            Fault::Delay(_) => "delay",
            Fault::DelayAnswer(_) => "delay answer",
            Fault::Twice => "twice",
            Fault::ReplayAfter(_) => "replay after",
            Fault::Hold(_) => "hold",
            Fault::HoldAnswer(_) => "hold answer",
        }
    }
}
