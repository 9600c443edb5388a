//! The table inside one transaction of the writer.
//!
//! Entries are read from the file once per batch and written once, at its end, however many requests of the batch
//! change them. Each request's writes are set aside until it is through, so that one that fails leaves no trace;
//! no savepoint is needed for that.

use std::collections::HashMap;
use std::path::Path;

use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::{Entry, Table};
use cloakroom::store::wire::{self, MalformedEntry};
use cloakroom::store::{StoreError, StoreErrorKind};
use cloakroom::{StoreKey, UserId};
use rusqlite::{Connection, OptionalExtension, Statement, params};

/// Why one request failed.
#[derive(Debug)]
pub(crate) enum StepError {
    Sql(rusqlite::Error),
    Malformed(MalformedEntry),
    /// The session's data have so many bytes.
    TooLarge(usize),
}

/// The largest session, in bytes. The engine's own bound is far below; this one keeps what a single caller hands in from
/// failing a whole transaction.
const MAX_PAYLOAD: usize = 16 << 20;

impl From<rusqlite::Error> for StepError {
    fn from(error: rusqlite::Error) -> Self {
        StepError::Sql(error)
    }
}

/// The writer's statements, prepared once.
pub(crate) struct Statements<'c> {
    get: Statement<'c>,
    by_user: Statement<'c>,
    insert: Statement<'c>,
    update: Statement<'c>,
    update_entry: Statement<'c>,
    counted: Statement<'c>,
    count: Statement<'c>,
    pub(crate) due: Statement<'c>,
    pub(crate) refile: Statement<'c>,
    pub(crate) delete: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(crate) fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Statements {
            get: conn.prepare("SELECT check_at, entry FROM entries WHERE key = ?1")?,
            by_user: conn.prepare("SELECT key, check_at, entry FROM entries WHERE user = ?1")?,
            insert: conn
                .prepare("INSERT INTO entries (key, check_at, user, entry) VALUES (?1, ?2, ?3, ?4)")?,
            update: conn.prepare("UPDATE entries SET check_at = ?2, user = ?3, entry = ?4 WHERE key = ?1")?,
            update_entry: conn.prepare("UPDATE entries SET entry = ?2 WHERE key = ?1")?,
            // Two plain statements are faster than one that returns what it changed.
            counted: conn.prepare("SELECT commits, live FROM counters WHERE one = 1")?,
            count: conn.prepare("UPDATE counters SET commits = ?1, live = ?2 WHERE one = 1")?,
            due: conn
                .prepare("SELECT key, entry FROM entries WHERE check_at <= ?1 ORDER BY check_at LIMIT ?2")?,
            refile: conn.prepare("UPDATE entries SET check_at = ?2 WHERE key = ?1")?,
            delete: conn.prepare("DELETE FROM entries WHERE key = ?1")?,
        })
    }
}

/// A key the batch has looked at.
struct Slot {
    entry: Option<Entry>,
    /// What the file holds of it, apart from the entry itself.
    row: Option<Row>,
    dirty: bool,
}

/// The columns beside an entry.
struct Row {
    check_at: i64,
    user: Option<UserId>,
    live: bool,
}

/// One transaction's view of the entries.
pub(crate) struct Batch<'c> {
    pub(crate) sql: Statements<'c>,
    path: &'c Path,
    slots: HashMap<StoreKey, Slot>,
    /// What the running request wrote; see [`keep`](Self::keep) and [`discard`](Self::discard).
    pending: Vec<(StoreKey, Entry)>,
    /// Rows were changed past the slots.
    pub(crate) wrote: bool,
    /// How many more sessions are alive than before.
    pub(crate) live_delta: i64,
}

impl<'c> Batch<'c> {
    pub(crate) fn new(sql: Statements<'c>, path: &'c Path) -> Self {
        Batch { sql, path, slots: HashMap::new(), pending: Vec::new(), wrote: false, live_delta: 0 }
    }

    /// Forgets everything: a new transaction begins.
    pub(crate) fn reset(&mut self) {
        self.slots.clear();
        self.pending.clear();
        self.wrote = false;
        self.live_delta = 0;
    }

