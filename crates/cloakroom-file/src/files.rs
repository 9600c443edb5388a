//! One session's file: read, and made.

use std::fs::{File, FileTimes, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::Entry;
use cloakroom::store::wire::{self, MalformedEntry};

use crate::Durability;
use crate::error::Trouble;
use crate::layout::Layout;
use crate::redo::Redo;
use crate::stripes::{Set, Stripes};

/// The largest session, in bytes. The engine's own bound is far below.
pub(crate) const MAX_PAYLOAD: usize = 16 << 20;

/// A file longer than this holds no session of ours.
const MAX_FILE: u64 = 2 * MAX_PAYLOAD as u64;

/// Where a file is filed that is never to be looked at again by a purge: as late as file systems can write down (the
/// year 2200). What cannot say even that says something earlier, and is looked at in vain.
pub(crate) const NEVER: Timestamp = Timestamp::from_millis(7_258_118_400_000);

/// What is on the disk.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) layout: Layout,
    pub(crate) stripes: Stripes,
    pub(crate) redo: Redo,
    pub(crate) durability: Durability,
}

/// A file that was written beside the session's own and is still to take its place.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) key: StoreKey,
    pub(crate) token: u64,
}

impl Disk {
    /// What is under a key. Needs no lock: a file is replaced as a whole.
    pub(crate) fn read(&self, key: &StoreKey) -> Result<Option<Entry>, Trouble> {
        let bytes = match read_file(&self.layout.entry(key)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.stripes.check_place(Set::entry(key))?;
                return Ok(None);
            }
            Err(error) => return Err(Trouble::Io(error)),
        };
        wire::decode(key, &bytes).map(Some).map_err(Trouble::Malformed)
    }

    /// Writes a file beside the session's own. Nobody reads it until it is put in place.
    pub(crate) fn stage(&self, key: &StoreKey, entry: &Entry) -> std::io::Result<Staged> {
        let staged = Staged { key: *key, token: cloakroom::OpId::generate().as_u64() };
        let path = self.layout.unfinished(key, staged.token);
        let written = self.write(&path, &wire::encode(key, entry), due(entry));
        if let Err(error) = written {
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(staged)
    }

    fn write(&self, path: &Path, bytes: &[u8], due: Timestamp) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file_under(&file, due)?;
        if self.durability == Durability::Full {
            file.sync_data()?;
        }
        Ok(())
    }

    /// Puts the file in the session's place.
    pub(crate) fn put_in_place(&self, staged: &Staged) -> std::io::Result<()> {
        std::fs::rename(self.layout.unfinished(&staged.key, staged.token), self.layout.entry(&staged.key))
    }

    /// Takes the file away again.
    pub(crate) fn unstage(&self, staged: &Staged) {
        // What cannot be removed now is purged later.
        let _ = std::fs::remove_file(self.layout.unfinished(&staged.key, staged.token));
    }
}

fn read_file(path: &PathBuf) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// When an entry may go: after its time, and not while somebody holds its lease, who is to be told that the session
/// expired rather than that nobody has heard of it.
pub(crate) fn due(entry: &Entry) -> Timestamp {
    let leased_until = match entry {
        Entry::Live { lease: Some(lease), .. } => lease.until,
        _ => Timestamp::default(),
    };
    entry.purge_at().max(leased_until)
}

/// Notes on a file when a purge should look at it.
pub(crate) fn file_under(file: &File, due: Timestamp) -> std::io::Result<()> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(due.min(NEVER).as_millis());
    file.set_times(FileTimes::new().set_modified(at))
}

/// When a purge should look at a file.
pub(crate) fn filed_under(path: &Path) -> std::io::Result<Timestamp> {
    let there = path.symlink_metadata()?;
    let (seconds, nanos) = (u64::try_from(there.mtime()), u64::try_from(there.mtime_nsec()));
    let millis = seconds.unwrap_or(0).saturating_mul(1000).saturating_add(nanos.unwrap_or(0) / 1_000_000);
    Ok(Timestamp::from_millis(millis))
}

/// Says in the log that a session's file is damaged.
pub(crate) fn tell_damage(key: &StoreKey, error: MalformedEntry, what: &str) {
    tracing::error!(session = ?key, %error, "a damaged session {what}");
}
