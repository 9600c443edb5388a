//! What is kept beside a session: a file of ours, replaced as a whole.
//!
//! ```text
//! "CPK1" · kept until (8) · length (4) · bytes · CRC-32 of all that (4) · anything
//! ```
//!
//! What follows is left over from an intent, see there.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;

use super::places::Places;
use super::trouble::Trouble;
use crate::Durability;
use crate::files::file_under;

const MAGIC: &[u8; 4] = b"CPK1";
/// A file longer than this is none of ours.
const MOST: u64 = 4 * super::value::MOST;

/// Bytes, and until when they are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    pub(super) until: Timestamp,
}

impl Kept {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.until.as_millis().to_le_bytes());
        out.extend(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(&self.bytes);
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// And what follows. `None`: it was never written to its end, or is damaged.
    pub(super) fn decode(file: &[u8]) -> Option<(Kept, &[u8])> {
        let (until, rest) = file.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let summed = file.get(..MAGIC.len() + 8 + 4 + bytes.len())?;
        let until = Timestamp::from_millis(u64::from_le_bytes(*until));
        (crc32fast::hash(summed) == u32::from_le_bytes(*sum))
            .then(|| (Kept { bytes: bytes.to_vec(), until }, rest))
    }
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
    Ok(kept.filter(|kept| now < kept.until))
}

/// Puts something beside a session, in place of what was there. The lock on its directory must be held. `flush`: it must be on the disk.
pub(super) fn replace(places: &Places, key: &StoreKey, kept: &Kept, flush: bool) -> io::Result<()> {
    let unfinished = places.unfinished(key);
    let placed = write(&unfinished, &kept.encode(), kept.until, flush)
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
        let kept = Kept { bytes: b"anything".to_vec(), until: Timestamp::from_millis(77) };
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
