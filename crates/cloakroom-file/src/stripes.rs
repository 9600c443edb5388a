//! The locks: one on each directory of sessions, on each directory of users, and on the file of what is to be redone.
//!
//! A lock excludes the other threads of this process (a mutex) and all other processes (`flock`, which the operating system
//! takes back from a process that dies). Several are taken in one order, so nobody waits in a circle; processes take turns.

use std::cell::Cell;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cloakroom::{StoreKey, UserId};
use parking_lot::{Mutex, MutexGuard};

use crate::error::Trouble;
use crate::layout::{ENTRY_DIRS, Layout, USER_DIRS, entry_dir_of, user_dir_of};
use crate::turns::{Turn, Turns, Waiting};

const REDO: usize = ENTRY_DIRS + USER_DIRS;
const COUNT: usize = REDO + 1;

/// Which locks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Set(u128);

impl Set {
    pub(crate) const REDO: Set = Set(1 << REDO);

    pub(crate) fn entry(key: &StoreKey) -> Set {
        Set::entry_dir(entry_dir_of(key))
    }

    pub(crate) fn entry_dir(n: usize) -> Set {
        Set(1 << (n % ENTRY_DIRS))
    }

    pub(crate) fn user(user: &UserId) -> Set {
        Set::user_dir(user_dir_of(user))
    }

    pub(crate) fn user_dir(n: usize) -> Set {
        Set(1 << (ENTRY_DIRS + n % USER_DIRS))
    }

    #[must_use]
    pub(crate) fn and(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    pub(crate) fn holds(self, other: Set) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn touches(self, other: Set) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn to_bits(self) -> u128 {
        self.0
    }

    /// `None`: there are no such locks.
    pub(crate) fn from_bits(bits: u128) -> Option<Set> {
        (bits >> COUNT == 0).then_some(Set(bits))
    }

    fn each(self) -> impl Iterator<Item = usize> {
        (0..COUNT).filter(move |n| self.0 >> n & 1 == 1)
    }
}

/// A file or directory as such, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// All locks of a store.
#[derive(Debug)]
pub(crate) struct Stripes {
    each: Vec<Stripe>,
    turns: Turns,
}

#[derive(Debug)]
struct Stripe {
    path: PathBuf,
    identity: Identity,
    kept: Mutex<Kept>,
}

/// What is kept of a lock from one time to the next.
#[derive(Debug)]
struct Kept {
    /// Opened when it is first locked.
    file: Option<File>,
    turn: Turn,
    /// Something was put into it, and could not be flushed since.
    unflushed: Cell<bool>,
}

impl Stripes {
    /// Of a store whose directories are all there.
    pub(crate) fn of(layout: &Layout) -> std::io::Result<Self> {
        let paths = (0..ENTRY_DIRS)
            .map(|n| layout.entry_dir(n))
            .chain((0..USER_DIRS).map(|n| layout.user_dir(n)))
            .chain([layout.redo()]);
        Stripes::on(paths, layout.format())
    }

    /// On these files or directories, which must all be there. `sign`: a file by which those who wait let others see it.
    pub(crate) fn on(paths: impl Iterator<Item = PathBuf>, sign: PathBuf) -> std::io::Result<Self> {
        let stripe = |path: PathBuf| {
            let identity = Identity::of(&path.symlink_metadata()?);
            Ok(Stripe {
                path,
                identity,
                kept: Mutex::new(Kept { file: None, turn: Turn::new(), unflushed: Cell::new(false) }),
            })
        };
        let each = paths.map(stripe).collect::<std::io::Result<_>>()?;
        Ok(Stripes { each, turns: Turns::new(sign) })
    }

