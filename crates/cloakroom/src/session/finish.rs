//! The end of a request: the commit point before the response's head, and the one at the end of its body.

use std::pin::pin;
use std::sync::Arc;

use super::Shared;
use super::aim::Target;
use super::changes::{Changes, KeyConflict, Merged};
use super::given_up::Finishing;
use super::hands::came;
use super::leased::{Shown, Then};
use super::own_lease::LeaseState;
use super::shared::{Identity, Phase, State, Tell};
use super::underneath::TakenOut;
use crate::engine::{
    Effect, Engine, FirstCommit, FirstCreate, IdChange, Known, Landed, Moved, Tried, WriteKind,
};
use crate::error::{ErrorKind, SessionError};
use crate::ids::StoreKey;
use crate::payload::Payload;
use crate::record::Record;
use crate::store::{Loaded, StoreError, Touch, Touched};

/// How the handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandlerEnd {
    /// With a response whose changes are wanted.
    Completed,
    /// With a response that takes its changes back: a 5xx, or a panic.
    Failed,
}

/// What is left to do when the handler is done.
pub(crate) enum Left {
    /// Nothing: everything is committed, and this is what the head says.
    Head { asked: bool, tell: Tell },
    /// Something that may have to wait: [`Shared::finish`].
    Finish(Option<Begun>),
    /// The changes cannot be committed.
    Failed(SessionError),
}

/// A commit point that was begun and not answered at once.
pub(crate) struct Begun {
    changes: TakenOut,
    epoch: u32,
    first: First,
}

enum First {
    Commit(FirstCommit),
    Create(Box<FirstCreate>),
}

/// What came of a commit point without waiting.
#[expect(clippy::large_enum_variant, reason = "looked at once, where it was made")]
enum AtOnce {
    /// It is done, and so many keys were overwritten.
    Done(usize),
    Begun(Begun),
    Failed(SessionError),
    /// What was read and then written was changed meanwhile.
    Conflict(KeyConflict),
}

impl AtOnce {
    fn begun(changes: Changes, epoch: u32, first: First) -> Self {
        AtOnce::Begun(Begun { changes: TakenOut::Unseen(changes), epoch, first })
    }
}

impl Shared {
    /// Does all of a request's end that can be done without waiting. With a store that answers at once that is nearly
    /// always all of it.
    pub(crate) fn settle(self: &Arc<Self>, end: HandlerEnd) -> Left {
        let mut state = self.state.lock();
        let completed = end == HandlerEnd::Completed;
        if state.id_changes > 0
            || state.learned
            || state.lease.held().is_some()
            || !state.hands.owe_nothing()
            || (completed && (self.renewal_due(state.known()) || self.cookie_slides(&state)))
        {
            return Left::Finish(None);
        }
        let existed = state.known().is_some();
        let mut overwritten = 0;
        if completed && state.view.has_changes() {
            state.finishing = true;
            match self.try_commit(&mut state) {
                AtOnce::Done(keys) => overwritten = keys,
                AtOnce::Begun(mut begun) => {
                    begun.changes = self.take_up_last(&mut state, begun.changes.into_changes());
                    return Left::Finish(Some(begun));
                }
                AtOnce::Failed(error) => {
                    let telling = state.committed(Err(error.kind()));
                    drop(state);
                    telling.tell();
                    return Left::Failed(error);
                }
                AtOnce::Conflict(conflict) => {
                    let telling = state.committed(Err(ErrorKind::Conflict));
                    drop(state);
                    telling.tell();
                    return Left::Failed(self.refused(conflict, self.engine().merge_rule()));
                }
            }
        }
        let touch = self.leave(&mut state, end);
        let (asked, tell) = self.head(&state);
        let created = if existed { None } else { state.key() };
        drop(state);
        // Subscribers, those of the log too, may look at the session: not while it is locked.
        self.engine().note_overwritten(overwritten);
        self.touch(touch);
        if let Some(key) = created {
            self.engine().announce_created(key);
        }
        Left::Head { asked, tell }
    }

