//! A store of one's own, complete: the one that `docs/writing-a-store.md` walks through.
//!
//! Sessions are in memory and in a file that every step is appended to, so that they survive a crash. One process at a time
//! opens it. It is small, not fast: every write waits for the disk by itself, and the file grows until somebody writes it anew
//! (`cloakroom-sqlite` is the store to use).

mod journal;

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use cloakroom::clock::{Clock, SystemClock, Timestamp};
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreError, StoreErrorKind,
    StoreFuture, StoreStats, Summary, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use journal::{Changes, Journal};

/// Sessions in one file. Clones are handles on the same data.
#[derive(Clone)]
pub struct OwnStore {
    data: Arc<Mutex<Data>>,
    clock: Arc<dyn Clock>,
}

struct Data {
    entries: BTreeMap<StoreKey, Entry>,
    journal: Journal,
}

/// One atomic step: what is there, and what the step has changed so far.
struct Step<'a> {
    entries: &'a BTreeMap<StoreKey, Entry>,
    changes: Changes,
}

impl Table for Step<'_> {
    type Error = StoreError;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, StoreError> {
        Ok(match self.changes.get(key) {
            Some(changed) => changed.clone(),
            None => self.entries.get(key).cloned(),
        })
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), StoreError> {
        self.changes.insert(*key, Some(entry));
        Ok(())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, StoreError> {
        let unchanged = self.entries.iter().filter(|(key, _)| !self.changes.contains_key(key));
        let changed = self.changes.iter().filter_map(|(key, entry)| Some((key, entry.as_ref()?)));
        let of_user = |(key, entry): (&StoreKey, &Entry)| (entry.user() == Some(user)).then_some(*key);
        Ok(unchanged.chain(changed).filter_map(of_user).collect())
    }
}

impl OwnStore {
    /// Opens the file, or makes it. Waits for the disk.
    ///
    /// # Errors
    /// Those of the file, and `InvalidData` for one that is damaged; another process has it open: `WouldBlock`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_clock(path, SystemClock)
    }

    /// As [`open`](OwnStore::open), on this clock.
    ///
    /// # Errors
    /// As [`open`](OwnStore::open).
    pub fn with_clock(path: &Path, clock: impl Clock) -> io::Result<Self> {
        let (journal, entries) = Journal::open(path)?;
        Ok(OwnStore { data: Arc::new(Mutex::new(Data { entries, journal })), clock: Arc::new(clock) })
    }

    /// Runs a step on a thread that may wait for the disk.
    fn step<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Step<'_>, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        let store = self.clone();
        StoreFuture::boxed(async move {
            Running(tokio::task::spawn_blocking(move || store.data.lock().run(&*store.clock, step))).await
        })
    }
}

impl Data {
    fn run<T>(
        &mut self,
        clock: &dyn Clock,
        step: impl FnOnce(&mut Step<'_>, Timestamp) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut table = Step { entries: &self.entries, changes: Changes::new() };
        // Inside the step, so that the order of steps and of their times agree.
        let answer = step(&mut table, clock.now())?;
        let changes = table.changes;
        if !changes.is_empty() {
            // Acknowledged when it is on the disk, and seen by others from then on.
            self.journal.append(&changes).map_err(|error| {
                let kind = match error.kind() {
                    io::ErrorKind::StorageFull => StoreErrorKind::Full,
                    _ => StoreErrorKind::Unavailable,
                };
                StoreError::new(kind, "the journal could not be written").with_source(error)
            })?;
        }
        for (key, entry) in changes {
            match entry {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
        Ok(answer)
    }
}

/// A step on its way. Dropped, it does not begin any more if it has not yet.
struct Running<T>(JoinHandle<Result<T, StoreError>>);

impl<T> Future for Running<T> {
    type Output = Result<T, StoreError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|joined| {
            joined.unwrap_or_else(|error| {
                Err(StoreError::new(StoreErrorKind::Unknown, "the step did not end").with_source(error))
            })
        })
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Store for OwnStore {
    fn name(&self) -> &'static str {
        "own"
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.step(move |table, now| protocol::load(table, now, key))
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        self.step(|table, now| protocol::create(table, now, request))
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.step(|table, now| protocol::commit(table, now, request))
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.step(|table, now| protocol::rename(table, now, request))
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.step(move |table, now| protocol::touch(table, now, request))
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.step(move |table, now| protocol::end(table, now, request))
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.step(move |table, now| protocol::acquire(table, now, request))
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.step(move |table, now| protocol::renew(table, now, request))
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.step(move |table, now| protocol::release(table, now, request))
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        self.step(move |table, now| protocol::list_user(table, now, &user))
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        self.step(|table, now| protocol::revoke(table, now, request))
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        self.step(move |table, now| {
            let after = from.after.map_or(Bound::Unbounded, Bound::Excluded);
            let all = table.entries.range((after, Bound::Unbounded));
            let mut live = all.filter_map(|(key, entry)| match entry {
                Entry::Live { record, .. } if !record.is_expired(now) => Some(Summary::of(*key, record)),
                _ => None,
            });
            let sessions: Vec<Summary> = live.by_ref().take(from.limit).collect();
            // A next page is promised only if something is on it.
            let next = live.next().and(sessions.last().map(|last| last.key));
            Ok(ScanPage { sessions, next })
        })
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.step(move |table, now| {
            let mut due = table.entries.iter().filter(|(_, e)| e.purge_at() <= now).map(|(key, _)| *key);
            table.changes = due.by_ref().take(limit).map(|key| (key, None)).collect();
            Ok(Purged { removed: table.changes.len(), more: due.next().is_some() })
        })
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.step(|table, _| {
            let live = table.entries.values().filter(|entry| matches!(entry, Entry::Live { .. })).count();
            Ok(StoreStats { live: u64::try_from(live).ok(), bytes: None })
        })
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        StoreFuture::ready(Ok(self.clock.now()))
    }
}

impl std::fmt::Debug for OwnStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnStore({} entries)", self.data.lock().entries.len())
    }
}
