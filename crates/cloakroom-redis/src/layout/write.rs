//! An entry into bytes.

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::record::{RecentOps, Record, Version};
use cloakroom::store::protocol::{Entry, Lease};
use cloakroom::store::{EndCause, Ending, LeaseOwner, wire};
use cloakroom::{OpId, StoreKey, UserId};

use super::{
    BEGINNING, BY_OTHERS, DESTROYED, ENDED, FORMAT, HEAD, LIVE, MOVED, NO_LEASE, REMNANT, checksum, millis,
};
use crate::names::Names;

/// Writes an entry that is to be stored under `key`.
pub(crate) fn encode(key: &StoreKey, entry: &Entry) -> Vec<u8> {
    match entry {
        Entry::Live { record, lease } => live(key, record, lease.as_ref()),
        Entry::Marker { ending: Ending::Destroyed, op, until } => {
            ended(key, EndCause::Destroyed, *op, *until)
        }
        Entry::Marker { ending: Ending::Revoked, op, until } => ended(key, EndCause::Revoked, *op, *until),
        Entry::Alias { successor: to, until, .. }
        | Entry::Marker { ending: Ending::Moved { to, .. }, until, .. } => {
            let mut out = vec![FORMAT, MOVED];
            out.extend(millis(*until).to_be_bytes());
            out.extend(Names::member(to).into_bytes());
            out.extend(wire::encode(key, entry));
            out
        }
        Entry::Marker { ending: Ending::Expired, .. } | Entry::Receipt { .. } => {
            let mut out = vec![FORMAT, REMNANT];
            out.extend(wire::encode(key, entry));
            out
        }
    }
}

fn ended(key: &StoreKey, cause: EndCause, op: OpId, until: Timestamp) -> Vec<u8> {
    let mut out = vec![FORMAT, ENDED];
    out.extend(millis(until).to_be_bytes());
    out.extend(Names::member(key).into_bytes());
    out.extend(end_of(cause, op));
    out
}

/// What stands behind the name in what is left of a session that was ended, for a script that puts it there.
pub(crate) fn end_of(cause: EndCause, op: OpId) -> [u8; 9] {
    let mut bytes = [0; 9];
    let (how, operation) = bytes.split_at_mut(1);
    how.copy_from_slice(&[match cause {
        EndCause::Destroyed => DESTROYED,
        EndCause::Revoked => BY_OTHERS,
    }]);
    operation.copy_from_slice(&op_bytes(op));
    bytes
}

/// The same of a session that nobody holds.
pub(crate) fn unheld(key: &StoreKey, record: &Record) -> Vec<u8> {
    live(key, record, None)
}

fn live(key: &StoreKey, record: &Record, lease: Option<&Lease>) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + 320 + record.payload.len());
    before_times(&mut out, record.version, record.recent, lease);
    times(&mut out, record);
    after_times(&mut out, key, record);
    out
}

/// What a session that nobody holds begins with, up to its idle deadline. All that changes while the version stays is in it: the
/// lease, and the times by which a read slides.
pub(crate) fn beginning(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD);
    before_times(&mut out, record.version, record.recent, None);
    times(&mut out, record);
    out.truncate(BEGINNING);
    out
}

fn times(out: &mut Vec<u8>, record: &Record) {
    for at in
        [record.last_seen, record.idle_deadline, record.absolute_deadline, record.renew_at, record.created]
    {
        out.extend(millis(at).to_be_bytes());
    }
}

/// What stands before the times, for a script that puts them in.
pub(crate) fn before_times(out: &mut Vec<u8>, version: Version, recent: RecentOps, lease: Option<&Lease>) {
    out.extend([FORMAT, LIVE]);
    match lease {
        Some(lease) => {
            out.extend(owner(lease.owner));
            out.extend(lease.hold.to_be_bytes());
            out.extend(millis(lease.until).to_be_bytes());
        }
        None => out.extend(NO_LEASE),
    }
    out.extend(version_bytes(version));
    for op in recent.as_ops() {
        out.extend(op_bytes(*op));
    }
}

/// What stands behind the times.
pub(crate) fn after_times(out: &mut Vec<u8>, key: &StoreKey, record: &Record) {
    out.extend(record.id.as_bytes());
    out.extend(epoch_and_checksum(key, record.epoch, &record.payload));
    let mut identity = Vec::new();
    if record.user.is_some() || record.device.is_some() {
        text(&mut identity, record.user.as_ref().map_or("", UserId::as_str));
        match record.device.as_deref() {
            None => identity.push(0),
            Some(device) => {
                identity.push(1);
                text(&mut identity, &device.address);
                text(&mut identity, &device.agent);
            }
        }
    }
    // A user's name has 255 bytes at most, and `text` cuts what is too long: it fits.
    out.extend(u16::try_from(identity.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(identity);
    out.extend(record.payload.as_bytes());
}

pub(crate) fn owner(owner: LeaseOwner) -> [u8; 16] {
    owner.0.to_be_bytes()
}

fn op_bytes(op: OpId) -> [u8; 8] {
    op.as_u64().to_be_bytes()
}

pub(crate) fn version_bytes(version: Version) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (counter, op) = bytes.split_at_mut(8);
    counter.copy_from_slice(&version.counter.to_be_bytes());
    op.copy_from_slice(&op_bytes(version.op));
    bytes
}

pub(crate) fn epoch_and_checksum(key: &StoreKey, epoch: u32, payload: &Payload) -> [u8; 8] {
    let mut bytes = [0; 8];
    let (first, second) = bytes.split_at_mut(4);
    first.copy_from_slice(&epoch.to_be_bytes());
    second.copy_from_slice(&checksum(key, payload.as_bytes()).to_be_bytes());
    bytes
}

/// A session's user as it stands in it.
pub(crate) fn user_text(user: &UserId) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, user.as_str());
    out
}

/// At most 16,000 bytes, so that three of them have a length of two bytes; what is longer is cut at a character.
fn text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(16_000);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    out.extend(u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
    out.extend(text.as_bytes());
}
