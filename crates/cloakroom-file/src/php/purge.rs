//! Removing what is over: PHP's files as PHP's own garbage collection does, and what is beside them.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use cloakroom::StoreKey;
use cloakroom::clock::{Timestamp, deadline_in};
use cloakroom::store::Purged;
use cloakroom_php::CacheEntry;
use cloakroom_php::layout::{InFile, Layout};

use super::form;
use super::ground::Core;
use super::places::{DIRS, dirs_of_php, intended};
use super::trouble::Trouble;
use super::value::{self, For, Locked};
use crate::files::filed_under;
use crate::layout;
use crate::scan::names_in;
use crate::stripes::Set;

/// Files removed under one lock, at most.
const SLICE: usize = 32;

/// How far the purges have come: the directories of our own, then PHP's.
#[derive(Debug, Default)]
pub(super) struct Round {
    next: usize,
}

impl Core {
    /// Removes up to `limit` sessions and remnants that are past their time.
    pub(super) fn purge(&self, layout: &Layout, limit: usize) -> Result<Purged, Trouble> {
        let mut round = self.round.lock();
        let mut removed = 0;
        while round.next < DIRS {
            if removed >= limit {
                return Ok(Purged { removed, more: true });
            }
            let through = self.purge_own(round.next, limit, &mut removed);
            // Where a directory has trouble, the next call goes on behind it.
            if !matches!(through, Ok(false)) {
                round.next += 1;
            }
            through?;
        }
        let through = self.purge_php(Over(layout), limit, &mut removed);
        // Where there is trouble, the next round begins all the same.
        if !matches!(through, Ok(false)) {
            round.next = 0;
        }
        Ok(Purged { removed, more: !through? })
    }

    /// Whether the directory is through.
    fn purge_own(&self, dir: usize, limit: usize, removed: &mut usize) -> Result<bool, Trouble> {
        let path = self.places.dir(dir);
        let now = self.clock.now();
        let names = names_in(&path)?;
        self.recover_in(dir, &names)?;
        let due = |name: &&String| {
            layout::is_unfinished(name)
                || layout::key(name).is_some() && filed_under(&path.join(name)).is_ok_and(|at| at <= now)
        };
        let due: Vec<&String> = names.iter().filter(due).collect();
        for slice in due.chunks(SLICE) {
            let _held = self.stripes.lock(Set::entry_dir(dir), self.patience())?;
            for name in slice {
                if *removed >= limit {
                    return Ok(false);
                }
                let file = path.join(name);
                // Replaced since, or whoever was writing it is dead: it would hold the lock.
                let is_due = layout::is_unfinished(name) || filed_under(&file).is_ok_and(|at| at <= now);
                if is_due && remove(&file)? {
                    *removed += 1;
                }
            }
        }
        Ok(true)
    }

