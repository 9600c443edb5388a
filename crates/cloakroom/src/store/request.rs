//! What the engine asks of a store. All of it is owned data, so that an operation outlives its request.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::{OpId, RecordId, StoreKey, UserId};
use crate::payload::Payload;
use crate::record::{Device, Lifetime, Record, Version};

/// Who holds a lease: random, one for each time a process takes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LeaseOwner(pub u128);

/// Proof of holding a lease, shown with a write.
///
/// Within a process the lease is handed from waiter to waiter without telling the store; each hold has a number
/// of its own, and a store refuses a number lower than one it has seen: a write of an earlier hold that is still
/// on its way cannot land after a later one's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseRef {
    /// As given to [`Acquire`].
    pub owner: LeaseOwner,
    /// Counts the holds under this owner, from 0.
    pub hold: u64,
}

/// Binding a record to a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindUser {
    /// The user.
    pub user: UserId,
    /// Where from.
    pub device: Option<Arc<Device>>,
    /// The user's sessions, this one included, may be this many; the oldest beyond are ended as revoked.
    pub cap: Option<NonZeroU32>,
}

/// Store a new record.
#[derive(Clone, Debug)]
pub struct Create {
    /// Where.
    pub key: StoreKey,
    /// Name of the operation.
    pub op: OpId,
    /// The record's stable name.
    pub record_id: RecordId,
    /// From the store's now on.
    pub lifetime: Lifetime,
    /// Bound to a user from the start.
    pub bind: Option<BindUser>,
    /// The data.
    pub payload: Payload,
    /// How long the markers of sessions ended by the cap stay.
    pub marker: Duration,
}

/// Replace a version of a record.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Where.
    pub key: StoreKey,
    /// Name of the operation.
    pub op: OpId,
    /// The version that is replaced.
    pub expected: Version,
    /// The record of that version, where the caller has it: with it a store on the other side of a network can say all that
    /// it will write, and have the server compare only. Nobody has to look at it.
    pub base: Option<Arc<Record>>,
    /// The lease under which the write is made.
    pub lease: Option<LeaseRef>,
    /// Give the lease back in the same step.
    pub release: bool,
    /// The record's new epoch.
    pub epoch: u32,
    /// The record's new data.
    pub payload: Payload,
    /// Slide the idle deadline to the store's now plus this; `None` for background requests.
    pub slide: Option<Duration>,
    /// Slide nothing where the session was seen less than this ago: of several writes in a row the first one slides, and
    /// a store that keeps an expiry beside the record changes that once only. Zero: every commit slides.
    pub unless_seen_within: Duration,
}

impl Commit {
    /// By how much this commit slides the idle deadline of a session that was last seen at `last_seen`; `None`: both stay
    /// as they are. For stores that have the rules in their own words; [`protocol::commit`](super::protocol::commit) asks it.
    #[must_use]
    pub fn slides(&self, last_seen: Timestamp, now: Timestamp) -> Option<Duration> {
        self.slide.filter(|_| last_seen.until(now) >= self.unless_seen_within)
    }
}

/// What a change of id does to the deadlines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadlines {
    /// `regenerate`: idle and absolute stay as they are; the renewal starts again.
    Keep {
        /// Time until the next renewal.
        renewal: Option<Duration>,
    },
    /// `login`: everything starts again.
    Restart(Lifetime),
}

/// A successor's id, sealed under the old id: see `seal`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedId(pub Box<[u8]>);

/// What stays under the old key after a change of id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OldId {
    /// Nothing that loads: a marker.
    Dead,
    /// For a grace, whoever presents the old id is told the successor. Where the user changes as well, the old id is
    /// dead at once all the same.
    Alias {
        /// The successor's id under a key that only the old id yields.
        sealed: SealedId,
        /// How long.
        grace: Duration,
    },
    /// An independent copy, on purpose, with its own record id, that ends after this long.
    Copy {
        /// The copy's stable name.
        record_id: RecordId,
        /// Its life.
        keep: Duration,
    },
}

/// Move a record to a new key.
#[derive(Clone, Debug)]
pub struct Rename {
    /// The old key.
    pub from: StoreKey,
    /// The new key, of the same line: it has the same [`tag`](StoreKey::tag).
    pub to: StoreKey,
    /// Name of the operation.
    pub op: OpId,
    /// The version that is replaced.
    pub expected: Version,
    /// The lease under which the change is made; it moves along to the new key.
    pub lease: Option<LeaseRef>,
    /// The record's new epoch.
    pub epoch: u32,
    /// The record's new data.
    pub payload: Payload,
    /// Bind to this user; `None` leaves the user as it is.
    pub bind: Option<BindUser>,
    /// The deadlines.
    pub deadlines: Deadlines,
    /// Slide the idle deadline (`Deadlines::Keep` only).
    pub slide: Option<Duration>,
    /// What stays under the old key.
    pub old: OldId,
    /// How long markers stay.
    pub marker: Duration,
}

/// Slide the idle deadline.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Where.
    pub key: StoreKey,
    /// From the store's now on.
    pub idle: Duration,
}

/// Why a session is ended on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndCause {
    /// By its own visitor.
    Destroyed,
    /// By somebody else: another device, an administrator, the cap on sessions.
    Revoked,
}

/// End a session.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Where; followed where it moved.
    pub key: StoreKey,
    /// Name of the operation.
    pub op: OpId,
    /// Why.
    pub cause: EndCause,
    /// How long the marker stays.
    pub marker: Duration,
}

/// Take the lease of a record.
#[derive(Clone, Copy, Debug)]
pub struct Acquire {
    /// Where.
    pub key: StoreKey,
    /// For whom. The same owner asking again keeps the lease, for another full length.
    pub owner: LeaseOwner,
    /// How long, from the store's now on.
    pub lease: Duration,
}

/// Extend a lease.
#[derive(Clone, Copy, Debug)]
pub struct Renew {
    /// Where.
    pub key: StoreKey,
    /// Whose.
    pub owner: LeaseOwner,
    /// How long, from the store's now on.
    pub lease: Duration,
}

/// Give a lease back.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// Where.
    pub key: StoreKey,
    /// Whose. Somebody else's lease is left alone.
    pub owner: LeaseOwner,
}

/// Which of a user's sessions to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RevokeWhich {
    /// This one, if it is the user's.
    One(RecordId),
    /// All but this one.
    Others(RecordId),
    /// All.
    All,
}

/// End sessions of a user.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// The user.
    pub user: UserId,
    /// Name of the operation: executed twice, it has one effect and the same answer.
    pub op: OpId,
    /// Which.
    pub which: RevokeWhich,
    /// How long the markers stay, and the memory of this operation.
    pub marker: Duration,
}

/// Where a page of a scan starts and how long it may be.
#[derive(Clone, Copy, Debug)]
pub struct ScanFrom {
    /// Behind this key; `None` for the first page.
    pub after: Option<StoreKey>,
    /// At most this many.
    pub limit: usize,
}
