//! Where a PHP application keeps its sessions: what the rules of a layout need of a server, or of a directory.

use std::future::Future;
use std::time::Instant;

use cloakroom::PlainId;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::Lease;
use cloakroom::store::{Purged, StoreError};

use super::scheme::Layout;

/// A place that PHP keeps sessions in, and the ways to look at it and to change it.
///
/// Everything that a session has there is three things: PHP's value, PHP's lock, and what is kept beside. The rules decide on a
/// [`View`] of them, and a [`Change`] is made only if nothing of that view has changed since: look, decide, compare and write.
pub trait Ground: Send + Sync + 'static {
    /// Where it is, not as whom: for messages.
    fn place(&self) -> &str;

    /// By when a call that begins now has to have ended.
    fn deadline(&self) -> Instant;

    /// What is under these ids, all at one moment and in this order.
    fn look(
        &self,
        deadline: Instant,
        layout: &Layout,
        ids: &[PlainId],
    ) -> impl Future<Output = Result<View, StoreError>> + Send;

    /// Makes the changes, all or none, if everything in the view is still as it was seen; answers with whether it was.
    ///
    /// Where the place [confirms](Self::confirms) what is about such a matter, and could not in time, that is an error which says so and has
    /// that answer in it ([`StoreError::undurable`]). Without changes, what was seen is confirmed.
    fn apply(
        &self,
        deadline: Instant,
        layout: &Layout,
        view: &View,
        changes: Vec<Change>,
        matter: Matter,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether a change about such a matter is acknowledged only once it is kept elsewhere as well, as on replicas. Nothing is unless told.
    fn confirms(&self, _: Matter) -> bool {
        false
    }

    /// Removes up to `limit` sessions that are past their time, where that is left to us, and what is beside them.
    fn purge(
        &self,
        layout: &Layout,
        limit: usize,
    ) -> impl Future<Output = Result<Purged, StoreError>> + Send {
        let _ = (layout, limit);
        std::future::ready(Ok(Purged::default()))
    }

    /// Its clock.
    fn now(&self) -> impl Future<Output = Result<Timestamp, StoreError>> + Send;
}

/// What a change is about, for a place that keeps some things more surely than others.
///
/// A place has to decide about each of them, for one that it passed over would be acknowledged without what it was to wait for: so this is exhaustive, and so are
/// the kinds of changes, each of which a place has to be able to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// A lock, or how long a session lives: lost, it only ends earlier.
    Passing,
    /// The data of a session.
    Data,
    /// Under which id it goes, whose it is, whether it is over.
    Identity,
}

/// Sessions at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// By the clock of the place.
    pub now: Timestamp,
    /// One for each id that was asked for.
    pub sessions: Vec<Seen>,
}

/// Everything under one id.
#[derive(Clone)]
pub struct Seen {
    /// The id.
    pub id: PlainId,
    /// PHP's value, if there is one.
    pub data: Option<Vec<u8>>,
    /// When the value ends if nobody touches it.
    pub idle_deadline: Timestamp,
    /// The lock, if somebody holds it.
    pub lock: Option<Held>,
    /// What is kept beside, if anything.
    pub beside: Option<Vec<u8>>,
}

/// A lock that somebody holds.
#[derive(Clone)]
pub struct Held {
    /// By whom and until when, as far as it can be known; a holder of PHP's is somebody, always the same one while it holds.
    pub lease: Lease,
    /// Whether it was taken through this library, in whichever process.
    pub ours: bool,
    /// What stands for it, to be compared before a change. Empty where nothing does.
    pub token: Vec<u8>,
}

/// A change to what is under one id.
#[derive(Clone)]
pub struct Change {
    /// Which session of the view.
    pub at: usize,
    /// To PHP's value.
    pub data: DataChange,
    /// What is to be beside from now on, and until when that is kept.
    pub beside: Option<(Vec<u8>, Timestamp)>,
    /// To the lock.
    pub lock: LockChange,
}

/// A change to PHP's value.
#[derive(Clone, PartialEq, Eq)]
pub enum DataChange {
    /// None.
    Keep,
    /// It is replaced, and ends then.
    Write(Vec<u8>, Timestamp),
    /// It ends then.
    Expire(Timestamp),
    /// It is removed.
    Delete,
}

/// A change to the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockChange {
    /// None.
    Keep,
    /// It is ours, for this lease, from now on.
    Hold(Lease),
    /// It is given back.
    Free,
}

impl Change {
    /// None, to this session.
    pub(super) fn none(at: usize) -> Self {
        Change { at, data: DataChange::Keep, beside: None, lock: LockChange::Keep }
    }

    pub(super) fn is_none(&self) -> bool {
        self.data == DataChange::Keep && self.beside.is_none() && self.lock == LockChange::Keep
    }
}

/// Whether there is something, and nothing of what it is.
impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen")
            .field("id", &self.id)
            .field("data", &self.data.as_ref().map(Vec::len))
            .field("idle_deadline", &self.idle_deadline)
            .field("locked", &self.lock.is_some())
            .field("beside", &self.beside.is_some())
            .finish_non_exhaustive()
    }
}
