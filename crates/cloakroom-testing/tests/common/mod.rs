//! Requests with everything filled in: a test names only what it is about.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::{Lifetime, Record, Version};
use cloakroom::store::{
    Acquire, Commit, Create, Created, Deadlines, End, EndCause, LeaseOwner, Loaded, OldId, Rename, Store,
};
use cloakroom::{OpId, RecordId, SessionId, StoreKey};

pub const HOUR: Duration = Duration::from_secs(3600);
pub const MARKER: Duration = Duration::from_secs(60);

pub fn payload(entries: &[(&str, &str)]) -> Payload {
    let mut builder = PayloadBuilder::default();
    for (key, value) in entries {
        assert!(builder.push(key, value.as_bytes()));
    }
    builder.finish()
}

pub fn new_key() -> StoreKey {
    SessionId::generate().store_key()
}

pub fn create(key: StoreKey, payload: Payload) -> Create {
    Create {
        key,
        op: OpId::generate(),
        record_id: RecordId::generate(),
        lifetime: Lifetime { idle: HOUR, absolute: 24 * HOUR, renewal: None },
        bind: None,
        payload,
        marker: MARKER,
    }
}

pub fn commit(key: StoreKey, expected: Version, payload: Payload) -> Commit {
    Commit {
        key,
        op: OpId::generate(),
        expected,
        lease: None,
        release: false,
        epoch: 0,
        payload,
        slide: Some(HOUR),
    }
}

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
        slide: Some(HOUR),
        old: OldId::Dead,
        marker: MARKER,
    }
}

pub fn end(key: StoreKey) -> End {
    End { key, op: OpId::generate(), cause: EndCause::Destroyed, marker: MARKER }
}

pub fn acquire(key: StoreKey, owner: u128) -> Acquire {
    Acquire { key, owner: LeaseOwner(owner), lease: Duration::from_secs(10) }
}

pub async fn created(store: &dyn Store, key: StoreKey, data: Payload) -> Record {
    match store.create(create(key, data)).await.unwrap() {
        Created::Created { snapshot, .. } => snapshot.record,
        Created::Exists => panic!("the key was taken"),
    }
}

pub async fn live(store: &dyn Store, key: StoreKey) -> Record {
    match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot.record,
        other => panic!("expected a live record, found {other:?}"),
    }
}
