//! The commit loop: merge, try, and on a conflict merge again with what the store holds now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Effect, Engine, HeldLease, Known, OwnLease, made};
use crate::clock::deadline_after;
use crate::error::{ErrorKind, SessionError};
use crate::ids::{OpId, SessionId, StoreKey};
use crate::record::Record;
use crate::session::{MergeRule, Merged};
use crate::settings::OnConflict;
use crate::store::{Commit, Committed, Ending, LeaseRef, Loaded, Snapshot, StoreError, StoreFuture};

/// Conflicts after which an awaited write queues for the lease instead of racing on.
const RACES: u32 = 3;
/// Times an unanswered write is asked about before its outcome is reported as unknown.
const ASKS: u32 = 3;
/// Changes of id that a late write follows.
const MAX_HOPS: u32 = 8;
/// Operations a record remembers: one as its version, three before.
const REMEMBERED: u64 = 4;

/// Whether the record has changed so often since that it may have forgotten the request: nobody can tell any more then
/// whether it was done.
fn is_forgotten(asked: &Commit, record: &Record) -> bool {
    record.version.counter.saturating_sub(asked.expected.counter) > REMEMBERED
}

/// Who wants the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteKind {
    /// Buffered changes at a commit point of the request: follow a moved session, are dropped with an ended one.
    Buffered,
    /// An awaited write: of an ended or moved session it is `Gone`.
    Awaited,
}

/// What is written to, by whom, and how.
#[derive(Clone, Copy)]
pub(crate) struct Write<'a> {
    /// The session as the request knows it.
    pub(crate) known: &'a Known,
    /// A lease this request holds.
    pub(crate) lease: Option<LeaseRef>,
    /// Where it holds none: the one that it may have by the time the write is refused for want of it.
    pub(crate) own: &'a dyn OwnLease,
    /// Give that lease back in the same step.
    pub(crate) release: bool,
    pub(crate) kind: WriteKind,
    /// Slide the idle deadline by this.
    pub(crate) slide: Option<Duration>,
}

/// What became of a write.
pub(crate) enum Landed {
    /// Stored. `told` is the id the client must be told, where the old one was in its grace.
    /// `undurable`: why that may yet be undone.
    Stored { snapshot: Snapshot, at: Option<(SessionId, StoreKey)>, undurable: Option<Arc<StoreError>> },
    /// Nothing had to be stored.
    Unchanged,
    /// Stored in the successor of a session that was given a new id; this request stays on its dead id.
    Followed,
    /// The session ended before: a buffered write is ordered before the end that took it along.
    Dropped,
}

/// A commit that was asked for and not answered at once.
pub(crate) struct FirstCommit {
    /// Apart from the answer, because it is looked at again only where that is not what was hoped for.
    request: Box<Commit>,
    answer: StoreFuture<Committed>,
    overwritten: usize,
    begun: Instant,
}

/// A commit that was asked for, and how it was answered.
struct Asked {
    request: Commit,
    overwritten: usize,
    answer: Result<Committed, StoreError>,
    begun: Instant,
}

/// What came of trying a commit without waiting.
pub(crate) enum Tried {
    /// The store answered at once. So many keys were overwritten with it: for [`Engine::note_overwritten`].
    Landed(Landed, usize),
    /// It did not, or not with success: go on with [`Engine::commit`].
    Later(FirstCommit),
}

impl Engine {
    /// Asks the store once to commit what was merged into the known record, without waiting: all that a commit takes when
    /// nobody interferes and the store answers at once. Keeps the whole commit loop out of the way of those.
    ///
    /// Callers may hold locks: nothing is logged or announced.
    pub(crate) fn try_commit(
        &self,
        known: &Known,
        kind: WriteKind,
        slide: Option<Duration>,
        merged: Merged,
    ) -> Result<Tried, SessionError> {
        let overwritten = merged.overwritten;
        if is_settled(&merged, &known.record, kind) {
            return Ok(Tried::Landed(Landed::Unchanged, overwritten));
        }
        self.check_size(&merged)?;
        let op = OpId::generate();
        // Made a second time where it has to be kept, which is not where the store answers at once with success.
        let request = |payload| Commit {
            key: known.key,
            op,
            expected: known.record.version,
            base: Some(Arc::clone(&known.record)),
            lease: None,
            release: false,
            epoch: merged.epoch,
            payload,
            slide,
            unless_seen_within: self.seen_threshold,
        };
        let answer = match self.store.commit(request(merged.payload.clone())).try_ready() {
            Ok(Ok(Committed::Committed(snapshot))) => {
                self.metrics.commits.one_at_once();
                return Ok(Tried::Landed(
                    Landed::Stored { snapshot, at: None, undurable: None },
                    overwritten,
                ));
            }
            Ok(other) => StoreFuture::ready(other),
            Err(pending) => pending,
        };
        let begun = Instant::now();
        let request = Box::new(request(merged.payload));
        Ok(Tried::Later(FirstCommit { request, answer, overwritten, begun }))
    }

