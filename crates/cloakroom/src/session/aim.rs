//! Where a write goes: to the session, or to one that it starts.
//!
//! It is decided in the same step that takes what is to be written, so that both are of one session; and a request starts
//! one session, however many of its calls find none: those that come meanwhile wait, and look again.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::changes::Changes;
use super::hands::{Patience, Wanted};
use super::id_changes::{Before, UnderWay};
use super::in_hand::InHand;
use super::shared::{Identity, State};
use crate::engine::Known;
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

/// The session that it goes to, if there is one; the write that is under way; what it stores.
pub(super) type Aimed = (Option<Target>, UnderWay, InHand);

/// Everything that is buffered, and where it goes.
pub(super) struct Buffered {
    /// `None`: nothing is buffered.
    pub(super) aimed: Option<Aimed>,
    /// What was in hand before is stored; an error: it may be undone.
    pub(super) others: Result<(), SessionError>,
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

    /// Where a handler's write goes, and what `take` takes out of the state for it, once nothing is in hand that it has to come
    /// after. A `clear` touches every key: it is stored before a write of one of them, also when it comes while that waits.
    pub(super) async fn aim<T>(
        self: &Arc<Self>,
        after: Option<Wanted<'_>>,
        take: impl FnOnce(&mut State) -> T,
    ) -> Result<(Aim, T), SessionError> {
        let mut patience = Patience::default();
        loop {
            let before = {
                let mut state = self.state.lock();
                state.check_writable()?;
                if matches!(after, Some(Wanted::Key(_))) && (state.view.is_cleared() || state.hands.clear()) {
                    None
                } else {
                    match after.and_then(|wanted| state.hands.watch(wanted)) {
                        Some(watched) => Some(Before::InHand(watched)),
                        None => match self.aim_now(&mut state)? {
                            Ok(aim) => return Ok((aim, take(&mut state))),
                            Err(before) => Some(before),
                        },
                    }
                }
            };
            // On the heap, because it hardly ever happens.
            match before {
                // Whatever became of others' writes, they do not come after this one.
                Some(before) => drop(Box::pin(self.after(before, &mut patience)).await?),
                None => Box::pin(self.flush()).await?,
            }
        }
    }

    /// Where a write of this key goes.
    pub(super) async fn aim_at_key<T>(
        self: &Arc<Self>,
        key: &str,
        take: impl FnOnce(&mut State) -> T,
    ) -> Result<(Aim, T), SessionError> {
        self.aim(Some(Wanted::Key(key)), take).await
    }

    /// Where everything goes that is buffered, once nothing is in hand that would have to be stored with it.
    pub(super) async fn aim_buffered(self: &Arc<Self>) -> Result<Buffered, SessionError> {
        let (mut patience, mut others) = (Patience::default(), Ok(()));
        loop {
            let before = {
                let mut state = self.state.lock();
                match state.hands.watch(Wanted::Answers) {
                    Some(watched) => Before::InHand(watched),
                    None if !state.view.has_changes() => {
                        state.check_kept()?;
                        return others
                            .and(state.hands.tell_untold())
                            .map(|()| Buffered { aimed: None, others: Ok(()) });
                    }
                    None => match self.aim_buffered_now(&mut state)? {
                        Ok(aimed) => {
                            let others = others.and(state.hands.tell_untold());
                            return Ok(Buffered { aimed: Some(aimed), others });
                        }
                        Err(before) => before,
                    },
                }
            };
            // On the heap, because it hardly ever happens.
            others = Box::pin(self.answered(before, &mut patience)).await?.and(others);
        }
    }

    /// Taken in hand only where it can be begun at once: others wait for what is in hand, and who waits for room need not be polled.
    fn aim_buffered_now(self: &Arc<Self>, state: &mut State) -> Result<Result<Aimed, Before>, SessionError> {
        state.check_writable()?;
        state.check_kept()?;
        let Some(room) = self.engine().tasks.room_now() else { return Ok(Err(Before::Room)) };
        Ok(match self.aim_now(state)? {
            Ok(Aim::At(target)) => {
                let beside = UnderWay::beside_at_once(self, state, room);
                Ok((Some(target), beside, InHand::all(self, state)))
            }
            Ok(Aim::Start(turn)) => Ok((None, turn, InHand::all(self, state))),
            Err(before) => Err(before),
        })
    }

    /// Of one that can be written to.
    fn aim_now(self: &Arc<Self>, state: &mut State) -> Result<Result<Aim, Before>, SessionError> {
        Ok(match state.write_target(&self.engine().settings)? {
            Some(target) => Ok(Aim::At(target)),
            None => UnderWay::alone(self, state).map(Aim::Start),
        })
    }

    /// Where a write is to be made anew that was refused because the session is gone from where it was aimed at: under the id that
    /// another call of this request gave it meanwhile, as if it had been asked for after that. `None`: the session is over.
    pub(super) async fn aim_after(self: &Arc<Self>, missed: &Known) -> Result<Option<Target>, SessionError> {
        if self.has_moved(missed).await { self.write_target() } else { Ok(None) }
    }

    /// Whether the session that a call found gone is under another id by now, which another call of this request gave it: the call is
    /// made anew then, as if it had been asked for after that. Whoever asks has nothing that a change of id waits for.
    pub(super) async fn has_moved(&self, missed: &Known) -> bool {
        self.id_changed().await;
        let state = self.state.lock();
        state.is_at(missed) && state.key() != Some(missed.key)
    }

    /// Starts a session with these changes, which an awaited write made of what it has in hand.
    pub(super) async fn start_with(
        self: &Arc<Self>,
        turn: UnderWay,
        changes: Changes,
        consumed: Option<Box<InHand>>,
    ) -> Result<(), SessionError> {
        let shared = Arc::clone(self);
        let ticket = consumed.as_ref().and_then(|consumed| consumed.ticket());
        let started = self.detached_id_change(turn, async move {
            let started = shared.start(changes.apply(&Payload::empty()), &changes).await;
            consumed.into_iter().for_each(|consumed| consumed.stored_if(&started));
            started
        });
        self.told(ticket, started.await)
    }
}
