//! The live sessions, a page at a time: directory by directory, and by name within each. No lock is held.

use std::io::ErrorKind;
use std::path::Path;

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::Entry;
use cloakroom::store::{ScanFrom, ScanPage, Summary};

use crate::error::Trouble;
use crate::files::{Disk, tell_damage};
use crate::layout::{self, ENTRY_DIRS, entry_dir_of};

impl Disk {
    pub(crate) fn scan(&self, now: Timestamp, from: ScanFrom) -> Result<ScanPage, Trouble> {
        let mut sessions = Vec::new();
        let first = from.after.as_ref().map_or(0, entry_dir_of);
        for dir in first..ENTRY_DIRS {
            for key in self.keys_in(dir)? {
                if from.after.is_some_and(|after| dir == first && key <= after) {
                    continue;
                }
                let entry = match self.read(&key) {
                    Err(Trouble::Malformed(error)) => {
                        tell_damage(&key, error, "was left out of a listing");
                        continue;
                    }
                    other => other?,
                };
                let Some(Entry::Live { record, .. }) = entry.filter(|e| e.purge_at() > now) else { continue };
                // A next page is promised only if something would be on it.
                if sessions.len() >= from.limit {
                    let next = sessions.last().map(|s: &Summary| s.key);
                    return Ok(ScanPage { sessions, next });
                }
                sessions.push(Summary::of(key, &record));
            }
        }
        Ok(ScanPage { sessions, next: None })
    }

    /// The keys in a directory of sessions, in order.
    pub(crate) fn keys_in(&self, dir: usize) -> Result<Vec<StoreKey>, Trouble> {
        let names = names_in(&self.layout.entry_dir(dir))?;
        let mut keys: Vec<StoreKey> = names.iter().filter_map(|name| layout::key(name)).collect();
        keys.sort_unstable();
        Ok(keys)
    }
}

/// What is in a directory that is there as long as the store is.
pub(crate) fn names_in(dir: &Path) -> Result<Vec<String>, Trouble> {
    let listed = std::fs::read_dir(dir).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Trouble::Gone,
        _ => Trouble::Io(error),
    })?;
    let mut names = Vec::new();
    for file in listed {
        // A name that is no text is none of ours.
        names.extend(file?.file_name().into_string());
    }
    Ok(names)
}
