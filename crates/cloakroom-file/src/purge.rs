//! Removing what is past its time, and what killed processes left; putting the index of users right.
//!
//! A purge goes round all directories, as far in one call as its limits allow. It looks at times of modification, and
//! reads only what is due by them. A directory is locked for a few files at a time.

use std::fs::File;
use std::io::ErrorKind;
use std::time::Instant;

use cloakroom::StoreKey;
use cloakroom::clock::{Clock, Timestamp};
use cloakroom::store::Purged;
use cloakroom::store::protocol::Entry;

use crate::error::Trouble;
use crate::files::{Disk, NEVER, due, file_under, filed_under, tell_damage};
use crate::layout::{self, ENTRY_DIRS, USER_DIRS};
use crate::scan::names_in;
use crate::stripes::Set;

/// Files looked at in one call, at most.
const GLANCES: usize = 10_000;
/// Files removed under one lock, at most: writes wait meanwhile.
const SLICE: usize = 32;

/// How far the purges of this handle have come.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// The next directory; those of users come after those of sessions.
    next: usize,
    /// Rounds that are finished. In the first one the whole index is compared with the sessions, later one directory of
    /// sessions in each.
    finished: usize,
    /// Directories of the first one have been healed until here.
    healed: usize,
}

/// What one call has done.
#[derive(Default)]
struct Done {
    removed: usize,
    glances: usize,
}

impl Disk {
    /// Removes up to `limit` entries that are past their time. What is done is right file by file, so an error leaves done
    /// what was done.
    pub(crate) fn purge(
        &self,
        clock: &dyn Clock,
        round: &mut Round,
        limit: usize,
        patience: impl Fn() -> Instant,
    ) -> Result<Purged, Trouble> {
        let mut done = Done::default();
        while round.next < ENTRY_DIRS + USER_DIRS {
            if done.removed >= limit || done.glances >= GLANCES {
                return Ok(Purged { removed: done.removed, more: true });
            }
            let at = round.next;
            // Where a directory has trouble, the next call goes on behind it.
            let through = match at.checked_sub(ENTRY_DIRS) {
                None => self.purge_entries(clock, round, limit, &mut done, &patience),
                Some(dir) => self.purge_users(dir, &mut done, patience()).map(|()| true),
            };
            if !matches!(through, Ok(false)) {
                round.next += 1;
            }
            through?;
        }
        round.next = 0;
        round.healed = 0;
        round.finished = round.finished.wrapping_add(1);
        Ok(Purged { removed: done.removed, more: false })
    }

    /// Whether the directory is through.
    fn purge_entries(
        &self,
        clock: &dyn Clock,
        round: &mut Round,
        limit: usize,
        done: &mut Done,
        patience: &impl Fn() -> Instant,
    ) -> Result<bool, Trouble> {
        let dir = round.next;
        let now = clock.now();
        let names = names_in(&self.layout.entry_dir(dir))?;
        done.glances += names.len();
        if names.iter().any(|name| layout::is_unfinished(name)) {
            self.remove_unfinished(dir, patience())?;
        }
        let keys: Vec<StoreKey> = names.iter().filter_map(|name| layout::key(name)).collect();
        let overdue: Vec<StoreKey> = keys
            .iter()
            .filter(|key| filed_under(&self.layout.entry(key)).is_ok_and(|at| at <= now))
            .take(limit.saturating_sub(done.removed).saturating_add(1))
            .copied()
            .collect();
        for slice in overdue.chunks(SLICE) {
            let _held = self.lock(Set::entry_dir(dir), patience())?;
            for key in slice {
                if done.removed >= limit {
                    return Ok(false);
                }
                done.removed += usize::from(self.remove_if_due(key, clock.now())?);
            }
        }
        if round.finished == 0 || round.finished % ENTRY_DIRS == dir {
            done.glances += keys.len();
            keys.iter().try_for_each(|key| self.heal(key, patience))?;
        }
        Ok(true)
    }

    /// Under its directory's lock.
    fn remove_if_due(&self, key: &StoreKey, now: Timestamp) -> Result<bool, Trouble> {
        let path = self.layout.entry(key);
        let due = match self.read(key) {
            Ok(None) => return Ok(false),
            Ok(Some(entry)) => due(&entry),
            // Left for whoever can make sense of it, and out of the way of the next purge.
            Err(Trouble::Malformed(error)) => {
                tell_damage(key, error, "is left as it is");
                NEVER
            }
            Err(trouble) => return Err(trouble),
        };
        if due > now {
            file_under(&File::open(path)?, due)?;
            return Ok(false);
        }
        std::fs::remove_file(path)?;
        Ok(true)
    }

    /// Whoever was writing these is dead: it would hold the lock, or have left a record that was finished just now.
    fn remove_unfinished(&self, dir: usize, deadline: Instant) -> Result<(), Trouble> {
        let _held = self.lock(Set::entry_dir(dir), deadline)?;
        let path = self.layout.entry_dir(dir);
        for name in names_in(&path)?.iter().filter(|name| layout::is_unfinished(name)) {
            std::fs::remove_file(path.join(name))?;
        }
        Ok(())
    }

    /// Sees to it that a user's session is in the index.
    fn heal(&self, key: &StoreKey, patience: &impl Fn() -> Instant) -> Result<(), Trouble> {
        let missing = |entry: Option<Entry>| {
            entry.as_ref().and_then(Entry::user).filter(|user| !self.is_indexed(user, key)).cloned()
        };
        // A damaged session is told of by whoever asks for it.
        let Some(user) = self.read(key).ok().and_then(missing) else { return Ok(()) };
        let held = self.lock(Set::entry(key).and(Set::user(&user)), patience())?;
        if self.read(key).ok().and_then(missing).as_ref() == Some(&user) {
            self.index(&held, &user, key)?;
            tracing::warn!(session = ?key, "a session was missing among its user's, and was put there");
        }
        Ok(())
    }

    /// Takes out of the index what is not there any more.
    fn purge_users(&self, dir: usize, done: &mut Done, deadline: Instant) -> Result<(), Trouble> {
        let path = self.layout.user_dir(dir);
        for user in names_in(&path)? {
            let user = path.join(user);
            let sessions = match std::fs::read_dir(&user) {
                Ok(sessions) => sessions.filter_map(|file| file.ok()?.file_name().into_string().ok()),
                Err(_) => continue,
            };
            let sessions: Vec<String> = sessions.collect();
            done.glances += sessions.len();
            let gone = |name: &String| {
                layout::key(name).is_some_and(|key| {
                    let there = self.layout.entry(&key).symlink_metadata();
                    there.is_err_and(|error| error.kind() == ErrorKind::NotFound)
                })
            };
            let may_be_stale: Vec<&String> = sessions.iter().filter(|name| gone(name)).collect();
            if may_be_stale.is_empty() && !sessions.is_empty() {
                continue;
            }
            let _held = self.lock(Set::user_dir(dir), deadline)?;
            // A session is noted before it is there: now that the lock is held, it would be.
            for name in may_be_stale.into_iter().filter(|name| gone(name)) {
                std::fs::remove_file(user.join(name))?;
            }
            // Stays if there is anything left in it.
            let _ = std::fs::remove_dir(&user);
        }
        Ok(())
    }
}
