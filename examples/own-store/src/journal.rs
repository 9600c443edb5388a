//! The file: steps, one after the other, each readable as a whole or not there.
//!
//! ```text
//! file = step*
//! step = length of the body (u32) · CRC-32 of the body (u32) · body
//! body = (key (35) · length of the entry (u32) · entry, as `store::wire` writes it)*      length 0: removed
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use cloakroom::StoreKey;
use cloakroom::store::protocol::Entry;
use cloakroom::store::wire;

/// What a step changed; `None`: removed.
pub(crate) type Changes = BTreeMap<StoreKey, Option<Entry>>;

pub(crate) struct Journal {
    file: File,
    /// Where the last whole step ends.
    end: u64,
    /// A step may be half in the file, and could not be taken back.
    broken: bool,
}

impl Journal {
    /// Opens the file, or makes it, and reads what is in it. What a crash left of a step at its end is cut off: nobody was told
    /// that it was made.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, BTreeMap<StoreKey, Entry>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // Two processes would each not know what the other one writes.
        file.try_lock().map_err(io::Error::from)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut entries, mut rest) = (BTreeMap::new(), bytes.as_slice());
        while let Some((body, after)) = whole_step(rest) {
            for (key, entry) in changes_in(body)? {
                match entry {
                    Some(entry) => entries.insert(key, entry),
                    None => entries.remove(&key),
                };
            }
            rest = after;
        }
        let end = (bytes.len() - rest.len()) as u64;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.sync_all()?;
        Ok((Journal { file, end, broken: false }, entries))
    }

    /// Appends a step. When this returns it is on the disk; where it fails, it is not in the file.
    pub(crate) fn append(&mut self, changes: &Changes) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed half way; open the store again"));
        }
        let step = written(changes)?;
        let done = self.file.write_all(&step).and_then(|()| self.file.sync_data());
        match done {
            Ok(()) => self.end += step.len() as u64,
            Err(_) => {
                let back =
                    self.file.set_len(self.end).and_then(|()| self.file.seek(SeekFrom::Start(self.end)));
                self.broken = back.is_err();
            }
        }
        done
    }
}

fn written(changes: &Changes) -> io::Result<Vec<u8>> {
    let too_long = |_| io::Error::other("a step of 4 GiB");
    let mut step = vec![0; 8];
    for (key, entry) in changes {
        let entry = entry.as_ref().map_or_else(Vec::new, |entry| wire::encode(key, entry));
        step.extend_from_slice(key.as_bytes());
        step.extend_from_slice(&u32::try_from(entry.len()).map_err(too_long)?.to_le_bytes());
        step.extend_from_slice(&entry);
    }
    let (head, body) = step.split_at_mut(8);
    let (length, sum) = head.split_at_mut(4);
    length.copy_from_slice(&u32::try_from(body.len()).map_err(too_long)?.to_le_bytes());
    sum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    Ok(step)
}

/// The body of the first step, and what comes after it.
fn whole_step(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (body, after) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (crc32fast::hash(body) == u32::from_le_bytes(*sum)).then_some((body, after))
}

fn changes_in(mut body: &[u8]) -> io::Result<Changes> {
    let malformed = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut changes = Changes::new();
    while !body.is_empty() {
        let change = body.split_first_chunk::<{ StoreKey::LEN }>().and_then(|(key, rest)| {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (entry, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            Some((StoreKey::from_bytes(*key), entry, rest))
        });
        let (key, entry, rest) = change.ok_or_else(|| malformed("a step ends within a change".to_owned()))?;
        let entry = match entry {
            [] => None,
            entry => Some(wire::decode(&key, entry).map_err(|error| malformed(error.to_string()))?),
        };
        changes.insert(key, entry);
        body = rest;
    }
    Ok(changes)
}
