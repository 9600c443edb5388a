//! One entry as one string of bytes, for stores that keep blobs.
//!
//! ```text
//! entry    = format (1) · kind (1) · body · checksum (4, CRC-32 of key and all before, little endian)
//! live     = record id (16) · version counter (8) · version op (8) · recent ops (3 × 8) · epoch (4)
//!            · created · last seen · idle deadline · absolute deadline · renew at (8 each)
//!            · user (u16 length + UTF-8; length 0: none)
//!            · device (u8: 0 none, 1: address u16+text · agent u16+text)
//!            · lease (u8: 0 none, 1: owner 16 · hold 8 · until 8)
//!            · payload (the rest)
//! alias    = successor (35) · op (8) · grace until (8) · until (8) · sealed (the rest)
//! marker   = ending (1) · op (8) · until (8) · [successor (35) · user changed (1)]
//! receipt  = until (8) · count (8) · for each session it tells of: key (35) · record id (16) · user · device
//!            · created · last seen · deadline · size (8 each)
//! ```
//!
//! All numbers are little endian. The key is part of the checksum, so that a blob that landed under another key
//! is noticed.

use std::sync::Arc;

use super::protocol::{Entry, Lease};
use super::{Ending, LeaseOwner, SealedId, Summary};
use crate::clock::Timestamp;
use crate::ids::{OpId, RecordId, StoreKey, UserId};
use crate::payload::Payload;
use crate::record::{Device, RecentOps, Record, Version};

/// The format written today. Older ones, once there are any, stay readable.
pub const FORMAT: u8 = 1;

const LIVE: u8 = 1;
const ALIAS: u8 = 2;
const MARKER: u8 = 3;
const RECEIPT: u8 = 4;

/// Bytes that are not an entry, and which part of them shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedEntry {
    /// Flipped bits, a torn write, or a blob that belongs under another key.
    #[error("the stored entry does not match its checksum")]
    Checksum,
    /// Written by a newer version of this library.
    #[error("the stored entry has format {0}, this version reads up to {FORMAT}")]
    Format(u8),
    /// The checksum fits, the content does not.
    #[error("the stored entry is malformed in its {0}")]
    Content(&'static str),
}

/// Writes an entry.
pub fn encode(key: &StoreKey, entry: &Entry) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(match entry {
        Entry::Live { record, .. } => 192 + record.payload.len(),
        _ => 128,
    }));
    out.u8(FORMAT);
    match entry {
        Entry::Live { record, lease } => {
            out.u8(LIVE);
            out.live(record, lease.as_ref());
        }
        Entry::Alias { successor, sealed, grace_until, op, until } => {
            out.u8(ALIAS);
            out.bytes(successor.as_bytes());
            out.u64(op.as_u64());
            out.time(*grace_until);
            out.time(*until);
            out.bytes(&sealed.0);
        }
        Entry::Marker { ending, op, until } => {
            out.u8(MARKER);
            out.u8(match ending {
                Ending::Destroyed => 1,
                Ending::Revoked => 2,
                Ending::Expired => 3,
                Ending::Moved { .. } => 4,
            });
            out.u64(op.as_u64());
            out.time(*until);
            if let Ending::Moved { to, user_changed } = ending {
                out.bytes(to.as_bytes());
                out.u8(u8::from(*user_changed));
            }
        }
        Entry::Receipt { count, ended, until } => {
            out.u8(RECEIPT);
            out.time(*until);
            out.u64(*count as u64);
            for session in ended.iter() {
                out.summary(session);
            }
        }
    }
    let sum = checksum(key, &out.0);
    out.bytes(&sum.to_le_bytes());
    out.0
}

