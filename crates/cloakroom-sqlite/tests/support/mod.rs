//! Requests in short, for the tests of this crate.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use cloakroom::payload::Payload;
use cloakroom::record::{Lifetime, Version};
use cloakroom::store::{
    Acquire, BindUser, Commit, Create, Created, LeaseRef, Loaded, Rename, Revoke, RevokeWhich, Snapshot,
    Store,
};
use cloakroom::{StoreKey, UserId};
use cloakroom_testing::requests;
pub use cloakroom_testing::requests::{MARKER, end, release};

pub const HOUR: Duration = Duration::from_secs(3600);

/// The n-th key. Spread over the key space, as digests are.
pub fn key(n: u64) -> StoreKey {
    let mut bytes = [0; StoreKey::LEN];
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[..8].copy_from_slice(&mixed.to_be_bytes());
    bytes[8..16].copy_from_slice(&n.to_le_bytes());
    StoreKey::from_bytes(bytes)
}

pub fn payload(text: &str) -> Payload {
    requests::data(&[("k", text.as_bytes())])
}

pub fn text(payload: &Payload) -> String {
    String::from_utf8(payload.get("k").unwrap().to_vec()).unwrap()
}

pub fn create(key: StoreKey, value: &str) -> Create {
    let lifetime = Lifetime { idle: 3 * HOUR, absolute: 7 * 24 * HOUR, renewal: None };
    Create { lifetime, ..requests::create(key, payload(value)) }
}

pub fn create_for(key: StoreKey, value: &str, user: &str) -> Create {
    let user = UserId::new(user).unwrap();
    Create { bind: Some(BindUser { user, device: None, cap: None }), ..create(key, value) }
}

pub fn commit(key: StoreKey, expected: Version, value: &str) -> Commit {
    Commit { slide: Some(3 * HOUR), ..requests::commit(key, expected, payload(value)) }
}

pub fn rename(from: StoreKey, to: StoreKey, expected: Version, value: &str) -> Rename {
    Rename { slide: None, ..requests::rename(from, to, expected, payload(value)) }
}

pub fn revoke(user: &str) -> Revoke {
    requests::revoke(&UserId::new(user).unwrap(), RevokeWhich::All)
}

pub fn acquire(key: StoreKey, owner: u128, lease: Duration) -> Acquire {
    Acquire { lease, ..requests::acquire(key, owner) }
}

pub fn lease(owner: u128) -> Option<LeaseRef> {
    requests::held(owner, 0)
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
