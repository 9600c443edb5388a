//! PHP's file of a session: opened without being led elsewhere, read whole, written over in place.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use cloakroom::clock::Timestamp;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::trouble::Trouble;
use crate::Durability;
use crate::files::file_under;
use crate::stripes::lock_file;

/// The largest value, in bytes.
pub(super) const MOST: u64 = 32 << 20;

/// A file as such, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// In nanoseconds; zero where the file system does not tell. A file that is made after another one was removed may have its number: ext4 gives
    /// it to the next one.
    pub(super) born: u64,
}

impl Identity {
    pub(super) fn of(there: &Metadata) -> Self {
        let born = there.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|born| u64::try_from(born.as_nanos()).ok()).unwrap_or(0);
        Identity { device: there.dev(), inode: there.ino(), born }
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Reading,
    Writing,
}

/// Opens a file of PHP's that is there. A symbolic link is not followed, and nothing that is no file is waited for.
pub(super) fn open(path: &Path, what_for: For) -> Result<Option<File>, Trouble> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(what_for == For::Writing).custom_flags(flags);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            Err(Trouble::Strange("it is a symbolic link"))
        }
        Err(error) if error.kind() == ErrorKind::IsADirectory => Err(Trouble::Strange(NO_FILE)),
        Err(error) => Err(Trouble::Io(error)),
    }
}

const NO_FILE: &str = "it is not a plain file";

/// Makes the file of a new session, and takes its lock. `None`: something is there already.
pub(super) fn make(path: &Path, mode: u32) -> Result<Option<Locked>, Trouble> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode).custom_flags(flags);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Trouble::NoFolder),
        Err(error) => return Err(Trouble::Io(error)),
    };
    Locked::try_new(file)
}

/// Whether PHP would use such a file, and nobody but PHP's user can have put it there. `mode`: what files are made with.
pub(super) fn trust(there: &Metadata, mode: u32) -> Result<(), Trouble> {
    let strange = |what| Err(Trouble::Strange(what));
    if !there.is_file() {
        return strange(NO_FILE);
    }
    // PHP takes root's as well.
    if there.uid() != rustix::process::geteuid().as_raw() && there.uid() != 0 {
        return strange("it belongs to another user than this process; run both as one user");
    }
    if there.nlink() > 1 {
        return strange("it has a second name");
    }
    if there.mode() & !mode & 0o002 != 0 {
        return strange("everybody may write to it");
    }
    Ok(())
}

/// Whether the file still has this name. PHP, and its garbage collection, remove files that others have opened.
pub(super) fn is_at(file: &Metadata, path: &Path) -> Result<bool, Trouble> {
    match path.symlink_metadata() {
        Ok(there) => Ok(Identity::of(&there) == Identity::of(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Trouble::Io(error)),
    }
}

pub(super) fn read(file: &File) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::with_capacity(1024);
    let mut chunk = [0; 8192];
    loop {
        match file.read_at(&mut chunk, bytes.len() as u64) {
            Ok(0) => return Ok(bytes),
            Ok(n) => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Trouble::Io(error)),
        }
        if bytes.len() as u64 > MOST {
            return Err(Trouble::TooLarge(bytes.len() as u64));
        }
    }
}

/// The last bytes of a file of this length, as many as say when an entry of a cache ends.
pub(super) fn tail(file: &File, len: u64) -> Result<Vec<u8>, Trouble> {
    const ENOUGH: u64 = 64;
    let mut bytes = vec![0; len.min(ENOUGH) as usize];
    file.read_exact_at(&mut bytes, len.saturating_sub(ENOUGH))?;
    Ok(bytes)
}

/// Its time of modification: when it was last used, or when it ends.
pub(super) fn modified(there: &Metadata) -> Timestamp {
    millis(there.mtime(), there.mtime_nsec())
}

fn millis(seconds: i64, nanos: i64) -> Timestamp {
    let (seconds, nanos) = (u64::try_from(seconds).unwrap_or(0), u64::try_from(nanos).unwrap_or(0));
    Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

/// Writes a value over another. In this order, so that what is there meanwhile is never shorter than the shorter one: by that
/// it is known from a value that PHP emptied.
pub(super) fn write_over(file: &File, new: &[u8]) -> io::Result<()> {
    file.write_all_at(new, 0)?;
    file.set_len(new.len() as u64)
}

/// What the names of files begin with that are about to take the place of one of PHP's. No application looks at names that begin with a point.
pub(super) const FRESH: &str = ".cloakroom-new-";

/// Puts a file with this value in place of another one, whose lock is held.
pub(super) fn replace(
    path: &Path,
    old: &File,
    new: &[u8],
    used: Timestamp,
    durability: Durability,
) -> io::Result<File> {
    let fresh = path.with_file_name(format!("{FRESH}{:016x}", cloakroom::OpId::generate().as_u64()));
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(new)?;
        let there = old.metadata()?;
        open_to_the_same(&file, there.gid(), there.permissions())?;
        settle(&file, used, durability)?;
        std::fs::rename(&fresh, path)?;
        Ok(file)
    };
    written().inspect_err(|_| {
        // What cannot be removed now is purged later.
        let _ = std::fs::remove_file(&fresh);
    })
}

/// Whoever could read the one can read the other, and nobody else: what a group may is given to the same group, or to none where this process may
/// not choose it.
fn open_to_the_same(file: &File, group: u32, mut permissions: Permissions) -> io::Result<()> {
    // Before the mode: until then nobody else may anything.
    let is_same = file.metadata()?.gid() == group || fchown(file, None, Some(group)).is_ok();
    if !is_same {
        permissions.set_mode(permissions.mode() & !0o070);
    }
    file.set_permissions(permissions)
}