    /// Asks the store once to commit what is buffered; what is not answered at once is handed back.
    fn try_commit(self: &Arc<Self>, state: &mut State) -> AtOnce {
        let engine = self.engine();
        let (changes, epoch) = (state.view.take_changes(), state.view.epoch());
        let slide = (!state.background).then_some(engine.settings.lifetime.idle);
        match &state.identity {
            Identity::Unreachable => AtOnce::Failed(SessionError::new(crate::ErrorKind::Unavailable)),
            Identity::Known(known) => {
                let record = &known.record;
                let merged = match changes.merge(&record.payload, record.epoch, epoch, engine.merge_rule()) {
                    Ok(merged) => merged,
                    Err(conflict) => return AtOnce::Conflict(conflict),
                };
                match engine.try_commit(known, WriteKind::Buffered, slide, merged) {
                    Ok(Tried::Landed(landed, overwritten)) => {
                        if let Landed::Stored { snapshot, at, .. } = landed {
                            state.stored(at, snapshot, &changes);
                        }
                        AtOnce::Done(overwritten)
                    }
                    Ok(Tried::Later(first)) => AtOnce::begun(changes, epoch, First::Commit(first)),
                    Err(error) => AtOnce::Failed(error),
                }
            }
            Identity::Nobody => {
                let payload = changes.apply(&Payload::empty());
                // Setting and removing again makes no session.
                if payload.is_empty() {
                    return AtOnce::Done(0);
                }
                let merged = Merged { payload, epoch: 0, overwritten: 0 };
                if let Err(error) = engine.check_size(&merged) {
                    return AtOnce::Failed(error);
                }
                match engine.try_create(merged.payload) {
                    Ok(known) => {
                        state.started(known);
                        AtOnce::Done(0)
                    }
                    Err(first) => AtOnce::begun(changes, epoch, First::Create(Box::new(first))),
                }
            }
        }
    }

