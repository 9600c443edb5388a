//! The rules of compare-and-commit, as plain functions over a [`Table`].
//!
//! Each function is one atomic step of a store: it reads entries, decides, writes entries, and answers. A store
//! that can run it inside a transaction (or under a lock) gets versions, leases, markers, aliases, idempotence
//! and the user index right without deciding anything itself. Stores that must express the step in another
//! language (a script in a server) are held to the same rules by the conformance suite.
//!
//! The order of checks is part of the contract: *ended* before *already done* before *lease* before *version*.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Acquire, Acquired, BindUser, Commit, Committed, Create, Created, Deadlines, End, EndCause, Ended, Ending,
    LeaseOwner, LeaseRef, Loaded, OldId, Release, Released, Rename, Renamed, Renew, Renewed, Revoke,
    RevokeWhich, Revoked, SealedId, Snapshot, Summary, Touch, Touched,
};
use crate::clock::Timestamp;
use crate::ids::{OpId, StoreKey, UserId};
use crate::record::{Record, Version};

/// Old ids that are followed from one to the next, at most, before an end is told it found nothing.
const MAX_HOPS: usize = 16;

/// Sessions that the receipt of a revocation tells of, at most: however many a user has, it stays small.
pub const RECEIPT_SESSIONS: usize = 256;

/// A lease on a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Who holds it.
    pub owner: LeaseOwner,
    /// The highest hold that was seen; lower ones are refused.
    pub hold: u64,
    /// It is void from here on.
    pub until: Timestamp,
}

/// What is under a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A session.
    Live {
        /// The record, shared with whoever was answered with it.
        record: Arc<Record>,
        /// A lease on it; void once its time is past.
        lease: Option<Lease>,
    },
    /// An old id after an automatic renewal.
    Alias {
        /// The successor's key.
        successor: StoreKey,
        /// The successor's id, sealed under the old one.
        sealed: SealedId,
        /// It leads to the successor until then; afterwards it is a marker.
        grace_until: Timestamp,
        /// The operation that made it.
        op: OpId,
        /// Remembered until then.
        until: Timestamp,
    },
    /// The memory of a session that ended or moved. No cookie loads it.
    Marker {
        /// How it ended.
        ending: Ending,
        /// The operation that ended it.
        op: OpId,
        /// Remembered until then.
        until: Timestamp,
    },
    /// The memory of a revocation: asked again, it ends nothing more and answers the same. Under a key that no id has.
    Receipt {
        /// How many sessions it ended.
        count: usize,
        /// Those sessions, or the first [`RECEIPT_SESSIONS`] of them.
        ended: Arc<[Summary]>,
        /// Remembered until then.
        until: Timestamp,
    },
}

impl Entry {
    /// When the entry may be removed: a live one at its deadline, the others when they need not be remembered.
    pub fn purge_at(&self) -> Timestamp {
        match self {
            Entry::Live { record, .. } => record.deadline(),
            Entry::Alias { until, .. } | Entry::Marker { until, .. } | Entry::Receipt { until, .. } => *until,
        }
    }

    /// Whose session it is, if it is one and somebody is logged in: what the user index is over.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Entry::Live { record, .. } => record.user.as_ref(),
            _ => None,
        }
    }
}

/// Entries inside one atomic step.
pub trait Table {
    /// What can go wrong underneath; `()` in memory: use [`std::convert::Infallible`].
    type Error;

    /// The entry under `key`. Entries past [`Entry::purge_at`] may be left out or not, as is easier.
    ///
    /// # Errors
    /// Whatever reading can fail with; the step is then abandoned and must leave no trace.
    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Self::Error>;

    /// The record under `key`, if it is a session that is alive at `now`. Most reads end here: a table that can
    /// tell without putting a whole [`Entry`] together may say so.
    ///
    /// # Errors
    /// As [`Table::get`].
    fn live(&mut self, key: &StoreKey, now: Timestamp) -> Result<Option<Arc<Record>>, Self::Error> {
        Ok(match self.get(key)? {
            Some(Entry::Live { record, .. }) if !record.is_expired(now) => Some(record),
            _ => None,
        })
    }

    /// Puts `entry` under `key`, replacing what was there, the user index included.
    ///
    /// # Errors
    /// Whatever writing can fail with; the step is then abandoned and must leave no trace.
    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Self::Error>;

    /// Keys of the entries whose [`Entry::user`] is `user`, in any order.
    ///
    /// # Errors
    /// Whatever reading can fail with.
    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, Self::Error>;
}

