//! The store primitive: compare-and-commit.
//!
//! A [`Store`] keeps [`Record`](crate::record::Record)s under [`StoreKey`]s and changes one only when told which
//! version it replaces, and only when no lease but the caller's is on it. Everything comfortable (merging,
//! retrying, waiting for a lease) is built over it by the session engine.
//!
//! The rules themselves are not the store's business either: [`protocol`] holds them as plain functions over a
//! [`Table`](protocol::Table). A store that can read and write entries inside one atomic step has nothing else
//! to decide; `docs/writing-a-store.md` walks through one.

mod conventions;
mod error;
mod expiry;
mod future;
mod outcome;
pub mod protocol;
mod push;
mod request;
pub mod wire;

pub use conventions::{Conventions, ForeignCodec, ForeignError, ForeignValue, Handover};
pub use error::{StoreError, StoreErrorKind};
pub use expiry::ExpiryListener;
pub(crate) use future::Answering;
pub use future::StoreFuture;
pub use outcome::{
    Acquired, Committed, Created, Ended, Ending, Loaded, Purged, Released, Renamed, Renewed, Revoked,
    ScanPage, Snapshot, StoreStats, Summary, Touched,
};
pub use push::{ChangeListener, PushStore};
pub use request::{
    Acquire, BindUser, Commit, Create, Deadlines, End, EndCause, LeaseOwner, LeaseRef, OldId, Release,
    Rename, Renew, Revoke, RevokeWhich, ScanFrom, SealedId, Touch,
};

use std::sync::Weak;
use std::time::Duration;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::ids::{StoreKey, UserId};

/// Candidates that are looked up for one request, at most.
pub const MAX_CANDIDATES: usize = 4;

/// A place where sessions are kept.
///
/// Object-safe: the engine holds an `Arc<dyn Store>`. Every method hands back a [`StoreFuture`] that owns what it
/// needs. The engine awaits what has to happen in any case (a final commit, a change of id, an end, a revocation, a
/// release, a touch) detached from the request that asked for it. A write that it drops was reported as failed, because
/// its deadline had passed, or to nobody, because the handler that awaited it is gone: what has not begun by then must
/// not begin later. A store that can answer at once answers with [`StoreFuture::ready`] and costs no allocation.
///
/// # What every implementation must do
///
/// - **One atomic step per call**, across every process that uses the same data. [`protocol`] says what the step is.
/// - **Idempotent**: the same operation id executed twice has one effect and the same answer.
/// - **The store's clock** judges deadlines and leases, and each answer tells what it read.
/// - **Unavailable is not absent**: a store that cannot tell answers with an error, never with
///   [`Loaded::Missing`]. An error whose effect is unknown says [`StoreErrorKind::Unknown`].
/// - **Acknowledged is durable** as far as the store claims to be durable at all.
///
/// `cloakroom-testing` has the conformance suite that checks all of this.
pub trait Store: Send + Sync + 'static {
    /// A short name for logs and metrics: `memory`, `sqlite`.
    fn name(&self) -> &'static str;

    /// How ids and values look, where the sessions belong to another system as well. `None`: as this library makes them.
    /// A store around another one hands on what that one says.
    fn conventions(&self) -> Option<Conventions> {
        None
    }

    /// Reads what is under `key`. Never waits for a lease.
    fn load(&self, key: StoreKey) -> StoreFuture<Loaded>;

    /// Reads up to [`MAX_CANDIDATES`] keys, answering in their order. One round trip, where the store can.
    ///
    /// A cache in front of a store passes it on: the engine asks for one key in this way where it must know what is there now.
    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        let loads: Vec<_> = keys.into_iter().map(|key| self.load(key)).collect();
        StoreFuture::boxed(async move {
            let mut answers = Vec::with_capacity(loads.len());
            for load in loads {
                answers.push(load.await?);
            }
            Ok(answers)
        })
    }

    /// Stores a new record; [`protocol::create`].
    fn create(&self, request: Create) -> StoreFuture<Created>;

    /// Replaces version v of a record if it still is version v and no lease but the caller's is on it;
    /// [`protocol::commit`].
    fn commit(&self, request: Commit) -> StoreFuture<Committed>;

    /// Moves a record to a new key, with new data and possibly a new user, leaving a marker, an alias or a copy
    /// under the old one; [`protocol::rename`].
    fn rename(&self, request: Rename) -> StoreFuture<Renamed>;

    /// Slides the idle deadline of a live record. Bumps no version, revives nothing; [`protocol::touch`].
    fn touch(&self, request: Touch) -> StoreFuture<Touched>;

    /// Ends the session under a key, following it where it moved; [`protocol::end`].
    fn end(&self, request: End) -> StoreFuture<Ended>;

    /// Takes the lease of a record and reads it, in one step; [`protocol::acquire`].
    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired>;

    /// Extends a lease that is still held; [`protocol::renew`].
    fn renew(&self, request: Renew) -> StoreFuture<Renewed>;

    /// Gives a lease back; [`protocol::release`].
    fn release(&self, request: Release) -> StoreFuture<Released>;

    /// The live sessions of a user, oldest first; [`protocol::list_user`].
    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>>;

    /// Ends sessions of a user, in one step with the index; answers with what it ended. Asked again under the same operation
    /// id, within the life of markers, it ends nothing more and answers the same: how many, and which, the latter up to
    /// [`protocol::RECEIPT_SESSIONS`] of them; [`protocol::revoke`].
    ///
    /// A store that spreads a user's sessions over nodes keeps the receipt where the user's index is, and writes it in the
    /// step that chooses which sessions are to end: a login that is not in the index by then is not among them.
    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked>;

    /// Live sessions in an order of the store's own, a page at a time. For administration: what changes while
    /// one pages may show twice or not at all.
    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage>;

    /// Removes up to `limit` entries that are past their time. Called now and then by the engine; safe to call from
    /// several processes at once.
    fn purge(&self, limit: usize) -> StoreFuture<Purged>;

    /// What the store can say about itself, cheaply.
    fn stats(&self) -> StoreFuture<StoreStats>;

    /// The clock by which this store judges deadlines. Asked only when a record is gone without a marker: whether it had
    /// expired or was lost. The default, the operating system's clock, is right for a store that uses it.
    fn now(&self) -> StoreFuture<Timestamp> {
        StoreFuture::ready(Ok(SystemClock.now()))
    }

    /// Completes when the lease on `key` may have become free, where the store can tell: the engine then contends
    /// at once instead of at its next timed try. `None`: this store sends no signal.
    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        let _ = key;
        None
    }

    /// Tells this listener of sessions that reach their deadline, where the store removes them by itself and can tell, until the
    /// listener is dropped. Best effort: one that is not told has expired all the same. What was ended, moved or evicted is not
    /// told, as far as the store knows of it. `remembered` is how long what is left of a session is kept at most, which such a store must not take for one.
    ///
    /// Called by the engine when a session is first asked for, if anybody subscribed to events. The default tells nobody.
    fn tell_expired(&self, listener: Weak<dyn ExpiryListener>, remembered: Duration) {
        let _ = (listener, remembered);
    }
}
