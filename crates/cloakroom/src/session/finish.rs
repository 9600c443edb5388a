//! The end of a request: the commit point before the response's head, and the one at the end of its body.

use std::sync::Arc;

use super::Shared;
use super::shared::{Identity, LeaseState, Phase, State, Tell};
use super::view::Changes;
use crate::engine::{Effect, IdChange, Known, Moved, WriteKind};
use crate::error::SessionError;
use crate::record::Record;
use crate::store::{Loaded, Touch, Touched};

/// How the handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandlerEnd {
    /// With a response whose changes are wanted.
    Completed,
    /// With a response that takes its changes back: a 5xx, or a panic.
    Failed,
}

impl Shared {
    /// Whether [`finish`](Shared::finish) has anything to do that the store must be asked for.
    pub(crate) fn must_finish(&self, end: HandlerEnd) -> bool {
        let state = self.state.lock();
        state.id_changes > 0
            || state.learned
            || matches!(state.lease, LeaseState::Mode(_))
            || (end == HandlerEnd::Completed
                && (state.view.has_changes()
                    || self.renewal_due(state.known())
                    || self.cookie_slides(&state)))
    }

    /// Commits what is buffered, renews the id if it is due, gives the lease back. After it the head may leave.
    pub(crate) async fn finish(self: Arc<Self>, end: HandlerEnd) -> Result<(), SessionError> {
        // From here on the handler counts as finished: a client that hangs up takes nothing of it back.
        self.state.lock().finishing = true;
        self.settle_ids().await;
        let committed = match end {
            HandlerEnd::Failed => {
                self.state.lock().view.discard_changes();
                Ok(())
            }
            HandlerEnd::Completed => self.commit_point().await,
        };
        if committed.is_ok() {
            self.confirm(end).await;
        }
        let lease = {
            let mut state = self.state.lock();
            if matches!(state.lease, LeaseState::Mode(_)) {
                std::mem::take(&mut state.lease)
            } else {
                LeaseState::None
            }
        };
        drop(lease);
        committed
    }

    /// A response that took its time must not tell an id that another request has replaced meanwhile: it would overwrite
    /// the newer cookie. An id that this request did not issue itself is told only if the store has just confirmed it.
    async fn confirm(&self, end: HandlerEnd) {
        let (key, learned, slides) = {
            let state = self.state.lock();
            let slides = end == HandlerEnd::Completed && self.cookie_slides(&state);
            match state.key() {
                Some(key) if !state.confirmed && (state.learned || slides) => (key, state.learned, slides),
                _ => return,
            }
        };
        let engine = self.engine();
        let lives = if slides {
            let touch = Touch { key, idle: engine.settings.lifetime.idle };
            let touched = engine.call(Effect::Writes, engine.store.touch(touch)).await;
            matches!(touched, Ok(Touched::Touched { .. }))
        } else {
            matches!(engine.call(Effect::Reads, engine.store.load(key)).await, Ok(Loaded::Live(_)))
        };
        let mut state = self.state.lock();
        if lives && slides {
            engine.metrics.touches.one();
        }
        state.confirmed = lives;
        state.slid |= lives && slides;
        if learned && !lives {
            // Until it is told, the old id goes on for the rest of its grace; then this visitor starts anew.
            state.tell = Tell::Nothing;
        }
    }

    /// Whether the cookie has a lifetime of its own that is to slide along with the session's.
    fn cookie_slides(&self, state: &State) -> bool {
        self.manager.http.persistent && (state.slid || self.touch_due(state))
    }

    /// The response is about to leave: from here on the session runs in merge mode and no id can change.
    pub(crate) fn head_sent(self: &Arc<Self>, end: HandlerEnd) {
        let mut state = self.state.lock();
        if state.phase == Phase::Handling {
            state.phase = Phase::HeadSent;
        }
        if end == HandlerEnd::Failed {
            state.view.discard_changes();
        }
        drop(state);
        self.touch_if_due();
    }

    /// Whether the session was asked for, and what the response tells the client of it. A cookie with a lifetime of its own
    /// is told anew when the session's has slid.
    pub(crate) fn told(&self) -> (bool, Tell) {
        let state = self.state.lock();
        let again = state.confirmed && self.manager.http.persistent;
        let tell = match (&state.tell, state.known()) {
            (Tell::Nothing, Some(known)) if again => Tell::Id(known.id.clone()),
            (tell, _) => tell.clone(),
        };
        (state.asked, tell)
    }

    /// What a response tells that stands in for a failed one: only an id that this request changed for good.
    pub(crate) fn told_after_failure(&self) -> Tell {
        let state = self.state.lock();
        if state.learned { Tell::Nothing } else { state.tell.clone() }
    }

    /// Commits what the streaming of the body changed.
    pub(crate) async fn finish_body(self: Arc<Self>) -> Result<(), SessionError> {
        let committed = self.commit_buffered(WriteKind::Buffered).await;
        self.state.lock().phase = Phase::Over;
        committed
    }