/// What is found under a key once time is taken into account.
enum Found {
    Live(Arc<Record>, Option<Lease>),
    Alias { successor: StoreKey, sealed: SealedId, op: OpId },
    Ended(Ending, OpId),
    Missing,
}

fn find<T: Table>(table: &mut T, key: &StoreKey, now: Timestamp) -> Result<Found, T::Error> {
    Ok(match table.get(key)? {
        None => Found::Missing,
        Some(Entry::Live { record, .. }) if record.is_expired(now) => {
            Found::Ended(Ending::Expired, OpId::default())
        }
        Some(Entry::Live { record, lease }) => Found::Live(record, lease.filter(|l| now < l.until)),
        Some(Entry::Alias { successor, sealed, grace_until, op, .. }) if now < grace_until => {
            Found::Alias { successor, sealed, op }
        }
        Some(Entry::Alias { successor, op, until, .. }) if now < until => {
            Found::Ended(Ending::Moved { to: successor, user_changed: false }, op)
        }
        Some(Entry::Marker { ending, op, until }) if now < until => Found::Ended(ending, op),
        Some(Entry::Alias { .. } | Entry::Marker { .. } | Entry::Receipt { .. }) => Found::Missing,
    })
}

/// Reads what a cookie may see under `key`.
///
/// # Errors
/// Those of the table.
pub fn load<T: Table>(table: &mut T, now: Timestamp, key: StoreKey) -> Result<Loaded, T::Error> {
    if let Some(record) = table.live(&key, now)? {
        return Ok(Loaded::Live(Snapshot { record, now }));
    }
    Ok(match find(table, &key, now)? {
        Found::Live(record, _) => Loaded::Live(Snapshot { record, now }),
        Found::Ended(ending, _) => Loaded::Ended(ending),
        Found::Missing => Loaded::Missing,
        // An alias leads to a live successor and to nothing else: whatever ended the successor, a second change of
        // its id included, ended the grace as well.
        Found::Alias { successor, sealed, .. } => match find(table, &successor, now)? {
            Found::Live(record, _) => Loaded::Alias { successor, sealed, snapshot: Snapshot { record, now } },
            Found::Ended(ending, _) => Loaded::Ended(ending),
            Found::Alias { .. } | Found::Missing => {
                Loaded::Ended(Ending::Moved { to: successor, user_changed: false })
            }
        },
    })
}

/// Stores a new record, unless something is under the key.
///
/// # Errors
/// Those of the table.
pub fn create<T: Table>(table: &mut T, now: Timestamp, request: Create) -> Result<Created, T::Error> {
    let Create { key, op, record_id, lifetime, bind, payload, marker } = request;
    match table.get(&key)? {
        Some(Entry::Live { record, .. }) if record.knows(op) && !record.is_expired(now) => {
            return Ok(Created::Created { snapshot: Snapshot { record, now }, evicted: Vec::new() });
        }
        Some(_) => return Ok(Created::Exists),
        None => {}
    }
    let absolute_deadline = now.after(lifetime.absolute);
    let mut record = Record {
        id: record_id,
        version: Version::first(op),
        recent: Default::default(),
        epoch: 0,
        created: now,
        last_seen: now,
        idle_deadline: now.after(lifetime.idle).min(absolute_deadline),
        absolute_deadline,
        renew_at: renew_at(now, lifetime.renewal),
        user: None,
        device: None,
        payload,
    };
    let evicted = match &bind {
        Some(bind) => {
            bind_to(&mut record, bind);
            make_room(table, now, bind, key, op, marker)?
        }
        None => Vec::new(),
    };
    let record = Arc::new(record);
    table.put(&key, Entry::Live { record: Arc::clone(&record), lease: None })?;
    Ok(Created::Created { snapshot: Snapshot { record, now }, evicted })
}

