//! What all handles of one request share.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::sync::Notify;

use super::SessionHandle;
use super::changes::Changes;
use super::hands::{Hands, Ticket};
use super::own_lease::LeaseState;
use super::view::View;
use crate::engine::{Engine, Found, HeldLease, Known};
use crate::error::{ErrorKind, SessionError};
use crate::ids::{SessionId, StoreKey};
use crate::manager::SessionManager;
use crate::payload::Payload;
use crate::request::{RequestFacts, RequestHead};
use crate::store::Snapshot;

/// One request's session, opened or not.
pub(crate) struct Shared {
    pub(crate) manager: SessionManager,
    pub(crate) request: RequestFacts,
    /// Whether anything asked for the session: the response then depends on it.
    pub(super) asked: AtomicBool,
    /// The session of another layer further out, with a cookie of its own.
    outer: OnceLock<SessionHandle>,
    pub(crate) state: LazyState,
    /// Elsewhere, because hardly a request waits, and each carries its `Shared` along.
    pub(super) waiting: OnceLock<Box<Waiting>>,
}

/// Where those wait that one future of a request keeps waiting.
#[derive(Default)]
pub(super) struct Waiting {
    /// For whoever loads the session, or gave that up.
    pub(super) loaded: Notify,
    /// For changes of id that are under way.
    pub(super) id_settled: Notify,
    /// For whoever asks for the lease.
    pub(super) lease_settled: Notify,
}

/// The state, which is made when somebody looks at it: most of a `Shared` is state, and a request that leaves its session alone
/// neither writes that nor takes it apart.
#[derive(Default)]
pub(crate) struct LazyState(Mutex<Option<State>>);

impl LazyState {
    pub(crate) fn lock(&self) -> MappedMutexGuard<'_, State> {
        MutexGuard::map(self.0.lock(), |state| state.get_or_insert_with(State::new))
    }
}

pub(crate) struct State {
    /// It was loaded.
    pub(super) opened: bool,
    /// Somebody is loading it.
    pub(super) loading: bool,
    pub(crate) identity: Identity,
    pub(crate) view: View,
    pub(crate) tell: Tell,
    pub(crate) phase: Phase,
    /// The idle deadline does not slide.
    pub(crate) background: bool,
    /// An id was presented that has moved: a logout follows it.
    pub(crate) moved: Option<StoreKey>,
    pub(crate) lease: LeaseState,
    /// Changes of id under way.
    pub(super) id_changes: usize,
    /// One of them issues an id: it starts the session, or gives it another one.
    pub(super) issuing_id: bool,
    /// A commit of this request has slid the idle deadline, or did not have to, as the session was seen a moment ago.
    pub(crate) slid: bool,
    /// The id to be told was learned from a grace, not issued by this request: another one may have replaced it since.
    pub(crate) learned: bool,
    /// The store confirmed, at the end of the handler, that the session lives under its key.
    pub(crate) confirmed: bool,
    /// The handler is done and what it buffered is being committed.
    pub(crate) finishing: bool,
    /// What was buffered and is in hand, some of it perhaps in that commit or the one at the body's end.
    pub(super) hands: Hands,
    /// It is in that commit, which is not answered.
    pub(super) committing: Option<Ticket>,
    /// Something that was buffered came to nothing, for this reason, and whoever had buffered it was not told.
    pub(super) unsaved: Option<ErrorKind>,
    /// An awaited call of this request was made: what it stored stands, so the request cannot be run again.
    pub(crate) awaited: bool,
}

/// Whose session it is, as far as this request knows.
pub(crate) enum Identity {
    /// No session exists: the first write makes one.
    Nobody,
    /// This one.
    Known(Known),
    /// The store could not be asked, and the settings say to go on without.
    Unreachable,
}

/// What the response tells the client about its id.
#[derive(Debug, Clone, Default)]
pub(crate) enum Tell {
    /// Nothing changed.
    #[default]
    Nothing,
    /// The id it must use from now on.
    Id(SessionId),
    /// Forget the id: a session was ended.
    Forget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The handler runs.
    Handling,
    /// The response's head has left; its body may still stream.
    HeadSent,
    /// The request is over.
    Over,
}

