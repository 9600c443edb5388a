//! What a step over several files is about to do, written down before it does it.
//!
//! ```text
//! record = "CRR1" · length of body (4) · body · CRC-32 of body (4)
//! body   = locks (16) · for each file: key (35) · token (8)
//! ```
//!
//! The files are on the disk already, under names that nobody reads; what is left to do is to put them in place. A step is
//! committed once its record is on the disk. Whoever takes a lock that a record names, and so is not its writer, finishes
//! it first: its writer is dead. A record that was cut short was never committed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use cloakroom::StoreKey;

use crate::error::Trouble;
use crate::files::Staged;
use crate::stripes::Set;

const MAGIC: &[u8; 4] = b"CRR1";
const MOVE: usize = StoreKey::LEN + 8;

/// The file.
#[derive(Debug)]
pub(crate) struct Redo(File);

/// Steps that were committed and perhaps not done.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) locks: Set,
    pub(crate) files: Vec<Staged>,
}

/// What the file holds.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// Not a whole record: one being written this moment, or one whose writer died over it.
    Torn,
    Record(Record),
}

impl Redo {
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(path).map(Redo)
    }

    /// Whether anything is written down. The cheapest question, asked by every read.
    pub(crate) fn is_empty(&self) -> Result<bool, Trouble> {
        let there = self.0.metadata()?;
        if there.nlink() == 0 { Err(Trouble::Gone) } else { Ok(there.len() == 0) }
    }

    pub(crate) fn look(&self) -> Result<Found, Trouble> {
        if self.is_empty()? {
            return Ok(Found::Nothing);
        }
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match self.0.read_at(&mut chunk, bytes.len() as u64) {
                Ok(0) => break,
                Ok(n) => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Trouble::Io(error)),
            }
        }
        Ok(decode(&bytes).map_or(Found::Torn, Found::Record))
    }

    /// Commits. The lock on the file must be held, and those that the record names.
    pub(crate) fn write(&self, record: &Record, durable: bool) -> std::io::Result<()> {
        self.0.write_all_at(&encode(record), 0)?;
        if durable { self.0.sync_data() } else { Ok(()) }
    }

    /// Nothing is left to be done. Need not be on the disk: finishing once more what is finished does nothing.
    pub(crate) fn clear(&self) -> std::io::Result<()> {
        self.0.set_len(0)
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let mut body = record.locks.to_bits().to_le_bytes().to_vec();
    for file in &record.files {
        body.extend_from_slice(file.key.as_bytes());
        body.extend_from_slice(&file.token.to_le_bytes());
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    let (sum, _) = rest.split_first_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (locks, moves) = body.split_first_chunk::<16>()?;
    let (moves, rest) = moves.as_chunks::<MOVE>();
    let file = |bytes: &[u8; MOVE]| {
        let (key, token) = bytes.split_first_chunk::<{ StoreKey::LEN }>()?;
        Some(Staged { key: StoreKey::from_bytes(*key), token: u64::from_le_bytes(token.try_into().ok()?) })
    };
    let files = moves.iter().map(file).collect::<Option<_>>()?;
    rest.is_empty().then_some(())?;
    Some(Record { locks: Set::from_bits(u128::from_le_bytes(*locks))?, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_not_at_all_when_cut_or_changed() {
        let key = StoreKey::from_bytes([7; 35]);
        let files = (0..3).map(|token| Staged { key, token }).collect();
        let bytes = encode(&Record { locks: Set::entry(&key).and(Set::REDO), files });
        let read = decode(&bytes).unwrap();
        assert_eq!(read.locks, Set::entry(&key).and(Set::REDO));
        assert_eq!(read.files.iter().map(|f| f.token).collect::<Vec<_>>(), [0, 1, 2]);
        // What an earlier, longer record left behind it does not matter.
        assert!(decode(&[&bytes[..], &[9; 100]].concat()).is_some());
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_none(), "cut to {len}");
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(decode(&bytes).is_none(), "changed at {at}");
        }
    }
}
