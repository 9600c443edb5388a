//! Opening a request's session: at once where that is possible, else with the store's answer, and the lease of exclusive mode.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::changes::Changes;
use super::own_lease::{AskedBy, Asking, LeaseState};
use super::shared::{Identity, Phase};
use crate::engine::{FirstLoad, Known, NoLease};
use crate::error::{ErrorKind, SessionError};
use crate::settings::{Mode, OnUnavailable};
use crate::store::{Ending, Loaded, StoreFuture};

/// What came of opening a session without waiting.
pub(crate) enum AtOnce {
    Done(Result<(), SessionError>),
    /// Go on with [`Shared::open_later`], with the load that was begun.
    Wait(Option<Box<FirstLoad>>),
}

impl Shared {
    /// Opens the session, however long it takes.
    pub(crate) async fn ensure_open(self: &Arc<Self>, writes: bool) -> Result<(), SessionError> {
        match self.open_at_once(writes) {
            AtOnce::Done(done) => done,
            AtOnce::Wait(first) => Box::pin(self.open_later(writes, first)).await,
        }
    }

    /// Opens the session without waiting, where that is possible: there is no id to look up, or the store answers at once.
    /// Keeps everything that may have to wait out of the futures of handlers.
    pub(crate) fn open_at_once(&self, writes: bool) -> AtOnce {
        let engine = self.engine();
        if writes && engine.settings.mode == Mode::Exclusive {
            return AtOnce::Wait(None);
        }
        let mut state = self.state.lock();
        if state.opened {
            return AtOnce::Done(Ok(()));
        }
        // Written under the lock only, so that it need not be exchanged.
        if self.asked.load(Ordering::Relaxed) {
            // Another handle of this request is at it, or was refused before.
            return AtOnce::Wait(None);
        }
        self.asked.store(true, Ordering::Release);
        let ids = match self.request.candidates() {
            Ok(ids) => ids,
            Err(error) => return AtOnce::Done(Err(error)),
        };
        if ids.is_empty() {
            engine.metrics.opened.one();
        } else {
            let Some(one) = ids.single() else { return AtOnce::Wait(None) };
            let key = one.store_key();
            let later = |answer| AtOnce::Wait(Some(Box::new(FirstLoad { key, answer })));
            match engine.store.load(key).try_ready() {
                Ok(Ok(Loaded::Live(snapshot))) if !snapshot.record.is_expired(snapshot.now) => {
                    engine.metrics.opened.one_at_once();
                    state.opened_at(Known::proven(one, key, snapshot));
                }
                // What is no session is told to subscribers, and they may look at this one: not while it is locked.
                Ok(other) => return later(StoreFuture::ready(other)),
                Err(pending) => return later(pending),
            }
        }
        // `asked` let one through.
        state.opened = true;
        drop(state);
        engine.note_opened(ids);
        AtOnce::Done(Ok(()))
    }

    /// Loads the session, once; takes its lease when exclusive mode asks for it and `writes` is set. `first` is a load that
    /// was begun.
    pub(crate) async fn open_later(
        self: &Arc<Self>,
        writes: bool,
        first: Option<Box<FirstLoad>>,
    ) -> Result<(), SessionError> {
        let exclusive = writes && self.engine().settings.mode == Mode::Exclusive;
        self.load_once(exclusive, first).await?;
        if exclusive {
            Box::pin(self.upgrade()).await?;
        }
        Ok(())
    }

    pub(super) async fn load(
        self: &Arc<Self>,
        exclusive: bool,
        first: Option<Box<FirstLoad>>,
    ) -> Result<(), SessionError> {
        // The head gives the lease back: once it has left, a body or a task goes on in merge mode.
        let exclusive = {
            let state = self.state.lock();
            exclusive && state.phase == Phase::Handling
        };
        let engine = self.engine();
        let first = first.map(|first| *first);
        let found = match engine.open(self.request.candidates()?, exclusive, first).await {
            Ok(found) => found,
            Err(error)
                if error.kind() == ErrorKind::Unavailable
                    && engine.settings.on_unavailable == OnUnavailable::Anonymous =>
            {
                let mut state = self.state.lock();
                state.identity = Identity::Unreachable;
                state.opened = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut state = self.state.lock();
        let unwanted = state.found(found);
        state.opened = true;
        drop(state);
        drop(unwanted);
        Ok(())
    }

    /// The session was opened without its lease (read only, or after the head); exclusive mode wants it now.
    async fn upgrade(self: &Arc<Self>) -> Result<(), SessionError> {
        let (mut asking, asked) = loop {
            let session = {
                let mut state = self.state.lock();
                match (&state.identity, &state.lease, state.phase) {
                    (Identity::Known(known), LeaseState::None, Phase::Handling) => {
                        let known = known.clone();
                        break (Asking::begin(self, &mut state, AskedBy::Mode, known.key), known);
                    }
                    (Identity::Known(_), LeaseState::AskedFor(_, session), Phase::Handling) => *session,
                    _ => return Ok(()),
                }
            };
            self.lease_settled(session).await?;
        };
        let engine = self.engine();
        let taken = engine.acquire_known(&asked.id, asked.key).await?;
        let (held, known, told) = match taken {
            Ok(taken) => taken,
            Err(why) => {
                let buffered = {
                    let state = self.state.lock();
                    state.is_at(&asked) && state.view.has_changes()
                };
                if buffered {
                    // They stay buffered after an error: the response's commit knows what to do with them.
                    engine.drop_buffered(&why, &asked).await?;
                }
                let mut state = self.state.lock();
                if state.is_at(&asked) {
                    if state.view.has_changes() {
                        state.unsaved = Some(ErrorKind::Gone);
                    }
                    state.become_nobody();
                    if matches!(why, NoLease::Ended(Ending::Moved { .. })) {
                        state.moved = Some(asked.key);
                    }
                }
                return Ok(());
            }
        };
        let mut unwanted = None;
        let mut state = self.state.lock();
        // Another handle of this request may have ended the session, or the head have left; then this one is given back.
        if state.phase == Phase::Handling && state.is_at(&asked) {
            state.view.refresh(known.record.payload.clone(), known.record.epoch, &Changes::default());
            state.become_learned(known, told.is_some());
            asking.granted(&mut state, LeaseState::Mode(Box::new(held)));
        } else {
            unwanted = Some(held);
        }
        drop(state);
        drop(unwanted);
        Ok(())
    }
}
