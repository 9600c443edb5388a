//! Requests to a store with everything filled in, for tests that care about one field.

#![allow(dead_code)] // Each test binary uses some of it.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::{Device, Lifetime, Version};
use cloakroom::store::{
    BindUser, Commit, Create, Deadlines, End, EndCause, OldId, Rename, Store, StoreError, StoreFuture,
};
use cloakroom::{OpId, RecordId, StoreKey, UserId};

pub(crate) const MARKER: Duration = Duration::from_secs(60);
pub(crate) const IDLE: Duration = Duration::from_secs(1800);
pub(crate) const LIFETIME: Lifetime =
    Lifetime { idle: IDLE, absolute: Duration::from_secs(86_400), renewal: None };

/// The answer of a store that answers at once.
pub(crate) fn now<T: Unpin>(mut future: StoreFuture<T>) -> Result<T, StoreError> {
    match std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("this store answers at once"),
    }
}

/// A key of line `line`; lines are spread over the tags, so that 256 of them meet every shard.
pub(crate) fn key(line: u32, id: u32) -> StoreKey {
    let mut bytes = [0; StoreKey::LEN];
    bytes[0] = line as u8;
    bytes[1..3].copy_from_slice(&((line >> 8) as u16).to_be_bytes());
    // A digest is uniform; so is this.
    let mut x = (u64::from(line) << 32 | u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in bytes[3..].chunks_mut(8) {
        x ^= x >> 30;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 27;
        chunk.copy_from_slice(&x.to_le_bytes()[..chunk.len()]);
    }
    StoreKey::from_bytes(bytes)
}

pub(crate) fn op(n: u64) -> OpId {
    OpId::from_u64(n)
}

pub(crate) fn record_id(n: u64) -> RecordId {
    RecordId::from_bytes((u128::from(n)).to_le_bytes())
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn payload(value: &[u8]) -> Payload {
    let mut builder = PayloadBuilder::default();
    assert!(builder.push("k", value));
    builder.finish()
}

pub(crate) fn bind(name: &str, cap: Option<u32>) -> BindUser {
    let device = Device { address: "192.0.2.1".into(), agent: "test".into() };
    BindUser { user: user(name), device: Some(Arc::new(device)), cap: cap.and_then(NonZeroU32::new) }
}

pub(crate) fn create(key: StoreKey) -> Create {
    let op = OpId::generate();
    Create {
        key,
        op,
        record_id: RecordId::generate(),
        lifetime: LIFETIME,
        bind: None,
        payload: payload(b"v"),
        marker: MARKER,
    }
}

pub(crate) fn commit(key: StoreKey, expected: Version) -> Commit {
    Commit {
        key,
        op: OpId::generate(),
        expected,
        base: None,
        lease: None,
        release: false,
        epoch: 0,
        payload: payload(b"w"),
        slide: Some(IDLE),
    }
}

pub(crate) fn rename(from: StoreKey, to: StoreKey, expected: Version) -> Rename {
    Rename {
        from,
        to,
        op: OpId::generate(),
        expected,
        lease: None,
        epoch: 0,
        payload: payload(b"w"),
        bind: None,
        deadlines: Deadlines::Keep { renewal: None },
        slide: Some(IDLE),
        old: OldId::Dead,
        marker: MARKER,
    }
}

pub(crate) fn end(key: StoreKey) -> End {
    End { key, op: OpId::generate(), cause: EndCause::Destroyed, marker: MARKER }
}

/// Purges until there is nothing left to purge.
pub(crate) fn purge_all(store: &impl Store) -> usize {
    let mut removed = 0;
    loop {
        let purged = now(store.purge(1_000_000)).unwrap();
        removed += purged.removed;
        if !purged.more {
            return removed;
        }
    }
}
