//! The commit point at the end of a response's body.

use std::sync::Arc;

use super::Shared;
use super::hands::{Wanted, came};
use super::shared::{Phase, State};
use crate::engine::WriteKind;
use crate::error::SessionError;

impl Shared {
    /// Commits what the streaming of the body changed.
    pub(crate) async fn finish_body(self: Arc<Self>) -> Result<(), SessionError> {
        let committed = self.commit_of_body().await;
        let mut state = self.state.lock();
        state.phase = Phase::Over;
        if committed.is_err() {
            state.discard();
        }
        let telling = state.committed(came(&committed));
        drop(state);
        telling.tell();
        committed
    }

    async fn commit_of_body(self: &Arc<Self>) -> Result<(), SessionError> {
        let over = |state: &mut State| {
            let over = !state.view.has_changes();
            if over {
                state.phase = Phase::Over;
            }
            over
        };
        let (over, others) = self.with_empty_hands(over).await?;
        if over {
            return others;
        }
        // Over in one step with what is taken: what comes later is refused, and not buffered for nobody.
        let take = |state: &mut State| {
            state.phase = Phase::Over;
            let changes = state.view.take_changes();
            let changes = self.take_up_last(state, changes);
            (changes, state.view.epoch())
        };
        self.commit_taken(WriteKind::Buffered, Some(Wanted::All), take).await.and(others)
    }

    /// Whether there is something that the end of the body has to wait for.
    pub(crate) fn has_changes(&self) -> bool {
        let state = self.state.lock();
        state.view.has_changes() || !state.hands.owe_nothing()
    }
}
