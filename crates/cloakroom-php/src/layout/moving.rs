//! Live sessions on their way out of PHP's layout, into a store that PHP knows nothing of.
//!
//! A session moves when a request asks for it, and in an order that survives the end of this process anywhere in it:
//!
//! 1. PHP's value is looked at. While somebody holds PHP's lock it stays where it is, and is served from there.
//! 2. A copy goes to the other store, with a flag in it: nobody is served a flagged copy, nobody writes to one.
//! 3. PHP's value is deleted if it is still the same to the byte and nobody holds the lock, and a mark is left in its place. That is the
//!    instant at which the session has moved.
//! 4. The flag is taken off. Whoever finds one begins again at 1: the mark tells whether 3 was reached.
//!
//! The mark outlives whatever a late request of PHP's may yet write under the id: that is never loaded.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::{Lifetime, Record};
use cloakroom::store::protocol::{Entry, Table};
use cloakroom::store::{
    Acquire, Acquired, BindUser, Commit, Committed, Conventions, Create, Created, End, EndCause, Ended,
    Ending, Loaded, Purged, Release, Released, Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom,
    ScanPage, Store, StoreError, StoreFuture, StoreStats, Summary, Touch, Touched,
};
use cloakroom::{OpId, StoreKey, UserId};

use super::ground::Ground;
use super::picture::{About, no_index};
use super::store::{Inner, PhpSessions};
use super::variables;

/// How far the move is. Every instance of a service goes from one to the next before any goes one further.
///
/// By name, in the order in which they come: `prepare`, `move`, `done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Nothing moves, and whatever has moved is found: for the time in which other instances may be a stage further. PHP serves its
    /// routes.
    Prepare,
    /// PHP has no routes with sessions any more. Sessions move as they are asked for; new ones are begun in the new place.
    Move,
    /// What has not moved is over: PHP's sessions are not looked for any more.
    Done,
}

impl std::str::FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(name: &str) -> Result<Self, UnknownStage> {
        match name {
            "prepare" => Ok(Stage::Prepare),
            "move" => Ok(Stage::Move),
            "done" => Ok(Stage::Done),
            _ => Err(UnknownStage),
        }
    }
}

/// A name that is none of [`Stage`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown stage of a move; accepted: prepare, move, done")]
pub struct UnknownStage;

/// The sessions of a PHP application that is on its way out, together with the store that they move to.
///
/// Ids and values stay as PHP had them, so that every visitor keeps the cookie; the configuration is that of the
/// [`Layout`](super::Layout). Opening a session that has moved costs one call of the other store; one that has not costs one more, and the
/// move itself four.
///
/// A session in which a value refers to another value or object, or a name is not UTF-8, does not move: that is PHP's alone. It is served from where it is until it ends.
///
/// While sessions move, `list_user`, `revoke` and caps are refused as PHP's layout refuses them; once it is [done](Stage::Done) they are the
/// other store's.
pub struct Moving<G>(Arc<Parts<G>>);

struct Parts<G> {
    php: PhpSessions<G>,
    new: Arc<dyn Store>,
    stage: Stage,
}

impl<G> Clone for Moving<G> {
    fn clone(&self) -> Self {
        Moving(Arc::clone(&self.0))
    }
}

/// Where the copy's flag is: an entry that no variable of PHP's is, and no application's.
const FLAG: &str = "\0moving";
/// The operation that leaves the mark in PHP's place.
fn mark() -> OpId {
    OpId::from_u64(0x6d6f_7669_6e67)
}
/// How much longer than PHP keeps a session the mark stands: longer than any request of PHP's runs.
const SPARE: Duration = Duration::from_secs(24 * 3600);
/// A session that is begun anew in its new place ends then, used or not: PHP's had no such deadline.
const ABSOLUTE: Duration = Duration::from_secs(7 * 24 * 3600);
/// So long a copy that is taken back is remembered: there is no shorter time.
const FORGOTTEN: Duration = Duration::from_millis(1);
/// So often a session that changes under the move is tried again, before it is left where it is for this request.
const TRIES: usize = 4;

impl<G: Ground> Moving<G> {
    /// From PHP's sessions to this store.
    pub fn new(php: PhpSessions<G>, new: Arc<dyn Store>, stage: Stage) -> Self {
        Moving(Arc::new(Parts { php, new, stage }))
    }

