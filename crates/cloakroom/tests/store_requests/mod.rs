//! Requests to a store with everything filled in, for tests that care about one field: those of `cloakroom_testing`, with keys and data of which nothing
//! matters but which they are.

#![allow(dead_code, unused_imports)] // Each test binary uses some of it.

use std::future::Future;
use std::num::NonZeroU32;
use std::task::{Context, Poll, Waker};

use cloakroom::payload::Payload;
use cloakroom::record::{Lifetime, Version};
use cloakroom::store::{BindUser, Commit, Create, Rename, Store, StoreError, StoreFuture};
use cloakroom::{OpId, RecordId, StoreKey};

use cloakroom_testing::requests::{self, ABSOLUTE};
pub(crate) use cloakroom_testing::requests::{IDLE, MARKER, end, user};

pub(crate) const LIFETIME: Lifetime = Lifetime { idle: IDLE, absolute: ABSOLUTE, renewal: None };

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

pub(crate) fn payload(value: &[u8]) -> Payload {
    requests::data(&[("k", value)])
}

pub(crate) fn bind(name: &str, cap: Option<u32>) -> BindUser {
    BindUser { cap: cap.and_then(NonZeroU32::new), ..requests::bind(&user(name)) }
}

pub(crate) fn create(key: StoreKey) -> Create {
    requests::create(key, payload(b"v"))
}

pub(crate) fn commit(key: StoreKey, expected: Version) -> Commit {
    requests::commit(key, expected, payload(b"w"))
}

pub(crate) fn rename(from: StoreKey, to: StoreKey, expected: Version) -> Rename {
    requests::rename(from, to, expected, payload(b"w"))
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
