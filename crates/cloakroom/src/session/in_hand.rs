//! Buffered changes that an awaited call has in hand: stored along with what it stores, or buffered again.
//!
//! Who called may go on after an error, or drop the call, and the response that then leaves acknowledges what was buffered
//! before it.

use std::sync::Arc;

use super::Shared;
use super::view::{Changes, Taken, View};

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
}

impl Drop for InHand {
    fn drop(&mut self) {
        if !self.stored {
            let taken = std::mem::take(&mut self.taken);
            self.shared.state.lock().view.give_back(taken);
        }
    }
}