/// Replaces a version of a record.
///
/// # Errors
/// Those of the table.
pub fn commit<T: Table>(table: &mut T, now: Timestamp, request: Commit) -> Result<Committed, T::Error> {
    let (mut record, held) = match find(table, &request.key, now)? {
        Found::Live(record, lease) => (record, lease),
        Found::Alias { successor, .. } => {
            return Ok(Committed::Ended(Ending::Moved { to: successor, user_changed: false }));
        }
        Found::Ended(ending, _) => return Ok(Committed::Ended(ending)),
        Found::Missing => return Ok(Committed::Missing),
    };
    if record.knows(request.op) {
        return Ok(Committed::Committed(Snapshot { record, now }));
    }
    let lease = match check_lease(held, request.lease) {
        LeaseCheck::Passed(lease) => lease,
        LeaseCheck::Locked(until) => return Ok(Committed::Locked { until, now }),
        LeaseCheck::Lost => return Ok(Committed::LeaseLost),
    };
    if record.version != request.expected {
        return Ok(Committed::Conflict(Snapshot { record, now }));
    }
    let next = Arc::make_mut(&mut record);
    next.advance(request.op);
    next.epoch = request.epoch;
    next.payload = request.payload;
    slide(next, now, request.slide);
    let lease = lease.filter(|_| !request.release);
    table.put(&request.key, Entry::Live { record: Arc::clone(&record), lease })?;
    Ok(Committed::Committed(Snapshot { record, now }))
}

/// Moves a record to a new key.
///
/// # Errors
/// Those of the table.
pub fn rename<T: Table>(table: &mut T, now: Timestamp, request: Rename) -> Result<Renamed, T::Error> {
    let (old, held) = match find(table, &request.from, now)? {
        Found::Live(record, lease) => (record, lease),
        Found::Alias { successor, op, .. } => {
            let moved = Ending::Moved { to: successor, user_changed: false };
            return already_renamed(table, now, &request, op, moved);
        }
        Found::Ended(ending, op) => return already_renamed(table, now, &request, op, ending),
        Found::Missing => return Ok(Renamed::Missing),
    };
    if old.knows(request.op) {
        // Only a copy stays live under the old key; the record itself went to the new one.
        let moved = Ending::Moved { to: request.to, user_changed: false };
        return already_renamed(table, now, &request, request.op, moved);
    }
    let lease = match check_lease(held, request.lease) {
        LeaseCheck::Passed(lease) => lease,
        LeaseCheck::Locked(until) => return Ok(Renamed::Locked { until, now }),
        LeaseCheck::Lost => return Ok(Renamed::LeaseLost),
    };
    if old.version != request.expected {
        return Ok(Renamed::Conflict(Snapshot { record: old, now }));
    }
    if table.get(&request.to)?.is_some() {
        return Ok(Renamed::Exists);
    }

    let mut record = Record::clone(&old);
    record.advance(request.op);
    record.epoch = request.epoch;
    record.payload = request.payload;
    match request.deadlines {
        Deadlines::Keep { renewal } => {
            record.renew_at = renew_at(now, renewal);
            slide(&mut record, now, request.slide);
        }
        Deadlines::Restart(lifetime) => {
            record.last_seen = now;
            record.absolute_deadline = now.after(lifetime.absolute);
            record.idle_deadline = now.after(lifetime.idle).min(record.absolute_deadline);
            record.renew_at = renew_at(now, lifetime.renewal);
        }
    }
    if let Some(bind) = &request.bind {
        bind_to(&mut record, bind);
    }
    let user_changed = record.user != old.user;
    let marker_until = now.after(request.marker);
    let left_behind = match request.old {
        OldId::Alias { sealed, grace } if !user_changed => Entry::Alias {
            successor: request.to,
            sealed,
            grace_until: now.after(grace),
            op: request.op,
            until: now.after(grace).after(request.marker),
        },
        // Nobody is led across a change of user: who only knew the id from before is not told the one after.
        OldId::Dead | OldId::Alias { .. } => Entry::Marker {
            ending: Ending::Moved { to: request.to, user_changed },
            op: request.op,
            until: marker_until,
        },
        OldId::Copy { record_id, keep } => {
            let mut copy = Arc::unwrap_or_clone(old);
            copy.id = record_id;
            copy.absolute_deadline = copy.absolute_deadline.min(now.after(keep));
            copy.idle_deadline = copy.idle_deadline.min(copy.absolute_deadline);
            copy.renew_at = Timestamp::NEVER;
            copy.advance(request.op);
            Entry::Live { record: Arc::new(copy), lease: None }
        }
    };
    table.put(&request.from, left_behind)?;
    let evicted = match &request.bind {
        Some(bind) => make_room(table, now, bind, request.to, request.op, request.marker)?,
        None => Vec::new(),
    };
    let record = Arc::new(record);
    table.put(&request.to, Entry::Live { record: Arc::clone(&record), lease })?;
    Ok(Renamed::Renamed { snapshot: Snapshot { record, now }, evicted })
}