/// Reads an entry that was stored under `key`.
///
/// # Errors
/// [`MalformedEntry`]; nothing is guessed. Never panics, whatever the bytes.
pub fn decode(key: &StoreKey, bytes: &[u8]) -> Result<Entry, MalformedEntry> {
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or(MalformedEntry::Checksum)?;
    if checksum(key, body) != u32::from_le_bytes(*sum) {
        return Err(MalformedEntry::Checksum);
    }
    let mut input = Reader(body);
    let format = input.u8("format")?;
    if format != FORMAT {
        return Err(MalformedEntry::Format(format));
    }
    match input.u8("kind")? {
        LIVE => input.live(),
        ALIAS => Ok(Entry::Alias {
            successor: StoreKey::from_bytes(input.array("successor")?),
            op: OpId::from_u64(input.u64("operation")?),
            grace_until: input.time("grace")?,
            until: input.time("end of life")?,
            sealed: SealedId(input.0.into()),
        }),
        MARKER => {
            let kind = input.u8("ending")?;
            let op = OpId::from_u64(input.u64("operation")?);
            let until = input.time("end of life")?;
            let ending = match kind {
                1 => Ending::Destroyed,
                2 => Ending::Revoked,
                3 => Ending::Expired,
                4 => Ending::Moved {
                    to: StoreKey::from_bytes(input.array("successor")?),
                    user_changed: match input.u8("change of user")? {
                        0 => false,
                        1 => true,
                        _ => return Err(MalformedEntry::Content("change of user")),
                    },
                },
                _ => return Err(MalformedEntry::Content("ending")),
            };
            if !input.0.is_empty() {
                return Err(MalformedEntry::Content("length"));
            }
            Ok(Entry::Marker { ending, op, until })
        }
        RECEIPT => {
            let until = input.time("end of life")?;
            let count = input.size("count")?;
            let mut ended = Vec::new();
            while !input.0.is_empty() {
                ended.push(input.summary()?);
            }
            if count < ended.len() {
                return Err(MalformedEntry::Content("count"));
            }
            Ok(Entry::Receipt { count, ended: ended.into(), until })
        }
        _ => Err(MalformedEntry::Content("kind")),
    }
}

