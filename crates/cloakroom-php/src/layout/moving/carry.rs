//! The way of one session, from where PHP has it to the new place.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::record::{Lifetime, Record};
use cloakroom::store::protocol::{Entry, Table};
use cloakroom::store::{
    BindUser, Commit, Committed, Create, Created, Ending, Loaded, SealedId, Store, StoreError,
};
use cloakroom::{OpId, StoreKey};

use super::aside::{self, is_aside};
use super::flag::{Flag, flagged, is_flagged, unflagged};
use super::{Parts, Stage, whole};
use crate::layout::ground::{Ground, Matter};
use crate::layout::picture::{About, Drafts};
use crate::layout::store::Inner;
use crate::layout::variables;

/// The operation that leaves the mark in PHP's place.
fn mark() -> OpId {
    OpId::from_u64(0x6d6f_7669_6e67)
}
/// How much longer than PHP keeps a session the mark stands: longer than any request of PHP's runs.
const SPARE: Duration = Duration::from_secs(24 * 3600);
/// A session that is begun anew in its new place ends then, used or not: PHP's had no such deadline.
const ABSOLUTE: Duration = Duration::from_secs(7 * 24 * 3600);
/// So often a session that changes under the move is tried again, before it is left where it is for this request.
const TRIES: usize = 4;
/// So often it is looked whether a copy that was taken away is forgotten, each time twice as late.
const LOOKS: u32 = 6;

/// What of a session moves.
struct Moves {
    payload: Payload,
    /// Its id is to be renewed then.
    due: Option<Duration>,
}

/// What PHP has of a session.
enum Theirs {
    /// This, and what of it moves: nothing while somebody holds the lock, or where it cannot.
    Live(Arc<Record>, Option<Moves>),
    /// It has moved.
    Marked,
    /// It is an old id in its grace, and leads there.
    Leads(StoreKey, SealedId),
    /// It ended there, or has another id.
    Ended,
    Gone,
}

/// Whether an old id leads to its successor: once, and no further.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grace {
    Leads,
    IsOver,
}

impl<G: Ground> Inner<G> {
    async fn theirs(&self, key: StoreKey) -> Result<Theirs, StoreError> {
        let keys = [key];
        let found = self.inspect(&keys, |table, now, key| {
            Ok(match table.get(key)? {
                Some(Entry::Live { record, lease }) if !record.is_expired(now) => {
                    let free = lease.is_none_or(|lease| now >= lease.until);
                    // Of a session that PHP does not store, for it is empty, there is what is beside.
                    let value = table.value(key).unwrap_or_default();
                    let moves = whole::of(&self.layout.coding, value, &record.payload).filter(|_| free);
                    let due = (record.renew_at != Timestamp::NEVER).then(|| now.until(record.renew_at));
                    Theirs::Live(record, moves.map(|payload| Moves { payload, due }))
                }
                Some(Entry::Marker { op, until, .. }) if op == mark() && now < until => Theirs::Marked,
                Some(Entry::Alias { successor, sealed, grace_until, .. }) if now < grace_until => {
                    Theirs::Leads(successor, sealed)
                }
                Some(entry @ (Entry::Marker { .. } | Entry::Alias { .. })) if now < entry.purge_at() => {
                    Theirs::Ended
                }
                _ => Theirs::Gone,
            })
        });
        Ok(found.await?.into_iter().next().unwrap_or(Theirs::Gone))
    }

    /// Takes the session out of PHP's hands, if it is as it was seen.
    async fn take_out(&self, key: StoreKey, seen: &Record) -> Result<bool, StoreError> {
        let kept = self.layout.lifetime + SPARE;
        let about = About { key, heir: None, patient: false, matter: Matter::Passing };
        let take = |table: &mut Drafts<'_>, now: Timestamp| {
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
        self.step(about, take, |_| false).await
    }
}

/// A step of the move that was made, whether or not replicas confirmed it. Where both places are on one server, replicas are given the steps
/// in this order, and what whoever asked then does is confirmed with all that came before.
fn made<A: 'static>(answer: Result<A, StoreError>) -> Result<A, StoreError> {
    answer.or_else(|mut error| error.take_made().ok_or(error))
}

