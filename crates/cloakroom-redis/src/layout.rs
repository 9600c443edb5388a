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
//! Aliases, markers and receipts are the format, their kind, and [`wire`]'s bytes.
//!
//! Redis guards its snapshot file by a checksum, but neither its append-only file nor a value in memory, and a key can
//! be copied over another one. So the payload, the part that must not be another visitor's, carries a checksum bound to
//! its key, which costs the scripts nothing: they move it along as it is. The rest is checked by its structure.

use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::record::{Device, RecentOps, Record, Version};
use cloakroom::store::protocol::{Entry, Lease};
use cloakroom::store::{LeaseOwner, wire};
use cloakroom::{OpId, RecordId, StoreKey, UserId};

/// The format written today.
pub(crate) const FORMAT: u8 = 1;
/// The kind of a session.
pub(crate) const LIVE: u8 = 1;
/// The kind of what is left of one.
const REMNANT: u8 = 2;
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

/// Writes an entry that is to be stored under `key`.
pub(crate) fn encode(key: &StoreKey, entry: &Entry) -> Vec<u8> {
    let Entry::Live { record, lease } = entry else {
        let mut out = vec![FORMAT, REMNANT];
        out.extend(wire::encode(key, entry));
        return out;
    };
    let mut out = Vec::with_capacity(HEAD + 320 + record.payload.len());
    before_times(&mut out, record.version, record.recent, lease.as_ref());
    times(&mut out, record);
    after_times(&mut out, key, record);
    out
}

/// What a session that nobody holds begins with: all of its head but who it belongs to, which stays the same.
pub(crate) fn beginning(key: &StoreKey, record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD);
    before_times(&mut out, record.version, record.recent, None);
    times(&mut out, record);
    out.extend(record.id.as_bytes());
    out.extend(epoch_and_checksum(key, record.epoch, &record.payload));
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

pub(crate) fn op_bytes(op: OpId) -> [u8; 8] {
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

fn checksum(key: &StoreKey, payload: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.as_bytes());
    sum.update(payload);
    sum.finalize()
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
        [FORMAT, REMNANT, rest @ ..] => match wire::decode(key, rest) {
            Ok(Entry::Live { .. }) => Err(Malformed("kind")),
            Ok(entry) => Ok(entry),
            Err(_) => Err(Malformed("content")),
        },
        [FORMAT, ..] => Err(Malformed("kind")),
        _ => Err(Malformed("format")),
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

#[cfg(test)]
mod tests {
    use cloakroom::payload::PayloadBuilder;
    use cloakroom::store::{Ending, SealedId};

    use super::*;

    const KEY: StoreKey = StoreKey::from_bytes([7; StoreKey::LEN]);

    fn record(user: Option<&str>, device: Option<Device>) -> Record {
        let mut payload = PayloadBuilder::default();
        payload.push("basket", b"\x93\x01\x02\x03");
        Record {
            id: RecordId::from_bytes([3; 16]),
            version: Version { counter: 9, op: OpId::from_u64(u64::MAX - 4) },
            recent: RecentOps::from_ops([OpId::from_u64(1), OpId::from_u64(2), OpId::default()]),
            epoch: 5,
            created: Timestamp::from_millis(1_000),
            last_seen: Timestamp::from_millis(2_000),
            idle_deadline: Timestamp::from_millis(3_000),
            absolute_deadline: Timestamp::from_millis(4_000),
            renew_at: Timestamp::NEVER,
            user: user.and_then(UserId::new),
            device: device.map(Arc::new),
            payload: payload.finish(),
        }
    }

    fn entries() -> Vec<Entry> {
        let device = Device { address: "192.0.2.7".into(), agent: "Suite/1".into() };
        let lease =
            Lease { owner: LeaseOwner(u128::MAX - 1), hold: u64::MAX - 2, until: Timestamp::from_millis(5) };
        vec![
            Entry::Live { record: Arc::new(record(None, None)), lease: None },
            Entry::Live { record: Arc::new(record(None, Some(device.clone()))), lease: None },
            Entry::Live { record: Arc::new(record(Some("ann"), None)), lease: Some(lease) },
            Entry::Live {
                record: Arc::new(record(Some(&"\u{e9}".repeat(127)), Some(device))),
                lease: Some(lease),
            },
            Entry::Alias {
                successor: StoreKey::from_bytes([1; StoreKey::LEN]),
                sealed: SealedId([1, 2, 3].into()),
                grace_until: Timestamp::from_millis(1),
                op: OpId::from_u64(4),
                until: Timestamp::from_millis(2),
            },
            Entry::Marker {
                ending: Ending::Revoked,
                op: OpId::from_u64(4),
                until: Timestamp::from_millis(2),
            },
            Entry::Receipt { count: 3, ended: Arc::new([]), until: Timestamp::from_millis(2) },
        ]
    }

    #[test]
    fn what_is_written_is_read_back() {
        for entry in entries() {
            assert_eq!(decode(&KEY, &encode(&KEY, &entry)), Ok(entry));
        }
    }

    #[test]
    fn a_session_is_read_around_a_payload_that_is_known() {
        for entry in entries() {
            let Entry::Live { record, .. } = &entry else { continue };
            let bytes = encode(&KEY, &entry);
            let around = &bytes[..bytes.len() - record.payload.len()];
            assert_eq!(decode_around(around, record.payload.clone()).as_ref(), Ok(&**record));
        }
    }

    #[test]
    fn data_under_another_key_and_flipped_data_are_noticed() {
        for entry in entries() {
            let bytes = encode(&KEY, &entry);
            assert!(decode(&StoreKey::from_bytes([8; StoreKey::LEN]), &bytes).is_err(), "{entry:?}");
            let mut flipped = bytes.clone();
            *flipped.last_mut().unwrap() ^= 1;
            assert!(decode(&KEY, &flipped).is_err(), "{entry:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for entry in entries() {
            let bytes = encode(&KEY, &entry);
            for cut in 0..bytes.len() {
                assert!(decode(&KEY, &bytes[..cut]).is_err(), "cut at {cut}: {entry:?}");
            }
            for at in 0..bytes.len() {
                for flip in [1, 0x80, 0xff] {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= flip;
                    let _ = decode(&KEY, &flipped);
                }
            }
        }
    }

    #[test]
    fn times_beyond_what_a_double_counts_are_never() {
        assert_eq!(millis(Timestamp::NEVER), NEVER);
        assert_eq!(time(NEVER), Timestamp::NEVER);
        assert_eq!(time(millis(Timestamp::from_millis(NEVER - 1))), Timestamp::from_millis(NEVER - 1));
    }
}
