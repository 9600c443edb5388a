//! Timers of the runtime at hand, or an error that says what is missing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;

use crate::error::{ErrorKind, SessionError};

/// Nothing here can wait: see its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{NEEDED}")]
pub(crate) struct NoTimer;

const NEEDED: &str = "sessions need a running tokio runtime with time enabled: `#[tokio::main]`, or `enable_all` on the \
                      runtime's builder";

impl From<NoTimer> for SessionError {
    fn from(_: NoTimer) -> Self {
        SessionError::because(ErrorKind::Config, NEEDED)
    }
}

/// What `make` makes with the timers of the runtime at hand.
///
/// tokio has no question for whether a runtime has timers; making one panics where it has none. A program that aborts
/// on panics ends there, with tokio's own words.
pub(crate) fn timer<T>(make: impl FnOnce() -> T) -> Result<T, NoTimer> {
    Handle::try_current().map_err(|_| NoTimer)?;
    // Nothing of ours is touched before the panic.
    catch_unwind(AssertUnwindSafe(make)).map_err(|_| NoTimer)
}
