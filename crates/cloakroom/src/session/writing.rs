//! Writing: buffered by the sync calls, stored by the awaited ones.

use std::pin::pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::aim::{Aim, Target};
use super::id_changes::UnderWay;
use super::in_hand::{InHand, Untold};
use super::leased::Then;
use super::shared::{Identity, State};
use super::view::{Changes, KeyConflict, MergeRule, Merged};
use super::{Session, Shared};
use crate::engine::{FirstCommit, HeldLease, Known, Landed, Tried, Write, WriteKind};
use crate::error::{ErrorKind, SessionError};
use crate::key::{self, KeyOf};
use crate::payload::Payload;
use crate::record::Record;

impl Session {
    /// Sets `key`, buffered. Makes a session at the commit if there is none yet.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// session.set("theme", "dark")?; // stored with the rest, before the response leaves
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge), [`InvalidKey`](ErrorKind::InvalidKey), [`Encode`](ErrorKind::Encode): the
    /// value is then not readable afterwards either. [`HeadSent`](ErrorKind::HeadSent) when a session would have to be
    /// started after the response's head.
    pub fn set<T: Serialize>(&self, key: impl KeyOf<T>, value: T) -> Result<(), SessionError> {
        self.0.set(key.name(), &value)
    }

    /// Removes `key`, buffered. Removing what is not there is fine.
    ///
    /// # Errors
    /// [`InvalidKey`](ErrorKind::InvalidKey); [`Unavailable`](ErrorKind::Unavailable) in an anonymous fallback.
    pub fn remove(&self, key: &str) -> Result<(), SessionError> {
        self.0.check_key(key)?;
        let mut state = self.0.state.lock();
        state.check_writable_or_nothing()?;
        if state.view.peek(key).is_some() || state.known().is_some() {
            state.view.remove(key);
        }
        Ok(())
    }

    /// Reads `key` and removes it, buffered: a read and a write.
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode): the value then stays. And those of [`remove`](Session::remove).
    pub fn take<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, SessionError> {
        let taken = self.get::<T>(key.name())?;
        if taken.is_some() {
            self.remove(key.name())?;
        }
        Ok(taken)
    }

    /// Removes everything, buffered. The session itself, its id and its user stay; [`destroy`](Session::destroy) ends it.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) in an anonymous fallback.
    pub fn clear(&self) -> Result<(), SessionError> {
        let mut state = self.0.state.lock();
        state.check_writable_or_nothing()?;
        if state.known().is_some() {
            state.view.clear();
        } else {
            state.view.discard_changes();
        }
        Ok(())
    }

    /// Sets `key`, stored when it returns. Other buffered changes stay buffered; where it fails, one of `key` does too, and
    /// is what the request's commit stores: also after [`Unknown`](ErrorKind::Unknown), when the store may hold `value`
    /// until then. One store call when nobody interferes.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// session.put("step", 3).await?; // stored now
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Gone`](ErrorKind::Gone) when the session ended meanwhile, [`Conflict`](ErrorKind::Conflict) when this request
    /// read the key before and another one changed it since, [`TooLarge`](ErrorKind::TooLarge),
    /// [`InvalidKey`](ErrorKind::InvalidKey), [`Encode`](ErrorKind::Encode),
    /// [`LockTimeout`](ErrorKind::LockTimeout) when somebody holds the lock for too long, and what the store can fail with.
    pub async fn put<T: Serialize>(&self, key: impl KeyOf<T>, value: T) -> Result<(), SessionError> {
        let key = key.name();
        self.0.check_key(key)?;
        let value = self.0.engine().settings.codec.encode(&value)?;
        self.0.flush_clear().await?;
        let take = |state: &mut State| {
            let consumed = InHand::change(&self.0, &mut state.view, key);
            (state.view.awaited(key, Some(value)), consumed)
        };
        let (aim, (mut changes, consumed)) = self.0.aim(take).await?;
        if let Some(consumed) = &consumed {
            changes.rest_on(consumed.changes());
        }
        self.0.write(aim, changes, consumed).await
    }

    /// Reads `key`, applies `f`, stores the result: atomically, so that N concurrent increments add N.
    ///
    /// `f` is run again on the fresh value when another request was quicker; keep it free of side effects. Returns what
    /// was stored. A buffered change of the same key is applied first; where the update fails, it stays buffered. One store
    /// call when nobody interferes.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// let items = session
    ///     .update("basket", |basket: Option<Vec<String>>| {
    ///         let mut basket = basket.unwrap_or_default();
    ///         basket.push("hat".to_owned());
    ///         basket
    ///     })
    ///     .await?;
    /// assert!(items.contains(&"hat".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) only where a buffered change of the same key rests on a value that another request
    /// has changed; [`Decode`](ErrorKind::Decode) when what is stored is not a `T`, [`Encode`](ErrorKind::Encode),
    /// [`TooLarge`](ErrorKind::TooLarge) and [`InvalidKey`](ErrorKind::InvalidKey), which all change nothing;
    /// [`Gone`](ErrorKind::Gone) when the session ended meanwhile, [`LockTimeout`](ErrorKind::LockTimeout) when somebody
    /// holds the lock for too long, and what the store can fail with.
    pub async fn update<T, F>(&self, key: impl KeyOf<T>, f: F) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Option<T>) -> T + Send,
    {
        let key = key.name();
        self.0.check_key(key)?;
        self.0.flush_clear().await?;
        let (aim, consumed) = self.0.aim(|state| InHand::change(&self.0, &mut state.view, key)).await?;
        self.0.update(aim, key, consumed, f).await
    }

    /// Adds `by` to the whole number under `key` (0 where there is none), atomically; returns the sum. It stays at the
    /// ends of the range instead of wrapping. One store call when nobody interferes.
    ///
    /// # Errors
    /// As [`update`](Session::update).
    pub async fn increment(&self, key: impl KeyOf<i64>, by: i64) -> Result<i64, SessionError> {
        self.update(key.name(), |n: Option<i64>| n.unwrap_or(0).saturating_add(by)).await
    }

    /// Commits what is buffered, now. One store call, none when nothing changed.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), [`TooLarge`](ErrorKind::TooLarge), and what the store can fail with: what was
    /// buffered is then discarded. Changes of a session that ended meanwhile are [`Gone`](ErrorKind::Gone). A future that is dropped
    /// before it is done discards nothing: what it did not store is what the request's commit stores.
    pub async fn save(&self) -> Result<(), SessionError> {
        self.0.save().await
    }

    /// Discards what is buffered and reads the record again. One store call.
    ///
    /// # Errors
    /// [`Gone`](ErrorKind::Gone) when the session ended meanwhile, [`Unavailable`](ErrorKind::Unavailable).
    pub async fn reload(&self) -> Result<(), SessionError> {
        self.0.reload().await
    }

    /// Gives the lease of exclusive mode back early, after `save`; PHP's `session_write_close`. The session then goes
    /// on in merge mode. Nothing happens without such a lease.
    pub fn release(&self) {
        let lease = self.0.state.lock().take_mode_lease();
        drop(lease);
    }
}

impl State {
    /// Checked here, where the handler can still answer otherwise, and once more on the merged record.
    pub(super) fn check_room(&self, key: &str, value: &[u8], limit: usize) -> Result<(), SessionError> {
        let bytes = self.view.size_with(key, value, limit);
        if bytes <= limit {
            return Ok(());
        }
        let text = format!("the session would take {bytes} bytes, at most {limit} are allowed");
        Err(SessionError::because(ErrorKind::TooLarge, text))
    }

    /// As [`check_writable`](State::check_writable), for changes that make no session.
    fn check_writable_or_nothing(&self) -> Result<(), SessionError> {
        match &self.identity {
            Identity::Nobody => Ok(()),
            _ => self.check_writable(),
        }
    }
}

impl Shared {
    pub(super) fn check_key(&self, name: &str) -> Result<(), SessionError> {
        key::check(name, self.engine().settings.limits.key_bytes)
    }

    pub(super) fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), SessionError> {
        self.check_key(key)?;
        let value = self.engine().settings.codec.encode(value)?;
        let mut state = self.state.lock();
        state.check_writable()?;
        let limits = &self.engine().settings.limits;
        let known = state.view.peek(key).is_some();
        if !known && state.view.count_at_least(limits.keys) {
            return Err(SessionError::because(
                ErrorKind::TooLarge,
                format!("the session holds {} keys already, as many as are allowed", limits.keys),
            ));
        }
        state.check_room(key, &value, limits.session_bytes)?;
        state.view.set(key, value);
        Ok(())
    }

    /// A buffered `clear` touches every key: it is stored before an awaited write of one of them.
    async fn flush_clear(self: &Arc<Self>) -> Result<(), SessionError> {
        let cleared = self.state.lock().view.is_cleared();
        if cleared { self.flush().await } else { Ok(()) }
    }

    /// Stores changes of an awaited write, with which the buffered change of the same key is consumed.
    async fn write(
        self: &Arc<Self>,
        aim: Aim,
        changes: Changes,
        consumed: Option<Box<InHand>>,
    ) -> Result<(), SessionError> {
        let target = match aim {
            Aim::At(target) => target,
            Aim::Start(turn) => {
                return self.start_with(turn, changes.apply(&Payload::empty()), consumed).await;
            }
        };
        let merge = |record: &Record, rule| self.merged(&changes, record, record.epoch, rule);
        let (known, landed) = self.commit_awaited(target, merge).await?;
        let durable = self.landed(&known, landed, &changes);
        consumed.into_iter().for_each(|consumed| consumed.stored());
        durable
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
        let write = Write { known, lease: proof, release: false, kind: WriteKind::Awaited, slide };
        // On the heap, so that handlers stay small.
        let mut committed = Box::pin(engine.commit(write, first, merge));
        self.under_lease(proof, HeldLease::write_begins, committed.as_mut()).await
    }

    async fn update<T, F>(
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
                let payload = apply(&Payload::empty())?.apply(&Payload::empty());
                self.start_with(turn, payload, consumed).await?;
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
                consumed.into_iter().for_each(|consumed| consumed.stored());
                durable?;
            }
        }
        result.ok_or_else(|| SessionError::new(ErrorKind::Unknown))
    }

    /// Commits what is buffered, and discards what cannot be committed, of which the caller is told.
    async fn save(self: &Arc<Self>) -> Result<(), SessionError> {
        if !self.state.lock().view.has_changes() {
            return Ok(());
        }
        let saved = async {
            let take =
                |state: &mut State| (UnderWay::beside(self, state), InHand::all(self, &mut state.view));
            let (aim, (beside, in_hand)) = self.aim(take).await?;
            let (target, under_way) = aim.or_beside(beside);
            let shared = Arc::clone(self);
            let saving = self.detached_with(under_way, |mut under_way| async move {
                let (changes, epoch) = (in_hand.changes(), in_hand.epoch());
                let kind = WriteKind::Awaited;
                let saved = shared.commit_changes(target, changes, epoch, kind, Then::KeepsIt, None).await;
                under_way.ends_turn();
                Ok(match saved {
                    Err(error) if error.kind() != ErrorKind::Undurable => {
                        Err(Untold::new(error, in_hand, under_way))
                    }
                    durable => {
                        in_hand.stored();
                        Ok(durable)
                    }
                })
            });
            saving.await
        };
        match saved.await {
            Ok(Ok(durable)) => durable,
            Ok(Err(untold)) => Err(untold.told()),
            Err(error) => {
                // It came to nothing before that: what is not stored is not readable.
                self.state.lock().view.discard_changes();
                Err(error)
            }
        }
    }

    /// Commits the changes that `take` finds, which were decided at the epoch that it names. In the caller while the store answers
    /// at once, detached from there on.
    pub(super) async fn commit_taken(
        self: &Arc<Self>,
        kind: WriteKind,
        take: impl FnOnce(&mut State) -> (Changes, u32),
    ) -> Result<(), SessionError> {
        let (aim, (beside, (changes, epoch))) =
            self.aim(|state| (UnderWay::beside(self, state), take(state))).await?;
        let (target, under_way) = aim.or_beside(beside);
        let shared = Arc::clone(self);
        self.detached_id_change(under_way, async move {
            shared.commit_changes(target, &changes, epoch, kind, Then::KeepsIt, None).await
        })
        .await
    }

    /// Commits what is buffered, before an awaited call does what it was asked for; it stays buffered where that fails.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<(), SessionError> {
        if !self.state.lock().view.has_changes() {
            return Ok(());
        }
        let take = |state: &mut State| (UnderWay::beside(self, state), InHand::all(self, &mut state.view));
        let (aim, (beside, taken)) = self.aim(take).await?;
        let (target, under_way) = aim.or_beside(beside);
        let shared = Arc::clone(self);
        self.detached_id_change(under_way, async move {
            let (changes, epoch) = (taken.changes(), taken.epoch());
            let kind = WriteKind::Awaited;
            let flushed = shared.commit_changes(target, changes, epoch, kind, Then::KeepsIt, None).await;
            taken.stored_if(&flushed);
            flushed
        })
        .await
    }

    /// Stores a set of changes in this session, or in one that they start.
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
                if payload.is_empty() { Ok(()) } else { Box::pin(self.start(payload)).await }
            }
            Some(Target { known, proof, slide }) => {
                let merge = |record: &Record, rule| self.merged(changes, record, epoch, rule);
                let release = then == Then::GivesItBack;
                let write = Write { known: &known, lease: proof, release, kind, slide };
                let committed = pin!(self.engine().commit(write, first, merge));
                let begins = match then {
                    Then::LetsItGo => HeldLease::last_of_writes_begins,
                    Then::KeepsIt | Then::GivesItBack => HeldLease::write_begins,
                };
                let landed = self.under_lease(proof, begins, committed).await?;
                if let (Then::LetsItGo, Some(proof)) = (then, proof) {
                    self.with_lease(proof, |held| held.last_write_landed(&landed));
                }
                self.landed(&known, landed, changes)
            }
        }
    }

    /// Starts a session with this data.
    pub(super) async fn start(self: &Arc<Self>, payload: Payload) -> Result<(), SessionError> {
        self.engine().check_size(&Merged { payload: payload.clone(), epoch: 0, overwritten: 0 })?;
        let mut known = self.engine().create(payload, None).await?;
        let durable = known.take_doubt();
        self.state.lock().started(known);
        durable
    }

    async fn reload(self: &Arc<Self>) -> Result<(), SessionError> {
        use crate::engine::Effect;
        use crate::store::Loaded;
        let Some(asked) = ({
            let mut state = self.state.lock();
            state.view.discard_changes();
            state.known().cloned()
        }) else {
            return Ok(());
        };
        let engine = self.engine();
        match engine.call(Effect::Reads, engine.store.load(asked.key)).await? {
            Loaded::Live(snapshot) | Loaded::Alias { snapshot, .. } => {
                self.state.lock().reloaded(&asked, snapshot);
                Ok(())
            }
            Loaded::Ended(_) => Err(SessionError::new(ErrorKind::Gone)),
            Loaded::Missing => engine.vanished(asked.key, &asked, WriteKind::Awaited).await.map(drop),
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
            Landed::Followed | Landed::Dropped if state.is_at(aimed) => state.become_nobody(),
            Landed::Followed | Landed::Dropped => {}
        }
        Ok(())
    }
}
