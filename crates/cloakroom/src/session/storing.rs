//! How awaited calls store: what they change, and what is buffered.

use std::pin::pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Shared;
use super::aim::{Aim, Buffered, Target};
use super::changes::{Changes, KeyConflict, MergeRule, Merged};
use super::hands::Wanted;
use super::in_hand::{InHand, Untold};
use super::leased::{Shown, Then};
use super::shared::State;
use super::underneath::TakenOut;
use crate::engine::{FirstCommit, HeldLease, Known, Landed, Tried, Write, WriteKind};
use crate::error::{ErrorKind, SessionError};
use crate::payload::Payload;
use crate::record::Record;

impl Shared {
    /// Stores changes of an awaited write, with which the buffered change of the same key is consumed.
    pub(super) async fn write(
        self: &Arc<Self>,
        aim: Aim,
        changes: Changes,
        consumed: Option<Box<InHand>>,
    ) -> Result<(), SessionError> {
        let target = match aim {
            Aim::At(target) => target,
            Aim::Start(turn) => {
                return self.start_with(turn, changes, consumed).await;
            }
        };
        let merge = |record: &Record, rule| self.merged(&changes, record, record.epoch, rule);
        let (known, landed) = self.commit_awaited(target, merge).await?;
        let durable = self.landed(&known, landed, &changes);
        self.stored(consumed, durable)
    }

    /// Passes on what a write came to that is stored, with what it had in hand.
    fn stored(
        &self,
        consumed: Option<Box<InHand>>,
        durable: Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        let ticket = consumed.as_ref().and_then(|consumed| consumed.ticket());
        consumed.into_iter().for_each(|consumed| consumed.stored_if(&durable));
        self.told(ticket, durable)
    }

