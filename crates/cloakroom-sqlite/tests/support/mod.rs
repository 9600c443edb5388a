//! Requests in short, for the tests of this crate.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::{Lifetime, Version};
use cloakroom::store::{
    Acquire, BindUser, Commit, Create, Created, Deadlines, End, EndCause, LeaseOwner, LeaseRef, Loaded,
    OldId, Release, Rename, Revoke, RevokeWhich, Snapshot, Store, StoreError,
};
use cloakroom::{OpId, RecordId, StoreKey, UserId};

pub const HOUR: Duration = Duration::from_secs(3600);
pub const MARKER: Duration = Duration::from_secs(60);

/// The n-th key. Spread over the key space, as digests are.
pub fn key(n: u64) -> StoreKey {
    let mut bytes = [0; StoreKey::LEN];
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[..8].copy_from_slice(&mixed.to_be_bytes());
    bytes[8..16].copy_from_slice(&n.to_le_bytes());
    StoreKey::from_bytes(bytes)
}

pub fn payload(text: &str) -> Payload {
    let mut builder = PayloadBuilder::default();
    assert!(builder.push("k", text.as_bytes()));
    builder.finish()
}

pub fn text(payload: &Payload) -> String {
    String::from_utf8(payload.get("k").unwrap().to_vec()).unwrap()
}

pub fn create(key: StoreKey, value: &str) -> Create {
    Create {
        key,
        op: OpId::generate(),
        record_id: RecordId::generate(),
        lifetime: Lifetime { idle: 3 * HOUR, absolute: 7 * 24 * HOUR, renewal: None },
        bind: None,
        payload: payload(value),
        marker: MARKER,
    }
}

pub fn create_for(key: StoreKey, value: &str, user: &str) -> Create {
    let user = UserId::new(user).unwrap();
    Create { bind: Some(BindUser { user, device: None, cap: None }), ..create(key, value) }
}

pub fn commit(key: StoreKey, expected: Version, value: &str) -> Commit {
    Commit {
        key,
        op: OpId::generate(),
        expected,
        base: None,
        lease: None,
        release: false,
        epoch: 0,
        payload: payload(value),
        slide: Some(3 * HOUR),
    }
}

pub fn rename(from: StoreKey, to: StoreKey, expected: Version, value: &str) -> Rename {
    Rename {
        from,
        to,
        op: OpId::generate(),
        expected,
        lease: None,
        epoch: 0,
        payload: payload(value),
        bind: None,
        deadlines: Deadlines::Keep { renewal: None },
        slide: None,
        old: OldId::Dead,
        marker: MARKER,
    }
}

pub fn end(key: StoreKey) -> End {
    End { key, op: OpId::generate(), cause: EndCause::Destroyed, marker: MARKER }
}

pub fn revoke(user: &str) -> Revoke {
    Revoke { user: UserId::new(user).unwrap(), op: OpId::generate(), which: RevokeWhich::All, marker: MARKER }
}

pub fn acquire(key: StoreKey, owner: u128, lease: Duration) -> Acquire {
    Acquire { key, owner: LeaseOwner(owner), lease }
}

pub fn release(key: StoreKey, owner: u128) -> Release {
    Release { key, owner: LeaseOwner(owner) }
}

pub fn lease(owner: u128) -> Option<LeaseRef> {
    Some(LeaseRef { owner: LeaseOwner(owner), hold: 0 })
}

/// Creates a session and gives its first version.
pub async fn created(store: &dyn Store, key: StoreKey, value: &str) -> Version {
    match store.create(create(key, value)).await.unwrap() {
        Created::Created { snapshot, .. } => snapshot.record.version,
        Created::Exists => panic!("{key:?} exists"),
    }
}

/// The live session under a key.
pub async fn live(store: &dyn Store, key: StoreKey) -> Snapshot {
    match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot,
        other => panic!("{key:?} is {other:?}"),
    }
}

/// Everything an error says, with what lies underneath: what a log would show.
pub fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text} <- {error}");
        source = error.source();
    }
    text
}