    /// How strict a merge of the application's changes is.
    pub(crate) fn merge_rule(&self) -> MergeRule {
        match self.settings.on_conflict {
            OnConflict::Refuse => MergeRule::CheckRead,
            OnConflict::Overwrite => MergeRule::Overwrite,
        }
    }

    /// Merges and commits until it is stored or cannot be.
    ///
    /// Nearly every commit is over with the answer to what was begun. The loop of all others is kept on the heap: it is many
    /// times as large, and whatever awaits this would have to carry it along.
    pub(crate) async fn commit<F>(
        self: &Arc<Self>,
        write: Write<'_>,
        first: Option<FirstCommit>,
        merge: F,
    ) -> Result<Landed, SessionError>
    where
        F: FnMut(&Record, MergeRule) -> Result<Merged, SessionError> + Send,
    {
        let asked = match first {
            Some(FirstCommit { request, answer, overwritten, begun }) => {
                match self.call(Effect::Writes, answer).await {
                    Ok(Committed::Committed(snapshot)) => {
                        self.note_committed(overwritten);
                        return Ok(Landed::Stored { snapshot, at: None, undurable: None });
                    }
                    answer => Some(Asked { request: *request, overwritten, answer, begun }),
                }
            }
            None => None,
        };
        Box::pin(self.commit_on(write, asked, merge)).await
    }

    async fn commit_on<F>(
        self: &Arc<Self>,
        write: Write<'_>,
        asked: Option<Asked>,
        merge: F,
    ) -> Result<Landed, SessionError>
    where
        F: FnMut(&Record, MergeRule) -> Result<Merged, SessionError> + Send,
    {
        let mut doubt = None;
        let landed = self.commit_or_doubt(write, asked, merge, &mut doubt).await;
        // Whatever came in the way of finding out whether it was done: it may have been.
        landed.map_err(|error| if doubt.is_some() { error.in_doubt() } else { error })
    }

