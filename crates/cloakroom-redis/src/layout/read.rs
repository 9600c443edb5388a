//! Bytes into an entry.

use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::record::{Device, RecentOps, Record, Version};
use cloakroom::store::protocol::{Entry, Lease};
use cloakroom::store::{Ending, LeaseOwner, wire};
use cloakroom::{OpId, RecordId, StoreKey, UserId};

use super::{BY_OTHERS, DESTROYED, ENDED, FORMAT, HEAD, LIVE, MOVED, Malformed, REMNANT, checksum, time};
use crate::names::{Names, SUFFIX};

/// Reads an entry that was stored under `key`.
///
/// # Errors
/// [`Malformed`]; nothing is guessed. Never panics, whatever the bytes.
pub(crate) fn decode(key: &StoreKey, bytes: &[u8]) -> Result<Entry, Malformed> {
    match bytes {
        [FORMAT, LIVE, ..] => {
            let (head, lease) = live_head(bytes)?;
            let payload = bytes.get(head.length..).ok_or(Malformed("length"))?;
            if head.checksum != checksum(key, payload) {
                return Err(Malformed("data"));
            }
            let mut record = head.record;
            record.payload = Payload::from_bytes(payload).map_err(|_| Malformed("data"))?;
            Ok(Entry::Live { record: Arc::new(record), lease })
        }
        [FORMAT, REMNANT, rest @ ..] => remnant(key, rest),
        [FORMAT, MOVED, rest @ ..] => {
            // What stands before is for scripts; it is all told by what follows.
            let rest = rest.get(8 + SUFFIX..).ok_or(Malformed("successor"))?;
            remnant(key, rest)
        }
        [FORMAT, ENDED, rest @ ..] => ended(key, rest),
        [FORMAT, ..] => Err(Malformed("kind")),
        _ => Err(Malformed("format")),
    }
}

fn remnant(key: &StoreKey, bytes: &[u8]) -> Result<Entry, Malformed> {
    match wire::decode(key, bytes) {
        Ok(Entry::Live { .. }) => Err(Malformed("kind")),
        Ok(entry) => Ok(entry),
        Err(_) => Err(Malformed("content")),
    }
}

fn ended(key: &StoreKey, bytes: &[u8]) -> Result<Entry, Malformed> {
    let mut input = Reader(bytes);
    let until = input.time("end of life")?;
    if input.take(SUFFIX, "name")? != Names::member(key).as_bytes() {
        return Err(Malformed("name"));
    }
    let ending = match input.array("ending")? {
        [DESTROYED] => Ending::Destroyed,
        [BY_OTHERS] => Ending::Revoked,
        _ => return Err(Malformed("ending")),
    };
    let op = input.op()?;
    if !input.0.is_empty() {
        return Err(Malformed("length"));
    }
    Ok(Entry::Marker { ending, op, until })
}

/// The same of a session of which only what stands before its payload was read: it has none, then.
pub(crate) fn decode_head(key: &StoreKey, bytes: &[u8]) -> Result<Entry, Malformed> {
    match bytes {
        [FORMAT, LIVE, ..] => {
            let (head, lease) = live_head(bytes)?;
            Ok(Entry::Live { record: Arc::new(head.record), lease })
        }
        _ => decode(key, bytes),
    }
}

/// Reads a session whose payload is known already: its value up to the payload.
pub(crate) fn decode_around(bytes: &[u8], payload: Payload) -> Result<Record, Malformed> {
    let (head, _) = live_head(bytes)?;
    Ok(Record { payload, ..head.record })
}

/// What stays the same of a session for as long as it is under its key: record id, user and device. As scripts compare it.
pub(crate) fn identity(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(bytes.get(138..HEAD)?.try_into().ok()?));
    Some([bytes.get(114..130)?, bytes.get(138..HEAD + length)?].concat())
}

struct LiveHead {
    /// Without its payload.
    record: Record,
    checksum: u32,
    /// Where the payload begins.
    length: usize,
}

fn live_head(bytes: &[u8]) -> Result<(LiveHead, Option<Lease>), Malformed> {
    let mut input = Reader(bytes);
    if input.array("kind")? != [FORMAT, LIVE] {
        return Err(Malformed("kind"));
    }
    let lease = Lease {
        owner: LeaseOwner(u128::from_be_bytes(input.array("lease")?)),
        hold: input.u64("lease")?,
        until: input.time("lease")?,
    };
    let lease = Some(lease).filter(|lease| lease.until != Timestamp::default());
    let version = Version { counter: input.u64("version")?, op: input.op()? };
    let recent = RecentOps::from_ops([input.op()?, input.op()?, input.op()?]);
    let last_seen = input.time("times")?;
    let idle_deadline = input.time("times")?;
    let absolute_deadline = input.time("times")?;
    let renew_at = input.time("times")?;
    let created = input.time("times")?;
    let id = RecordId::from_bytes(input.array("record id")?);
    let epoch = u32::from_be_bytes(input.array("epoch")?);
    let checksum = u32::from_be_bytes(input.array("checksum")?);
    let length = usize::from(u16::from_be_bytes(input.array("length")?));
    let (user, device) = Reader(input.take(length, "user")?).identity()?;
    let payload = Payload::empty();
    let record = Record {
        id,
        version,
        recent,
        epoch,
        created,
        last_seen,
        idle_deadline,
        absolute_deadline,
        renew_at,
        user,
        device,
        payload,
    };
    Ok((LiveHead { record, checksum, length: HEAD + length }, lease))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Malformed(what))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed(what))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    fn time(&mut self, what: &'static str) -> Result<Timestamp, Malformed> {
        self.u64(what).map(time)
    }

    fn op(&mut self) -> Result<OpId, Malformed> {
        self.u64("operations").map(OpId::from_u64)
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let length = usize::from(u16::from_be_bytes(self.array(what)?));
        std::str::from_utf8(self.take(length, what)?).map_err(|_| Malformed(what))
    }

    fn identity(&mut self) -> Result<(Option<UserId>, Option<Arc<Device>>), Malformed> {
        if self.0.is_empty() {
            return Ok((None, None));
        }
        let user = match self.text("user")? {
            "" => None,
            name => Some(UserId::new(name).ok_or(Malformed("user"))?),
        };
        let device = match self.array("device")? {
            [0] => None,
            [1] => Some(Arc::new(Device {
                address: self.text("device")?.to_owned(),
                agent: self.text("device")?.to_owned(),
            })),
            _ => return Err(Malformed("device")),
        };
        if self.0.is_empty() { Ok((user, device)) } else { Err(Malformed("length")) }
    }
}
