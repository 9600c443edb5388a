//! How an entry lies in a value of Redis.
//!
//! Scripts read and write the head of a session, so its fields have fixed offsets and what they never touch comes last:
//!
//! ```text
//!   0  format (1) · kind (1)
//!   2  lease: owner (16) · hold (8) · until (8)     all zero where there is none
//!  34  version: counter (8) · operation (8)
//!  50  operations before that (3 × 8)
//!  74  last seen · idle deadline · absolute deadline · renew at · created (8 each)
//! 114  record id (16)
//! 130  epoch (4)
//! 134  checksum (4): CRC-32 of store key and payload
//! 138  length of what follows (2)
//! 140  user (u16 length + UTF-8) · device (1: 0 none, 1: address, agent, each u16 length + UTF-8), or nothing at all
//!      payload (the rest)
//! ```
//!
//! Numbers are big endian. Lua's numbers are doubles, exact up to 2^53: times beyond that are kept as [`NEVER`], and
//! whatever is not counted in (operations, owners, versions) is compared as bytes.
//!
//! What is left of a session begins with the format and its kind too:
//!
//! ```text
//! ended   until (8) · the name of its own key, without the prefix (49) · how (1: 1 by its visitor, 2 revoked) · operation (8)
//! moved   until (8) · the same of its successor's (49) · [`wire`]'s bytes
//! else    [`wire`]'s bytes
//! ```
//!
//! A script that looks for a session goes from successor to successor, and may end it where it finds it: of such an end there is
//! nothing in it that a script could not write.
//!
//! Redis guards its snapshot file by a checksum, but neither its append-only file nor a value in memory, and a key can
//! be copied over another one. So the payload, the part that must not be another visitor's, carries a checksum bound to
//! its key, which costs the scripts nothing: they move it along as it is. The rest is checked by its structure.

mod read;
mod write;

use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;

pub(crate) use read::{decode, decode_around, decode_head, identity};
pub(crate) use write::{
    after_times, before_times, beginning, encode, end_of, epoch_and_checksum, owner, unheld, user_text,
    version_bytes,
};

/// The format written today.
pub(crate) const FORMAT: u8 = 1;
/// The kind of a session.
pub(crate) const LIVE: u8 = 1;
/// The kinds of what is left of one.
const REMNANT: u8 = 2;
const MOVED: u8 = 3;
const ENDED: u8 = 4;
/// How a session was ended.
const DESTROYED: u8 = 1;
const BY_OTHERS: u8 = 2;
/// Bytes up to the idle deadline.
const BEGINNING: usize = 90;
/// Bytes before the user.
pub(crate) const HEAD: usize = 140;
/// No lease.
const NO_LEASE: [u8; 32] = [0; 32];
/// The largest number that a double counts to, as the time that never comes.
pub(crate) const NEVER: u64 = (1 << 53) - 1;

/// Bytes that are not an entry, and which part of them shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A time as scripts count it.
pub(crate) fn millis(time: Timestamp) -> u64 {
    time.as_millis().min(NEVER)
}

/// A time as a script told it.
pub(crate) fn time(millis: u64) -> Timestamp {
    if millis >= NEVER { Timestamp::NEVER } else { Timestamp::from_millis(millis) }
}

/// For how long something is kept, as scripts are told.
pub(crate) fn life(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(NEVER).clamp(1, NEVER)
}

fn checksum(key: &StoreKey, payload: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.as_bytes());
    sum.update(payload);
    sum.finalize()
}

#[cfg(test)]
mod tests;