    /// As [`commit_on`](Self::commit_on). What is in `doubt` at the end was asked for, and nobody knows whether it was done.
    async fn commit_or_doubt<F>(
        self: &Arc<Self>,
        write: Write<'_>,
        mut first: Option<Asked>,
        mut merge: F,
        doubt: &mut Option<(Commit, usize)>,
    ) -> Result<Landed, SessionError>
    where
        F: FnMut(&Record, MergeRule) -> Result<Merged, SessionError> + Send,
    {
        let Write { known, mut lease, own: of_request, release, kind, slide } = write;
        let begun = first.as_ref().map_or_else(Instant::now, |first| first.begun);
        let deadline = deadline_after(begun, self.settings.commit_deadline);
        let mut rule = self.merge_rule();
        let mut key = known.key;
        let mut at: Option<(SessionId, StoreKey)> = None;
        let mut record = known.record.clone();
        let mut own: Option<HeldLease> = None;
        let (mut races, mut asks, mut hops) = (0, 0, 0);
        // An unanswered request is asked again as it was: merged anew it could say something else, and the store answers for
        // what it was asked first.
        let mut again: Option<(Commit, usize)> = None;

        loop {
            if again.is_none()
                && let Some((asked, overwritten)) = doubt.as_ref()
            {
                // It was done, and the session has gone on since; or nothing newer was seen yet.
                if record.knows(asked.op) || (own.is_none() && record.version == asked.expected) {
                    again = Some((Commit { key, ..asked.clone() }, *overwritten));
                } else if is_forgotten(asked, &record) {
                    return Err(SessionError::new(ErrorKind::Unknown));
                } else {
                    *doubt = None;
                }
            }
            let (request, overwritten, told) = match (first.take(), again.take()) {
                (Some(Asked { request, overwritten, answer, .. }), _) => (request, overwritten, Some(answer)),
                (None, Some((request, overwritten))) => (request, overwritten, None),
                (None, None) => {
                    let merged = merge(&record, rule)?;
                    if is_settled(&merged, &record, kind) {
                        self.note_overwritten(merged.overwritten);
                        return Ok(Landed::Unchanged);
                    }
                    self.check_size(&merged)?;
                    let proof = own.as_ref().and_then(HeldLease::proof).or(lease);
                    let releases = own.as_ref().map_or(release, HeldLease::releases_with_write);
                    let request = Commit {
                        key,
                        op: OpId::generate(),
                        expected: record.version,
                        base: Some(Arc::clone(&record)),
                        lease: proof,
                        release: releases && proof.is_some(),
                        epoch: merged.epoch,
                        payload: merged.payload,
                        slide,
                        unless_seen_within: self.seen_threshold,
                    };
                    (request, merged.overwritten, None)
                }
            };
            let answer = match told {
                Some(answer) => answer,
                None => {
                    if let Some(held) = &mut own {
                        held.write_begins();
                    }
                    let answer = self.call(Effect::Writes, self.store.commit(request.clone())).await;
                    if let Some(held) = &mut own {
                        held.write_ends();
                    }
                    answer
                }
            };
            if answer.as_ref().is_err_and(StoreError::is_worth_asking_again) {
                // The same operation again: if it was done, the store says so; if not, it is done now.
                asks += 1;
                *doubt = Some((request.clone(), overwritten));
                if asks < ASKS && Instant::now() < deadline {
                    again = Some((request, overwritten));
                    continue;
                }
            }
            let (answer, undurable) = match made(answer) {
                Ok(answer) => answer,
                Err(error) => {
                    if let (Some(held), Some(_)) = (&mut own, &doubt) {
                        held.mark_unresolved();
                    }
                    return Err(error.into());
                }
            };
            match answer {
                Committed::Committed(snapshot) => {
                    *doubt = None;
                    self.note_committed(overwritten);
                    if let Some(held) = own
                        && request.release
                    {
                        held.released();
                    }
                    if rule == MergeRule::CheckAll {
                        // Who awaited it goes on, and with the session that it knows.
                        let followed = Ok(match kind {
                            WriteKind::Awaited => Landed::Unchanged,
                            WriteKind::Buffered => Landed::Followed,
                        });
                        return undurable.map_or(followed, |error| {
                            Err(SessionError::caused(ErrorKind::Undurable, error))
                        });
                    }
                    return Ok(Landed::Stored { snapshot, at, undurable });
                }
                Committed::Conflict(snapshot) => {
                    if Instant::now() >= deadline {
                        return Err(SessionError::because(
                            ErrorKind::Unavailable,
                            "too many requests changed the session at the same time",
                        ));
                    }
                    self.metrics.merges.one();
                    asks = 0;
                    record = snapshot.record;
                    races += 1;
                    if races >= RACES && kind == WriteKind::Awaited && request.lease.is_none() {
                        // As below: another call of this request may hold it by now.
                        match of_request.of(key).await? {
                            Some(proof) => lease = Some(proof),
                            None => own = self.queue_for(key, &mut record).await?,
                        }
                    }
                }
                Committed::Locked { .. } => {
                    asks = 0;
                    // Before it is queued for: this request may be its own holder.
                    drop(own.take());
                    match if request.lease.is_none() { of_request.of(key).await? } else { None } {
                        Some(proof) => {
                            lease = Some(proof);
                            // The same operation, which is done once whatever it shows.
                            if let Some((asked, _)) = doubt.as_mut() {
                                asked.lease = lease;
                            }
                        }
                        None => own = self.queue_for(key, &mut record).await?,
                    }
                }
                Committed::LeaseLost => {
                    self.metrics.leases_lost.one();
                    if let Some(held) = &mut own {
                        held.lose();
                    }
                    // It may have been made, have given the lease back with it, and be forgotten since.
                    if let Some((asked, _)) = doubt.as_ref()
                        && self.where_done(asked, key).await?.is_some()
                    {
                        return Err(SessionError::new(ErrorKind::Unknown));
                    }
                    return Err(SessionError::new(ErrorKind::LeaseLost));
                }
                Committed::Missing => return self.vanished(key, known, kind).await,
                Committed::Ended(Ending::Moved { to, user_changed }) => {
                    asks = 0;
                    own = None;
                    hops += 1;
                    if hops > MAX_HOPS {
                        return Err(SessionError::new(ErrorKind::Gone));
                    }
                    if rule != MergeRule::CheckAll
                        && let Some((id, successor, snapshot)) = self.grace(known, key, &at).await?
                    {
                        (key, record) = (successor, snapshot.record);
                        at = Some((id, successor));
                        continue;
                    }
                    if let Some((asked, overwritten)) = doubt.as_ref() {
                        if let Some(at) = self.where_done(asked, to).await? {
                            // It was done before the session got the new id, where its store answers for it.
                            (key, rule) = (at, MergeRule::CheckAll);
                            again = Some((Commit { key, ..asked.clone() }, *overwritten));
                            continue;
                        }
                        *doubt = None;
                    }
                    if kind == WriteKind::Awaited || user_changed {
                        self.metrics.resurrections_prevented.one();
                        return Err(match kind {
                            WriteKind::Awaited => SessionError::new(ErrorKind::Gone),
                            WriteKind::Buffered => self.conflict(None),
                        });
                    }
                    match self.call(Effect::Reads, self.store.load(to)).await? {
                        Loaded::Live(snapshot) => {
                            (key, record, rule) = (to, snapshot.record, MergeRule::CheckAll);
                        }
                        Loaded::Alias { successor, snapshot, .. } => {
                            (key, record, rule) = (successor, snapshot.record, MergeRule::CheckAll);
                        }
                        Loaded::Ended(Ending::Moved { .. }) => (key, rule) = (to, MergeRule::CheckAll),
                        Loaded::Ended(ending) => return self.late(ending, kind),
                        // The successor's deadlines are no earlier than those that this request knows.
                        Loaded::Missing => return self.vanished(to, known, kind).await,
                    }
                    self.metrics.resurrections_prevented.one();
                }
                Committed::Ended(ending) => return self.late(ending, kind),
            }
        }
    }