    /// The running request is through: its writes become the batch's.
    pub(crate) fn keep(&mut self) {
        for (key, entry) in self.pending.drain(..) {
            // `put` saw to it that the slot is there.
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.entry = Some(entry);
                slot.dirty = true;
            }
        }
    }

    /// The running request failed: its writes never were.
    pub(crate) fn discard(&mut self) {
        self.pending.clear();
    }

    /// What a request that failed by itself is answered.
    pub(crate) fn explain(&self, error: StepError) -> StoreError {
        explain(self.path, error)
    }

    /// Writes what changed. The slots then agree with the file.
    pub(crate) fn flush(&mut self) -> rusqlite::Result<()> {
        for (key, slot) in &mut self.slots {
            let Some(entry) = slot.entry.as_ref().filter(|_| slot.dirty) else { continue };
            let bytes = wire::encode(key, entry);
            let (purge_at, user, live) = (column(entry.purge_at()), entry.user(), is_live(entry));
            let key = key.as_bytes().as_slice();
            let check_at = match &slot.row {
                None => {
                    self.sql.insert.execute(params![key, purge_at, user.map(UserId::as_str), bytes])?;
                    purge_at
                }
                // `check_at` may be too early: then neither index changes.
                Some(row) if row.check_at <= purge_at && row.user.as_ref() == user => {
                    self.sql.update_entry.execute(params![key, bytes])?;
                    row.check_at
                }
                Some(_) => {
                    self.sql.update.execute(params![key, purge_at, user.map(UserId::as_str), bytes])?;
                    purge_at
                }
            };
            let was_live = slot.row.as_ref().is_some_and(|row| row.live);
            self.live_delta += i64::from(live) - i64::from(was_live);
            slot.row = Some(Row { check_at, user: user.cloned(), live });
            slot.dirty = false;
            self.wrote = true;
        }
        Ok(())
    }

    /// Writes what changed and counts the commit, if there is anything to commit: answers with its number.
    pub(crate) fn finish(&mut self) -> rusqlite::Result<Option<u64>> {
        self.flush()?;
        if !self.wrote {
            return Ok(None);
        }
        let (commits, live): (i64, i64) =
            self.sql.counted.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let number = commits.saturating_add(1);
        self.sql.count.execute([number, live.saturating_add(self.live_delta)])?;
        Ok(u64::try_from(number).ok())
    }

    /// Takes note that a row was removed or filed anew past the slots.
    pub(crate) fn forget(&mut self, key: &StoreKey) {
        self.slots.remove(key);
    }

    fn slot(&mut self, key: &StoreKey) -> Result<&mut Slot, StepError> {
        use std::collections::hash_map::Entry as Place;
        match self.slots.entry(*key) {
            Place::Occupied(place) => Ok(place.into_mut()),
            Place::Vacant(place) => {
                let found = self
                    .sql
                    .get
                    .query_row([key.as_bytes().as_slice()], |row| {
                        Ok((row.get::<_, i64>(0)?, decode(key, row.get_ref(1)?)))
                    })
                    .optional()?;
                Ok(place.insert(match found {
                    None => Slot { entry: None, row: None, dirty: false },
                    Some((check_at, entry)) => Slot::stored(check_at, entry?),
                }))
            }
        }
    }
}

impl Slot {
    fn stored(check_at: i64, entry: Entry) -> Self {
        let row = Row { check_at, user: entry.user().cloned(), live: is_live(&entry) };
        Slot { entry: Some(entry), row: Some(row), dirty: false }
    }
}

impl Table for Batch<'_> {
    type Error = StepError;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, StepError> {
        if let Some((_, entry)) = self.pending.iter().rev().find(|(k, _)| k == key) {
            return Ok(Some(entry.clone()));
        }
        Ok(self.slot(key)?.entry.clone())
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), StepError> {
        if let Entry::Live { record, .. } = &entry
            && record.payload.len() > MAX_PAYLOAD
        {
            return Err(StepError::TooLarge(record.payload.len()));
        }
        self.slot(key)?;
        self.pending.push((*key, entry));
        Ok(())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, StepError> {
        // More than asked for does no harm: the protocol looks at each entry again.
        let mut keys: Vec<StoreKey> = self.pending.iter().map(|(key, _)| *key).collect();
        keys.extend(
            self.slots
                .iter()
                .filter(|(_, s)| s.entry.as_ref().and_then(Entry::user) == Some(user))
                .map(|(k, _)| *k),
        );
        let mut rows = self.sql.by_user.query([user.as_str()])?;
        while let Some(row) = rows.next()? {
            let Some(key) = key(row.get_ref(0)?) else { continue };
            keys.push(key);
            if self.slots.contains_key(&key) {
                continue;
            }
            let check_at = row.get(1)?;
            match decode(&key, row.get_ref(2)?) {
                Ok(entry) => {
                    self.slots.insert(key, Slot::stored(check_at, entry));
                }
                // A damaged record is trouble for that record, not for its user's other sessions: it cannot be
                // loaded, so there is nothing in it to list or to end.
                Err(error) => {
                    tracing::error!(session = ?key, ?error, "a damaged record was left out of its user's sessions");
                    keys.pop();
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

/// The error of a single request, in words.
pub(crate) fn explain(path: &Path, error: StepError) -> StoreError {
    match error {
        StepError::Sql(error) => crate::error::unavailable(path, "using", &error),
        StepError::Malformed(error) => StoreError::new(
            StoreErrorKind::Corrupt,
            format!("a session in {} is damaged and was left as it is: {error}", path.display()),
        )
        .with_source(error),
        StepError::TooLarge(len) => StoreError::new(
            StoreErrorKind::Unavailable,
            format!("a session of {len} bytes is too large for {}: at most {MAX_PAYLOAD}", path.display()),
        ),
    }
}

pub(crate) fn decode(key: &StoreKey, value: rusqlite::types::ValueRef<'_>) -> Result<Entry, StepError> {
    let bytes = value.as_bytes().map_err(|_| StepError::Malformed(MalformedEntry::Content("type")))?;
    wire::decode(key, bytes).map_err(StepError::Malformed)
}

/// A key as it is in the file; `None` for one of another length, which nothing of ours can have written.
pub(crate) fn key(value: rusqlite::types::ValueRef<'_>) -> Option<StoreKey> {
    Some(StoreKey::from_bytes(value.as_blob().ok()?.try_into().ok()?))
}

/// A moment as a column. What is later than SQLite's largest number is that number: never.
pub(crate) fn column(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn is_live(entry: &Entry) -> bool {
    matches!(entry, Entry::Live { .. })
}