/// The old key does not hold the record any more: because this very operation moved it, or another one?
fn already_renamed<T: Table>(
    table: &mut T,
    now: Timestamp,
    request: &Rename,
    by: OpId,
    ending: Ending,
) -> Result<Renamed, T::Error> {
    // What is left under the old key names the operation for as long as it is there; the record itself may have
    // forgotten it over later ones.
    if by == request.op
        && matches!(ending, Ending::Moved { to, .. } if to == request.to)
        && let Found::Live(record, _) = find(table, &request.to, now)?
    {
        return Ok(Renamed::Renamed { snapshot: Snapshot { record, now }, evicted: Vec::new() });
    }
    Ok(Renamed::Ended(ending))
}

/// Slides the idle deadline of a live record, forwards only.
///
/// # Errors
/// Those of the table.
pub fn touch<T: Table>(table: &mut T, now: Timestamp, request: Touch) -> Result<Touched, T::Error> {
    let (Touch { key, idle }, found) = (request, find(table, &request.key, now)?);
    let Found::Live(mut record, lease) = found else { return Ok(Touched::NotLive) };
    slide(Arc::make_mut(&mut record), now, Some(idle));
    let idle_deadline = record.idle_deadline;
    table.put(&key, Entry::Live { record, lease })?;
    Ok(Touched::Touched { idle_deadline })
}

/// Ends a session, following it where it moved. A lease does not protect from it: its holder's write is then
/// refused as ended.
///
/// # Errors
/// Those of the table.
pub fn end<T: Table>(table: &mut T, now: Timestamp, request: End) -> Result<Ended, T::Error> {
    let mut key = request.key;
    for _ in 0..MAX_HOPS {
        match find(table, &key, now)? {
            Found::Live(record, _) => {
                let summary = Summary::of(key, &record);
                leave_marker(table, now, key, request.op, request.cause, request.marker)?;
                return Ok(Ended::Ended(Some(summary)));
            }
            Found::Alias { successor, .. } => key = successor,
            Found::Ended(Ending::Moved { to, .. }, _) => key = to,
            Found::Ended(_, by) if by == request.op => return Ok(Ended::Ended(None)),
            Found::Ended(..) | Found::Missing => return Ok(Ended::NotLive),
        }
    }
    Ok(Ended::NotLive)
}

/// Takes the lease of a record, and reads it.
///
/// # Errors
/// Those of the table.
pub fn acquire<T: Table>(table: &mut T, now: Timestamp, request: Acquire) -> Result<Acquired, T::Error> {
    let (record, held) = match find(table, &request.key, now)? {
        Found::Live(record, lease) => (record, lease),
        Found::Alias { successor, .. } => {
            return Ok(Acquired::Ended(Ending::Moved { to: successor, user_changed: false }));
        }
        Found::Ended(ending, _) => return Ok(Acquired::Ended(ending)),
        Found::Missing => return Ok(Acquired::Missing),
    };
    let hold = match held {
        Some(lease) if lease.owner != request.owner => {
            return Ok(Acquired::Locked { until: lease.until, now });
        }
        Some(lease) => lease.hold,
        None => 0,
    };
    let until = now.after(request.lease);
    let lease = Lease { owner: request.owner, hold, until };
    table.put(&request.key, Entry::Live { record: Arc::clone(&record), lease: Some(lease) })?;
    Ok(Acquired::Acquired { snapshot: Snapshot { record, now }, until })
}

/// Extends a lease that is still held.
///
/// # Errors
/// Those of the table.
pub fn renew<T: Table>(table: &mut T, now: Timestamp, request: Renew) -> Result<Renewed, T::Error> {
    match find(table, &request.key, now)? {
        Found::Live(record, Some(lease)) if lease.owner == request.owner => {
            let until = now.after(request.lease);
            let lease = Lease { until, ..lease };
            table.put(&request.key, Entry::Live { record, lease: Some(lease) })?;
            Ok(Renewed::Renewed { until })
        }
        _ => Ok(Renewed::LeaseLost),
    }
}

/// Gives a lease back.
///
/// # Errors
/// Those of the table.
pub fn release<T: Table>(table: &mut T, now: Timestamp, request: Release) -> Result<Released, T::Error> {
    match find(table, &request.key, now)? {
        Found::Live(record, Some(lease)) if lease.owner == request.owner => {
            table.put(&request.key, Entry::Live { record, lease: None })?;
            Ok(Released::Released)
        }
        _ => Ok(Released::NotHeld),
    }
}

