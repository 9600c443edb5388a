//! One step: the locks it needs, what a dead process left undone, the rules, and the files.

use std::time::Instant;

use cloakroom::StoreKey;
use cloakroom::clock::{Clock, Timestamp};
use cloakroom::store::protocol::Entry;

use crate::Durability;
use crate::error::Trouble;
use crate::files::{Disk, Staged};
use crate::redo::{Found, Record};
use crate::stripes::{Held, Set};
use crate::table::{Locked, Stopped};

/// What a step does with a request.
pub(crate) type Run<R, A> = fn(&mut Locked<'_>, Timestamp, R) -> Result<A, Stopped>;

/// Who asks, since when, and whether anybody still waits for the answer.
pub(crate) struct Asked<'a> {
    pub(crate) deadline: Instant,
    pub(crate) abandoned: &'a dyn Fn() -> bool,
}

impl Disk {
    /// Runs a request whole or not at all. `footprint`: the locks it is likely to need.
    pub(crate) fn step<R: Clone, A>(
        &self,
        clock: &dyn Clock,
        asked: &Asked<'_>,
        footprint: Set,
        request: &R,
        run: Run<R, A>,
    ) -> Result<A, Trouble> {
        let mut locks = footprint;
        loop {
            let held = self.lock(locks, asked.deadline)?;
            // Its caller has told the client that the write was refused: making it now would store what was refused.
            if (asked.abandoned)() {
                return Err(Trouble::Abandoned);
            }
            held.sync_owed()?;
            let mut table = Locked::new(self, &held);
            let outcome = run(&mut table, clock.now(), request.clone())
                .and_then(|answer| table.store().map(|()| answer));
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(Stopped::Needs(more)) => locks = locks.and(more),
                Err(Stopped::Trouble(trouble)) => return Err(trouble),
            }
        }
    }

    /// Takes locks, and first finishes what a dead process left undone under them.
    pub(crate) fn lock(&self, locks: Set, deadline: Instant) -> Result<Held<'_>, Trouble> {
        loop {
            let held = self.stripes.lock(locks, deadline)?;
            match self.redo.look()? {
                Found::Nothing => return Ok(held),
                Found::Record(record) if !held.set().touches(record.locks.and(Set::REDO)) => return Ok(held),
                // Whoever holds one of its locks did not write it; its writer is dead.
                Found::Record(_) => {
                    drop(held);
                    self.finish(deadline)?;
                }
                Found::Torn => {
                    self.clear_torn(&held)?;
                    return Ok(held);
                }
            }
        }
    }

    /// Finishes a step that was committed by a process that died.
    fn finish(&self, deadline: Instant) -> Result<(), Trouble> {
        let Found::Record(seen) = self.redo.look()? else { return Ok(()) };
        let held = self.stripes.lock(seen.locks.and(Set::REDO), deadline)?;
        // Another one meanwhile: whoever needs it comes back.
        let Found::Record(record) = self.redo.look()? else { return Ok(()) };
        if !held.set().holds(record.locks) {
            return Ok(());
        }
        for staged in &record.files {
            match self.put_in_place(staged) {
                // Done before its process died.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        self.settle(&held, &record)?;
        tracing::info!(sessions = record.files.len(), "finished what a killed process had begun");
        Ok(())
    }

    /// A record that was cut short, unless somebody is writing it this moment.
    fn clear_torn(&self, held: &Held<'_>) -> Result<(), Trouble> {
        let free = if held.set().holds(Set::REDO) {
            None
        } else {
            match self.stripes.lock(Set::REDO, Instant::now()) {
                Ok(held) => Some(held),
                Err(Trouble::Busy) => return Ok(()),
                Err(trouble) => return Err(trouble),
            }
        };
        if matches!(self.redo.look()?, Found::Torn) {
            self.redo.clear()?;
        }
        drop(free);
        Ok(())
    }

    /// Puts all of these in place, or none.
    pub(crate) fn replace(&self, held: &Held<'_>, puts: &[(StoreKey, Entry)]) -> Result<(), Trouble> {
        let mut files = Vec::with_capacity(puts.len());
        for (key, entry) in puts {
            match self.stage(key, entry) {
                Ok(staged) => files.push(staged),
                Err(error) => {
                    files.iter().for_each(|staged| self.unstage(staged));
                    return Err(Trouble::Io(error));
                }
            }
        }
        match files.as_slice() {
            [] => Ok(()),
            [alone] => self.replace_one(held, alone),
            _ => self.replace_several(held, files),
        }
    }

    fn replace_one(&self, held: &Held<'_>, staged: &Staged) -> Result<(), Trouble> {
        if let Err(error) = self.put_in_place(staged) {
            self.unstage(staged);
            return Err(Trouble::Io(error));
        }
        // In place, and perhaps not for good.
        self.sync(held, Set::entry(&staged.key)).map_err(Trouble::Half)
    }

    fn replace_several(&self, held: &Held<'_>, files: Vec<Staged>) -> Result<(), Trouble> {
        let record = Record { locks: held.set(), files };
        let durable = self.durability == Durability::Full;
        // Their names first: a record of files that are not there would be a promise that nobody can keep.
        let withdraw = || record.files.iter().for_each(|staged| self.unstage(staged));
        if let Err(error) = self.sync(held, dirs_of(&record)) {
            withdraw();
            return Err(Trouble::Io(error));
        }
        if let Err(error) = self.redo.write(&record, durable) {
            // Taken back, so that nobody finishes it; but it may have come to the disk before.
            if self.redo.clear().is_ok() {
                withdraw();
            }
            return Err(Trouble::Half(error));
        }
        // Committed. Whatever goes wrong from here on, the next one who comes finishes it.
        for staged in &record.files {
            self.put_in_place(staged).map_err(Trouble::Half)?;
        }
        self.settle(held, &record).map_err(Trouble::Half)
    }

    /// All is in place; once that is on the disk, nothing is left to be redone.
    fn settle(&self, held: &Held<'_>, record: &Record) -> std::io::Result<()> {
        self.sync(held, dirs_of(record))?;
        self.redo.clear()
    }

    fn sync(&self, held: &Held<'_>, dirs: Set) -> std::io::Result<()> {
        if self.durability == Durability::Full { held.sync(dirs) } else { Ok(()) }
    }
}

fn dirs_of(record: &Record) -> Set {
    record.files.iter().fold(Set::default(), |set, staged| set.and(Set::entry(&staged.key)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use cloakroom::OpId;
    use cloakroom::clock::SystemClock;
    use cloakroom::store::{Ending, Loaded};

    use super::*;
    use crate::FileStore;
    use crate::purge::Round;

    fn disk(path: &Path) -> Disk {
        crate::open::open(&FileStore::builder(path)).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn key(n: u8) -> StoreKey {
        StoreKey::from_bytes([n; 35])
    }

    fn marker() -> Entry {
        let until = Timestamp::NEVER;
        Entry::Marker { ending: Ending::Destroyed, op: OpId::generate(), until }
    }

    fn is_there(disk: &Disk, n: u8) -> bool {
        let asked = Asked { deadline: soon(), abandoned: &|| false };
        let found = match disk.load(&SystemClock, &key(n)).unwrap() {
            Some(found) => found,
            None => {
                let keys = vec![key(n)];
                let load = crate::reading::load_locked;
                disk.step(&SystemClock, &asked, Set::entry(&key(n)), &keys, load).unwrap().remove(0)
            }
        };
        found == Loaded::Ended(Ending::Destroyed)
    }

    /// A process that dies over a step of three files, after putting so many of them in place.
    fn die_after(path: &Path, in_place: usize) {
        let disk = disk(path);
        let files: Vec<Staged> = (1..=3).map(|n| disk.stage(&key(n), &marker()).unwrap()).collect();
        let locks = (1..=3).fold(Set::REDO, |set, n| set.and(Set::entry(&key(n))));
        let record = Record { locks, files };
        disk.redo.write(&record, true).unwrap();
        for staged in record.files.iter().take(in_place) {
            disk.put_in_place(staged).unwrap();
        }
    }

    #[test]
    fn c6_what_a_process_had_committed_before_it_died_is_finished_by_whoever_comes_near() {
        for in_place in 0..=3 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("sessions");
            die_after(&path, in_place);
            let disk = disk(&path);
            // Neither a purge nor a step elsewhere takes the files for leftovers.
            assert!(!is_there(&disk, 9), "another session is not held up");
            assert!(is_there(&disk, 3) && is_there(&disk, 1) && is_there(&disk, 2));
            assert!(disk.redo.is_empty().unwrap());
        }
    }

    #[test]
    fn c6_a_purge_finishes_what_was_committed_and_removes_what_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions");
        die_after(&path, 1);
        let disk = disk(&path);
        let uncommitted = disk.stage(&key(4), &marker()).unwrap();
        while disk.purge(&SystemClock, &mut Round::default(), 100, soon).unwrap().more {}
        assert!(disk.redo.is_empty().unwrap());
        assert!(is_there(&disk, 1) && is_there(&disk, 2) && is_there(&disk, 3) && !is_there(&disk, 4));
        assert!(disk.put_in_place(&uncommitted).is_err(), "it is still there");
    }

    #[test]
    fn c6_a_record_that_was_cut_short_was_never_committed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions");
        die_after(&path, 0);
        let record = std::fs::read(path.join("redo")).unwrap();
        std::fs::write(path.join("redo"), &record[..record.len() - 1]).unwrap();
        let disk = disk(&path);
        assert!(!is_there(&disk, 1) && !is_there(&disk, 2) && !is_there(&disk, 3));
        assert!(disk.redo.is_empty().unwrap(), "it goes on slowing down every read");
        // While somebody holds the lock on it, it may be a record that is being written.
        std::fs::write(path.join("redo"), &record[..8]).unwrap();
        let writer = disk.stripes.lock(Set::REDO, soon()).unwrap();
        assert!(!is_there(&disk, 1));
        assert!(!disk.redo.is_empty().unwrap());
        drop(writer);
    }

    #[test]
    fn a_step_elsewhere_is_not_held_up_by_one_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions");
        let disk = disk(&path);
        let busy = Set::entry(&key(1)).and(Set::REDO);
        let held = disk.lock(busy, soon()).unwrap();
        let files = vec![disk.stage(&key(1), &marker()).unwrap()];
        disk.redo.write(&Record { locks: busy, files }, true).unwrap();
        assert!(disk.lock(Set::entry(&key(2)), Instant::now()).is_ok());
        assert!(matches!(disk.lock(Set::entry(&key(1)), Instant::now()), Err(Trouble::Busy)));
        drop(held);
    }
}
