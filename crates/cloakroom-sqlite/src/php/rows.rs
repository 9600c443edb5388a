//! The rows of a session: mini's entry in its cache, and ours beside it.

use cloakroom::PlainId;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::Lease;
use cloakroom::store::{LeaseOwner, Purged};
use cloakroom_php::layout::{Change, DataChange, Held, LockChange, Seen};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::cache::Names;

/// The first table and its index as mini makes them. `ends` is the deadline to the millisecond, where `expires_at` has it in seconds.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS cache (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at INTEGER, created_at INTEGER DEFAULT (strftime('%s', 'now'))
);
CREATE INDEX IF NOT EXISTS idx_cache_expires_at ON cache (expires_at);
CREATE TABLE IF NOT EXISTS cloakroom_php (
    id BLOB PRIMARY KEY, ends INTEGER NOT NULL DEFAULT 0,
    beside BLOB, beside_until INTEGER NOT NULL DEFAULT 0,
    owner BLOB, hold INTEGER NOT NULL DEFAULT 0, locked_until INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
";
const ENTRY: &str = "SELECT value, expires_at FROM cache WHERE key = ?1";
const OURS: &str =
    "SELECT ends, beside, beside_until, owner, hold, locked_until FROM cloakroom_php WHERE id = ?1";
/// As mini writes it: text, whatever bytes there are.
const STORE: &str =
    "INSERT OR REPLACE INTO cache (key, value, expires_at, created_at) VALUES (?1, CAST(?2 AS TEXT), ?3, ?4)";
const EXPIRE: &str = "UPDATE cache SET expires_at = ?2 WHERE key = ?1";
const DELETE: &str = "DELETE FROM cache WHERE key = ?1";

/// Makes the tables where there are none, and sees that they are what they should be.
pub(super) fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(TABLES)?;
    for statement in [ENTRY, OURS, STORE, EXPIRE, DELETE] {
        conn.prepare_cached(statement)?;
    }
    Ok(())
}

/// What is there of one session.
#[derive(Default)]
pub(super) struct Rows {
    data: Option<Vec<u8>>,
    expires_at: Option<i64>,
    ends: i64,
    beside: Option<(Vec<u8>, i64)>,
    lease: Option<Lease>,
}

/// SQLite's integers have a sign; what is beyond them is as good as never.
fn stored(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

fn timestamp(stored: i64) -> Timestamp {
    if stored == i64::MAX {
        return Timestamp::NEVER;
    }
    Timestamp::from_millis(u64::try_from(stored).unwrap_or(0))
}

/// The last second in which mini takes an entry for alive. `None`: it has no end.
fn seconds(at: Timestamp) -> Option<i64> {
    (at != Timestamp::NEVER).then(|| i64::try_from(at.as_millis().div_ceil(1000)).unwrap_or(i64::MAX))
}

fn bytes(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Vec<u8>>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        _ => None,
    })
}

fn lease(row: &Row<'_>) -> rusqlite::Result<Option<Lease>> {
    let owner = bytes(row, 3)?.and_then(|owner| <[u8; 16]>::try_from(owner).ok());
    let (hold, until) = (row.get::<_, i64>(4)?.cast_unsigned(), timestamp(row.get(5)?));
    Ok(owner.map(|owner| Lease { owner: LeaseOwner(u128::from_le_bytes(owner)), hold, until }))
}

pub(super) fn read(conn: &Connection, (name, key): &Names) -> rusqlite::Result<Rows> {
    let mut entry = conn.prepare_cached(ENTRY)?;
    let entry = entry.query_row([name], |row| Ok((bytes(row, 0)?, row.get(1)?))).optional()?;
    let (data, expires_at) = entry.unwrap_or_default();
    let mut ours = conn.prepare_cached(OURS)?;
    let ours = ours.query_row([key.as_bytes()], |row| {
        let beside = bytes(row, 1)?.zip(Some(row.get(2)?));
        Ok(Rows { data: None, expires_at: None, ends: row.get(0)?, beside, lease: lease(row)? })
    });
    let ours = ours.optional()?.unwrap_or_default();
    Ok(Rows { data, expires_at, ..ours })
}

impl Rows {
    /// To the millisecond where it is we who wrote it last.
    fn idle_deadline(&self) -> Timestamp {
        let exact = timestamp(self.ends);
        match self.expires_at {
            None => Timestamp::NEVER,
            Some(second) if seconds(exact) == Some(second) => exact,
            Some(second) => timestamp(second.saturating_mul(1000)),
        }
    }

