//! What is in a file: a session as such, or an entry of a cache; and when it ends.

use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom_php::CacheEntry;
use cloakroom_php::layout::{InFile, Layout};

use super::trouble::Trouble;

/// How the application that shares the sessions has them in files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    in_file: InFile,
    /// How long a session lives after it was used.
    lifetime: Duration,
}

impl Form {
    pub(super) fn of(layout: &Layout) -> Self {
        Form { in_file: layout.in_file(), lifetime: layout.lifetime() }
    }

    /// Whether the file is an entry of mini's cache, and not a session of PHP's own. Then
    ///
    /// - the file itself says when the session ends, and has to be written for that;
    /// - another file takes the place of one that is written, for mini reads without a lock, and half an entry is no session to it. PHP goes by the
    ///   file that it has opened, so its sessions are written over in place;
    /// - a lease is kept beside the session, for mini has the lock for as long as it writes, and reads before: a write of its that had to wait for a lease
    ///   would undo what was written under it. With PHP a lease is the lock, which PHP takes for as long as a request runs.
    pub(super) fn is_entry(self) -> bool {
        self.in_file == InFile::CacheEntry
    }

    /// PHP's value, and when it ends. `None`: nothing is written there yet.
    pub(super) fn read(
        self,
        file: Vec<u8>,
        modified: Timestamp,
    ) -> Result<Option<(Vec<u8>, Timestamp)>, Trouble> {
        match self.in_file {
            InFile::Session => Ok(Some((file, modified.after(self.lifetime)))),
            // mini makes the file, and takes its lock then.
            InFile::CacheEntry if file.is_empty() => Ok(None),
            InFile::CacheEntry => {
                let entry = CacheEntry::decode(&file).map_err(Trouble::Unreadable)?;
                Ok(Some((entry.value, ends(entry.expires_at, modified))))
            }
        }
    }

    /// The file for a value that ends then.
    pub(super) fn write(self, value: &[u8], ends: Timestamp) -> Result<Vec<u8>, Trouble> {
        match self.in_file {
            InFile::Session => Ok(value.to_vec()),
            InFile::CacheEntry => {
                let entry = CacheEntry { value: value.to_vec(), expires_at: seconds(ends) };
                entry.encode().map_err(Trouble::Unwritable)
            }
        }
    }

    /// The time of modification of a file whose session ends then: when it was last used, or the end to the millisecond.
    pub(super) fn modified(self, ends: Timestamp) -> Timestamp {
        match self.in_file {
            InFile::Session => {
                let lifetime = u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX);
                Timestamp::from_millis(ends.as_millis().saturating_sub(lifetime))
            }
            InFile::CacheEntry => ends,
        }
    }
}

/// The last second in which mini takes an entry for alive.
fn seconds(at: Timestamp) -> i64 {
    match at {
        Timestamp::NEVER => i64::MAX,
        at => i64::try_from(at.as_millis().div_ceil(1000)).unwrap_or(i64::MAX),
    }
}

/// To the millisecond where it is we who wrote it last.
fn ends(second: i64, modified: Timestamp) -> Timestamp {
    if seconds(modified) == second {
        return modified;
    }
    match u64::try_from(second) {
        Ok(second) => second.checked_mul(1000).map_or(Timestamp::NEVER, Timestamp::from_millis),
        Err(_) => Timestamp::default(),
    }
}

/// Whether an entry that ends in this second is over, as mini says.
pub(super) fn is_over(second: i64, now: Timestamp) -> bool {
    i64::try_from(now.as_millis() / 1000).is_ok_and(|now| second < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_764_406_800_250);

    #[test]
    fn a_session_lives_by_its_files_time_and_an_entry_by_what_it_says() {
        let session = Form { in_file: InFile::Session, lifetime: Duration::from_secs(10) };
        let file = session.write(b"n|i:1;", AT).unwrap();
        assert_eq!(session.read(file, session.modified(AT)).unwrap(), Some((b"n|i:1;".to_vec(), AT)));
        let entry = Form { in_file: InFile::CacheEntry, lifetime: Duration::from_secs(10) };
        let file = entry.write(b"a:0:{}", AT).unwrap();
        assert_eq!(file, br#"a:2:{s:5:"value";a:0:{}s:10:"expires_at";i:1764406801;}"#);
        let read = |modified| entry.read(file.clone(), modified).unwrap().unwrap();
        assert_eq!(read(entry.modified(AT)), (b"a:0:{}".to_vec(), AT));
        // mini wrote it again, or copied it: its own second counts.
        assert_eq!(read(Timestamp::default()).1, Timestamp::from_millis(1_764_406_801_000));
        assert!(!is_over(1_764_406_801, Timestamp::from_millis(1_764_406_801_999)));
        assert!(is_over(1_764_406_801, Timestamp::from_millis(1_764_406_802_000)));
    }

    #[test]
    fn what_never_ends_and_what_ended_long_ago_is_told_so() {
        let entry = Form { in_file: InFile::CacheEntry, lifetime: Duration::from_secs(10) };
        let file = entry.write(b"a:0:{}", Timestamp::NEVER).unwrap();
        assert_eq!(entry.read(file, AT).unwrap().unwrap().1, Timestamp::NEVER);
        for (second, end) in [("-5", Timestamp::default()), ("0", Timestamp::default())] {
            let file = format!("a:2:{{s:5:\"value\";a:0:{{}}s:10:\"expires_at\";i:{second};}}");
            assert_eq!(entry.read(file.into_bytes(), AT).unwrap().unwrap().1, end);
        }
        assert_eq!(entry.read(Vec::new(), AT).unwrap(), None);
        assert!(matches!(entry.read(b"a:2:{".to_vec(), AT), Err(Trouble::Unreadable(_))));
        assert!(matches!(entry.write(b"a:1:{", AT), Err(Trouble::Unwritable(_))));
    }
}
