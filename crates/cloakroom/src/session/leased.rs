//! Writes that show the lease of their request.

use std::pin::Pin;

use super::Shared;
use crate::engine::HeldLease;
use crate::error::{ErrorKind, SessionError};
use crate::store::LeaseRef;

/// What a request does with its lease once a write under it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    KeepsIt,
    /// In the same step as the write.
    GivesItBack,
    /// It was the last write: whoever waits gets the lease, and need not read what that stored.
    LetsItGo,
}

impl Shared {
    /// A write that shows the lease of this request. Until its answer is there, the lease is not handed on: the write may
    /// be dropped with its handler and yet reach the store, and would change the record under the next holder's eyes. It
    /// counts since its lease was looked up (`State::write_target`).
    ///
    /// The write stays where the caller has it: taken by value it would be in this future twice.
    pub(super) async fn under_lease<T>(
        &self,
        proof: Option<LeaseRef>,
        write: Pin<&mut (impl Future<Output = Result<T, SessionError>> + Send)>,
    ) -> Result<T, SessionError> {
        let Some(proof) = proof else { return write.await };
        let written = write.await;
        match &written {
            Err(error) if error.leaves_doubt() => {}
            Err(error) if error.kind() == ErrorKind::LeaseLost => self.with_lease(proof, HeldLease::lose),
            _ => self.with_lease(proof, HeldLease::write_ends),
        }
        written
    }

    /// Does something to the lease that was shown, if this request still holds it.
    pub(super) fn with_lease(&self, shown: LeaseRef, act: impl FnOnce(&mut HeldLease)) {
        let mut state = self.state.lock();
        if let Some(held) = state.lease.held_mut()
            && held.proof() == Some(shown)
        {
            act(held);
        }
    }
}
