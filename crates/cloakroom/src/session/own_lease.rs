//! The lease of a request: one, whichever of its calls want it. They ask for it one at a time, for the second would wait for the
//! first, which belongs to the same request.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::Shared;
use super::shared::{State, Waiting};
use crate::clock::deadline_in;
use crate::engine::{HeldLease, timer};
use crate::error::SessionError;
use crate::ids::StoreKey;
use crate::store::LeaseRef;

/// The lease this request holds.
#[derive(Default)]
pub(crate) enum LeaseState {
    #[default]
    None,
    /// Being asked for, of this session.
    AskedFor(AskedBy, StoreKey),
    /// Taken by exclusive mode when the session was opened.
    Mode(Box<HeldLease>),
    /// Taken by `lock`, until its guard is done.
    Guard(Box<HeldLease>),
    /// A guard is alive without a lease of its own: over a session that does not exist yet.
    GuardOnly,
    /// A guard is alive under the lease of exclusive mode.
    GuardInMode(Box<HeldLease>),
}

/// What a lease is asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedBy {
    /// Exclusive mode.
    Mode,
    /// `lock`.
    Lock,
}

impl LeaseState {
    pub(crate) fn held(&self) -> Option<&HeldLease> {
        match self {
            LeaseState::Mode(held) | LeaseState::Guard(held) | LeaseState::GuardInMode(held) => Some(held),
            LeaseState::None | LeaseState::AskedFor(..) | LeaseState::GuardOnly => None,
        }
    }

    pub(crate) fn held_mut(&mut self) -> Option<&mut HeldLease> {
        match self {
            LeaseState::Mode(held) | LeaseState::Guard(held) | LeaseState::GuardInMode(held) => Some(held),
            LeaseState::None | LeaseState::AskedFor(..) | LeaseState::GuardOnly => None,
        }
    }
}

impl State {
    pub(crate) fn proof(&self) -> Option<LeaseRef> {
        self.lease.held().and_then(HeldLease::proof)
    }

    /// Takes the lease of exclusive mode, where no guard has it: to be given back by dropping it when the state is not locked.
    pub(super) fn take_mode_lease(&mut self) -> Option<Box<HeldLease>> {
        match std::mem::take(&mut self.lease) {
            LeaseState::Mode(held) => Some(held),
            other => {
                self.lease = other;
                None
            }
        }
    }
}

/// The lease is being asked for, until it is granted or this is dropped.
pub(super) struct Asking {
    shared: Arc<Shared>,
    granted: bool,
}

impl Asking {
    /// Where there is none, and nobody asks for it.
    pub(super) fn begin(shared: &Arc<Shared>, state: &mut State, by: AskedBy, session: StoreKey) -> Self {
        state.lease = LeaseState::AskedFor(by, session);
        Asking { shared: Arc::clone(shared), granted: false }
    }

    /// The request has it now. To be dropped when the state is not locked.
    pub(super) fn granted(&mut self, state: &mut State, lease: LeaseState) {
        state.lease = lease;
        self.granted = true;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.granted {
            self.shared.state.lock().lease = LeaseState::None;
        }
        // Who has not begun to wait by now sees it in the state.
        if let Some(waiting) = self.shared.waiting.get() {
            waiting.lease_settled.notify_waiters();
        }
    }
}

impl Shared {
    /// Completes when no call of this request asks for the lease of its session. That is waited for as long as for the lease itself.
    pub(super) async fn lease_settled(&self, session: StoreKey) -> Result<(), SessionError> {
        let engine = self.engine();
        let is_settled = |state: &State| !matches!(state.lease, LeaseState::AskedFor(..));
        let settled = self.until(|waiting: &Waiting| &waiting.lease_settled, is_settled);
        let deadline = deadline_in(engine.settings.locking.wait);
        let in_time = timer(|| timeout_at(deadline.into(), settled))?.await;
        in_time.map_err(|_| engine.lock_timeout(session, "another call of the same request asks for it"))
    }
}
