//! Changes of a request's id that are under way: from none to one, from one to another, to none again.
//!
//! A response waits for them, because it tells what came of them. Those that issue an id go one at a time: each looks anew
//! at what the one before it left. A turn is taken only by who goes on at once: whoever has one holds the others up, and may not be
//! polled while it waits.

use std::future::Future;
use std::sync::Arc;

use super::Shared;
use super::hands::{Came, Patience, Wanted, Watched, taken_along};
use super::shared::State;
use crate::engine::{Detached, Room};
use crate::error::{ErrorKind, SessionError};

/// A change of id that is under way, also when nobody awaits it any more.
pub(super) struct UnderWay {
    shared: Arc<Shared>,
    alone: bool,
    /// Where it may go on.
    room: Option<Room>,
}

/// What has to be waited for before there is a turn to issue an id.
pub(super) enum Before {
    /// Another one that is under way.
    Another,
    /// Room for work that goes on without its request.
    Room,
    /// What the request has in hand.
    InHand(Watched),
}

impl UnderWay {
    /// One that may go on beside others.
    pub(super) fn beside(shared: &Arc<Shared>, state: &mut State) -> Self {
        Self::begin(shared, state, None, false)
    }

    /// As [`beside`](UnderWay::beside), one that is to be begun right away.
    pub(super) fn beside_at_once(shared: &Arc<Shared>, state: &mut State, room: Room) -> Self {
        Self::begin(shared, state, Some(room), false)
    }

    /// One that issues an id, and is to be begun right away.
    pub(super) fn alone(shared: &Arc<Shared>, state: &mut State) -> Result<Self, Before> {
        if state.issuing_id {
            return Err(Before::Another);
        }
        let room = shared.engine().tasks.room_now().ok_or(Before::Room)?;
        Ok(Self::begin(shared, state, Some(room), true))
    }

    /// Who has not begun to wait by now sees it in the state.
    fn tell(&self) {
        if let Some(waiting) = self.shared.waiting.get() {
            waiting.id_settled.notify_waiters();
        }
    }

    fn begin(shared: &Arc<Shared>, state: &mut State, room: Option<Room>, alone: bool) -> Self {
        state.id_changes += 1;
        state.issuing_id |= alone;
        state.awaited = true;
        UnderWay { shared: Arc::clone(shared), alone, room }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.id_changes = state.id_changes.saturating_sub(1);
        state.issuing_id &= !self.alone;
        drop(state);
        self.tell();
    }
}

impl Shared {
    /// Runs a change that the client may have to be told of to its end, whatever becomes of the handler; the
    /// response waits for it. It is on the heap from the start, so that handlers stay small.
    pub(super) fn detached_id_change<T, F>(
        self: &Arc<Self>,
        mut under_way: UnderWay,
        change: F,
    ) -> Detached<T>
    where
        F: Future<Output = Result<T, SessionError>> + Send + 'static,
    {
        let room = under_way.room.take();
        let change = async move {
            let _under_way = under_way;
            change.await
        };
        match room {
            Some(room) => self.engine().tasks.detach_into(room, change),
            None => self.engine().tasks.detach(change),
        }
    }

    /// As [`detached_id_change`](Self::detached_id_change), of one that goes on beside others: under way once it is begun. A response
    /// waits for what is under way, and what waits for room need not be polled.
    pub(super) fn detached_beside<T, F>(self: &Arc<Self>, change: F) -> Detached<T>
    where
        F: Future<Output = Result<T, SessionError>> + Send + 'static,
    {
        let shared = Arc::clone(self);
        self.engine().tasks.detach(async move {
            let _under_way = UnderWay::beside(&shared, &mut shared.state.lock());
            change.await
        })
    }

    /// The turn to issue an id, as long as there is a head to tell it in, and what `take` takes along; once nothing is in hand that
    /// would have to be taken along as well. With what became of that, where it was stored.
    pub(super) async fn id_turn<T>(
        self: &Arc<Self>,
        take: impl FnOnce(&mut State) -> T,
    ) -> Result<(UnderWay, T, Result<(), SessionError>), SessionError> {
        let (mut patience, mut others) = (Patience::default(), Ok(()));
        loop {
            let before = {
                let mut state = self.state.lock();
                state.check_head()?;
                match state.hands.watch(Wanted::Answers) {
                    Some(watched) => Before::InHand(watched),
                    None => match UnderWay::alone(self, &mut state) {
                        Ok(turn) => {
                            return Ok((turn, take(&mut state), others.and(state.hands.tell_untold())));
                        }
                        Err(before) => before,
                    },
                }
            };
            others = Box::pin(self.answered(before, &mut patience)).await?.and(others);
        }
    }

    /// Completes when it is to be looked again whether a call may go on, with what became of what it waited for.
    pub(super) async fn after(&self, before: Before, patience: &mut Patience) -> Result<Came, SessionError> {
        match before {
            Before::Another => self.id_changed().await,
            Before::Room => Arc::clone(&self.engine().tasks).room().await?,
            Before::InHand(watched) => return self.settled(watched, patience).await,
        }
        Ok(Ok(()))
    }

    /// As [`after`](Self::after), for a call that answers for what it waited for: an error where that is not stored. Within, what is
    /// stored and may be undone.
    pub(super) async fn answered(
        &self,
        before: Before,
        patience: &mut Patience,
    ) -> Result<Result<(), SessionError>, SessionError> {
        let in_hand = matches!(before, Before::InHand(_));
        let came = self.after(before, patience).await;
        // What is in hand may be stored yet.
        let came = came.map_err(|error| if in_hand { error.in_doubt() } else { error })?;
        let Err(kind) = came else { return Ok(Ok(())) };
        let error = taken_along(kind);
        if kind == ErrorKind::Undurable { Ok(Err(error)) } else { Err(error) }
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
