//! Reading without locks, where one file answers; and where to do it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::{Clock, Timestamp};
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{Loaded, Summary};
use cloakroom::{StoreKey, UserId};

use crate::error::Trouble;
use crate::files::{Disk, tell_damage};
use crate::stripes::Set;
use crate::table::Stopped;

impl Disk {
    /// Reads one session, if that can be answered from one file: not an old id that leads to another session, and not
    /// while a step over several files is under way. Asked in this order: a step that commits after the question is
    /// one that this read came before.
    pub(crate) fn load(&self, clock: &dyn Clock, key: &StoreKey) -> Result<Option<Loaded>, Trouble> {
        if !self.redo.is_empty()? {
            return Ok(None);
        }
        let entry = self.read(key)?;
        let now = clock.now();
        if let Some(Entry::Alias { grace_until, .. }) = &entry
            && now < *grace_until
        {
            return Ok(None);
        }
        answer(protocol::load(&mut One(entry), now, *key)).map(Some)
    }

    /// A user's sessions. The lock on the user's directory keeps sessions from becoming the user's or moving meanwhile.
    pub(crate) fn list_user(
        &self,
        clock: &dyn Clock,
        user: &UserId,
        deadline: Instant,
    ) -> Result<Vec<Summary>, Trouble> {
        let _held = self.lock(Set::user(user), deadline)?;
        answer(protocol::list_user(&mut Listing(self), clock.now(), user))
    }
}

/// Nothing that reads without locks asks for one.
fn answer<A>(outcome: Result<A, Stopped>) -> Result<A, Trouble> {
    outcome.map_err(|stopped| match stopped {
        Stopped::Trouble(trouble) => trouble,
        Stopped::Needs(_) => Trouble::Io(read_only()),
    })
}

fn read_only() -> std::io::Error {
    std::io::Error::other("a read tried to write")
}

/// The one entry that is looked at.
struct One(Option<Entry>);

impl Table for One {
    type Error = Stopped;

    /// As often as it is asked for: a step may look at an entry more than once.
    fn get(&mut self, _: &StoreKey) -> Result<Option<Entry>, Stopped> {
        Ok(self.0.clone())
    }

    fn put(&mut self, _: &StoreKey, _: Entry) -> Result<(), Stopped> {
        Err(read_only().into())
    }

    fn keys_of(&mut self, _: &UserId) -> Result<Vec<StoreKey>, Stopped> {
        Ok(Vec::new())
    }
}

/// Whatever is on the disk at this moment.
struct Listing<'a>(&'a Disk);

impl Table for Listing<'_> {
    type Error = Stopped;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Stopped> {
        match self.0.read(key) {
            // Trouble for that session, not for its user's others: there is nothing in it to list.
            Err(Trouble::Malformed(error)) => {
                tell_damage(key, error, "was left out of its user's sessions");
                Ok(None)
            }
            other => Ok(other?),
        }
    }

    fn put(&mut self, _: &StoreKey, _: Entry) -> Result<(), Stopped> {
        Err(read_only().into())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, Stopped> {
        Ok(self.0.indexed(user)?)
    }
}

/// A read on the calling thread that takes longer than this waited for something.
const SLOW: Duration = Duration::from_micros(500);
/// So many reads go to the store's threads after a slow one.
const DETOUR: u32 = 256;

/// Whether to read on the calling thread: files in memory are read faster than another thread is woken, files on a disk
/// must not hold up a thread of the runtime.
#[derive(Debug, Default)]
pub(crate) struct Inline(AtomicU32);

impl Inline {
    /// Answers on the calling thread, unless one of the last answers was slow.
    pub(crate) fn run<A>(&self, read: impl FnOnce() -> A) -> Option<A> {
        let on_detour = |left: u32| left.checked_sub(1);
        if self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, on_detour).is_ok() {
            return None;
        }
        let since = Instant::now();
        let answer = read();
        if since.elapsed() > SLOW {
            self.0.store(DETOUR, Ordering::Relaxed);
        }
        Some(answer)
    }
}

/// The rules for reading under locks, where one file does not answer.
pub(crate) fn load_locked(
    table: &mut crate::table::Locked<'_>,
    now: Timestamp,
    keys: Vec<StoreKey>,
) -> Result<Vec<Loaded>, Stopped> {
    keys.into_iter().map(|key| protocol::load(table, now, key)).collect()
}