/// Whether the other store has a word on it.
fn speaks(loaded: &Loaded) -> bool {
    match loaded {
        Loaded::Live(snapshot) => !is_flagged(&snapshot.record),
        // A copy may have been left behind, and be past its deadline while the session is used where it is.
        Loaded::Ended(Ending::Expired) => false,
        Loaded::Ended(ending) => !is_aside(ending),
        Loaded::Alias { .. } => true,
        Loaded::Missing => false,
    }
}

/// What the other store says, where it has no word on it and PHP's place has no session either.
fn nobodys(loaded: Loaded) -> Loaded {
    match loaded {
        Loaded::Ended(Ending::Expired) => loaded,
        _ => Loaded::Missing,
    }
}

impl<G: Ground> Parts<G> {
    pub(super) fn php(&self) -> &Inner<G> {
        self.php.inner()
    }

    /// Whether PHP's place is to be asked for it: not for an id of this library's own, which another process makes by now.
    pub(super) fn may_be_phps(&self, key: &StoreKey) -> bool {
        self.stage != Stage::Done && self.php().ids.resolve(key).is_some()
    }

    /// The data with who is logged in among the variables, as PHP has it, while there may be PHP to look.
    pub(super) fn told(&self, payload: &Payload, bind: Option<&BindUser>) -> Payload {
        let variable = self.php().layout.user_variable.as_ref().filter(|_| self.stage != Stage::Done);
        let with = variable
            .zip(bind)
            .and_then(|(variable, bind)| variables::with_user(payload, variable, &bind.user).ok());
        with.unwrap_or_else(|| payload.clone())
    }

    /// What the new place says of the session, which is moved there if it may be. `None`: it is PHP's, if anybody's.
    pub(super) async fn settle(&self, key: StoreKey) -> Result<Option<Loaded>, StoreError> {
        let loaded = self.new.load(key).await?;
        if speaks(&loaded) {
            return Ok(Some(loaded));
        }
        match self.stage {
            _ if !self.may_be_phps(&key) => Ok(Some(nobodys(loaded))),
            Stage::Move => self.carry(key, loaded, Grace::Leads).await,
            Stage::Prepare | Stage::Done => Ok(None),
        }
    }

    /// After PHP's place said that there is nothing: what the new one says, if the session has moved meanwhile.
    pub(super) async fn moved(&self, key: StoreKey) -> Result<Option<Loaded>, StoreError> {
        let loaded = self.new.load(key).await?;
        if speaks(&loaded) {
            return Ok(Some(loaded));
        }
        self.carry(key, loaded, Grace::Leads).await
    }

