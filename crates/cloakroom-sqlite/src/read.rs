//! Reading on a connection of its own: lookups, listings, scans, numbers.

use std::path::{Path, PathBuf};

use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{Loaded, ScanFrom, ScanPage, StoreError, StoreStats, Summary};
use cloakroom::{StoreKey, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::batch::{StepError, decode, explain, key};

/// A connection that only reads.
pub(crate) struct Reader {
    conn: Connection,
    path: PathBuf,
}

/// Rows that one statement of a scan looks at, at least: most of them may be markers.
const SCAN_SLICE: usize = 64;

impl Reader {
    pub(crate) fn new(conn: Connection, path: &Path) -> Self {
        Reader { conn, path: path.to_owned() }
    }

    pub(crate) fn explain(&self, error: StepError) -> StoreError {
        explain(&self.path, error)
    }

    /// One row, as a rule. An alias leads to a second one: both are then read from one state of the file.
    pub(crate) fn load(&mut self, now: Timestamp, key: StoreKey) -> Result<Loaded, StepError> {
        match Rows(&self.conn).get(&key)? {
            Some(Entry::Alias { .. }) => self.frozen(|rows| protocol::load(rows, now, key)),
            other => protocol::load(&mut One(other), now, key),
        }
    }

    /// Several keys, in one state of the file.
    pub(crate) fn load_many(&mut self, now: Timestamp, keys: &[StoreKey]) -> Result<Vec<Loaded>, StepError> {
        self.frozen(|rows| keys.iter().map(|key| protocol::load(rows, now, *key)).collect())
    }

    pub(crate) fn list_user(&mut self, now: Timestamp, user: &UserId) -> Result<Vec<Summary>, StepError> {
        self.frozen(|rows| protocol::list_user(rows, now, user))
    }

    /// A page of live sessions in the order of their keys. Damaged records are left out, and reported to the log.
    pub(crate) fn scan(&mut self, now: Timestamp, from: ScanFrom) -> Result<ScanPage, StepError> {
        let limit = from.limit.max(1);
        let mut page = ScanPage::default();
        let mut after = from.after.map_or(Vec::new(), |key| key.as_bytes().to_vec());
        let slice = limit.max(SCAN_SLICE);
        loop {
            let mut select = self
                .conn
                .prepare_cached("SELECT key, entry FROM entries WHERE key > ?1 ORDER BY key LIMIT ?2")?;
            let mut rows = select.query(params![after, i64::try_from(slice).unwrap_or(i64::MAX)])?;
            let mut seen = 0;
            let mut last = None;
            while let Some(row) = rows.next()? {
                if page.sessions.len() == limit {
                    page.next = page.sessions.last().map(|s| s.key);
                    return Ok(page);
                }
                seen += 1;
                let Some(key) = key(row.get_ref(0)?) else { continue };
                last = Some(key);
                match decode(&key, row.get_ref(1)?) {
                    Ok(Entry::Live { record, .. }) if !record.is_expired(now) => {
                        page.sessions.push(Summary::of(key, &record));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(session = ?key, ?error, "a damaged record was left out of a scan")
                    }
                }
            }
            match last {
                Some(key) if seen == slice => after = key.as_bytes().to_vec(),
                _ => return Ok(page),
            }
        }
    }

    pub(crate) fn stats(&mut self) -> Result<StoreStats, StepError> {
        let number = |sql| -> rusqlite::Result<u64> {
            let n: i64 = self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(u64::try_from(n).unwrap_or(0))
        };
        let live = number("SELECT live FROM counters WHERE one = 1")?;
        let bytes = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
        Ok(StoreStats { live: Some(live), bytes: Some(bytes) })
    }

    /// Runs `f` over one state of the file.
    fn frozen<A>(&mut self, f: impl FnOnce(&mut Rows<'_>) -> Result<A, StepError>) -> Result<A, StepError> {
        self.conn.prepare_cached("BEGIN")?.raw_execute()?;
        let outcome = f(&mut Rows(&self.conn));
        if !self.conn.is_autocommit() {
            self.conn.prepare_cached("COMMIT")?.raw_execute()?;
        }
        outcome
    }
}

/// The entries of a connection, for reading.
struct Rows<'c>(&'c Connection);

/// A single entry that was read already.
struct One(Option<Entry>);

impl Table for Rows<'_> {
    type Error = StepError;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, StepError> {
        let mut select = self.0.prepare_cached("SELECT entry FROM entries WHERE key = ?1")?;
        let entry = select
            .query_row([key.as_bytes().as_slice()], |row| Ok(decode(key, row.get_ref(0)?)))
            .optional()?;
        entry.transpose()
    }

    fn put(&mut self, _: &StoreKey, _: Entry) -> Result<(), StepError> {
        Err(read_only())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, StepError> {
        let mut select = self.0.prepare_cached("SELECT key, entry FROM entries WHERE user = ?1")?;
        let mut rows = select.query([user.as_str()])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(key) = key(row.get_ref(0)?) else { continue };
            match decode(&key, row.get_ref(1)?) {
                Ok(_) => keys.push(key),
                // As for the writer: trouble for that record, not for its user's other sessions.
                Err(error) => {
                    tracing::error!(session = ?key, ?error, "a damaged record was left out of its user's sessions");
                }
            }
        }
        Ok(keys)
    }
}

impl Table for One {
    type Error = StepError;

    /// As often as it is asked for: a step may look at an entry more than once.
    fn get(&mut self, _: &StoreKey) -> Result<Option<Entry>, StepError> {
        Ok(self.0.clone())
    }

    fn put(&mut self, _: &StoreKey, _: Entry) -> Result<(), StepError> {
        Err(read_only())
    }

    fn keys_of(&mut self, _: &UserId) -> Result<Vec<StoreKey>, StepError> {
        Ok(Vec::new())
    }
}

/// No read of the protocol writes. If one did, it would be told as SQLite tells it.
fn read_only() -> StepError {
    StepError::Sql(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY),
        None,
    ))
}