impl State {
    fn new() -> Self {
        State {
            opened: false,
            loading: false,
            identity: Identity::Nobody,
            view: View::new(Payload::empty(), 0),
            tell: Tell::Nothing,
            phase: Phase::Handling,
            background: false,
            moved: None,
            lease: LeaseState::None,
            id_changes: 0,
            issuing_id: false,
            slid: false,
            learned: false,
            confirmed: false,
            finishing: false,
            hands: Hands::default(),
            committing: None,
            unsaved: None,
            awaited: false,
        }
    }

    pub(crate) fn known(&self) -> Option<&Known> {
        match &self.identity {
            Identity::Known(known) => Some(known),
            _ => None,
        }
    }

    pub(crate) fn key(&self) -> Option<StoreKey> {
        self.known().map(|k| k.key)
    }

    /// Whether the handler is done, and its response is being put together.
    pub(super) fn is_closing(&self) -> bool {
        self.finishing && self.phase == Phase::Handling
    }

    /// From here on the session goes on in merge mode.
    pub(super) fn end_handling(&mut self) {
        if self.phase == Phase::Handling {
            self.phase = Phase::HeadSent;
        }
    }

    /// Takes over the session that was found for the only id that was presented, before anything else happened here.
    #[inline]
    pub(super) fn opened_at(&mut self, known: Known) {
        self.view.began(known.record.payload.clone(), known.record.epoch, &Changes::default());
        self.identity = Identity::Known(known);
    }

    /// Takes over what was found for the ids that were presented. A lease that comes when the head has left is not wanted any
    /// more, for nobody would give it back before the last handle is gone: it is handed back, to be dropped when the state
    /// is not locked.
    pub(super) fn found(&mut self, found: Found) -> Option<Box<HeldLease>> {
        self.moved = found.moved;
        if let Some(known) = found.known {
            self.view.reset(known.record.payload.clone(), known.record.epoch);
            self.become_learned(known, found.tell);
        }
        if self.phase != Phase::Handling {
            return found.held;
        }
        if let Some(held) = found.held {
            self.lease = LeaseState::Mode(held);
        }
        None
    }

    /// Whether the session of this request is still the one that a call was aimed at: while its answer was on its way another
    /// call may have ended that one, and a third one have started another.
    pub(super) fn is_at(&self, aimed: &Known) -> bool {
        self.known().is_some_and(|known| known.key == aimed.key || known.record.id == aimed.record.id)
    }

    /// Whether this answer to a call that was aimed at the session is older than what another call has been answered since.
    pub(super) fn is_late(&self, aimed: &Known, answer: &Snapshot) -> bool {
        self.known().map(|known| known.record.version).is_some_and(|version| {
            version != aimed.record.version && answer.record.version.counter < version.counter
        })
    }

    /// Takes over what a commit stored in the session that it was aimed at.
    pub(super) fn landed(
        &mut self,
        aimed: &Known,
        at: Option<(SessionId, StoreKey)>,
        snapshot: Snapshot,
        written: &Changes,
    ) {
        if !self.is_at(aimed) {
            return;
        }
        if self.is_late(aimed, &snapshot) {
            self.view.was_written(written, &snapshot.record.payload);
        } else {
            self.stored(at, snapshot, written);
        }
    }

    /// Takes over what a commit has just stored.
    pub(super) fn stored(
        &mut self,
        at: Option<(SessionId, StoreKey)>,
        snapshot: Snapshot,
        written: &Changes,
    ) {
        self.view.refresh(snapshot.record.payload.clone(), snapshot.record.epoch, written);
        self.slid |= !self.background;
        self.confirmed |= self.finishing;
        match (at, &mut self.identity) {
            (Some((id, key)), _) => self.become_learned(Known::new(id, key, snapshot), true),
            (None, Identity::Known(known)) => known.update(snapshot),
            (None, Identity::Nobody | Identity::Unreachable) => {}
        }
    }

    /// Takes over what the session was found to be that was asked for, and forgets what was read and buffered.
    pub(super) fn reloaded(&mut self, asked: &Known, snapshot: Snapshot) {
        if !self.is_at(asked) {
            return;
        }
        let late = self.is_late(asked, &snapshot);
        if let Identity::Known(known) = &mut self.identity {
            if !late {
                known.update(snapshot);
            }
            self.view.reset(known.record.payload.clone(), known.record.epoch);
        }
    }