/// The live sessions of a user, oldest first.
///
/// # Errors
/// Those of the table.
pub fn list_user<T: Table>(table: &mut T, now: Timestamp, user: &UserId) -> Result<Vec<Summary>, T::Error> {
    let mut sessions = Vec::new();
    for key in table.keys_of(user)? {
        if let Found::Live(record, _) = find(table, &key, now)?
            && record.user.as_ref() == Some(user)
        {
            sessions.push(Summary::of(key, &record));
        }
    }
    sessions.sort_by_key(|s| (s.created, s.record_id));
    Ok(sessions)
}

/// Ends sessions of a user; answers with those it ended: the sessions that are the user's the first time it is
/// executed. A receipt of that is kept for as long as markers are, so that executed again it ends nothing, a login
/// since then least of all, and answers the same, as far as the receipt tells.
///
/// # Errors
/// Those of the table.
pub fn revoke<T: Table>(table: &mut T, now: Timestamp, request: Revoke) -> Result<Revoked, T::Error> {
    let receipt = StoreKey::of_receipt(&request.user, request.op);
    if let Some(Entry::Receipt { count, ended, until }) = table.get(&receipt)?
        && now < until
    {
        return Ok(Revoked { count, ended: ended.to_vec() });
    }
    let mut ended = Vec::new();
    for session in list_user(table, now, &request.user)? {
        let chosen = match request.which {
            RevokeWhich::One(id) => session.record_id == id,
            RevokeWhich::Others(id) => session.record_id != id,
            RevokeWhich::All => true,
        };
        if chosen {
            leave_marker(table, now, session.key, request.op, EndCause::Revoked, request.marker)?;
            ended.push(session);
        }
    }
    let until = now.after(request.marker);
    let told = ended.iter().take(RECEIPT_SESSIONS).cloned().collect();
    table.put(&receipt, Entry::Receipt { count: ended.len(), ended: told, until })?;
    Ok(Revoked::all(ended))
}

enum LeaseCheck {
    Passed(Option<Lease>),
    Locked(Timestamp),
    Lost,
}

fn check_lease(held: Option<Lease>, shown: Option<LeaseRef>) -> LeaseCheck {
    match (held, shown) {
        (None, None) => LeaseCheck::Passed(None),
        (Some(held), None) => LeaseCheck::Locked(held.until),
        (Some(held), Some(shown)) if held.owner == shown.owner && shown.hold >= held.hold => {
            LeaseCheck::Passed(Some(Lease { hold: shown.hold, ..held }))
        }
        (_, Some(_)) => LeaseCheck::Lost,
    }
}

fn slide(record: &mut Record, now: Timestamp, idle: Option<Duration>) {
    if let Some(idle) = idle {
        record.last_seen = record.last_seen.max(now);
        // Never backwards, and never past the absolute deadline.
        record.idle_deadline = now.after(idle).max(record.idle_deadline).min(record.absolute_deadline);
    }
}

fn renew_at(now: Timestamp, renewal: Option<Duration>) -> Timestamp {
    renewal.map_or(Timestamp::NEVER, |d| now.after(d))
}

fn bind_to(record: &mut Record, bind: &BindUser) {
    record.user = Some(bind.user.clone());
    record.device.clone_from(&bind.device);
}

fn leave_marker<T: Table>(
    table: &mut T,
    now: Timestamp,
    key: StoreKey,
    op: OpId,
    cause: EndCause,
    marker: Duration,
) -> Result<(), T::Error> {
    let ending = match cause {
        EndCause::Destroyed => Ending::Destroyed,
        EndCause::Revoked => Ending::Revoked,
    };
    table.put(&key, Entry::Marker { ending, op, until: now.after(marker) })
}

/// Ends the user's oldest sessions until one more fits under the cap.
fn make_room<T: Table>(
    table: &mut T,
    now: Timestamp,
    bind: &BindUser,
    newcomer: StoreKey,
    op: OpId,
    marker: Duration,
) -> Result<Vec<Summary>, T::Error> {
    let Some(cap) = bind.cap else { return Ok(Vec::new()) };
    let mut others = list_user(table, now, &bind.user)?;
    others.retain(|s| s.key != newcomer);
    let room = usize::try_from(cap.get()).unwrap_or(usize::MAX).saturating_sub(1);
    let excess = others.len().saturating_sub(room);
    others.truncate(excess);
    for session in &others {
        leave_marker(table, now, session.key, op, EndCause::Revoked, marker)?;
    }
    Ok(others)
}