    fn lock(&self, now: Timestamp) -> Option<Held> {
        let lease = self.lease.filter(|lease| now < lease.until)?;
        let token =
            [&lease.owner.0.to_le_bytes()[..], &lease.hold.to_le_bytes(), &stored(lease.until).to_le_bytes()];
        Some(Held { lease, ours: true, token: token.concat() })
    }

    fn beside(&self, now: Timestamp) -> Option<&Vec<u8>> {
        self.beside.as_ref().filter(|(_, until)| now < timestamp(*until)).map(|(bytes, _)| bytes)
    }

    pub(super) fn seen(self, id: PlainId, now: Timestamp) -> Seen {
        let (idle_deadline, lock, beside) = (self.idle_deadline(), self.lock(now), self.beside(now).cloned());
        Seen { id, data: self.data, idle_deadline, lock, beside }
    }

    /// Whether nothing has changed.
    pub(super) fn is_as(&self, seen: &Seen, now: Timestamp) -> bool {
        self.data == seen.data
            && self.beside(now) == seen.beside.as_ref()
            && self.lock(now).map(|held| held.token) == seen.lock.as_ref().map(|held| held.token.clone())
    }
}

/// Makes one change.
pub(super) fn write(
    conn: &Connection,
    (name, key): &Names,
    change: &Change,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let id = key.as_bytes();
    conn.prepare_cached("INSERT OR IGNORE INTO cloakroom_php (id) VALUES (?1)")?.execute([id])?;
    let mut ends = None;
    match &change.data {
        DataChange::Keep => {}
        DataChange::Write(value, until) => {
            let created = stored(now) / 1000;
            conn.prepare_cached(STORE)?.execute(params![name, value, seconds(*until), created])?;
            ends = Some(*until);
        }
        DataChange::Expire(until) => {
            conn.prepare_cached(EXPIRE)?.execute(params![name, seconds(*until)])?;
            ends = Some(*until);
        }
        DataChange::Delete => {
            conn.prepare_cached(DELETE)?.execute([name])?;
            ends = Some(Timestamp::from_millis(0));
        }
    }
    if let Some(ends) = ends {
        let set = "UPDATE cloakroom_php SET ends = ?2 WHERE id = ?1";
        conn.prepare_cached(set)?.execute(params![id, stored(ends)])?;
    }
    if let Some((value, until)) = &change.beside {
        let set = "UPDATE cloakroom_php SET beside = ?2, beside_until = ?3 WHERE id = ?1";
        conn.prepare_cached(set)?.execute(params![id, value, stored(*until)])?;
    }
    let lease = match change.lock {
        LockChange::Keep => return Ok(()),
        LockChange::Hold(lease) => Some(lease),
        LockChange::Free => None,
    };
    let (owner, hold) = lease.map_or((None, 0), |lease| (Some(lease.owner.0.to_le_bytes()), lease.hold));
    let until = lease.map_or(0, |lease| stored(lease.until));
    let set = "UPDATE cloakroom_php SET owner = ?2, hold = ?3, locked_until = ?4 WHERE id = ?1";
    conn.prepare_cached(set)?.execute(params![id, owner, hold.cast_signed(), until])?;
    Ok(())
}

/// Removes up to `limit` entries of sessions, and as many rows of ours, that are past their time: mini does so only where it is told to.
pub(super) fn purge(
    conn: &Connection,
    prefix: &str,
    limit: usize,
    now: Timestamp,
) -> rusqlite::Result<Purged> {
    let sql = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let entries = "DELETE FROM cache WHERE key IN (SELECT key FROM cache WHERE expires_at < ?1 AND substr(key, 1, ?2) = ?3 LIMIT ?4)";
    let mut removed = conn.prepare_cached(entries)?.execute(params![
        stored(now) / 1000,
        sql(prefix.chars().count()),
        prefix,
        sql(limit)
    ])?;
    let ours = "DELETE FROM cloakroom_php WHERE id IN (SELECT id FROM cloakroom_php WHERE beside_until <= ?1 AND locked_until <= ?1 LIMIT ?2)";
    let left = limit.saturating_sub(removed);
    removed += conn.prepare_cached(ours)?.execute(params![stored(now), sql(left)])?;
    Ok(Purged { removed, more: removed >= limit })
}
