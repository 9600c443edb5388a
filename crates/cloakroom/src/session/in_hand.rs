//! Buffered changes that an awaited call has in hand: stored along with what it stores, or buffered again.
//!
//! Who called may go on after an error, or drop the call, and the response that then leaves acknowledges what was buffered
//! before it.

use std::sync::Arc;

use super::Shared;
use super::changes::Changes;
use super::hands::{Came, Ticket};
use super::shared::State;
use super::underneath::{Goes, TakenOut};
use super::view::Taken;
use crate::error::{ErrorKind, SessionError};

/// What was taken out of the buffer; it goes back there when this is dropped, unless the store has it
/// ([`stored_if`](InHand::stored_if)) or its caller was told that it is discarded ([`Untold::told`]).
pub(super) struct InHand {
    shared: Arc<Shared>,
    taken: Taken,
    ticket: Option<Ticket>,
    /// What became of it, if it does not go back.
    came: Option<Came>,
}

impl InHand {
    /// Everything that is buffered.
    pub(super) fn all(shared: &Arc<Shared>, state: &mut State) -> Self {
        let taken = state.view.take();
        Self::new(shared, state, taken, Goes::AsTheyAre)
    }

    /// The buffered change of this key, if there is one. On the heap: hardly a write comes upon one, and the futures of
    /// handlers carry it.
    pub(super) fn change(shared: &Arc<Shared>, state: &mut State, key: &str) -> Option<Box<Self>> {
        let taken = state.view.take_change(key)?;
        Some(Box::new(Self::new(shared, state, taken, Goes::UnderAnother)))
    }

    fn new(shared: &Arc<Shared>, state: &mut State, mut taken: Taken, goes: Goes) -> Self {
        let changes = std::mem::take(&mut taken.changes).into_changes();
        let ticket;
        (taken.changes, ticket) = state.take_up(changes, goes);
        InHand { shared: Arc::clone(shared), taken, ticket, came: None }
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.taken.changes
    }

    /// The epoch they were decided at.
    pub(super) fn epoch(&self) -> u32 {
        self.taken.epoch
    }

    /// For [`Shared::told`].
    pub(super) fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }

    /// Where that is what came out, the store has them, or what replaces them. Made and not confirmed by replicas is made: whoever
    /// awaits that is told by [`Shared::told`], or somebody else where that one is gone.
    pub(super) fn stored_if(mut self, outcome: &Result<(), SessionError>) {
        self.came = match outcome {
            Ok(()) => Some(Ok(())),
            Err(error) if error.kind() == ErrorKind::Undurable => Some(Err(error.kind())),
            Err(_) => None,
        };
    }

    /// They come to nothing, and are discarded as soon as somebody was told.
    fn refused(&self, kind: ErrorKind) {
        if let Some(ticket) = self.ticket {
            let telling = self.shared.state.lock().hands.refused(ticket, kind);
            telling.tell();
        }
    }

    /// They are discarded, as whoever awaited the call is told.
    fn discarded(mut self) {
        self.came = Some(Ok(()));
    }
}

/// A failed call that discards what it had in hand, on its way to whoever awaits it. Nothing is discarded that nobody is told of:
/// where that one is gone it is buffered again, before the response is committed.
pub(super) struct Untold {
    error: SessionError,
    in_hand: InHand,
}

impl Untold {
    pub(super) fn new(error: SessionError, in_hand: InHand) -> Box<Self> {
        in_hand.refused(error.kind());
        Box::new(Untold { error, in_hand })
    }

    pub(super) fn told(self) -> SessionError {
        self.in_hand.discarded();
        self.error
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.view.lent.end(self.ticket);
        if self.came.is_none() {
            state.view.give_back(std::mem::take(&mut self.taken));
            if state.hands.goes_with_response(self.ticket) {
                state.went_with_response();
            }
        }
        if matches!(self.came, Some(Err(ErrorKind::Undurable))) {
            state.hands.undurable(self.ticket);
        }
        let telling = state.hands.put_down(self.ticket, self.came.unwrap_or(Ok(())));
        drop(state);
        telling.tell();
    }
}

impl State {
    /// Takes these changes in hand, if there are any, and lets the request go on seeing them.
    fn take_up(&mut self, changes: Changes, goes: Goes) -> (TakenOut, Option<Ticket>) {
        let Some(ticket) = self.hands.take_up(&changes) else { return (TakenOut::Unseen(changes), None) };
        let changes = Arc::new(changes);
        self.view.lent.lend(ticket, &changes, goes);
        (TakenOut::Lent(changes), Some(ticket))
    }
}

impl Shared {
    /// Passes on what a call came to that had this in hand: whoever awaits it is told, and the response as well if it is being put
    /// together already.
    pub(super) fn told(
        &self,
        ticket: Option<Ticket>,
        outcome: Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Undurable) {
            let mut state = self.state.lock();
            if !state.is_closing() {
                state.hands.told(ticket);
            }
        }
        outcome
    }

    /// Takes these changes in hand, if there are any, for a commit of the request's own.
    pub(super) fn take_up_last(self: &Arc<Self>, state: &mut State, changes: Changes) -> TakenOut {
        let taken;
        (taken, state.committing) = if Arc::strong_count(self) == 1 {
            // Nobody else has a handle: nobody looks at them meanwhile.
            let ticket = state.hands.take_up(&changes);
            (TakenOut::Unseen(changes), ticket)
        } else {
            state.take_up(changes, Goes::AsTheyAre)
        };
        taken
    }
}