    fn ask<A, F>(&self, ask: impl FnOnce(Arc<Parts<G>>) -> F) -> StoreFuture<A>
    where
        F: Future<Output = Result<A, StoreError>> + Send + 'static,
    {
        StoreFuture::boxed(ask(self.0.clone()))
    }
}

/// What PHP has of a session.
enum Theirs {
    /// This, and whether it may be taken away now.
    Live(Arc<Record>, bool),
    /// It has moved.
    Marked,
    Gone,
}

impl<G: Ground> Inner<G> {
    async fn theirs(&self, key: StoreKey) -> Result<Theirs, StoreError> {
        let keys = [key];
        let found = self.inspect(&keys, |table, now, key| {
            Ok(match table.get(key)? {
                Some(Entry::Live { record, lease }) if !record.is_expired(now) => {
                    let free = lease.is_none_or(|lease| now >= lease.until);
                    let whole = free
                        && table.value(key).is_some_and(|value| {
                            variables::are_all(&self.layout.coding, value, &record.payload)
                        });
                    Theirs::Live(record, whole)
                }
                Some(Entry::Marker { op, until, .. }) if op == mark() && now < until => Theirs::Marked,
                _ => Theirs::Gone,
            })
        });
        Ok(found.await?.into_iter().next().unwrap_or(Theirs::Gone))
    }

    /// Takes the session out of PHP's hands, if it is as it was seen.
    async fn take_out(&self, key: StoreKey, seen: &Record) -> Result<bool, StoreError> {
        let kept = self.layout.lifetime + SPARE;
        let about = About { key, heir: None, patient: false };
        let take = |table: &mut super::picture::Drafts<'_>, now: Timestamp| {
            let (record, lease) = match table.get(&key)? {
                Some(Entry::Live { record, lease }) => (record, lease),
                _ => return Ok(false),
            };
            if record.version != seen.version || lease.is_some_and(|lease| now < lease.until) {
                return Ok(false);
            }
            let until = now.after(kept);
            table.put(&key, Entry::Marker { ending: Ending::Revoked, op: mark(), until })?;
            Ok(true)
        };
        self.step(about, take).await
    }

    /// The variables with who is logged in among them, as PHP has it.
    fn told(&self, payload: &Payload, bind: Option<&BindUser>) -> Payload {
        let named = self.layout.user_variable.as_ref().zip(bind);
        let with =
            named.and_then(|(variable, bind)| variables::with_user(payload, variable, &bind.user).ok());
        with.unwrap_or_else(|| payload.clone())
    }
}

fn is_flagged(record: &Record) -> bool {
    record.payload.get(FLAG).is_some()
}

fn flagged(payload: &Payload) -> Payload {
    let mut entries = PayloadBuilder::with_capacity(payload.len() + FLAG.len() + 8);
    for (key, value) in payload.iter() {
        entries.push(key, value);
    }
    entries.push(FLAG, b"b:1;");
    entries.finish()
}

fn unflagged(payload: &Payload) -> Payload {
    let mut entries = PayloadBuilder::with_capacity(payload.len());
    for (key, value) in payload.iter().filter(|(key, _)| *key != FLAG) {
        entries.push(key, value);
    }
    entries.finish()
}

/// Whether the other store has a word on it.
fn speaks(loaded: &Loaded) -> bool {
    match loaded {
        Loaded::Live(snapshot) => !is_flagged(&snapshot.record),
        Loaded::Alias { .. } | Loaded::Ended(_) => true,
        Loaded::Missing => false,
    }
}

impl<G: Ground> Parts<G> {
    fn php(&self) -> &Inner<G> {
        self.php.inner()
    }

    /// What the new place says of the session, which is moved there if it may be. `None`: it is PHP's, if anybody's.
    async fn settle(&self, key: StoreKey) -> Result<Option<Loaded>, StoreError> {
        let loaded = self.new.load(key).await?;
        if speaks(&loaded) {
            return Ok(Some(loaded));
        }
        match self.stage {
            Stage::Prepare => Ok(None),
            Stage::Move => self.carry(key, loaded).await,
            Stage::Done => Ok(Some(Loaded::Missing)),
        }
    }

    /// After PHP's place said that there is nothing: what the new one says, if the session has moved meanwhile.
    async fn moved(&self, key: StoreKey) -> Result<Option<Loaded>, StoreError> {
        let loaded = self.new.load(key).await?;
        if speaks(&loaded) {
            return Ok(Some(loaded));
        }
        self.carry(key, loaded).await
    }

