//! Changing who the session belongs to and under which id it goes, and ending it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::aim::Target;
use super::hands::{Patience, Wanted};
use super::id_changes::UnderWay;
use super::in_hand::InHand;
use super::leased::Shown;
use super::shared::{Identity, State, Tell};
use super::{Session, Shared};
use crate::engine::{Binding, IdChange, Known, Moved};
use crate::error::{ErrorKind, SessionError};
use crate::ids::UserId;
use crate::payload::Payload;
use crate::record::Record;
use crate::store::{EndCause, Ended};

impl Session {
    /// Gives the session a new id and keeps its data. The old id is dead when this returns. What is buffered is
    /// committed in the same step, and stays buffered where that fails; what another call of the request is storing of it is waited
    /// for first, and answered for as well. Call it whenever privileges change;
    /// [`login`](Session::login) does it by itself.
    ///
    /// Without a session there is nothing to do: the first write makes a new id anyway. One store call.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// session.set("role", "editor")?;
    /// session.regenerate().await?; // whoever knows the old id has nothing any more
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Gone`](ErrorKind::Gone) when the session ended meanwhile, [`HeadSent`](ErrorKind::HeadSent),
    /// [`Conflict`](ErrorKind::Conflict) of what was buffered, and what the store can fail with.
    pub async fn regenerate(&self) -> Result<(), SessionError> {
        self.0.change_id(IdChange::Regenerate { keep_old_for: None }).await
    }

    /// As [`regenerate`](Session::regenerate), but the old id keeps an independent copy of the data for this long: for
    /// clients that lose the new cookie. Never for a session that is bound to a user. One store call.
    ///
    /// # Errors
    /// As [`regenerate`](Session::regenerate); [`Config`](ErrorKind::Config) for a session that is bound to a user.
    pub async fn regenerate_keeping_old_for(&self, keep: Duration) -> Result<(), SessionError> {
        let keep_old_for = (!keep.is_zero()).then_some(keep);
        self.0.change_id(IdChange::Regenerate { keep_old_for }).await
    }

    /// Signs `user` in: a new id, and both deadlines start again. An anonymous visitor's data is kept; a different
    /// user's is not. Starts a session if there is none. What is buffered is committed in the same step; what another call of
    /// the request is storing of it is waited for first, and answered for as well, as by [`regenerate`](Session::regenerate).
    /// One store call.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// // Once the password was right:
    /// session.login("ada").await?;
    /// assert_eq!(session.user().map(|user| user.as_str().to_owned()), Some("ada".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`regenerate`](Session::regenerate); [`TooLarge`](ErrorKind::TooLarge) for a user name that is empty or longer
    /// than [`UserId::MAX_LEN`].
    pub async fn login(&self, user: &str) -> Result<(), SessionError> {
        self.0.bind(user, true).await
    }

    /// As [`login`](Session::login), without restarting the deadlines: for a second factor, or a switch of role. One store
    /// call.
    ///
    /// # Errors
    /// As [`login`](Session::login).
    pub async fn bind_user(&self, user: &str) -> Result<(), SessionError> {
        self.0.bind(user, false).await
    }

    /// Ends the session: its data is gone when this returns, the cookie is expired, and no request in flight can bring
    /// it back, under this id or one it was given meanwhile. Twice is fine. A later `set` starts a new session. It
    /// does not wait for the session's lock. Where the request has begun to start a session, and gave that up or goes on with it
    /// beside, also with its last commit, that is waited for, and ended. One store call.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// session.destroy().await?; // the response expires the cookie
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the store can fail with; the session then lives on. A future that is dropped once it was polled ends the session all
    /// the same, unless it was waiting for room ([`Limits::background`](crate::Limits)).
    pub async fn destroy(&self) -> Result<(), SessionError> {
        let shared = Arc::clone(&self.0);
        let ended = self.0.engine().tasks.detach(async move {
            // As with `detached_beside`: not before it is begun.
            let _under_way = shared.ending().await?;
            shared.destroy().await
        });
        ended.await
    }

    /// Completes when the session has ended, wherever and however: for long-lived connections, which should close then. A
    /// session that has passed from one user to another ([`login`](Session::login), [`bind_user`](Session::bind_user)) has ended
    /// for the first one; that somebody logs in who was nobody before ends nothing.
    /// Never completes for a visitor without a session. At once for ends in this process, within two seconds for others:
    /// it costs one store call, a `load`, every two seconds while it is awaited.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let watched = self.0.state.lock().known().cloned();
        let engine = Arc::clone(self.0.engine());
        async move {
            match watched {
                // The id is held for a store that needs it in plain.
                Some(Known { id: _held, key, record, .. }) => {
                    engine.has_ended(record.id, key, record.user.clone()).await;
                }
                None => std::future::pending().await,
            }
        }
    }
}

impl Shared {
    async fn bind(self: &Arc<Self>, user: &str, restart: bool) -> Result<(), SessionError> {
        let user = UserId::new(user).ok_or_else(|| {
            SessionError::because(
                ErrorKind::TooLarge,
                format!("a user name has between 1 and {} bytes", UserId::MAX_LEN),
            )
        })?;
        let binding = Binding { user, device: self.request.device() };
        self.change_id(IdChange::Login { binding, restart }).await
    }

    async fn change_id(self: &Arc<Self>, change: IdChange) -> Result<(), SessionError> {
        let settings = &self.engine().settings;
        let take = |state: &mut State| (state.write_target(settings), InHand::all(self, state));
        let (turn, (target, taken), others) = self.id_turn(take).await?;
        let target = target?;
        let (shared, ticket) = (Arc::clone(self), taken.ticket());
        let changed =
            self.detached_id_change(turn, async move { shared.change_id_now(change, target, taken).await });
        self.told(ticket, changed.await).and(others)
    }

    async fn change_id_now(
        self: &Arc<Self>,
        change: IdChange,
        target: Option<Target>,
        taken: InHand,
    ) -> Result<(), SessionError> {
        let (changes, epoch) = (taken.changes(), taken.epoch());
        let Some(Target { known, proof, slide }) = target else {
            let started = self.start_as(changes.apply(&Payload::empty()), change).await;
            taken.stored_if(&started);
            return started;
        };
        let moved = {
            let merge = |record: &Record, rule| self.merged(changes, record, epoch, rule);
            let own = Shown::new(self, proof);
            let renamed = pin!(self.engine().rename(&known, proof, &own, &change, slide, merge));
            self.under_lease(&own, renamed).await?
        };
        match moved {
            Moved::To(mut now) | Moved::ByOther(mut now) => {
                let durable = now.take_doubt();
                let mut state = self.state.lock();
                if !state.is_at(&known) {
                    // Another call of this request has ended the session, under whatever id it had by then.
                    return Err(SessionError::new(ErrorKind::Gone));
                }
                let record = &now.record;
                if record.epoch != epoch {
                    // Another user, or cleared: nothing that was read before is comparable.
                    state.view.forget_reads();
                }
                state.view.refresh(record.payload.clone(), record.epoch, changes);
                state.slid = true;
                state.become_known(now, true);
                drop(state);
                taken.stored_if(&durable);
                durable
            }
            Moved::Busy | Moved::Ended => Err(SessionError::new(ErrorKind::Gone)),
        }
    }

    /// There is no session yet: a new one has a new id anyway.
    async fn start_as(self: &Arc<Self>, payload: Payload, change: IdChange) -> Result<(), SessionError> {
        let bind = match change {
            IdChange::Login { binding, .. } => Some(binding),
            IdChange::Regenerate { .. } | IdChange::Renew if payload.is_empty() => return Ok(()),
            IdChange::Regenerate { .. } | IdChange::Renew => None,
        };
        let mut known = self.engine().create(payload, bind).await?;
        let durable = known.take_doubt();
        self.state.lock().started(known);
        durable
    }

    /// The end of the session is under way. It does not wait for a login or a new id of a session that is under way, which may wait
    /// for the session's lock: what comes of that ends with it. The request's last commit is waited for where that starts a session,
    /// which nothing leads to before it is there; while the end is under way, that commit would wait for it.
    async fn ending(self: &Arc<Self>) -> Result<UnderWay, SessionError> {
        let mut patience = Patience::default();
        loop {
            let watched = {
                let mut state = self.state.lock();
                let starts = matches!(state.identity, Identity::Nobody) && state.committing.is_some();
                match if starts { state.hands.watch(Wanted::All) } else { None } {
                    Some(watched) => watched,
                    None => return Ok(UnderWay::beside(self, &mut state)),
                }
            };
            // On the heap, because it hardly ever happens.
            let _ = Box::pin(self.settled(watched, &mut patience)).await?;
        }
    }

    async fn destroy(self: &Arc<Self>) -> Result<(), SessionError> {
        let (known, moved) = loop {
            {
                let mut state = self.state.lock();
                state.view.discard_changes();
                match &state.identity {
                    Identity::Unreachable => return Err(SessionError::new(ErrorKind::Unavailable)),
                    // Nothing leads to the session that is being started before it is there.
                    Identity::Nobody if state.issuing_id => {}
                    Identity::Nobody | Identity::Known(_) => break (state.known().cloned(), state.moved),
                }
            }
            // On the heap, because it hardly ever happens.
            Box::pin(self.id_changed()).await;
        };
        let Some(key) = known.as_ref().map(|known| known.key).or(moved) else { return Ok(()) };
        let (ended, durable) = match self.engine().end(key, EndCause::Destroyed).await {
            Ok(ended) => (ended, Ok(())),
            // It is over all the same.
            Err(error) if error.kind() == ErrorKind::Undurable => (Ended::Ended(None), Err(error)),
            Err(error) => return Err(error),
        };
        let mut state = self.state.lock();
        let gone = match &known {
            Some(known) => state.is_at(known),
            None => state.known().is_none() && state.moved == moved,
        };
        if !gone {
            // Another call of this request has ended it as well, and told so.
            return durable;
        }
        state.become_nobody();
        state.moved = None;
        state.tell = match ended {
            Ended::Ended(_) => Tell::Forget,
            // Somebody else ended it: whoever did has told the client, or it will find out.
            Ended::NotLive => Tell::Nothing,
        };
        durable
    }
}
