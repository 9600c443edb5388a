//! A request that is over before its end: it was dropped, its body was cut, or its commit was given up.

use std::sync::Arc;

use parking_lot::MappedMutexGuard;

use super::Shared;
use super::hands::Telling;
use super::shared::{Phase, State};
use crate::error::ErrorKind;

/// The end of a request, which is under way until the head may leave. Where this is dropped before, it is given up.
pub(super) struct Finishing(Arc<Shared>);

impl Finishing {
    /// From here on the handler counts as finished: a client that hangs up takes nothing of it back.
    pub(super) fn begin(shared: Arc<Shared>) -> Self {
        shared.state.lock().finishing = true;
        Finishing(shared)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if state.phase != Phase::Handling {
            return;
        }
        let telling = match state.committing {
            Some(_) => state.committed(Err(ErrorKind::Unknown)),
            None => Telling::default(),
        };
        over(state);
        telling.tell();
    }
}

impl Shared {
    /// The request was dropped, or its body cut: what is buffered is discarded, its lease given back.
    pub(crate) fn abandon(&self) {
        let state = self.state.lock();
        if state.is_closing() {
            // Its commit is under way, needs the lease, and gives it back.
            return;
        }
        over(state);
    }
}

fn over(mut state: MappedMutexGuard<'_, State>) {
    state.phase = Phase::Over;
    state.discard();
    let lease = state.take_mode_lease();
    drop(state);
    // Given back or on, outside the state's lock.
    drop(lease);
}