/// Whether a process of this user's was killed while it wrote this file: that takes no minute. In a directory that everybody may write to, others
/// can give such a name to anything.
pub(super) fn is_abandoned(fresh: &Path, now: Timestamp) -> bool {
    const LONG: Duration = Duration::from_secs(60);
    fresh.symlink_metadata().is_ok_and(|there| {
        there.is_file()
            && there.uid() == rustix::process::geteuid().as_raw()
            && millis(there.ctime(), there.ctime_nsec()).until(now) > LONG
    })
}

/// Notes when it was last used, and flushes what was written.
pub(super) fn settle(file: &File, used: Timestamp, durability: Durability) -> io::Result<()> {
    file_under(file, used)?;
    if durability == Durability::Full { file.sync_data() } else { Ok(()) }
}

/// Sets disk space aside for a value that is longer than the one before, so that a full disk is noticed before anything is written over.
pub(super) fn reserve(file: &File, old: u64, new: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if new > old {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, new) {
            // Not every file system can.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let _ = (file, old, new);
    Ok(())
}

/// A file whose lock is held, exclusively or with others. Given back when this is dropped: by unlocking, because a child process that is being
/// started has the file open as well for a moment.
#[derive(Debug)]
pub(super) struct Locked(File);

impl Locked {
    /// `None`: somebody else has it.
    pub(super) fn try_new(file: File) -> Result<Option<Self>, Trouble> {
        taken(file.try_lock()).map(|taken| taken.then(|| Locked(file)))
    }

    /// With others who read.
    pub(super) fn try_shared(file: &File) -> Result<Option<Sharing<'_>>, Trouble> {
        taken(file.try_lock_shared()).map(|taken| taken.then_some(Sharing(file)))
    }

    /// Those who read have it for a moment only.
    pub(super) fn soon(file: File, patience: Duration) -> Result<Option<Self>, Trouble> {
        match lock_file(&file, Instant::now() + patience, None) {
            Ok(()) => Ok(Some(Locked(file))),
            Err(crate::error::Trouble::Busy) => Ok(None),
            Err(trouble) => Err(trouble.into()),
        }
    }
}

fn taken(outcome: Result<(), TryLockError>) -> Result<bool, Trouble> {
    match outcome {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Trouble::Io(error)),
    }
}

impl std::ops::Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing it does the same, if this cannot be done.
        let _ = self.0.unlock();
    }
}

/// A lock that is held with others.
pub(super) struct Sharing<'f>(&'f File);

impl Drop for Sharing<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// A value is taken for one that nobody is writing if its file has not changed for so long, and does not while it is read. Longer than two ticks
/// of any kernel's clock: what changes a file notes the time, to the tick, under
/// the kernel's lock on the file.
const SETTLED: Duration = Duration::from_millis(25);

/// A file at a moment in which nobody was writing to it, though somebody has its lock.
pub(super) struct Still {
    changed: (i64, i64),
}

impl Still {
    /// `None`: it may be in the middle of a write. PHP empties a file before it writes, so an empty one may be as well.
    pub(super) fn of(file: &File) -> Result<Option<Self>, Trouble> {
        let there = file.metadata()?;
        let changed = (there.ctime(), there.ctime_nsec());
        let age = millis(changed.0, changed.1).until(wall_clock());
        if there.len() == 0 || there.nlink() == 0 || age < SETTLED {
            return Ok(None);
        }
        // In this order. A write that begins from here on shows by its time; one that had begun has ended then.
        wait_for_writers(file);
        Ok(Some(Still { changed }))
    }

    /// Whether it has not been written to since.
    pub(super) fn holds(&self, file: &File) -> Result<bool, Trouble> {
        // A file that is being cut has its new length before its new time (ext4).
        wait_for_writers(file);
        let there = file.metadata()?;
        Ok((there.ctime(), there.ctime_nsec()) == self.changed && there.nlink() > 0)
    }
}

fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A write that has begun, and whose process was put off in the middle of it, has noted its time long ago. Asking for where the data begin takes
/// the lock that a write holds in the kernel, so this returns when it has ended (ext4, btrfs, tmpfs; on XFS reading does).
#[cfg(target_os = "linux")]
fn wait_for_writers(file: &File) {
    let _ = rustix::fs::seek(file, rustix::fs::SeekFrom::Data(0));
}

#[cfg(not(target_os = "linux"))]
fn wait_for_writers(_: &File) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that this process is in only if it is root's, and so may be in any.
    const OTHERS: u32 = 4_294_901_760;

    #[test]
    fn what_a_group_may_with_a_file_no_other_group_may_with_the_one_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| File::create_new(dir.path().join(name)).unwrap();
        let (own, may_choose) = (make("a"), fchown(make("b"), None, Some(OTHERS)).is_ok());
        let group = own.metadata().unwrap().gid();
        let is = |file: &File| (file.metadata().unwrap().gid(), file.metadata().unwrap().mode() & 0o777);
        open_to_the_same(&own, group, Permissions::from_mode(0o660)).unwrap();
        assert_eq!(is(&own), (group, 0o660));
        open_to_the_same(&own, OTHERS, Permissions::from_mode(0o664)).unwrap();
        assert_eq!(is(&own), if may_choose { (OTHERS, 0o664) } else { (group, 0o604) });
    }
}
