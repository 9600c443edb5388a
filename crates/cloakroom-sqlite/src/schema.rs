//! The tables, and how older files become today's.
//!
//! `PRAGMA application_id` says that the file is ours, `PRAGMA user_version` which step of [`MIGRATIONS`] it has
//! reached. Each step runs in one transaction together with the new version number: a process that dies in between
//! leaves the old version, whole.

use rusqlite::{Connection, TransactionBehavior};

/// `ClkR`: in the header of every file of ours.
pub(crate) const APPLICATION_ID: i32 = 0x436C_6B52;

/// Step n takes a file from version n to n + 1. A released step never changes; a new one is added.
pub(crate) const MIGRATIONS: &[&str] = &[
    // `check_at`: not before then can the entry be past its time. It may be too early, never too late: sliding a
    // deadline forwards, which every request of a visitor does, need not touch the index; purging re-files what
    // it finds too early.
    //
    // `user` repeats what is inside the entry, for the index.
    "
    CREATE TABLE entries (
        key      BLOB    NOT NULL PRIMARY KEY,
        check_at INTEGER NOT NULL,
        user     TEXT,
        entry    BLOB    NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX entries_by_check ON entries (check_at);
    CREATE INDEX entries_by_user ON entries (user) WHERE user IS NOT NULL;

    CREATE TABLE counters (
        one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        file_id BLOB    NOT NULL,
        commits INTEGER NOT NULL,
        live    INTEGER NOT NULL
    ) STRICT;
    INSERT INTO counters VALUES (1, randomblob(16), 0, 0);
    ",
];

/// What kind of file this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing in it yet.
    Empty,
    /// Ours, at this version.
    Ours(usize),
    /// Ours, written by a later release.
    Newer(i64),
    /// A database of some other program.
    Foreign,
}

/// Looks at the header; writes nothing. In one transaction, because another process may be at it at the same time.
pub(crate) fn inspect(conn: &Connection, known: usize) -> rusqlite::Result<Found> {
    let _tx = if conn.is_autocommit() { Some(conn.unchecked_transaction()?) } else { None };
    let application_id: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if application_id == APPLICATION_ID {
        return Ok(match usize::try_from(version) {
            Ok(version) if version <= known => Found::Ours(version),
            _ => Found::Newer(version),
        });
    }
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(if application_id == 0 && version == 0 && objects == 0 { Found::Empty } else { Found::Foreign })
}

/// Brings the file up to the last of `migrations`. Safe against other processes doing the same.
///
/// Answers with what was found; `Newer` and `Foreign` files are left as they are.
pub(crate) fn migrate(conn: &mut Connection, migrations: &[&str]) -> rusqlite::Result<Found> {
    let found = inspect(conn, migrations.len())?;
    match found {
        Found::Newer(_) | Found::Foreign => return Ok(found),
        Found::Ours(version) if version == migrations.len() => return Ok(found),
        Found::Empty | Found::Ours(_) => {}
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Looked at again under the lock: another process may have been faster.
    let version = match inspect(&tx, migrations.len())? {
        Found::Empty => {
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            0
        }
        Found::Ours(version) => version,
        refused => return Ok(refused),
    };
    for step in migrations.iter().skip(version) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", i64::try_from(migrations.len()).unwrap_or(i64::MAX))?;
    tx.commit()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(conn: &Connection) -> i64 {
        conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_older_file_is_brought_up_to_date_and_keeps_its_rows() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &["CREATE TABLE a (x); INSERT INTO a VALUES (7)"]).unwrap();
        assert_eq!(version(&conn), 1);
        let steps = ["CREATE TABLE a (x); INSERT INTO a VALUES (7)", "ALTER TABLE a ADD COLUMN y DEFAULT 8"];
        assert_eq!(migrate(&mut conn, &steps).unwrap(), Found::Ours(1));
        assert_eq!(version(&conn), 2);
        let row = conn.query_row("SELECT x, y FROM a", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!(row, (7, 8));
        assert_eq!(migrate(&mut conn, &steps).unwrap(), Found::Ours(2), "a second time does nothing");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_old_version_whole() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &["CREATE TABLE a (x)"]).unwrap();
        let broken = ["CREATE TABLE a (x)", "CREATE TABLE b (y); CREATE TABLE a (again)"];
        migrate(&mut conn, &broken).unwrap_err();
        assert_eq!(version(&conn), 1);
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).unwrap();
        assert_eq!(tables, 1, "table b was rolled back");
    }

    #[test]
    fn files_of_others_and_of_later_releases_are_left_alone() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert_eq!(migrate(&mut conn, MIGRATIONS).unwrap(), Found::Foreign);
        assert_eq!(version(&conn), 0);

        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, MIGRATIONS).unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
        assert_eq!(migrate(&mut conn, MIGRATIONS).unwrap(), Found::Newer(99));
        assert_eq!(version(&conn), 99);
    }
}
