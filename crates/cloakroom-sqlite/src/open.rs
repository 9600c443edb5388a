//! From a path to a connection that can be trusted.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, MAIN_DB, OpenFlags};

use crate::commit_count::{CommitCount, Counted};
use crate::schema::{self, Found};
use crate::{Durability, OpenError, OpenErrorKind, SqliteBuilder};

/// The longest that SQLite can be told to wait: milliseconds in 32 bits with a sign, some 25 days.
pub(crate) const LONGEST_BUSY: Duration = Duration::from_millis(i32::MAX as u64);

/// A log longer than this is cut back once it has been copied into the database.
const LOG_KEPT: u32 = 64 << 20;

/// The writer's connection, and what was learnt while opening it.
pub(crate) struct Opened {
    pub(crate) conn: Connection,
    pub(crate) count: CommitCount,
    pub(crate) lost_commits: u64,
}

/// The path, made absolute: SQLite then takes it for a file name whatever it looks like (`file:` URIs, `:memory:`).
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        return Err(OpenError::new(OpenErrorKind::NotAPath, path));
    }
    std::path::absolute(path).map_err(|e| OpenError::from_io(path, e))
}

/// Opens the connection that writes. `path` is [resolved](resolve).
///
/// Not every lock is waited for by SQLite itself: switching a new file to WAL while another process does the same is
/// refused at once. Both then come to the same end, so it is tried again until the busy timeout.
pub(crate) fn open_writer(path: &Path, settings: &SqliteBuilder) -> Result<Opened, OpenError> {
    let since = Instant::now();
    loop {
        match try_open_writer(path, settings) {
            Err(error) if error.kind() == OpenErrorKind::Busy && since.elapsed() < settings.busy_timeout => {
                std::thread::sleep(Duration::from_millis(2));
            }
            outcome => return outcome,
        }
    }
}

fn try_open_writer(path: &Path, settings: &SqliteBuilder) -> Result<Opened, OpenError> {
    let failed = |error| OpenError::from_sqlite(path, error);
    // Before the database, so that no process can be counting in between.
    let counted = CommitCount::read(path);
    trust(path)?;
    create(path)?;
    let mut conn = connect(path, settings.busy_timeout).map_err(failed)?;

    // Nothing is written before it is clear whose file this is.
    refuse(path, schema::inspect(&conn, schema::MIGRATIONS.len()).map_err(failed)?)?;
    if conn.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(OpenError::new(OpenErrorKind::ReadOnly, path));
    }
    configure(path, &conn, settings.durability)?;
    refuse(path, schema::migrate(&mut conn, schema::MIGRATIONS).map_err(failed)?)?;

    let (file_id, commits) = counters(&conn).map_err(|error| match error {
        rusqlite::Error::QueryReturnedNoRows | rusqlite::Error::InvalidColumnType(..) => {
            OpenError::new(OpenErrorKind::Corrupt, path).with_source(error)
        }
        error => failed(error),
    })?;
    let lost_commits = lost(path, counted, file_id, commits);
    let mut count = CommitCount::open(path, file_id);
    count.note(commits);
    Ok(Opened { conn, count, lost_commits })
}

/// A connection for reading. The file was opened for writing before.
pub(crate) fn open_reader(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let conn = connect(path, busy_timeout)?;
    conn.pragma_update(None, "query_only", true)?;
    // Its pages are forgotten with every commit anyway; the operating system keeps them.
    conn.pragma_update(None, "cache_size", -1024)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    Ok(conn)
}

pub(crate) fn connect(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    // The connection is used by one thread at a time: SQLite's own mutexes are not needed.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(busy_timeout.min(LONGEST_BUSY))?;
    Ok(conn)
}

/// Whoever can write to the file, or lead the store to another one, can put a session there, as whichever user they like. A link of
/// one's own, or of the administrator's, is as good as the path that it names.
fn trust(path: &Path) -> Result<(), OpenError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        // What cannot be looked at cannot be opened: that says why, and where there is nothing, it is made.
        let Ok(named) = path.symlink_metadata() else { return Ok(()) };
        let by_everybody = path.metadata().is_ok_and(|there| there.is_file() && there.mode() & 0o002 != 0);
        if named.is_symlink() && !is_ours(named.uid()) || by_everybody {
            return Err(OpenError::new(OpenErrorKind::NotTrusted, path));
        }
    }
    Ok(())
}

/// What this user or the administrator has made.
#[cfg(unix)]
pub(crate) fn is_ours(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw() || owner == 0
}

/// Creates the file if there is none, for its owner only; SQLite gives the log the same permissions.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_io(path, error);
    if path.is_dir() {
        return Err(OpenError::new(OpenErrorKind::NotADatabase, path));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    // A file whose name is not on the disk is lost with a power failure, whatever was flushed into it.
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    }
    Ok(())
}

fn refuse(path: &Path, found: Found) -> Result<(), OpenError> {
    let kind = match found {
        Found::Empty | Found::Ours(_) => return Ok(()),
        Found::Foreign => OpenErrorKind::Foreign,
        Found::Newer(found) => OpenErrorKind::NewerSchema {
            found,
            supported: i64::try_from(schema::MIGRATIONS.len()).unwrap_or(i64::MAX),
        },
    };
    Err(OpenError::new(kind, path))
}

fn configure(path: &Path, conn: &Connection, durability: Durability) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_sqlite(path, error);
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(OpenError::new(OpenErrorKind::NoWal, path));
    }
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::ProcessCrash => "NORMAL",
    };
    let set = |name, value: &dyn rusqlite::ToSql| conn.pragma_update(None, name, value).map_err(failed);
    set("synchronous", &synchronous)?;
    // Where a flush of the operating system's own does not reach the platter (macOS).
    set("fullfsync", &true)?;
    set("checkpoint_fullfsync", &true)?;
    // The writer runs checkpoints itself, when nobody waits for an answer.
    set("wal_autocheckpoint", &0)?;
    set("journal_size_limit", &LOG_KEPT)?;
    set("cache_size", &-8192)?;
    set("temp_store", &"MEMORY")?;
    // A page that was damaged on the disk is an error from `read`, not a signal.
    set("mmap_size", &0)
}

fn counters(conn: &Connection) -> rusqlite::Result<([u8; 16], u64)> {
    conn.query_row("SELECT file_id, commits FROM counters WHERE one = 1", [], |row| {
        let commits: i64 = row.get(1)?;
        Ok((row.get(0)?, u64::try_from(commits).unwrap_or(0)))
    })
}

/// Compares the count beside the database with the one inside, and keeps the log if it lost its end.
fn lost(path: &Path, counted: Option<Counted>, file_id: [u8; 16], commits: u64) -> u64 {
    let Some(counted) = counted.filter(|c| c.file_id == file_id && c.commits > commits) else { return 0 };
    let lost = counted.commits - commits;
    let log = beside(path, "-wal");
    let kept = beside(path, "-wal.damaged");
    // What SQLite did not replay is still in the log until it is written over. Only the first is kept.
    let copied = !kept.exists() && std::fs::copy(&log, &kept).is_ok();
    tracing::error!(
        path = %path.display(),
        lost,
        log_kept = copied,
        "acknowledged commits are missing from the session store: its write-ahead log was damaged, or an older copy of \
         the database was put in its place"
    );
    lost
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
