//! What a store keeps under a key, and how a step reaches it.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::ids::{OpId, StoreKey, UserId};
use crate::record::Record;
use crate::store::{Ending, LeaseOwner, SealedId, Summary};

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

    /// How large the data is of a record that was read under `key`, in bytes. A table that reads records without their data where
    /// an answer only tells of them ([`keys_of`](Table::keys_of)) says here what they have.
    fn size(&self, key: &StoreKey, record: &Record) -> usize {
        let _ = key;
        record.payload.len()
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
