//! The table inside one step.
//!
//! What a step looks at and changes is not known beforehand (an old id leads to another session, a user has sessions
//! anywhere). So a step that comes to something it has no lock on stops, says so, and is run again with that lock too.
//! Its writes are set aside until it is through.

use cloakroom::store::protocol::{Entry, Table};
use cloakroom::{StoreKey, UserId};

use crate::error::Trouble;
use crate::files::{Disk, MAX_PAYLOAD, tell_damage};
use crate::stripes::{Held, Set};

/// Why a step stopped.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It needs these locks as well.
    Needs(Set),
    /// It cannot go on.
    Trouble(Trouble),
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Stopped::Trouble(trouble)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Stopped::Trouble(Trouble::Io(error))
    }
}

/// Entries under locks.
pub(crate) struct Locked<'a> {
    disk: &'a Disk,
    held: &'a Held<'a>,
    /// What was read, as it is on the disk.
    read: Vec<(StoreKey, Option<Entry>)>,
    /// What is to be written, once for each key.
    puts: Vec<(StoreKey, Entry)>,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(disk: &'a Disk, held: &'a Held<'a>) -> Self {
        Locked { disk, held, read: Vec::new(), puts: Vec::new() }
    }

    /// Stores what the step wrote.
    pub(crate) fn store(self) -> Result<(), Stopped> {
        let Locked { disk, held, read, puts } = self;
        let belongs = |key: &StoreKey, user: &UserId| {
            read.iter().any(|(k, entry)| k == key && entry.as_ref().and_then(Entry::user) == Some(user))
        };
        let newly: Vec<_> = puts
            .iter()
            .filter_map(|(key, entry)| Some((key, entry.user()?)))
            .filter(|(key, user)| !belongs(key, user))
            .collect();
        let mut needs = newly.iter().fold(Set::default(), |set, (_, user)| set.and(Set::user(user)));
        if puts.len() > 1 {
            needs = needs.and(Set::REDO);
        }
        require(held, needs)?;
        // Before the sessions: an index that tells of one that is not there is put right by whoever reads it.
        for (key, user) in newly {
            disk.index(held, user, key)?;
        }
        disk.replace(held, &puts).map_err(Stopped::Trouble)
    }

    fn on_disk(&mut self, key: &StoreKey) -> Result<Option<&Entry>, Trouble> {
        let at = match self.read.iter().position(|(k, _)| k == key) {
            Some(at) => at,
            None => {
                let entry = self.disk.read(key)?;
                self.read.push((*key, entry));
                self.read.len() - 1
            }
        };
        Ok(self.read.get(at).and_then(|(_, entry)| entry.as_ref()))
    }
}

fn require(held: &Held<'_>, needs: Set) -> Result<(), Stopped> {
    if held.set().holds(needs) { Ok(()) } else { Err(Stopped::Needs(needs)) }
}

impl Table for Locked<'_> {
    type Error = Stopped;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Stopped> {
        if let Some((_, entry)) = self.puts.iter().find(|(k, _)| k == key) {
            return Ok(Some(entry.clone()));
        }
        require(self.held, Set::entry(key))?;
        Ok(self.on_disk(key)?.cloned())
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Stopped> {
        if let Entry::Live { record, .. } = &entry
            && record.payload.len() > MAX_PAYLOAD
        {
            return Err(Trouble::TooLarge(record.payload.len()).into());
        }
        require(self.held, Set::entry(key))?;
        // Whose it was decides whether the index has it.
        self.on_disk(key)?;
        match self.puts.iter_mut().find(|(k, _)| k == key) {
            Some((_, put)) => *put = entry,
            None => self.puts.push((*key, entry)),
        }
        Ok(())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, Stopped> {
        require(self.held, Set::user(user))?;
        let indexed = self.disk.indexed(user)?;
        let needs = indexed.iter().fold(Set::default(), |set, key| set.and(Set::entry(key)));
        require(self.held, needs)?;
        let mut keys: Vec<StoreKey> = self.puts.iter().map(|(key, _)| *key).collect();
        for key in indexed {
            if keys.contains(&key) {
                continue;
            }
            match self.on_disk(&key) {
                Ok(Some(entry)) if entry.user() == Some(user) => keys.push(key),
                // It ended, or moved on, or never came to be.
                Ok(_) => self.disk.unindex(user, &key),
                Err(Trouble::Malformed(error)) => {
                    tell_damage(&key, error, "was left out of its user's sessions");
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
        Ok(keys)
    }
}