    async fn carry(
        &self,
        key: StoreKey,
        mut copy: Loaded,
        grace: Grace,
    ) -> Result<Option<Loaded>, StoreError> {
        let mut marked = false;
        for _ in 0..TRIES {
            let theirs = self.php().theirs(key).await?;
            let ours = match &copy {
                Loaded::Live(snapshot) => Some(&snapshot.record),
                _ => None,
            };
            match (theirs, ours) {
                (Theirs::Marked, Some(record)) => self.unflag(key, record).await?,
                (Theirs::Marked, None) if marked => return Ok(Some(nobodys(copy))),
                // Another request may have moved it after the copy was looked for: it is looked for once more.
                (Theirs::Marked, None) => marked = true,
                // It ended, or got another id, after the copy was made.
                (Theirs::Gone | Theirs::Ended | Theirs::Leads(..), Some(record)) => {
                    self.drop_copy(key, record).await?;
                    return Ok(None);
                }
                (Theirs::Gone, None) => {
                    return Ok(Some(nobodys(copy)).filter(|over| *over != Loaded::Missing));
                }
                (Theirs::Leads(successor, sealed), None) if grace == Grace::Leads => {
                    return self.led(successor, sealed).await;
                }
                (Theirs::Ended | Theirs::Leads(..), None) | (Theirs::Live(_, None), _) => return Ok(None),
                (Theirs::Live(..), _) if self.stage != Stage::Move => return Ok(None),
                // Its key is free once the store has removed what is under it.
                (Theirs::Live(..), None) if matches!(copy, Loaded::Ended(Ending::Expired)) => {
                    return Ok(None);
                }
                (Theirs::Live(record, Some(moves)), ours) => {
                    if let Some(copied) = self.copy(key, &record, &moves, ours).await?
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

    /// Where an id leads that was renewed in PHP's place, if its successor has moved since.
    async fn led(&self, successor: StoreKey, sealed: SealedId) -> Result<Option<Loaded>, StoreError> {
        let mut loaded = self.new.load(successor).await?;
        if !speaks(&loaded) {
            let Some(carried) = Box::pin(self.carry(successor, loaded, Grace::IsOver)).await? else {
                return Ok(None);
            };
            loaded = carried;
        }
        Ok(Some(match loaded {
            Loaded::Live(snapshot) => Loaded::Alias { successor, sealed, snapshot },
            // Another change of its id ended the grace.
            Loaded::Alias { .. } | Loaded::Missing => {
                Loaded::Ended(Ending::Moved { to: successor, user_changed: false })
            }
            Loaded::Ended(ending) => Loaded::Ended(ending),
        }))
    }

    /// A copy of what PHP has, with the flag, where there may be an older one. `None`: it is somebody else's turn.
    async fn copy(
        &self,
        key: StoreKey,
        theirs: &Record,
        moves: &Moves,
        ours: Option<&Arc<Record>>,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let payload = flagged(&moves.payload, Flag::of(theirs));
        match ours {
            Some(ours) if ours.user != theirs.user => {
                self.drop_copy(key, ours).await?;
                Ok(None)
            }
            // Even where it says the same: from here on nobody who decided on the older one can take it away.
            Some(ours) => {
                let slide = Some(self.php().layout.lifetime);
                self.commit(key, ours, (OpId::generate(), ours.epoch), payload, slide).await
            }
            None => {
                let user = theirs.user.clone();
                let create = Create {
                    key,
                    // Not the version that PHP's place has: what is decided on that one is not for a copy.
                    op: OpId::generate(),
                    record_id: theirs.id,
                    lifetime: Lifetime {
                        idle: self.php().layout.lifetime,
                        absolute: ABSOLUTE,
                        renewal: moves.due,
                    },
                    bind: user.map(|user| BindUser { user, device: theirs.device.clone(), cap: None }),
                    payload,
                    marker: SPARE,
                };
                Ok(match made(self.new.create(create).await)? {
                    Created::Created { snapshot, .. } => Some(snapshot.record),
                    Created::Exists => None,
                })
            }
        }
    }

    /// It is the session from now on. Its last operation is that of PHP's place: asked again, it is known to be done.
    async fn unflag(&self, key: StoreKey, copy: &Arc<Record>) -> Result<(), StoreError> {
        let Some(Flag { op, epoch }) = Flag::on(copy) else { return Ok(()) };
        self.commit(key, copy, (op, epoch), unflagged(&copy.payload), None).await.map(drop)
    }

    async fn commit(
        &self,
        key: StoreKey,
        ours: &Arc<Record>,
        (op, epoch): (OpId, u32),
        payload: Payload,
        slide: Option<Duration>,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let commit = Commit {
            key,
            op,
            expected: ours.version,
            base: Some(Arc::clone(ours)),
            lease: None,
            release: false,
            epoch,
            payload,
            slide,
            unless_seen_within: Duration::ZERO,
        };
        Ok(match made(self.new.commit(commit).await)? {
            Committed::Committed(snapshot) => Some(snapshot.record),
            _ => None,
        })
    }

    /// Takes a copy away that nobody was ever served, if it still is the one that was seen.
    async fn drop_copy(&self, key: StoreKey, copy: &Record) -> Result<(), StoreError> {
        made(self.new.rename(aside::request(key, copy)).await)?;
        // The key is free once what stands under it is forgotten, by the store's own clock.
        for looks in 0..LOOKS {
            tokio::time::sleep(aside::FORGOTTEN * 2_u32.pow(looks)).await;
            match self.new.load(key).await {
                Ok(Loaded::Ended(ending)) if is_aside(&ending) => {}
                _ => break,
            }
        }
        Ok(())
    }

    pub(super) async fn load(&self, key: StoreKey) -> Result<Loaded, StoreError> {
        if let Some(loaded) = self.settle(key).await? {
            return Ok(loaded);
        }
        match self.php.load(key).await? {
            Loaded::Live(snapshot) => Ok(Loaded::Live(snapshot)),
            gone => Ok(self.moved(key).await?.unwrap_or(gone)),
        }
    }
}