    async fn carry(&self, key: StoreKey, mut copy: Loaded) -> Result<Option<Loaded>, StoreError> {
        for _ in 0..TRIES {
            let theirs = self.php().theirs(key).await?;
            let ours = match &copy {
                Loaded::Live(snapshot) => Some(&snapshot.record),
                _ => None,
            };
            match (theirs, ours) {
                (Theirs::Marked, Some(record)) => self.unflag(key, record).await?,
                (Theirs::Marked, None) => return Ok(Some(Loaded::Missing)),
                // PHP ended it after the copy was made.
                (Theirs::Gone, Some(_)) => {
                    self.drop_copy(key).await?;
                    return Ok(None);
                }
                (Theirs::Gone, None) | (Theirs::Live(_, false), _) => return Ok(None),
                (Theirs::Live(..), _) if self.stage != Stage::Move => return Ok(None),
                (Theirs::Live(record, true), ours) => {
                    if let Some(copied) = self.copy(key, &record, ours).await?
                        && self.php().take_out(key, &record).await?
                    {
                        self.unflag(key, &copied).await?;
                    }
                }
            }
            copy = self.new.load(key).await?;
            if speaks(&copy) {
                return Ok(Some(copy));
            }
        }
        Ok(None)
    }

    /// A copy of what PHP has, with the flag, where there may be an older one. `None`: it is somebody else's turn.
    async fn copy(
        &self,
        key: StoreKey,
        theirs: &Record,
        ours: Option<&Arc<Record>>,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let payload = flagged(&theirs.payload);
        match ours {
            Some(ours) if ours.user != theirs.user => {
                self.drop_copy(key).await?;
                tokio::time::sleep(5 * FORGOTTEN).await;
                Ok(None)
            }
            Some(ours) if ours.payload == payload => Ok(Some(Arc::clone(ours))),
            Some(ours) => self.commit(key, ours, payload).await,
            None => {
                let user = theirs.user.clone();
                let create = Create {
                    key,
                    // The last operation of ours: asked again, it is known to be done.
                    op: theirs.version.op,
                    record_id: theirs.id,
                    lifetime: Lifetime {
                        idle: self.php().layout.lifetime,
                        absolute: ABSOLUTE,
                        renewal: None,
                    },
                    bind: user.map(|user| BindUser { user, device: theirs.device.clone(), cap: None }),
                    payload,
                    marker: SPARE,
                };
                Ok(match self.new.create(create).await? {
                    Created::Created { snapshot, .. } => Some(snapshot.record),
                    Created::Exists => None,
                })
            }
        }
    }

    async fn unflag(&self, key: StoreKey, copy: &Arc<Record>) -> Result<(), StoreError> {
        self.commit(key, copy, unflagged(&copy.payload)).await.map(drop)
    }

    async fn commit(
        &self,
        key: StoreKey,
        ours: &Arc<Record>,
        payload: Payload,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let commit = Commit {
            key,
            op: OpId::generate(),
            expected: ours.version,
            base: Some(Arc::clone(ours)),
            lease: None,
            release: false,
            epoch: ours.epoch,
            payload,
            slide: None,
        };
        Ok(match self.new.commit(commit).await? {
            Committed::Committed(snapshot) => Some(snapshot.record),
            _ => None,
        })
    }

    /// A copy that nobody was ever served leaves nothing behind that would be in the way of the next one.
    async fn drop_copy(&self, key: StoreKey) -> Result<(), StoreError> {
        let end = End { key, op: OpId::generate(), cause: EndCause::Revoked, marker: FORGOTTEN };
        self.new.end(end).await.map(drop)
    }

    async fn load(&self, key: StoreKey) -> Result<Loaded, StoreError> {
        if let Some(loaded) = self.settle(key).await? {
            return Ok(loaded);
        }
        match self.php.load(key).await? {
            Loaded::Live(snapshot) => Ok(Loaded::Live(snapshot)),
            gone => Ok(self.moved(key).await?.unwrap_or(gone)),
        }
    }
}

/// Whether an answer of the new place is about a copy that nobody is served, or about nothing.
fn is_no_word(answer: &Committed) -> bool {
    match answer {
        Committed::Missing => true,
        Committed::Conflict(snapshot) => is_flagged(&snapshot.record),
        _ => false,
    }
}