    pub(crate) fn has_changes(&self) -> bool {
        self.state.lock().view.has_changes()
    }

    /// The request was dropped, or its body cut: what is buffered is discarded, its lease given back.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        if state.finishing && state.phase == Phase::Handling {
            // Its commit is under way, needs the lease, and gives it back.
            return;
        }
        state.phase = Phase::Over;
        state.view.discard_changes();
        let lease = if matches!(state.lease, LeaseState::Mode(_)) {
            std::mem::take(&mut state.lease)
        } else {
            LeaseState::None
        };
        drop(state);
        drop(lease);
    }

    /// Waits for changes of id that the handler began and no longer awaits: the client must be told of them.
    async fn settle_ids(&self) {
        loop {
            let settled = self.id_settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.state.lock().id_changes == 0 {
                return;
            }
            settled.await;
        }
    }

    async fn commit_point(self: &Arc<Self>) -> Result<(), SessionError> {
        let (changes, epoch, renew, release) = {
            let mut state = self.state.lock();
            let renew = state.phase == Phase::Handling && self.renewal_due(state.known());
            let release = match &state.lease {
                LeaseState::Mode(held) => held.releases_with_write(),
                _ => false,
            };
            (state.view.take_changes(), state.view.epoch(), renew, release)
        };
        if renew && self.renew(&changes, epoch).await? {
            return Ok(());
        }
        if changes.is_empty() {
            return Ok(());
        }
        let before = self.state.lock().known().map(|k| k.record.version);
        let committed = self.commit_changes(changes, epoch, WriteKind::Buffered, release).await;
        let mut state = self.state.lock();
        let wrote = before != state_version(&state.identity);
        if release && let LeaseState::Mode(held) = &mut state.lease {
            match &committed {
                // Given back in the same step as the write, if there was one.
                Ok(()) if wrote => held.nothing_to_release(),
                Ok(()) => {}
                Err(e) if e.kind() == crate::ErrorKind::Unknown => held.mark_unresolved(),
                Err(_) => {}
            }
        }
        drop(state);
        committed
    }

    /// Replaces an id that is due, together with the changes. `true` when the changes are stored with it.
    async fn renew(self: &Arc<Self>, changes: &Changes, epoch: u32) -> Result<bool, SessionError> {
        let (known, proof, slide) = self.target()?;
        let Some(known) = known else { return Ok(false) };
        let merge = |record: &Record, rule| self.merged(changes, record, epoch, rule);
        let moved = match self.engine().rename(&known, proof, &IdChange::Renew, slide, merge).await {
            Ok(moved) => moved,
            // A visitor who only reads need not suffer from a renewal that fails: the next request tries again.
            Err(error) if changes.is_empty() => {
                tracing::warn!(target: "cloakroom", %error, "a session id that is due could not be renewed");
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let mut state = self.state.lock();
        match moved {
            Moved::To(known) => {
                state.view.refresh(known.record.payload.clone(), known.record.epoch, changes);
                state.slid = true;
                state.confirmed = true;
                state.become_known(known, true);
                Ok(true)
            }
            Moved::ByOther(known) => {
                state.confirmed = true;
                state.become_learned(known, true);
                Ok(false)
            }
            // With changes, the commit finds out what became of the session; without, it is no matter.
            Moved::Busy | Moved::Ended => Ok(false),
        }
    }

    fn renewal_due(&self, known: Option<&Known>) -> bool {
        known.is_some_and(|k| self.engine().settings.lifetime.renewal.is_some() && k.now >= k.record.renew_at)
    }

    /// Slides the idle deadline when a set part of the idle time has passed since it was last slid. Detached.
    fn touch_if_due(self: &Arc<Self>) {
        let engine = self.engine();
        let settings = &engine.settings;
        let key = {
            let state = self.state.lock();
            match state.key() {
                Some(key) if self.touch_due(&state) => key,
                _ => return,
            }
        };
        let answer = engine.store.touch(Touch { key, idle: settings.lifetime.idle });
        let task = Arc::clone(engine);
        match answer.try_ready() {
            Ok(answer) => {
                if matches!(answer, Ok(Touched::Touched { .. })) {
                    engine.metrics.touches.one();
                }
            }
            Err(pending) => {
                engine.tasks.spawn(async move {
                    if let Ok(Touched::Touched { .. }) = task.call(Effect::Writes, pending).await {
                        task.metrics.touches.one();
                    }
                });
            }
        }
    }

    fn touch_due(&self, state: &State) -> bool {
        let settings = &self.engine().settings;
        let due = |k: &Known| k.now >= k.record.last_seen.after(settings.touch_threshold());
        !state.slid && !state.background && state.known().is_some_and(due)
    }
}

fn state_version(identity: &Identity) -> Option<crate::record::Version> {
    match identity {
        Identity::Known(known) => Some(known.record.version),
        _ => None,
    }
}
