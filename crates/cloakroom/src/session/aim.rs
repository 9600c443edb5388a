//! Where a write goes: to the session, or to one that it starts.
//!
//! It is decided in the same step that takes what is to be written, so that both are of one session; and a request starts
//! one session, however many of its calls find none: those that come meanwhile wait, and look again.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::id_changes::{Before, UnderWay};
use super::in_hand::InHand;
use super::shared::{Identity, State};
use crate::engine::{Detached, Known};
use crate::error::{ErrorKind, SessionError};
use crate::payload::Payload;
use crate::settings::Settings;
use crate::store::LeaseRef;

/// A session that is written to: as known, the lease to show, how far to slide the idle deadline.
pub(super) struct Target {
    pub(super) known: Known,
    pub(super) proof: Option<LeaseRef>,
    pub(super) slide: Option<Duration>,
}

/// Where a write goes.
pub(super) enum Aim {
    /// There is a session.
    At(Target),
    /// There is none, and nobody else of this request starts one.
    Start(UnderWay),
}

impl Aim {
    /// The session, if there is one, and the change of id that is under way in either case.
    pub(super) fn or_beside(self, beside: UnderWay) -> (Option<Target>, UnderWay) {
        match self {
            Aim::At(target) => (Some(target), beside),
            Aim::Start(turn) => (None, turn),
        }
    }
}

impl State {
    /// The session, if there is one.
    pub(super) fn target(&self, settings: &Settings) -> Result<Option<Target>, SessionError> {
        match &self.identity {
            Identity::Known(known) => {
                let slide = (!self.background).then_some(settings.lifetime.idle);
                Ok(Some(Target { known: known.clone(), proof: self.proof(), slide }))
            }
            Identity::Nobody => Ok(None),
            Identity::Unreachable => Err(SessionError::new(ErrorKind::Unavailable)),
        }
    }

    /// As [`target`](State::target), for a write that shows its lease ([`Shared::under_lease`]): that is not handed on from
    /// here on until the write has its answer, though it may have to wait for room before it is asked for.
    pub(super) fn write_target(&mut self, settings: &Settings) -> Result<Option<Target>, SessionError> {
        let target = self.target(settings)?;
        if target.is_some()
            && let Some(held) = self.lease.held_mut()
        {
            held.write_begins();
        }
        Ok(target)
    }
}

impl Shared {
    /// The session, if there is one, for a write.
    pub(super) fn write_target(&self) -> Result<Option<Target>, SessionError> {
        self.state.lock().write_target(&self.engine().settings)
    }

    /// Where a handler's write goes, and what `take` takes out of the state for it.
    pub(super) async fn aim<T>(
        self: &Arc<Self>,
        take: impl FnOnce(&mut State) -> T,
    ) -> Result<(Aim, T), SessionError> {
        loop {
            let before = {
                let mut state = self.state.lock();
                match self.aim_now(&mut state)? {
                    Ok(aim) => return Ok((aim, take(&mut state))),
                    Err(before) => before,
                }
            };
            // On the heap, because it hardly ever happens.
            Box::pin(self.id_turn_after(before)).await?;
        }
    }

    fn aim_now(self: &Arc<Self>, state: &mut State) -> Result<Result<Aim, Before>, SessionError> {
        state.check_writable()?;
        Ok(match state.write_target(&self.engine().settings)? {
            Some(target) => Ok(Aim::At(target)),
            None => UnderWay::alone(self, state).map(Aim::Start),
        })
    }

    /// Where a write is to be made anew that was refused because the session is gone from where it was aimed at: under the id that
    /// another call of this request gave it meanwhile, as if it had been asked for after that. `None`: the session is over.
    pub(super) async fn aim_after(self: &Arc<Self>, missed: &Known) -> Result<Option<Target>, SessionError> {
        self.id_changed().await;
        let mut state = self.state.lock();
        let moved = state.is_at(missed) && state.key() != Some(missed.key);
        if moved { state.write_target(&self.engine().settings) } else { Ok(None) }
    }

    /// Starts a session with this data, which an awaited write made of what it has in hand.
    pub(super) fn start_with(
        self: &Arc<Self>,
        turn: UnderWay,
        payload: Payload,
        consumed: Option<Box<InHand>>,
    ) -> Detached<()> {
        let shared = Arc::clone(self);
        self.detached_id_change(turn, async move {
            let started = shared.start(payload).await;
            consumed.into_iter().for_each(|consumed| consumed.stored_if(&started));
            started
        })
    }
}
