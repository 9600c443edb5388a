//! Removing what is over: PHP's files as PHP's own garbage collection does, and what is beside them.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;
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
        let through = self.purge_php(Over(layout), limit, &mut removed)?;
        if through {
            round.next = 0;
        }
        Ok(Purged { removed, more: !through })
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
        for dir in dirs {
            let files = match std::fs::read_dir(&dir) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => continue,
                files => files?,
            };
            for file in files {
                let file = file?;
                let (path, name) = (file.path(), file.file_name());
                let name = name.to_string_lossy();
                let is_abandoned = name.starts_with(value::FRESH) && value::is_abandoned(&path);
                if !is_abandoned && !over.is_named(&name) {
                    continue;
                }
                if *removed >= limit {
                    return Ok(false);
                }
                let gone = if is_abandoned { remove(&path)? } else { self.remove_if_over(&path, over)? };
                *removed += usize::from(gone);
            }
        }
        Ok(true)
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
        match std::fs::remove_file(path) {
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {
                Ok(false)
            }
            other => Ok(other.map(|()| true)?),
        }
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
        let now = Instant::now();
        now.checked_add(self.busy_timeout).unwrap_or(now)
    }
}

/// Which files of PHP's are over.
#[derive(Clone, Copy)]
struct Over<'l>(&'l Layout);

impl Over<'_> {
    fn is_named(self, name: &str) -> bool {
        let prefix = self.0.data_prefix();
        match self.0.in_file() {
            InFile::Session => !prefix.is_empty() && name.starts_with(prefix),
            // A digest does not tell whether it is of a session: what is over is so for mini, whatever it is.
            InFile::CacheEntry => {
                name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
        }
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
