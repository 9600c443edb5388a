//! Writes that show the lease of their request.

use std::pin::Pin;
use std::sync::OnceLock;

use super::Shared;
use super::own_lease::LeaseState;
use crate::engine::{HeldLease, OwnLease, OwnLeaseFuture};
use crate::error::{ErrorKind, SessionError};
use crate::ids::StoreKey;
use crate::store::LeaseRef;

/// The lease that a write shows: since it was aimed, or since another call of the same request has got one.
pub(super) struct Shown<'a> {
    shared: &'a Shared,
    proof: OnceLock<LeaseRef>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(shared: &'a Shared, proof: Option<LeaseRef>) -> Self {
        Shown { shared, proof: proof.map_or_else(OnceLock::new, OnceLock::from) }
    }
}

impl OwnLease for Shown<'_> {
    fn of(&self, key: StoreKey) -> OwnLeaseFuture<'_> {
        Box::pin(async move {
            let asked_for = {
                let state = self.shared.state.lock();
                matches!(state.lease, LeaseState::AskedFor(..))
            };
            if asked_for {
                self.shared.lease_settled(key).await?;
            }
            let mut state = self.shared.state.lock();
            let Some(held) = state.lease.held_mut().filter(|held| held.key() == Some(key)) else {
                return Ok(None);
            };
            let proof = held.proof();
            if let Some(proof) = proof {
                held.write_begins();
                // Nobody asks again where there is one.
                let _ = self.proof.set(proof);
            }
            Ok(proof)
        })
    }
}

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
    /// counts since its lease was looked up (`State::write_target`, or [`Shown`]).
    ///
    /// The write stays where the caller has it: taken by value it would be in this future twice.
    pub(super) async fn under_lease<T>(
        &self,
        shown: &Shown<'_>,
        write: Pin<&mut (impl Future<Output = Result<T, SessionError>> + Send)>,
    ) -> Result<T, SessionError> {
        let written = write.await;
        let Some(&proof) = shown.proof.get() else { return written };
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
