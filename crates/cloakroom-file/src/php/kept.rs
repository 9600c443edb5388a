//! What is kept beside a session: a file of ours, replaced as a whole.
//!
//! ```text
//! "CPK1" · kept until (8) · length (4) · bytes · CRC-32 of all that (4) · anything
//! "CPK2" · kept until (8) · lease: owner (16), hold (8), until (8) · length (4) · …
//! ```
//!
//! What follows is left over from an intent, see there. A lease is here where it is not the lock of PHP's file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;
use cloakroom::store::LeaseOwner;
use cloakroom::store::protocol::Lease;

use super::places::Places;
use super::trouble::Trouble;
use crate::Durability;
use crate::files::file_under;

const MAGIC: &[u8; 4] = b"CPK1";
const WITH_LEASE: &[u8; 4] = b"CPK2";
/// A file longer than this is none of ours.
const MOST: u64 = 4 * super::value::MOST;

/// Bytes, and until when they are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    pub(super) until: Timestamp,
    pub(super) lease: Option<Lease>,
}

impl Kept {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.lease.map_or(MAGIC, |_| WITH_LEASE).to_vec();
        out.extend(self.until.as_millis().to_le_bytes());
        if let Some(lease) = &self.lease {
            out.extend(token(lease));
        }
        out.extend(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(&self.bytes);
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// And what follows. `None`: it was never written to its end, or is damaged.
    pub(super) fn decode(file: &[u8]) -> Option<(Kept, &[u8])> {
        let (magic, rest) = file.split_first_chunk::<4>()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (lease, rest) = match magic {
            MAGIC => (None, rest),
            WITH_LEASE => {
                let (owner, rest) = rest.split_first_chunk::<16>()?;
                let (hold, rest) = rest.split_first_chunk::<8>()?;
                let (until, rest) = rest.split_first_chunk::<8>()?;
                let lease = Lease {
                    owner: LeaseOwner(u128::from_le_bytes(*owner)),
                    hold: u64::from_le_bytes(*hold),
                    until: Timestamp::from_millis(u64::from_le_bytes(*until)),
                };
                (Some(lease), rest)
            }
            _ => return None,
        };
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let summed = file.get(..file.len() - rest.len() - sum.len())?;
        let until = Timestamp::from_millis(u64::from_le_bytes(*until));
        (crc32fast::hash(summed) == u32::from_le_bytes(*sum))
            .then(|| (Kept { bytes: bytes.to_vec(), until, lease }, rest))
    }

    /// What is left of it by now.
    fn at(mut self, now: Timestamp) -> Option<Kept> {
        self.lease = self.lease.filter(|lease| now < lease.until);
        if self.until <= now {
            self.bytes.clear();
        }
        (!self.bytes.is_empty() || self.lease.is_some()).then_some(self)
    }

    /// What is kept beside the session.
    pub(super) fn beside(&self) -> Option<&Vec<u8>> {
        Some(&self.bytes).filter(|bytes| !bytes.is_empty())
    }

    /// When the file may be removed.
    pub(super) fn due(&self) -> Timestamp {
        self.lease.map_or(self.until, |lease| self.until.max(lease.until))
    }
}

/// What stands for a lease: when it is compared, and here.
pub(super) fn token(lease: &Lease) -> Vec<u8> {
    let mut token = lease.owner.0.to_le_bytes().to_vec();
    token.extend(lease.hold.to_le_bytes());
    token.extend(lease.until.as_millis().to_le_bytes());
    token
}

/// What is in a file of ours. `None`: there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(1024);
    match File::open(path) {
        Ok(file) => file.take(MOST).read_to_end(&mut bytes).map(|_| Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is beside a session, unless its time is over.
pub(super) fn look(places: &Places, key: &StoreKey, now: Timestamp) -> Result<Option<Kept>, Trouble> {
    let Some(file) = read(&places.kept(key))? else { return Ok(None) };
    let kept = Kept::decode(&file).map(|(kept, _)| kept);
    if kept.is_none() {
        // As if it were not there: PHP's value stands on its own.
        tracing::error!(session = ?key, "what was beside a session of PHP's is damaged and is not used");
    }
    Ok(kept.and_then(|kept| kept.at(now)))
}

/// Puts something beside a session, in place of what was there. The lock on its directory must be held. `flush`: it must be on the disk.
pub(super) fn replace(places: &Places, key: &StoreKey, kept: &Kept, flush: bool) -> io::Result<()> {
    let unfinished = places.unfinished(key);
    let placed = write(&unfinished, &kept.encode(), kept.due(), flush)
        .and_then(|()| std::fs::rename(&unfinished, places.kept(key)));
    if placed.is_err() {
        // What cannot be removed now is purged later.
        let _ = std::fs::remove_file(unfinished);
    }
    placed?;
    if flush { sync_dir(&places.kept(key)) } else { Ok(()) }
}

/// Writes a file of ours that is not there.
pub(super) fn write(path: &Path, bytes: &[u8], due: Timestamp, flush: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file_under(&file, due)?;
    if flush { file.sync_data() } else { Ok(()) }
}

/// Flushes the directory that a file of ours is in.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Flushes a change of names in a directory of PHP's. Where this user may not list it, the file itself is flushed: the journals of file systems
/// have the name with it.
pub(super) fn sync_names(path: &Path, file: &File, durability: Durability) -> io::Result<()> {
    if durability != Durability::Full {
        return Ok(());
    }
    match path.parent().map(File::open) {
        Some(Ok(dir)) => dir.sync_all(),
        _ => file.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_is_read_as_it_was_written_and_not_at_all_when_cut_or_changed() {
        for lease in [None, Some(LEASE)] {
            let kept = Kept { bytes: b"anything".to_vec(), until: Timestamp::from_millis(77), lease };
            let file = kept.encode();
            let longer = [&file[..], b"more"].concat();
            assert_eq!(Kept::decode(&longer), Some((kept.clone(), &b"more"[..])));
            for len in 0..file.len() {
                assert!(Kept::decode(&file[..len]).is_none(), "cut to {len}");
            }
            for at in 0..file.len() {
                let mut file = file.clone();
                file[at] ^= 1;
                assert!(Kept::decode(&file).is_none(), "changed at {at}");
            }
        }
    }

    const LEASE: Lease = Lease { owner: LeaseOwner(7), hold: 3, until: Timestamp::from_millis(90) };

    #[test]
    fn a_lease_and_what_is_beside_end_each_at_its_own_time() {
        let kept = Kept { bytes: b"b".to_vec(), until: Timestamp::from_millis(77), lease: Some(LEASE) };
        assert_eq!(kept.due(), LEASE.until);
        let at = |millis| kept.clone().at(Timestamp::from_millis(millis));
        assert_eq!(at(76), Some(kept.clone()));
        assert_eq!(at(77), Some(Kept { bytes: Vec::new(), ..kept.clone() }));
        assert_eq!(at(90), None);
        let without = Kept { lease: None, ..kept };
        assert_eq!(without.clone().at(Timestamp::from_millis(76)), Some(without.clone()));
        assert_eq!(without.at(Timestamp::from_millis(77)), None);
    }
}
