//! What a store answers. Refusals are variants, so that the compiler asks for each of them.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::ids::{RecordId, StoreKey, UserId};
use crate::record::{Device, Record};
use crate::store::SealedId;

/// A record as it was at a moment of the store's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The record, which a store may go on sharing.
    pub record: Arc<Record>,
    /// The store's clock when it was read.
    pub now: Timestamp,
}

/// How a record came to its end under this key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Its visitor ended it.
    Destroyed,
    /// Somebody else ended it.
    Revoked,
    /// A deadline passed.
    Expired,
    /// It goes on under another key.
    Moved {
        /// The successor's key.
        to: StoreKey,
        /// Whether the successor belongs to a different user than the record did.
        user_changed: bool,
    },
}

/// Answer to a load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loaded {
    /// The record.
    Live(Snapshot),
    /// An old id in its grace: the successor's record, and its id sealed under the old one.
    Alias {
        /// The successor's key.
        successor: StoreKey,
        /// The successor's id, sealed.
        sealed: SealedId,
        /// The successor's record.
        snapshot: Snapshot,
    },
    /// It was there; a marker tells how it ended.
    Ended(Ending),
    /// Nothing is known under this key.
    Missing,
}

/// Answer to a create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Created {
    /// Stored, now or when the same operation was executed before.
    Created {
        /// As stored.
        snapshot: Snapshot,
        /// Sessions that the cap ended; told once, not again when the operation is repeated.
        evicted: Vec<Summary>,
    },
    /// Something is under this key already: choose another id.
    Exists,
}

/// Answer to a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Committed {
    /// Stored. The record as it is now; where the same operation had been executed before, later operations may
    /// be in it already.
    Committed(Snapshot),
    /// The version is another one: here is the record.
    Conflict(Snapshot),
    /// Somebody else holds the lease.
    Locked {
        /// Until then, unless it is renewed or given back.
        until: Timestamp,
        /// The store's clock.
        now: Timestamp,
    },
    /// The lease that was shown is not the one in force.
    LeaseLost,
    /// The record ended.
    Ended(Ending),
    /// Nothing is known under this key.
    Missing,
}

/// Answer to a rename.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Renamed {
    /// Done, now or when the same operation was executed before.
    Renamed {
        /// The record under its new key.
        snapshot: Snapshot,
        /// Sessions that the cap ended; told once, not again when the operation is repeated.
        evicted: Vec<Summary>,
    },
    /// The new key is taken: choose another id.
    Exists,
    /// The version is another one: here is the record.
    Conflict(Snapshot),
    /// Somebody else holds the lease.
    Locked {
        /// Until then, unless it is renewed or given back.
        until: Timestamp,
        /// The store's clock.
        now: Timestamp,
    },
    /// The lease that was shown is not the one in force.
    LeaseLost,
    /// The record ended, or moved before.
    Ended(Ending),
    /// Nothing is known under this key.
    Missing,
}

/// Answer to a touch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touched {
    /// The idle deadline is now this.
    Touched {
        /// The new idle deadline.
        idle_deadline: Timestamp,
    },
    /// There is no live record under this key: nothing was done.
    NotLive,
}

/// Answer to an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// A live session was ended, now or when the same operation was executed before (then without its summary).
    Ended(Option<Summary>),
    /// There was nothing alive to end.
    NotLive,
}

/// Answer to a revocation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Revoked {
    /// How many sessions were ended, now or when the same operation was executed before.
    pub count: usize,
    /// Those sessions, oldest first. When the operation is repeated, no more of them than a receipt holds:
    /// [`protocol::RECEIPT_SESSIONS`](super::protocol::RECEIPT_SESSIONS).
    pub ended: Vec<Summary>,
}

impl Revoked {
    /// These sessions were ended, and no others.
    pub fn all(ended: Vec<Summary>) -> Self {
        Revoked { count: ended.len(), ended }
    }
}

/// Answer to an acquire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Acquired {
    /// The lease is held; the record is fresh.
    Acquired {
        /// The record.
        snapshot: Snapshot,
        /// The lease's end by the store's clock.
        until: Timestamp,
    },
    /// Somebody else holds it.
    Locked {
        /// Until then, unless it is renewed or given back.
        until: Timestamp,
        /// The store's clock.
        now: Timestamp,
    },
    /// The record ended.
    Ended(Ending),
    /// Nothing is known under this key.
    Missing,
}

/// Answer to a renew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewed {
    /// Held until then.
    Renewed {
        /// The lease's end by the store's clock.
        until: Timestamp,
    },
    /// It is not this owner's any more.
    LeaseLost,
}

/// Answer to a release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Released {
    /// Given back.
    Released,
    /// It was not this owner's any more; nothing was done.
    NotHeld,
}

/// A live session without its data: for listings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Where it is.
    pub key: StoreKey,
    /// Its stable name.
    pub record_id: RecordId,
    /// Whose it is.
    pub user: Option<UserId>,
    /// Where that user logged in.
    pub device: Option<Arc<Device>>,
    /// When it began.
    pub created: Timestamp,
    /// The last commit or touch that slid the idle deadline. A commit soon after it
    /// ([`Commit::unless_seen_within`](crate::store::Commit::unless_seen_within)), or of a background request, is not noted.
    pub last_seen: Timestamp,
    /// The earlier of its deadlines.
    pub deadline: Timestamp,
    /// Size of its data in bytes.
    pub size: usize,
}

impl Summary {
    /// The summary of a record under a key.
    pub fn of(key: StoreKey, record: &Record) -> Self {
        Summary {
            key,
            record_id: record.id,
            user: record.user.clone(),
            device: record.device.clone(),
            created: record.created,
            last_seen: record.last_seen,
            deadline: record.deadline(),
            size: record.payload.len(),
        }
    }
}

/// A page of a scan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScanPage {
    /// The sessions.
    pub sessions: Vec<Summary>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<StoreKey>,
}

/// What a purge did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Purged {
    /// Entries removed.
    pub removed: usize,
    /// Whether there is more to remove: call again.
    pub more: bool,
}

/// What a store says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStats {
    /// Sessions that are alive, where counting them is cheap. May count some that have just expired.
    pub live: Option<u64>,
    /// Bytes the store occupies, where it knows.
    pub bytes: Option<u64>,
}
