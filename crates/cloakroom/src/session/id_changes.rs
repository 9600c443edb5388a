//! Changes of a request's id that are under way: from none to one, from one to another, to none again.
//!
//! A response waits for them, because it tells what came of them. Those that issue an id go one at a time: each looks anew
//! at what the one before it left.

use std::future::Future;
use std::sync::Arc;

use super::Shared;
use super::shared::State;
use crate::engine::Detached;
use crate::error::SessionError;

/// A change of id that is under way, also when nobody awaits it any more.
pub(super) struct UnderWay {
    shared: Arc<Shared>,
    alone: bool,
}

impl UnderWay {
    /// One that may go on beside others.
    pub(super) fn beside(shared: &Arc<Shared>, state: &mut State) -> Self {
        Self::begin(shared, state, false)
    }

    /// One that issues an id; `None` while another one does.
    pub(super) fn alone(shared: &Arc<Shared>, state: &mut State) -> Option<Self> {
        (!state.issuing_id).then(|| Self::begin(shared, state, true))
    }

    fn begin(shared: &Arc<Shared>, state: &mut State, alone: bool) -> Self {
        state.id_changes += 1;
        state.issuing_id |= alone;
        state.awaited = true;
        UnderWay { shared: Arc::clone(shared), alone }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.id_changes = state.id_changes.saturating_sub(1);
        state.issuing_id &= !self.alone;
        drop(state);
        // Who has not begun to wait by now sees it in the state.
        if let Some(waiting) = self.shared.waiting.get() {
            waiting.id_settled.notify_waiters();
        }
    }
}

impl Shared {
    /// Runs a change that the client may have to be told of to its end, whatever becomes of the handler; the
    /// response waits for it. It is on the heap from the start, so that handlers stay small.
    pub(super) fn detached_id_change<F>(self: &Arc<Self>, under_way: UnderWay, change: F) -> Detached<()>
    where
        F: Future<Output = Result<(), SessionError>> + Send + 'static,
    {
        self.engine().tasks.detach(async move {
            let _under_way = under_way;
            change.await
        })
    }

    /// The turn to issue an id, as long as there is a head to tell it in.
    pub(super) async fn id_turn(self: &Arc<Self>) -> Result<UnderWay, SessionError> {
        loop {
            {
                let mut state = self.state.lock();
                state.check_head()?;
                if let Some(turn) = UnderWay::alone(self, &mut state) {
                    return Ok(turn);
                }
            }
            Box::pin(self.id_changed()).await;
        }
    }

    /// Completes when none is under way.
    pub(super) async fn settle_ids(&self) {
        self.until(|waiting| &waiting.id_settled, |state| state.id_changes == 0).await;
    }

    /// Completes when none is under way that issues an id.
    pub(super) async fn id_changed(&self) {
        self.until(|waiting| &waiting.id_settled, |state| !state.issuing_id).await;
    }
}