    /// Under which of the keys that a session got later it remembers this request; `None`: it was not done.
    async fn where_done(
        &self,
        asked: &Commit,
        successor: StoreKey,
    ) -> Result<Option<StoreKey>, SessionError> {
        let mut at = successor;
        for _ in 0..MAX_HOPS {
            let record = match self.call(Effect::Reads, self.store.load(at)).await? {
                Loaded::Live(snapshot) => snapshot.record,
                Loaded::Alias { successor, snapshot, .. } => {
                    at = successor;
                    snapshot.record
                }
                Loaded::Ended(Ending::Moved { to, .. }) => {
                    at = to;
                    continue;
                }
                Loaded::Ended(_) | Loaded::Missing => break,
            };
            return match (record.knows(asked.op), is_forgotten(asked, &record)) {
                (true, _) => Ok(Some(at)),
                (false, false) => Ok(None),
                (false, true) => break,
            };
        }
        Err(SessionError::new(ErrorKind::Unknown))
    }

    fn note_committed(&self, overwritten: usize) {
        self.metrics.commits.one();
        self.note_overwritten(overwritten);
    }

    pub(crate) fn note_overwritten(&self, keys: usize) {
        if keys > 0 {
            self.metrics.overwritten.add(u64::try_from(keys).unwrap_or(0));
            tracing::info!(
                target: "cloakroom",
                keys,
                "last write wins: values that another request had changed meanwhile were overwritten"
            );
        }
    }

    /// Waits for the lease and reads the record again under it. `None`: the session ended or moved while this request
    /// waited, and the next try of its write tells how.
    async fn queue_for(
        self: &Arc<Self>,
        key: StoreKey,
        record: &mut Arc<Record>,
    ) -> Result<Option<HeldLease>, SessionError> {
        Ok(self.acquire(key).await?.ok().map(|locked| {
            *record = locked.snapshot.record;
            locked.held
        }))
    }
}

/// Whether nothing has to be stored: a buffered write of what was there when the request began may be ordered there. An
/// awaited one began later: only the store can tell what is there now, and whether there still is a session.
fn is_settled(merged: &Merged, record: &Record, kind: WriteKind) -> bool {
    // Changes that change nothing leave the very same payload, so its bytes need not be compared: they were written just now, and to
    // read them back waits for that.
    kind == WriteKind::Buffered && merged.payload.is_same(&record.payload) && merged.epoch == record.epoch
}
