//! Buffered changes that an awaited call has in hand: stored along with what it stores, or buffered again.
//!
//! Who called may go on after an error, or drop the call, and the response that then leaves acknowledges what was buffered
//! before it.

use std::sync::Arc;

use super::Shared;
use super::id_changes::UnderWay;
use super::view::{Changes, Taken, View};
use crate::error::{ErrorKind, SessionError};

/// What was taken out of the buffer; it goes back there when this is dropped, unless it was [`stored`](InHand::stored).
pub(super) struct InHand {
    shared: Arc<Shared>,
    taken: Taken,
    stored: bool,
}

impl InHand {
    /// Everything that is buffered.
    pub(super) fn all(shared: &Arc<Shared>, view: &mut View) -> Self {
        InHand { shared: Arc::clone(shared), taken: view.take(), stored: false }
    }

    /// The buffered change of this key, if there is one. On the heap: hardly a write comes upon one, and the futures of
    /// handlers carry it.
    pub(super) fn change(shared: &Arc<Shared>, view: &mut View, key: &str) -> Option<Box<Self>> {
        let taken = view.take_change(key)?;
        Some(Box::new(InHand { shared: Arc::clone(shared), taken, stored: false }))
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.taken.changes
    }

    /// The epoch they were decided at.
    pub(super) fn epoch(&self) -> u32 {
        self.taken.epoch
    }

    /// The store has them, or what replaces them.
    pub(super) fn stored(mut self) {
        self.stored = true;
    }

    /// As [`stored`](InHand::stored) where that is what came out. Made and not confirmed by replicas is made.
    pub(super) fn stored_if(self, outcome: &Result<(), SessionError>) {
        if !matches!(outcome, Err(error) if error.kind() != ErrorKind::Undurable) {
            self.stored();
        }
    }

    /// They are discarded, as whoever awaited the call is told.
    fn discarded(self) {
        self.stored();
    }
}

/// A failed call that discards what it had in hand, on its way to whoever awaits it. Nothing is discarded that nobody is told of:
/// where that one is gone it is buffered again, before the response is committed.
pub(super) struct Untold {
    error: SessionError,
    // Dropped in this order.
    in_hand: InHand,
    _under_way: UnderWay,
}

impl Untold {
    pub(super) fn new(error: SessionError, in_hand: InHand, under_way: UnderWay) -> Box<Self> {
        Box::new(Untold { error, in_hand, _under_way: under_way })
    }

    pub(super) fn told(self) -> SessionError {
        self.in_hand.discarded();
        self.error
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if !self.stored {
            let taken = std::mem::take(&mut self.taken);
            self.shared.state.lock().view.give_back(taken);
        }
    }
}