    /// Commits what is buffered, renews the id if it is due, gives the lease back. After it the head may leave.
    pub(crate) fn finish(
        self: Arc<Self>,
        end: HandlerEnd,
        begun: Option<Begun>,
    ) -> impl Future<Output = Result<(), SessionError>> + Send + 'static {
        let finishing = Finishing::begin(self);
        async move { finishing.shared().finish_now(end, begun).await }
    }

    async fn finish_now(self: &Arc<Self>, end: HandlerEnd, begun: Option<Begun>) -> Result<(), SessionError> {
        // Changes of id that the handler began and no longer awaits: the client must be told of them.
        self.settle_ids().await;
        let committed = match end {
            HandlerEnd::Failed => {
                self.state.lock().discard();
                Ok(())
            }
            HandlerEnd::Completed => self.commit_point(begun).await,
        };
        let telling = self.state.lock().committed(came(&committed));
        telling.tell();
        if committed.is_ok() {
            self.confirm(end).await;
        }
        let mut state = self.state.lock();
        // Also where the client is gone and no head will leave. What a guard still has is given back when it is done.
        state.end_handling();
        let lease = state.take_mode_lease();
        drop(state);
        drop(lease);
        committed
    }

    /// A response that took its time must not tell an id that another request has replaced meanwhile: it would overwrite
    /// the newer cookie. An id that this request did not issue itself is told only if the store has just confirmed it: a cache
    /// in front of it may not know yet.
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
            engine.load_newest(key).await.is_ok_and(|loaded| matches!(loaded, Loaded::Live(_)))
        };
        let mut state = self.state.lock();
        if lives && slides {
            engine.metrics.touches.one();
        }
        if state.key() != Some(key) {
            // A task of the handler has ended it meanwhile.
            return;
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
        self.manager.0.http.persistent && (state.slid || self.touch_due(state))
    }

    /// The response is about to leave: from here on the session runs in merge mode and no id can change. Answers with
    /// whether the session was asked for, and what the response tells the client of it.
    pub(crate) fn head_sent(self: &Arc<Self>, end: HandlerEnd) -> (bool, Tell) {
        let mut state = self.state.lock();
        let touch = self.leave(&mut state, end);
        let head = self.head(&state);
        drop(state);
        self.touch(touch);
        head
    }

    /// Notes that the head leaves; answers with the key whose idle deadline a mere read has to slide.
    fn leave(&self, state: &mut State, end: HandlerEnd) -> Option<StoreKey> {
        state.end_handling();
        if end == HandlerEnd::Failed {
            state.discard();
        }
        if self.touch_due(state) { state.key() } else { None }
    }

    /// A cookie with a lifetime of its own is told anew when the session's has slid.
    fn head(&self, state: &State) -> (bool, Tell) {
        let again = state.confirmed && self.manager.0.http.persistent;
        let tell = match (&state.tell, state.known()) {
            (Tell::Nothing, Some(known)) if again => Tell::Id(known.id.clone()),
            (tell, _) => tell.clone(),
        };
        (self.is_asked(), tell)
    }

    /// What a response tells that stands in for a failed one: only an id that this request changed for good.
    pub(crate) fn told_after_failure(&self) -> Tell {
        let state = self.state.lock();
        if state.learned { Tell::Nothing } else { state.tell.clone() }
    }

    async fn commit_point(self: &Arc<Self>, begun: Option<Begun>) -> Result<(), SessionError> {
        match begun {
            Some(Begun { changes, epoch, first: First::Commit(first) }) => {
                // A task of the handler may have ended the session, and with it what was buffered.
                let Some(target) = self.write_target()? else { return Ok(()) };
                let kind = WriteKind::Buffered;
                return self
                    .commit_changes(Some(target), &changes, epoch, kind, Then::KeepsIt, Some(first))
                    .await;
            }
            Some(Begun { first: First::Create(first), .. }) => {
                let mut known = self.engine().create_on(*first).await?;
                let durable = known.take_doubt();
                self.state.lock().started(known);
                return durable;
            }
            None => {}
        }
        let take = |state: &mut State| {
            let renew = state.phase == Phase::Handling && self.renewal_due(state.known());
            let then = match &state.lease {
                LeaseState::Mode(held) if held.releases_with_write() => Then::GivesItBack,
                LeaseState::Mode(_) => Then::LetsItGo,
                _ => Then::KeepsIt,
            };
            let existed = state.known().is_some();
            let changes = state.view.take_changes();
            let changes = self.take_up_last(state, changes);
            (existed, changes, state.view.epoch(), renew, then)
        };
        let ((existed, changes, epoch, renew, then), others) = self.with_empty_hands(take).await?;
        // On the heap, because it is large and hardly ever due.
        if renew && Box::pin(self.renew(&changes, epoch)).await? {
            return others;
        }
        if changes.is_empty() {
            return others;
        }
        let target = self.write_target()?;
        if existed && target.is_none() {
            return others;
        }
        let kind = WriteKind::Buffered;
        self.commit_changes(target, &changes, epoch, kind, then, None).await.and(others)
    }

    /// Replaces an id that is due, together with the changes. `true` when the changes are stored with it.
    async fn renew(self: &Arc<Self>, changes: &Changes, epoch: u32) -> Result<bool, SessionError> {
        let Some(Target { known, proof, slide }) = self.write_target()? else { return Ok(false) };
        let merge = |record: &Record, rule| self.merged(changes, record, epoch, rule);
        let own = Shown::new(self, proof);
        let renamed = pin!(self.engine().rename(&known, proof, &own, &IdChange::Renew, slide, merge));
        let moved = match self.under_lease(&own, renamed).await {
            Ok(moved) => moved,
            // A visitor who only reads need not suffer from a renewal that fails: the next request tries again.
            Err(error) if changes.is_empty() => {
                tracing::warn!(target: "cloakroom", %error, "a session id that is due could not be renewed");
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let mut state = self.state.lock();
        if !state.is_at(&known) {
            // A task of the handler has ended it meanwhile, and what was buffered with it.
            return Ok(true);
        }
        match moved {
            Moved::To(mut known) => {
                let durable = known.take_doubt();
                state.view.refresh(known.record.payload.clone(), known.record.epoch, changes);
                state.slid = true;
                state.confirmed = true;
                state.become_known(known, true);
                durable.map(|()| true)
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

    /// Slides the idle deadline, detached.
    fn touch(self: &Arc<Self>, key: Option<StoreKey>) {
        let Some(key) = key else { return };
        let engine = self.engine();
        let answer = engine.store.touch(Touch { key, idle: engine.settings.lifetime.idle });
        match answer.try_ready() {
            Ok(answer) => note_touch(engine, &engine.noted_at_once(answer)),
            Err(pending) => {
                let engine = Arc::clone(engine);
                self.engine().tasks.spawn_if_room("a touch", async move {
                    let answer = engine.call(Effect::Writes, pending).await;
                    note_touch(&engine, &answer);
                });
            }
        }
    }

    fn touch_due(&self, state: &State) -> bool {
        let due = |k: &Known| k.now >= k.record.last_seen.after(self.engine().touch_threshold);
        !state.slid && !state.background && state.known().is_some_and(due)
    }
}

fn note_touch(engine: &Engine, answer: &Result<Touched, StoreError>) {
    if matches!(answer, Ok(Touched::Touched { .. })) {
        engine.metrics.touches.one();
    }
}