    /// As PHP does, in directories of any depth. Where this user may not list them, they are left to whoever tidies up for PHP (on Debian a
    /// timer of root's).
    fn purge_php(&self, over: Over<'_>, limit: usize, removed: &mut usize) -> Result<bool, Trouble> {
        let dirs = match dirs_of_php(&self.places.save_path, self.places.depth_of(over.0)) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Trouble::Gone),
            dirs => dirs?,
        };
        // Whatever there is trouble with, the rest is tidied up.
        let mut met = Ok(());
        for dir in dirs {
            let files = match std::fs::read_dir(&dir) {
                Ok(files) => files,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => continue,
                Err(error) => {
                    met = met.and(Err(error.into()));
                    continue;
                }
            };
            for file in files {
                let gone =
                    match file.map(|file| (file.path(), over.of_name(&file.file_name().to_string_lossy()))) {
                        Ok((_, None)) => continue,
                        Ok(_) if *removed >= limit => return Ok(false),
                        Ok((path, Some(Named::Fresh))) => self.remove_if_abandoned(&path),
                        Ok((path, Some(Named::Value))) => self.remove_if_over(&path, over),
                        Err(error) => Err(error.into()),
                    };
                match gone {
                    Ok(gone) => *removed += usize::from(gone),
                    Err(trouble) => met = met.and(Err(trouble)),
                }
            }
        }
        met.map(|()| true)
    }

    fn remove_if_abandoned(&self, path: &Path) -> Result<bool, Trouble> {
        if value::is_abandoned(path, self.clock.now()) { remove_of_php(path) } else { Ok(false) }
    }

    fn remove_if_over(&self, path: &Path, over: Over<'_>) -> Result<bool, Trouble> {
        let now = self.clock.now();
        match path.symlink_metadata() {
            Ok(there) if there.is_file() && over.may_be(&there, now) => {}
            _ => return Ok(false),
        }
        // Not one that somebody is at, nor another user's.
        let Ok(Some(file)) = value::open(path, For::Reading) else { return Ok(false) };
        let Some(file) = Locked::try_new(file)? else { return Ok(false) };
        let there = file.metadata()?;
        if !over.is(&file, &there, now)? || !value::is_at(&there, path)? {
            return Ok(false);
        }
        remove_of_php(path)
    }

    /// Looks after all that killed processes had begun.
    pub(super) fn recover_all(&self) {
        for dir in 0..DIRS {
            let done = names_in(&self.places.dir(dir)).map_err(Trouble::from);
            if let Err(trouble) = done.and_then(|names| self.recover_in(dir, &names)) {
                // Whoever asks for one of these sessions is told.
                let error = trouble.explain(&self.places.save_path);
                tracing::warn!(%error, "what a killed process had begun with sessions of PHP's is not finished yet");
            }
        }
    }

    fn recover_in(&self, dir: usize, names: &[String]) -> Result<(), Trouble> {
        let intended: Vec<StoreKey> = names.iter().filter_map(|name| intended(name)).collect();
        if intended.is_empty() {
            return Ok(());
        }
        let _held = self.stripes.lock(Set::entry_dir(dir), self.patience())?;
        intended.iter().try_for_each(|key| self.recover(key).map(drop))
    }

    fn patience(&self) -> Instant {
        deadline_in(self.busy_timeout)
    }
}

/// What a file is by its name.
enum Named {
    /// PHP's.
    Value,
    /// Of ours, and to take the place of one of PHP's.
    Fresh,
}

/// Which files of PHP's are over.
#[derive(Clone, Copy)]
struct Over<'l>(&'l Layout);

impl Over<'_> {
    /// `None`: it is none of these.
    fn of_name(self, name: &str) -> Option<Named> {
        let prefix = self.0.data_prefix();
        let is_value = match self.0.in_file() {
            InFile::Session => !prefix.is_empty() && name.starts_with(prefix),
            InFile::CacheEntry if name.starts_with(value::FRESH) => return Some(Named::Fresh),
            // A digest does not tell whether it is of a session: what is over is so for mini, whatever it is.
            InFile::CacheEntry => {
                name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
        };
        is_value.then_some(Named::Value)
    }

    /// Whether it is worth opening.
    fn may_be(self, there: &Metadata, now: Timestamp) -> bool {
        match self.0.in_file() {
            InFile::Session => value::modified(there).after(self.0.lifetime()) <= now,
            // Of ours it is when the entry ends, of mini's when it was written.
            InFile::CacheEntry => value::modified(there) <= now,
        }
    }

    fn is(self, file: &File, there: &Metadata, now: Timestamp) -> Result<bool, Trouble> {
        if !self.may_be(there, now) {
            return Ok(false);
        }
        match self.0.in_file() {
            InFile::Session => Ok(true),
            InFile::CacheEntry => {
                let ends = CacheEntry::ends(&value::tail(file, there.len())?);
                Ok(ends.is_some_and(|second| form::is_over(second, now)))
            }
        }
    }
}

fn remove(path: &Path) -> Result<bool, Trouble> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Trouble::Io(error)),
    }
}

/// From a directory in which others may have files as well.
fn remove_of_php(path: &Path) -> Result<bool, Trouble> {
    match remove(path) {
        Err(Trouble::Io(error)) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
        other => other,
    }
}