    /// A session was started for this request, with what was buffered.
    pub(crate) fn started(&mut self, known: Known) {
        self.started_with(known, &Changes::default());
    }

    /// As [`started`](State::started), with these changes.
    pub(super) fn started_with(&mut self, known: Known, written: &Changes) {
        self.view.began(known.record.payload.clone(), known.record.epoch, written);
        self.slid = true;
        self.confirmed |= self.finishing;
        self.become_known(known, true);
    }

    /// The session of this request is this one now, under an id that the request itself issued or that the client knows.
    pub(crate) fn become_known(&mut self, known: Known, tell: bool) {
        if tell {
            self.tell = Tell::Id(known.id.clone());
            self.learned = false;
        }
        let moved = self.key() != Some(known.key);
        if let Some(held) = self.lease.held_mut()
            && moved
        {
            held.moved(known.key);
        }
        self.identity = Identity::Known(known);
    }

    /// The session of this request is this one; the client came with an old id of it, in its grace.
    pub(crate) fn become_learned(&mut self, known: Known, tell: bool) {
        self.become_known(known, tell);
        self.learned |= tell;
    }

    /// There is no session any more; a later write starts another one.
    pub(crate) fn become_nobody(&mut self) {
        self.identity = Identity::Nobody;
        // Whatever id was to be told leads nowhere now.
        (self.tell, self.learned) = (Tell::Nothing, false);
        self.view.emptied();
        self.hands.forget_untold();
        if let Some(held) = self.lease.held_mut() {
            held.nothing_to_release();
        }
    }

    /// Whether a handler can start a session or change its id: both need a head to tell the client in. Once the handler is
    /// done that is being put together, and nobody waits any more for what a task of it begins now.
    pub(crate) fn check_head(&self) -> Result<(), SessionError> {
        match self.phase {
            Phase::Handling if !self.finishing => Ok(()),
            Phase::Handling | Phase::HeadSent | Phase::Over => Err(SessionError::new(ErrorKind::HeadSent)),
        }
    }

    /// Whether the session can be written to at all.
    pub(crate) fn check_writable(&self) -> Result<(), SessionError> {
        match (&self.identity, self.phase) {
            (Identity::Unreachable, _) => Err(SessionError::new(ErrorKind::Unavailable)),
            (Identity::Nobody, _) | (_, Phase::Over) => self.check_head(),
            (Identity::Known(_), _) => Ok(()),
        }
    }
}

impl Shared {
    #[inline]
    pub(crate) fn new(manager: SessionManager, head: RequestHead<'_>, peer: Option<SocketAddr>) -> Arc<Self> {
        let request = RequestFacts::of(head, peer, &manager.0.http);
        Arc::new(Shared {
            manager,
            request,
            asked: AtomicBool::new(false),
            outer: OnceLock::new(),
            state: LazyState::default(),
            waiting: OnceLock::new(),
        })
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.manager.0.engine
    }

    pub(super) fn waiting(&self) -> &Waiting {
        self.waiting.get_or_init(Box::default)
    }

    /// Completes when this holds, which is looked at again whenever it is told there.
    pub(super) async fn until(&self, told: fn(&Waiting) -> &Notify, holds: fn(&State) -> bool) {
        loop {
            // Registered before it is looked: nothing that is told is missed.
            let mut change = pin!(told(self.waiting()).notified());
            change.as_mut().enable();
            if holds(&self.state.lock()) {
                return;
            }
            change.await;
        }
    }

    #[cfg(feature = "tower")]
    pub(crate) fn set_outer(&self, outer: SessionHandle) {
        // What one of the two layers commits stands when the other one fails.
        outer.0.state.lock().awaited = true;
        // Each request passes a layer once.
        let _ = self.outer.set(outer);
    }

    pub(crate) fn outer(&self) -> Option<&SessionHandle> {
        self.outer.get()
    }

    /// Whether anything asked for the session.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Whether nobody asked for the session, and nobody can any more: only the adapter holds it.
    #[cfg(feature = "tower")]
    pub(crate) fn is_left_alone(self: &Arc<Self>) -> bool {
        // Whoever had it before let go of it, which is seen with all that they did.
        Arc::strong_count(self) == 1 && {
            std::sync::atomic::fence(Ordering::Acquire);
            !self.is_asked()
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().opened
    }
}
