//! A count of acknowledged commits beside the database, to notice when the log lost its end.
//!
//! After a crash SQLite replays its write-ahead log up to the first frame whose checksum does not fit, and takes what
//! is behind for a torn write. A flipped bit in the middle of the log therefore drops everything after it, without
//! an error. Each transaction counts itself inside the database; after it is committed and answered, the number is written
//! to this file as well, without flushing. On opening, a file that is ahead of the database tells how many acknowledged
//! commits are missing.
//!
//! It never cries wolf: the number is written only after SQLite has flushed the commit it counts, so no crash of the
//! process or of the machine lets the file get ahead of the log. It may lag: by one transaction when the process was killed
//! right after answering, by more after a power failure (its own last writes were not flushed). Then a loss of the very
//! last commits would go unnoticed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"ClkRcnt1";
/// Magic, file id, number, checksum.
const LEN: usize = 8 + 16 + 8 + 8;

/// The file beside the database.
pub(crate) struct CommitCount {
    file: Option<File>,
    file_id: [u8; 16],
}

/// What was read from it: which database it counts, and how far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) file_id: [u8; 16],
    pub(crate) commits: u64,
}

impl CommitCount {
    /// Where it is.
    pub(crate) fn path(database: &Path) -> PathBuf {
        let mut name = database.as_os_str().to_owned();
        name.push("-commits");
        PathBuf::from(name)
    }

    /// Reads it; `None` when there is none, or what is there is no count.
    ///
    /// To be read *before* the database: another process may be counting.
    pub(crate) fn read(database: &Path) -> Option<Counted> {
        let mut bytes = [0; LEN];
        File::open(Self::path(database)).and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
        parse(&bytes)
    }

    /// Opens it for counting. A store whose count cannot be written works all the same, and says so.
    pub(crate) fn open(database: &Path, file_id: [u8; 16]) -> Self {
        let path = Self::path(database);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options
            .open(&path)
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), %error, "cannot count commits: a damaged log would go unnoticed");
            })
            .ok();
        CommitCount { file, file_id }
    }

    /// Takes down that `commits` are in the database. Costs a write into the page cache, no flush.
    pub(crate) fn note(&mut self, commits: u64) {
        let Some(file) = &mut self.file else { return };
        let bytes = format(Counted { file_id: self.file_id, commits });
        if let Err(error) = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&bytes)) {
            // A full disk comes here: the next commit tries again.
            tracing::debug!(%error, "the count of commits lags");
        }
    }

    /// Flushes it, so that it does not lag after a power failure.
    pub(crate) fn sync(&self) {
        if let Some(Err(error)) = self.file.as_ref().map(File::sync_data) {
            tracing::debug!(%error, "the count of commits was not flushed");
        }
    }
}

fn format(counted: Counted) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let (magic, rest) = bytes.split_at_mut(8);
    let (id, rest) = rest.split_at_mut(16);
    let (number, check) = rest.split_at_mut(8);
    magic.copy_from_slice(MAGIC);
    id.copy_from_slice(&counted.file_id);
    number.copy_from_slice(&counted.commits.to_le_bytes());
    check.copy_from_slice(&checksum(&counted).to_le_bytes());
    bytes
}

fn parse(bytes: &[u8; LEN]) -> Option<Counted> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (file_id, rest) = rest.split_first_chunk::<16>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (check, _) = rest.split_first_chunk::<8>()?;
    let counted = Counted { file_id: *file_id, commits: u64::from_le_bytes(*number) };
    (magic == MAGIC && checksum(&counted) == u64::from_le_bytes(*check)).then_some(counted)
}

/// FNV-1a: enough against a torn write of forty bytes.
fn checksum(counted: &Counted) -> u64 {
    let bytes = counted.file_id.iter().copied().chain(counted.commits.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back_and_what_is_torn_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("s.db");
        assert_eq!(CommitCount::read(&db), None);
        let mut count = CommitCount::open(&db, [7; 16]);
        count.note(41);
        count.note(42);
        assert_eq!(CommitCount::read(&db), Some(Counted { file_id: [7; 16], commits: 42 }));

        let path = CommitCount::path(&db);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            std::fs::write(&path, &bent).unwrap();
            assert_eq!(CommitCount::read(&db), None, "byte {at} flipped");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(CommitCount::read(&db), None, "cut at {at}");
        }
    }
}