fn is_no_new_id(answer: &Renamed) -> bool {
    match answer {
        Renamed::Missing => true,
        Renamed::Conflict(snapshot) => is_flagged(&snapshot.record),
        _ => false,
    }
}

impl<G: Ground> Store for Moving<G> {
    fn name(&self) -> &'static str {
        self.0.new.name()
    }

    fn conventions(&self) -> Option<Conventions> {
        self.0.php.conventions()
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.ask(|parts| async move { parts.load(key).await })
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        if self.0.stage == Stage::Prepare {
            return self.0.php.create(request);
        }
        let payload = self.0.php().told(&request.payload, request.bind.as_ref());
        self.0.new.create(Create { payload, ..request })
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.ask(move |parts| async move {
            let answer = parts.new.commit(request.clone()).await?;
            // The lease may be PHP's lock, and the copy one that nobody holds.
            let elsewhere = is_no_word(&answer) || answer == Committed::LeaseLost;
            if !elsewhere || parts.stage == Stage::Done {
                return Ok(answer);
            }
            let theirs = parts.php.commit(request.clone()).await?;
            if !matches!(theirs, Committed::Ended(_)) || parts.moved(request.key).await?.is_none() {
                return Ok(theirs);
            }
            // It moved between the two: then it is another version there, and the change is decided anew.
            let there = parts.new.commit(request).await?;
            Ok(if is_no_word(&there) { theirs } else { there })
        })
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.ask(move |parts| async move {
            let payload = parts.php().told(&request.payload, request.bind.as_ref());
            let ours = Rename { payload, ..request.clone() };
            let answer = parts.new.rename(ours.clone()).await?;
            let elsewhere = is_no_new_id(&answer) || answer == Renamed::LeaseLost;
            if !elsewhere || parts.stage == Stage::Done {
                return Ok(answer);
            }
            let theirs = parts.php.rename(request).await?;
            if !matches!(theirs, Renamed::Ended(_)) || parts.moved(ours.from).await?.is_none() {
                return Ok(theirs);
            }
            let there = parts.new.rename(ours).await?;
            Ok(if is_no_new_id(&there) { theirs } else { there })
        })
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        // Asked now, while the request that holds the id is there.
        let theirs = (self.0.stage != Stage::Done).then(|| self.0.php.touch(request));
        self.ask(|parts| async move {
            match (parts.new.touch(request).await?, theirs) {
                (Touched::NotLive, Some(theirs)) => theirs.await,
                (answer, _) => Ok(answer),
            }
        })
    }

    /// Both places, PHP's first: a move that is under way finds its session ended, and takes its copy back.
    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.ask(|parts| async move {
            let theirs = match parts.stage {
                Stage::Done => Ended::NotLive,
                _ => parts.php.end(request).await?,
            };
            let ours = parts.new.end(request).await?;
            Ok(if ours == Ended::NotLive { theirs } else { ours })
        })
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.ask(|parts| async move {
            if parts.settle(request.key).await?.is_some() {
                return parts.new.acquire(request).await;
            }
            match parts.php.acquire(request).await? {
                Acquired::Ended(ending) => match parts.moved(request.key).await? {
                    Some(_) => parts.new.acquire(request).await,
                    None => Ok(Acquired::Ended(ending)),
                },
                answer => Ok(answer),
            }
        })
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.ask(|parts| async move {
            match parts.new.renew(request).await? {
                Renewed::LeaseLost if parts.stage != Stage::Done => parts.php.renew(request).await,
                answer => Ok(answer),
            }
        })
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.ask(|parts| async move {
            match parts.new.release(request).await? {
                Released::NotHeld if parts.stage != Stage::Done => parts.php.release(request).await,
                answer => Ok(answer),
            }
        })
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        match self.0.stage {
            Stage::Done => self.0.new.list_user(user),
            _ => StoreFuture::ready(Err(no_index())),
        }
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        match self.0.stage {
            Stage::Done => self.0.new.revoke(request),
            _ => StoreFuture::ready(Err(no_index())),
        }
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        match self.0.stage {
            Stage::Done => self.0.new.scan(from),
            _ => self.0.php.scan(from),
        }
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.0.new.purge(limit)
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.0.new.stats()
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        self.0.new.now()
    }

    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        self.0.new.released(key)
    }
}

impl<G: Ground> std::fmt::Debug for Moving<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Parts { php, new, stage } = &*self.0;
        f.debug_struct("Moving").field("from", php).field("to", &new.name()).field("stage", stage).finish()
    }
}
