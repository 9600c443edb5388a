//! The flag in a copy: nobody is served a copy that has one.

use cloakroom::OpId;
use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::Record;

/// Where it is: an entry that no variable of PHP's is, and no application's.
const FLAG: &str = "\0moving";

/// What the copy is to be once it is no copy any more: as PHP's place had it, for whoever asks again there, and for whoever decided
/// on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) op: OpId,
    pub(super) epoch: u32,
}

impl Flag {
    pub(super) fn of(theirs: &Record) -> Self {
        Flag { op: theirs.version.op, epoch: theirs.epoch }
    }

    pub(super) fn on(record: &Record) -> Option<Self> {
        let (op, epoch) = record.payload.get(FLAG)?.split_first_chunk::<8>()?;
        let epoch = u32::from_le_bytes(*epoch.first_chunk::<4>()?);
        Some(Flag { op: OpId::from_u64(u64::from_le_bytes(*op)), epoch })
    }

    fn bytes(self) -> Vec<u8> {
        [&self.op.as_u64().to_le_bytes()[..], &self.epoch.to_le_bytes()[..]].concat()
    }
}

pub(super) fn is_flagged(record: &Record) -> bool {
    record.payload.get(FLAG).is_some()
}

/// The same entries under this flag.
pub(super) fn flagged(payload: &Payload, flag: Flag) -> Payload {
    let mut entries = without(payload, FLAG.len() + 16);
    entries.push(FLAG, &flag.bytes());
    entries.finish()
}

pub(super) fn unflagged(payload: &Payload) -> Payload {
    without(payload, 0).finish()
}

fn without(payload: &Payload, room: usize) -> PayloadBuilder {
    let mut entries = PayloadBuilder::with_capacity(payload.len() + room);
    for (key, value) in payload.iter().filter(|(key, _)| *key != FLAG) {
        entries.push(key, value);
    }
    entries
}
