//! How entries and indexes are at one moment, and the rules' view of that.

use std::collections::HashMap;

use cloakroom::clock::Timestamp;
use cloakroom::record::Record;
use cloakroom::store::Ending;
use cloakroom::store::protocol::{Entry, Table};
use cloakroom::{StoreKey, UserId};

use super::changes::Check;
use super::{Stop, Wanted};
use crate::layout::{self, Malformed};

/// Things as they were at one moment of the server's clock.
pub(super) struct Picture {
    pub(super) now: Timestamp,
    pub(super) entries: HashMap<StoreKey, Held>,
    /// Nothing of one that has more members than a step looks at.
    pub(super) indexes: HashMap<UserId, Option<Index>>,
}

/// What is under a key: the bytes as far as they were told, and what they say. A session of which only the head was told has
/// no data here.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// Bytes of its data that were not told.
    left_out: usize,
    pub(super) entry: Result<Option<Entry>, Malformed>,
}

pub(super) struct Index {
    pub(super) generation: Vec<u8>,
    pub(super) members: Vec<StoreKey>,
    /// Members that are no keys of ours, by their names.
    pub(super) strange: Vec<Vec<u8>>,
}

/// The entries of a picture, and what is to be put over them.
pub(crate) struct Drafts<'p> {
    picture: &'p Picture,
    pub(super) puts: Vec<(StoreKey, Entry)>,
    /// Whether others came between all the time.
    contended: bool,
}

impl<'p> Drafts<'p> {
    pub(super) fn over(picture: &'p Picture, contended: bool) -> Self {
        Drafts { picture, puts: Vec::new(), contended }
    }

    /// Whether the user has more sessions than one step is over.
    pub(crate) fn is_crowded(&self, user: &UserId) -> Result<bool, Stop> {
        let index = self.picture.indexes.get(user).ok_or_else(|| Stop::Index(user.clone()))?;
        Ok(index.is_none())
    }

    /// Whether what was decided on could not be applied several times, because others were at the same sessions.
    pub(crate) fn is_contended(&self) -> bool {
        self.contended
    }
}

impl Table for Drafts<'_> {
    type Error = Stop;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Stop> {
        if let Some((_, entry)) = self.puts.iter().find(|(put, _)| put == key) {
            return Ok(Some(entry.clone()));
        }
        match self.picture.entries.get(key) {
            Some(held) => held.entry.clone().map_err(|malformed| Stop::Malformed(*key, malformed)),
            None => Err(Stop::Entry(*key)),
        }
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Stop> {
        // What was there decides which index changes, and must not have changed meanwhile.
        if !self.picture.entries.contains_key(key) {
            return Err(Stop::Entry(*key));
        }
        self.puts.retain(|(put, _)| put != key);
        self.puts.push((*key, entry));
        Ok(())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, Stop> {
        let index = self.picture.indexes.get(user).and_then(Option::as_ref);
        let index = index.ok_or_else(|| Stop::Index(user.clone()))?;
        // A damaged record is trouble for itself, not for its user's other sessions.
        let readable =
            |key: &&StoreKey| self.picture.entries.get(*key).is_some_and(|held| held.entry.is_ok());
        let mut keys: Vec<StoreKey> = index.members.iter().filter(readable).copied().collect();
        for (key, entry) in &self.puts {
            if entry.user() == Some(user) && !keys.contains(key) {
                keys.push(*key);
            }
        }
        Ok(keys)
    }

    fn size(&self, key: &StoreKey, record: &Record) -> usize {
        record.payload.len() + self.picture.entries.get(key).map_or(0, |held| held.left_out)
    }
}

impl Held {
    pub(super) fn whole(key: &StoreKey, bytes: Vec<u8>) -> Self {
        let entry = (!bytes.is_empty()).then(|| layout::decode(key, &bytes)).transpose();
        Held { bytes, left_out: 0, entry }
    }

    pub(super) fn head(key: &StoreKey, bytes: Vec<u8>, left_out: usize) -> Self {
        let entry = (!bytes.is_empty()).then(|| layout::decode_head(key, &bytes)).transpose();
        Held { bytes, left_out, entry }
    }

    pub(super) fn user(&self) -> Option<&UserId> {
        self.entry.as_ref().ok().and_then(Option::as_ref).and_then(Entry::user)
    }
}

impl Picture {
    /// What of an entry the decision rests on.
    pub(super) fn check(&self, key: &StoreKey, puts: &[(StoreKey, Entry)], wanted: &Wanted) -> Check {
        let ends = match puts.iter().find(|(put, _)| put == key) {
            Some((_, Entry::Marker { ending: Ending::Destroyed | Ending::Revoked, .. })) => true,
            Some(_) => false,
            None => !wanted.keys.contains(key),
        };
        match self.entries.get(key) {
            Some(Held { bytes, entry: Ok(Some(Entry::Live { record, .. })), .. })
                if ends && !record.is_expired(self.now) =>
            {
                layout::identity(bytes).map_or(Check::Same, Check::Alive)
            }
            _ => Check::Same,
        }
    }

    /// What of a user's index the decision rests on: all of it, where there has to be room for a session that comes in. Where
    /// sessions are only ended, whoever logs in meanwhile has done so after that.
    pub(super) fn generation(&self, user: &UserId, puts: &[(StoreKey, Entry)]) -> &[u8] {
        let comes_in = puts.iter().any(|(_, entry)| entry.user() == Some(user));
        let index = self.indexes.get(user).and_then(Option::as_ref).filter(|_| comes_in);
        index.map_or(&[], |index| &index.generation)
    }

    /// The first moment at which one of the entries begins to mean something else.
    pub(super) fn holds_until(&self, checks: &[(StoreKey, Check)]) -> Timestamp {
        // Those that have to be alive are asked whether they are.
        let same = checks.iter().filter(|(_, check)| matches!(check, Check::Same));
        let held = same.filter_map(|(key, _)| self.entries.get(key));
        let moments =
            held.filter_map(|held| held.entry.as_ref().ok()?.as_ref()).flat_map(|entry| match entry {
                Entry::Live { record, lease } => [Some(record.deadline()), lease.map(|lease| lease.until)],
                Entry::Alias { grace_until, until, .. } => [Some(*grace_until), Some(*until)],
                Entry::Marker { until, .. } | Entry::Receipt { until, .. } => [Some(*until), None],
            });
        moments.flatten().filter(|moment| *moment > self.now).min().unwrap_or(Timestamp::NEVER)
    }

    /// What of this is not in the picture.
    pub(super) fn missing(&self, wanted: &Wanted) -> Wanted {
        let mut missing = wanted.clone();
        missing.keys.retain(|key| !self.entries.contains_key(key));
        missing.users.retain(|user| !self.indexes.contains_key(user));
        missing
    }
}