    /// Commits an awaited write, and tells what it was aimed at in the end. Where another call of this request gives the session a
    /// new id meanwhile, it is ordered behind that.
    async fn commit_awaited<F>(
        self: &Arc<Self>,
        mut target: Target,
        mut merge: F,
    ) -> Result<(Known, Landed), SessionError>
    where
        F: FnMut(&Record, MergeRule) -> Result<Merged, SessionError> + Send,
    {
        loop {
            match self.commit_at(&target, &mut merge).await {
                Ok(landed) => return Ok((target.known, landed)),
                Err(error) if error.kind() == ErrorKind::Gone => {
                    // On the heap, because it hardly ever happens.
                    target = Box::pin(self.aim_after(&target.known)).await?.ok_or(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Commits an awaited write: in one step where nobody interferes and the store answers at once; else as any commit.
    async fn commit_at<F>(&self, target: &Target, mut merge: F) -> Result<Landed, SessionError>
    where
        F: FnMut(&Record, MergeRule) -> Result<Merged, SessionError> + Send,
    {
        let engine = self.engine();
        let Target { known, proof, slide } = target;
        let (proof, slide) = (*proof, *slide);
        self.state.lock().awaited = true;
        let mut first = None;
        if proof.is_none() {
            let merged = merge(&known.record, engine.merge_rule())?;
            match engine.try_commit(known, WriteKind::Awaited, slide, merged)? {
                Tried::Landed(landed, overwritten) => {
                    engine.note_overwritten(overwritten);
                    return Ok(landed);
                }
                Tried::Later(begun) => first = Some(begun),
            }
        }
        // On the heap, so that handlers stay small.
        let own = Box::new(Shown::new(self, proof));
        let write =
            Write { known, lease: proof, own: &*own, release: false, kind: WriteKind::Awaited, slide };
        let mut committed = Box::pin(engine.commit(write, first, merge));
        self.under_lease(&own, committed.as_mut()).await
    }

    pub(super) async fn update<T, F>(
        self: &Arc<Self>,
        aim: Aim,
        key: &str,
        consumed: Option<Box<InHand>>,
        mut f: F,
    ) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Option<T>) -> T + Send,
    {
        let codec = self.engine().settings.codec;
        let mut result: Option<T> = None;
        let mut written = Changes::default();
        let mut apply = |current: &Payload| -> Result<Changes, SessionError> {
            let base = match consumed.as_ref().and_then(|consumed| consumed.changes().of(key)) {
                None => current.get(key),
                Some(change) if change.fits(current) => change.value.as_deref(),
                Some(change) => return Err(self.engine().conflict(Some(change.conflict()))),
            };
            let value = f(base.map(|bytes| codec.decode(bytes)).transpose()?);
            let changes = Changes::blind(key, Some(codec.encode(&value)?));
            result = Some(value);
            Ok(changes)
        };
        match aim {
            Aim::Start(turn) => {
                let changes = apply(&Payload::empty())?;
                self.start_with(turn, changes, consumed).await?;
            }
            Aim::At(target) => {
                let merge = |record: &Record, rule| {
                    let changes = apply(&record.payload)?;
                    let merged = self.merged(&changes, record, record.epoch, rule);
                    written = changes;
                    merged
                };
                let (known, landed) = self.commit_awaited(target, merge).await?;
                let durable = self.landed(&known, landed, &written);
                self.stored(consumed, durable)?;
            }
        }
        result.ok_or_else(|| SessionError::new(ErrorKind::Unknown))
    }

    /// Commits what is buffered, and discards what cannot be committed, of which the caller is told.
    pub(super) async fn save(self: &Arc<Self>) -> Result<(), SessionError> {
        let saved = async {
            let Buffered { aimed, others } = self.aim_buffered().await?;
            let Some((target, under_way, in_hand)) = aimed else { return Ok(Ok(others)) };
            let (shared, ticket) = (Arc::clone(self), in_hand.ticket());
            let saving = self.detached_id_change(under_way, async move {
                let (changes, epoch) = (in_hand.changes(), in_hand.epoch());
                let kind = WriteKind::Awaited;
                let saved = shared.commit_changes(target, changes, epoch, kind, Then::KeepsIt, None).await;
                Ok(match saved {
                    Err(error) if error.kind() != ErrorKind::Undurable => Err(Untold::new(error, in_hand)),
                    durable => {
                        in_hand.stored_if(&durable);
                        Ok(durable)
                    }
                })
            });
            Ok(saving.await?.map(|durable| self.told(ticket, durable).and(others)))
        };
        match saved.await {
            Ok(Ok(durable)) => durable,
            Ok(Err(untold)) => Err(untold.told()),
            Err(error) => {
                let mut state = self.state.lock();
                // It came to nothing before that: what is not stored is not readable. The response that is being put together
                // stores what is left to it, or is refused.
                if !state.is_closing() {
                    state.view.discard_changes();
                }
                Err(error)
            }
        }
    }

    /// Commits the changes that `take` finds, which were decided at the epoch that it names. In the caller while the store answers
    /// at once, detached from there on.
    pub(super) async fn commit_taken(
        self: &Arc<Self>,
        kind: WriteKind,
        after: Option<Wanted<'_>>,
        take: impl FnOnce(&mut State) -> (TakenOut, u32),
    ) -> Result<(), SessionError> {
        let (aim, (changes, epoch)) = self.aim(after, take).await?;
        let shared = Arc::clone(self);
        let commit = |target| async move {
            shared.commit_changes(target, &changes, epoch, kind, Then::KeepsIt, None).await
        };
        match aim {
            Aim::At(target) => self.detached_beside(commit(Some(target))).await,
            Aim::Start(turn) => self.detached_id_change(turn, commit(None)).await,
        }
    }

    /// Commits what is buffered, before an awaited call does what it was asked for; it stays buffered where that fails.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<(), SessionError> {
        let Buffered { aimed, others } = self.aim_buffered().await?;
        let Some((target, under_way, taken)) = aimed else { return others };
        let (shared, ticket) = (Arc::clone(self), taken.ticket());
        let flushed = self.detached_id_change(under_way, async move {
            let (changes, epoch) = (taken.changes(), taken.epoch());
            let kind = WriteKind::Awaited;
            let flushed = shared.commit_changes(target, changes, epoch, kind, Then::KeepsIt, None).await;
            taken.stored_if(&flushed);
            flushed
        });
        self.told(ticket, flushed.await).and(others)
    }

    /// Stores a set of changes in this session, or in one that they start. An awaited write is ordered behind a change of id, as in
    /// [`commit_awaited`](Self::commit_awaited).
    pub(super) async fn commit_changes(
        self: &Arc<Self>,
        target: Option<Target>,
        changes: &Changes,
        epoch: u32,
        kind: WriteKind,
        then: Then,
        first: Option<FirstCommit>,
    ) -> Result<(), SessionError> {
        match target {
            None => {
                let payload = changes.apply(&Payload::empty());
                // Setting and removing again makes no session.
                if payload.is_empty() { Ok(()) } else { Box::pin(self.start(payload, changes)).await }
            }
            Some(mut target) => {
                let mut first = first;
                loop {
                    match self.commit_changes_at(&target, changes, epoch, kind, then, first.take()).await {
                        Err(gone) if kind == WriteKind::Awaited && gone.kind() == ErrorKind::Gone => {
                            // On the heap, because it hardly ever happens.
                            target = Box::pin(self.aim_after(&target.known)).await?.ok_or(gone)?;
                        }
                        done => return done,
                    }
                }
            }
        }
    }

    async fn commit_changes_at(
        self: &Arc<Self>,
        target: &Target,
        changes: &Changes,
        epoch: u32,
        kind: WriteKind,
        then: Then,
        first: Option<FirstCommit>,
    ) -> Result<(), SessionError> {
        let Target { known, proof, slide } = target;
        let (proof, slide) = (*proof, *slide);
        let merge = |record: &Record, rule| self.merged(changes, record, epoch, rule);
        let release = then == Then::GivesItBack;
        let own = Shown::new(self, proof);
        let write = Write { known, lease: proof, own: &own, release, kind, slide };
        let committed = pin!(self.engine().commit(write, first, merge));
        if let (Then::LetsItGo, Some(proof)) = (then, proof) {
            self.with_lease(proof, HeldLease::last_of_writes_begins);
        }
        let landed = self.under_lease(&own, committed).await?;
        match (then, proof) {
            (Then::LetsItGo, Some(proof)) => {
                self.with_lease(proof, |held| held.last_write_landed(&landed));
            }
            (Then::GivesItBack, Some(proof)) if matches!(landed, Landed::Stored { .. }) => {
                self.with_lease(proof, HeldLease::nothing_to_release);
            }
            _ => {}
        }
        self.landed(known, landed, changes)
    }

    /// Starts a session with this data, which is what the changes come to.
    pub(super) async fn start(
        self: &Arc<Self>,
        payload: Payload,
        written: &Changes,
    ) -> Result<(), SessionError> {
        self.engine().check_size(&Merged { payload: payload.clone(), epoch: 0, overwritten: 0 })?;
        let mut known = self.engine().create(payload, None).await?;
        let durable = known.take_doubt();
        self.state.lock().started_with(known, written);
        durable
    }

    pub(super) async fn reload(self: &Arc<Self>) -> Result<(), SessionError> {
        use crate::engine::Effect;
        use crate::store::Loaded;
        self.state.lock().start_anew();
        let engine = self.engine();
        loop {
            let Some(asked) = self.state.lock().known().cloned() else { return Ok(()) };
            match engine.call(Effect::Reads, engine.store.load(asked.key)).await? {
                Loaded::Live(snapshot) | Loaded::Alias { snapshot, .. } => {
                    self.state.lock().reloaded(&asked, snapshot);
                    return Ok(());
                }
                // On the heap, because it hardly ever happens.
                Loaded::Ended(_) if Box::pin(self.has_moved(&asked)).await => {}
                Loaded::Ended(_) => return Err(SessionError::new(ErrorKind::Gone)),
                Loaded::Missing => {
                    return engine.vanished(asked.key, &asked, WriteKind::Awaited).await.map(drop);
                }
            }
        }
    }

    pub(super) fn merged(
        &self,
        changes: &Changes,
        record: &Record,
        epoch: u32,
        rule: MergeRule,
    ) -> Result<Merged, SessionError> {
        // Where nothing is to be changed, nothing rests on what was cleared since.
        let epoch = if changes.is_empty() { record.epoch } else { epoch };
        changes
            .merge(&record.payload, record.epoch, epoch, rule)
            .map_err(|conflict| self.refused(conflict, rule))
    }

    /// Counts and logs a merge that is refused.
    pub(super) fn refused(&self, conflict: KeyConflict, rule: MergeRule) -> SessionError {
        let refused = self.engine().conflict(Some(conflict));
        // Where the session moved, the same cookie run again would find nobody, and start another session over the
        // one the visitor has by now.
        if rule == MergeRule::CheckAll { refused } else { refused.worth_a_rerun() }
    }

    /// Takes what became of a write over that was aimed at this session. An error: it was made, and may yet be undone.
    pub(super) fn landed(
        &self,
        aimed: &Known,
        landed: Landed,
        written: &Changes,
    ) -> Result<(), SessionError> {
        let mut state = self.state.lock();
        match landed {
            Landed::Stored { snapshot, at, undurable } => {
                state.landed(aimed, at, snapshot, written);
                if let Some(error) = undurable {
                    return Err(SessionError::caused(ErrorKind::Undurable, error));
                }
            }
            Landed::Unchanged => {}
            Landed::Followed if state.is_at(aimed) => {
                state.become_nobody();
                // A logout goes after it.
                state.moved = Some(aimed.key);
            }
            Landed::Dropped if state.is_at(aimed) => {
                state.become_nobody();
                state.unsaved = Some(ErrorKind::Gone);
            }
            Landed::Followed | Landed::Dropped => {}
        }
        Ok(())
    }
}