    /// Takes all of these, waiting until `deadline`; tries once in any case.
    pub(crate) fn lock(&self, set: Set, deadline: Instant) -> Result<Held<'_>, Trouble> {
        let mut held = Held { set: Set::default(), guards: Vec::new() };
        for n in set.each() {
            // A set has no bits beyond.
            let Some(stripe) = self.each.get(n) else { continue };
            let mut kept = stripe.kept.try_lock_until(deadline).ok_or(Trouble::Busy)?;
            let opened = match kept.file.take() {
                Some(opened) => opened,
                None => stripe.open()?,
            };
            self.turns.respect(&mut kept.turn, deadline);
            lock_file(kept.file.insert(opened), deadline, Some(&self.turns))?;
            held.guards.push((n, kept));
            held.set = held.set.and(Set(1 << n));
            stripe.check_place()?;
        }
        Ok(held)
    }

    /// An answer of "no such file" from below this directory means what it says only if the directory is the one that was
    /// there when the store was opened.
    pub(crate) fn check_place(&self, set: Set) -> Result<(), Trouble> {
        set.each().filter_map(|n| self.each.get(n)).try_for_each(Stripe::check_place)
    }
}

impl Stripe {
    fn open(&self) -> Result<File, Trouble> {
        match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Trouble::Gone),
            other => Ok(other?),
        }
    }

    fn check_place(&self) -> Result<(), Trouble> {
        match self.path.symlink_metadata() {
            Ok(there) if Identity::of(&there) == self.identity => Ok(()),
            Ok(_) => Err(Trouble::Gone),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Trouble::Gone),
            Err(error) => Err(Trouble::Io(error)),
        }
    }
}

/// `flock` itself has no deadline. What holds it does so for a few flushes of the disk, unless it was stopped.
pub(crate) fn lock_file(file: &File, deadline: Instant, turns: Option<&Turns>) -> Result<(), Trouble> {
    let mut waiting: Option<Waiting<'_>> = None;
    let mut pause = Duration::from_micros(50);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(Trouble::Busy),
            Err(TryLockError::WouldBlock) => {
                if let Some(turns) = turns {
                    waiting.get_or_insert_with(|| turns.wait()).show();
                }
                // Unequal, so that two that wait do not go on meeting.
                let jitter = u32::from(cloakroom::OpId::generate().as_u64() as u8);
                std::thread::sleep(pause * (128 + jitter) / 256);
                pause = (pause * 2).min(Duration::from_millis(2));
            }
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(Trouble::Io(error)),
        }
    }
}

/// Locks that are held, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'s> {
    set: Set,
    guards: Vec<(usize, MutexGuard<'s, Kept>)>,
}

impl Held<'_> {
    pub(crate) fn set(&self) -> Set {
        self.set
    }

    /// Flushes these directories, which must be held.
    pub(crate) fn sync(&self, set: Set) -> std::io::Result<()> {
        let these = || self.guards.iter().filter(|(n, _)| set.holds(Set(1 << n)));
        if !self.set.holds(set) {
            return Err(std::io::Error::other("a directory was not locked"));
        }
        // All of them, until it turns out otherwise: whoever comes next is to know.
        these().for_each(|(_, kept)| kept.unflushed.set(true));
        for (_, kept) in these() {
            let file = kept.file.as_ref();
            file.ok_or_else(|| std::io::Error::other("a directory was not locked"))?.sync_all()?;
            kept.unflushed.set(false);
        }
        Ok(())
    }

    /// Flushes those in which something is in place that could not be flushed then. Whoever put it there was told that its outcome
    /// is unknown, and asks again: what is found to have been done has to be on the disk before that is said.
    pub(crate) fn sync_owed(&self) -> std::io::Result<()> {
        let owed = self.guards.iter().filter(|(_, kept)| kept.unflushed.get());
        self.sync(owed.fold(Set::default(), |set, (n, _)| set.and(Set(1 << n))))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for (_, kept) in &mut self.guards {
            // If it cannot be unlocked it is closed, which does the same.
            if kept.file.as_ref().is_some_and(|file| file.unlock().is_err()) {
                kept.file = None;
            }
            kept.turn.ends();
        }
    }
}
