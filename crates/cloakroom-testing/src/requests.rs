//! Requests to a store with everything filled in, so that a test names only what it is about.
//!
//! Operations get new random ids; lifetimes are an hour idle and a day in all; markers stay a minute; nothing is
//! leased, nobody is logged in. All fields are public: change what matters.
//!
//! ```
//! use cloakroom_testing::requests;
//!
//! let key = requests::key();
//! let create = requests::create(key, requests::data(&[("basket", b"[1,2]")]));
//! assert_eq!(create.payload.get("basket"), Some(&b"[1,2]"[..]));
//! ```

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::{Device, Lifetime, Version};
use cloakroom::store::{
    Acquire, BindUser, Commit, Create, Deadlines, End, EndCause, LeaseOwner, LeaseRef, OldId, Release,
    Rename, Renew, Revoke, RevokeWhich, SealedId, Touch,
};
use cloakroom::{OpId, RecordId, SessionId, StoreKey, UserId};

/// The idle lifetime of requests made here.
pub const IDLE: Duration = Duration::from_secs(60 * 60);
/// The absolute lifetime of requests made here.
pub const ABSOLUTE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the markers of requests made here stay.
pub const MARKER: Duration = Duration::from_secs(60);
/// The length of leases asked for here.
pub const LEASE: Duration = Duration::from_secs(10);

/// A key nobody has used.
pub fn key() -> StoreKey {
    SessionId::generate().store_key()
}

/// A key nobody has used, for what becomes of the session under this one. Like the keys of an id's successors it has the same slot
/// tag, which a store over several nodes may rest on.
pub fn successor(of: StoreKey) -> StoreKey {
    let mut bytes = *key().as_bytes();
    let tag = of.tag();
    for (to, from) in bytes.iter_mut().zip(tag) {
        *to = from;
    }
    StoreKey::from_bytes(bytes)
}

/// A payload of these entries. Keys beyond 65,535 bytes are left out.
pub fn data(entries: &[(&str, &[u8])]) -> Payload {
    let mut builder = PayloadBuilder::default();
    for (key, value) in entries {
        builder.push(key, value);
    }
    builder.finish()
}

/// A user. Names that are not allowed become one that is.
pub fn user(name: &str) -> UserId {
    UserId::new(name).or_else(|| UserId::new("user")).unwrap_or_else(|| unreachable!("a name of four bytes"))
}

/// Binds to this user from a device, without a cap.
pub fn bind(user: &UserId) -> BindUser {
    let device = Device { address: "192.0.2.7".to_owned(), agent: "Suite/1".to_owned() };
    BindUser { user: user.clone(), device: Some(Arc::new(device)), cap: None }
}

/// Binds to this user, who may have `cap` sessions (0 is taken as 1).
pub fn bind_capped(user: &UserId, cap: u32) -> BindUser {
    BindUser { cap: Some(NonZeroU32::new(cap).unwrap_or(NonZeroU32::MIN)), ..bind(user) }
}

/// Makes a session.
pub fn create(key: StoreKey, payload: Payload) -> Create {
    Create {
        key,
        op: OpId::generate(),
        record_id: RecordId::generate(),
        lifetime: Lifetime { idle: IDLE, absolute: ABSOLUTE, renewal: None },
        bind: None,
        payload,
        marker: MARKER,
    }
}

/// Makes a session of a user.
pub fn create_for(key: StoreKey, bind: BindUser) -> Create {
    Create { bind: Some(bind), ..create(key, data(&[("of", b"user")])) }
}

/// Replaces `expected`; slides by the idle lifetime.
pub fn commit(key: StoreKey, expected: Version, payload: Payload) -> Commit {
    Commit {
        key,
        op: OpId::generate(),
        expected,
        base: None,
        lease: None,
        release: false,
        epoch: 0,
        payload,
        slide: Some(IDLE),
        unless_seen_within: Duration::ZERO,
    }
}

/// Moves a record, leaving a marker.
pub fn rename(from: StoreKey, to: StoreKey, expected: Version, payload: Payload) -> Rename {
    Rename {
        from,
        to,
        op: OpId::generate(),
        expected,
        lease: None,
        epoch: 0,
        payload,
        bind: None,
        deadlines: Deadlines::Keep { renewal: None },
        slide: Some(IDLE),
        old: OldId::Dead,
        marker: MARKER,
    }
}

/// Leaves an alias for this long.
pub fn alias(grace: Duration) -> OldId {
    OldId::Alias { sealed: SealedId([0xa5; 60].into()), grace }
}

/// Leaves a copy for this long.
pub fn copy(keep: Duration) -> OldId {
    OldId::Copy { record_id: RecordId::generate(), keep }
}

/// Slides the idle deadline by the idle lifetime.
pub fn touch(key: StoreKey) -> Touch {
    Touch { key, idle: IDLE }
}

/// Ends a session as its visitor would.
pub fn end(key: StoreKey) -> End {
    End { key, op: OpId::generate(), cause: EndCause::Destroyed, marker: MARKER }
}

/// Takes the lease for this owner.
pub fn acquire(key: StoreKey, owner: u128) -> Acquire {
    Acquire { key, owner: LeaseOwner(owner), lease: LEASE }
}

/// Extends the lease of this owner.
pub fn renew(key: StoreKey, owner: u128) -> Renew {
    Renew { key, owner: LeaseOwner(owner), lease: LEASE }
}

/// Gives the lease of this owner back.
pub fn release(key: StoreKey, owner: u128) -> Release {
    Release { key, owner: LeaseOwner(owner) }
}

/// Proof of this owner's `hold`-th hold.
pub fn held(owner: u128, hold: u64) -> Option<LeaseRef> {
    Some(LeaseRef { owner: LeaseOwner(owner), hold })
}

/// Ends sessions of a user.
pub fn revoke(user: &UserId, which: RevokeWhich) -> Revoke {
    Revoke { user: user.clone(), op: OpId::generate(), which, marker: MARKER }
}