fn checksum(key: &StoreKey, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.as_bytes());
    sum.update(body);
    sum.finalize()
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, v: u8) {
        self.0.push(v);
    }
    fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn time(&mut self, v: Timestamp) {
        self.u64(v.as_millis());
    }
    fn bytes(&mut self, v: &[u8]) {
        self.0.extend_from_slice(v);
    }
    /// At most 65,535 bytes; what is longer is cut at a character.
    fn text(&mut self, v: &str) {
        let mut end = v.len().min(usize::from(u16::MAX));
        while !v.is_char_boundary(end) {
            end -= 1;
        }
        let v = v.get(..end).unwrap_or_default();
        self.0.extend_from_slice(&u16::try_from(v.len()).unwrap_or(0).to_le_bytes());
        self.0.extend_from_slice(v.as_bytes());
    }
    fn device(&mut self, device: Option<&Device>) {
        match device {
            None => self.u8(0),
            Some(device) => {
                self.u8(1);
                self.text(&device.address);
                self.text(&device.agent);
            }
        }
    }
    fn summary(&mut self, session: &Summary) {
        self.bytes(session.key.as_bytes());
        self.bytes(session.record_id.as_bytes());
        self.text(session.user.as_ref().map_or("", UserId::as_str));
        self.device(session.device.as_deref());
        self.time(session.created);
        self.time(session.last_seen);
        self.time(session.deadline);
        self.u64(session.size as u64);
    }
    fn live(&mut self, record: &Record, lease: Option<&Lease>) {
        self.bytes(record.id.as_bytes());
        self.u64(record.version.counter);
        self.u64(record.version.op.as_u64());
        for op in record.recent.as_ops() {
            self.u64(op.as_u64());
        }
        self.bytes(&record.epoch.to_le_bytes());
        self.time(record.created);
        self.time(record.last_seen);
        self.time(record.idle_deadline);
        self.time(record.absolute_deadline);
        self.time(record.renew_at);
        self.text(record.user.as_ref().map_or("", UserId::as_str));
        self.device(record.device.as_deref());
        match lease {
            None => self.u8(0),
            Some(lease) => {
                self.u8(1);
                self.bytes(&lease.owner.0.to_le_bytes());
                self.u64(lease.hold);
                self.time(lease.until);
            }
        }
        self.bytes(record.payload.as_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], MalformedEntry> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(MalformedEntry::Content(what))?;
        self.0 = rest;
        Ok(head)
    }
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], MalformedEntry> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(MalformedEntry::Content(what))?;
        self.0 = rest;
        Ok(*head)
    }
    fn u8(&mut self, what: &'static str) -> Result<u8, MalformedEntry> {
        self.array::<1>(what).map(|[b]| b)
    }
    fn u64(&mut self, what: &'static str) -> Result<u64, MalformedEntry> {
        self.array(what).map(u64::from_le_bytes)
    }
    fn size(&mut self, what: &'static str) -> Result<usize, MalformedEntry> {
        usize::try_from(self.u64(what)?).map_err(|_| MalformedEntry::Content(what))
    }
    fn time(&mut self, what: &'static str) -> Result<Timestamp, MalformedEntry> {
        self.u64(what).map(Timestamp::from_millis)
    }
    fn text(&mut self, what: &'static str) -> Result<&'a str, MalformedEntry> {
        let len = u16::from_le_bytes(self.array(what)?);
        std::str::from_utf8(self.take(usize::from(len), what)?).map_err(|_| MalformedEntry::Content(what))
    }
    fn op(&mut self) -> Result<OpId, MalformedEntry> {
        self.u64("operations").map(OpId::from_u64)
    }
    fn user(&mut self) -> Result<Option<UserId>, MalformedEntry> {
        Ok(match self.text("user")? {
            "" => None,
            name => Some(UserId::new(name).ok_or(MalformedEntry::Content("user"))?),
        })
    }
    fn device(&mut self) -> Result<Option<Arc<Device>>, MalformedEntry> {
        Ok(match self.u8("device")? {
            0 => None,
            1 => Some(Arc::new(Device {
                address: self.text("device")?.to_owned(),
                agent: self.text("device")?.to_owned(),
            })),
            _ => return Err(MalformedEntry::Content("device")),
        })
    }
    fn summary(&mut self) -> Result<Summary, MalformedEntry> {
        Ok(Summary {
            key: StoreKey::from_bytes(self.array("session")?),
            record_id: RecordId::from_bytes(self.array("record id")?),
            user: self.user()?,
            device: self.device()?,
            created: self.time("times")?,
            last_seen: self.time("times")?,
            deadline: self.time("times")?,
            size: self.size("size")?,
        })
    }
    fn live(&mut self) -> Result<Entry, MalformedEntry> {
        let id = RecordId::from_bytes(self.array("record id")?);
        let version = Version { counter: self.u64("version")?, op: self.op()? };
        let recent = RecentOps::from_ops([self.op()?, self.op()?, self.op()?]);
        let epoch = u32::from_le_bytes(self.array("epoch")?);
        let created = self.time("times")?;
        let last_seen = self.time("times")?;
        let idle_deadline = self.time("times")?;
        let absolute_deadline = self.time("times")?;
        let renew_at = self.time("times")?;
        let user = self.user()?;
        let device = self.device()?;
        let lease = match self.u8("lease")? {
            0 => None,
            1 => Some(Lease {
                owner: LeaseOwner(u128::from_le_bytes(self.array("lease")?)),
                hold: self.u64("lease")?,
                until: self.time("lease")?,
            }),
            _ => return Err(MalformedEntry::Content("lease")),
        };
        let payload = Payload::from_bytes(self.0).map_err(|_| MalformedEntry::Content("data"))?;
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
        Ok(Entry::Live { record: Arc::new(record), lease })
    }
}
