//! What can go wrong, said in words that help: what, where, and what to do.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use cloakroom::store::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;

/// Why a store could not be opened. Nothing was changed in a file that was refused.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    path: PathBuf,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of trouble with opening a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The path is empty, or SQLite's name for a database in memory.
    NotAPath,
    /// The directory does not exist.
    NoDirectory,
    /// This user may not open or create the file, or create files beside it.
    PermissionDenied,
    /// The file can be read but not written.
    ReadOnly,
    /// The file is no SQLite database.
    NotADatabase,
    /// The file is a database of another program.
    Foreign,
    /// The file was written by a later release of this crate.
    NewerSchema {
        /// The schema version in the file.
        found: i64,
        /// The latest version this release knows.
        supported: i64,
    },
    /// The database is damaged.
    Corrupt,
    /// The disk is full.
    DiskFull,
    /// Another process kept the file locked for longer than the busy timeout.
    Busy,
    /// The file system cannot carry a write-ahead log: a network file system, as a rule.
    NoWal,
    /// Somebody else may have put the file there, or may write to it: it is a symbolic link of another user's, or everybody's to write.
    /// PHP's cache, in a folder that everybody writes to, must be no link at all, and no other user's file.
    NotTrusted,
    /// The operating system reported something else; see the source.
    Io,
}

impl OpenError {
    pub(crate) fn new(kind: OpenErrorKind, path: &Path) -> Self {
        OpenError { kind, path: path.to_owned(), source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the operating system said about a path.
    pub(crate) fn from_io(path: &Path, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::NotFound => OpenErrorKind::NoDirectory,
            Io::PermissionDenied => OpenErrorKind::PermissionDenied,
            Io::ReadOnlyFilesystem => OpenErrorKind::ReadOnly,
            Io::StorageFull | Io::QuotaExceeded => OpenErrorKind::DiskFull,
            _ => OpenErrorKind::Io,
        };
        OpenError::new(kind, path).with_source(error)
    }

    /// What SQLite said while the file was being opened.
    pub(crate) fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => OpenErrorKind::NotADatabase,
            Some(ErrorCode::DatabaseCorrupt) => OpenErrorKind::Corrupt,
            Some(ErrorCode::DiskFull) => OpenErrorKind::DiskFull,
            Some(ErrorCode::ReadOnly) => OpenErrorKind::ReadOnly,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenErrorKind::Busy,
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::AuthorizationForStatementDenied,
            ) => OpenErrorKind::PermissionDenied,
            _ => OpenErrorKind::Io,
        };
        OpenError::new(kind, path).with_source(error)
    }

    /// What kind of trouble.
    pub fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.kind {
            OpenErrorKind::NotAPath => write!(
                f,
                "the session store needs the path of a file, not {path:?}: for sessions in memory use the memory store"
            ),
            OpenErrorKind::NotTrusted => write!(
                f,
                "the session store {path} is somebody else's symbolic link, belongs to another user, or can be written to by everybody: \
                 whoever did that may know the sessions in it; remove it, or name another path"
            ),
            OpenErrorKind::NoDirectory => write!(
                f,
                "the session store {path} cannot be created because its directory does not exist: create the directory \
                 or name another path"
            ),
            OpenErrorKind::PermissionDenied => write!(
                f,
                "the session store {path} cannot be opened by this user: the process needs to read and write the file \
                 and to create files beside it (-wal, -shm, -commits)"
            ),
            OpenErrorKind::ReadOnly => write!(
                f,
                "the session store {path} is read-only: give the process write access to the file and its directory"
            ),
            OpenErrorKind::NotADatabase => write!(
                f,
                "{path} is not a session store (it is no SQLite database): name another path, or move the file away to \
                 start with an empty store"
            ),
            OpenErrorKind::Foreign => write!(
                f,
                "{path} is the database of another program and was left as it is: name another path for the session \
                 store"
            ),
            OpenErrorKind::NewerSchema { found, supported } => write!(
                f,
                "the session store {path} has schema version {found}, this release knows up to {supported}: run the \
                 release that wrote it, or a later one; the file was left as it is"
            ),
            OpenErrorKind::Corrupt => write!(
                f,
                "the session store {path} is damaged and was left as it is: restore a backup, or recover what is \
                 readable with `sqlite3 FILE .recover`, or move it away to start with an empty store"
            ),
            OpenErrorKind::DiskFull => write!(
                f,
                "the session store {path} cannot be opened because its disk is full: make room and start again; \
                 nothing was lost"
            ),
            OpenErrorKind::Busy => write!(
                f,
                "the session store {path} is locked by another process: stop what holds it (a backup, an open sqlite3 \
                 shell, a migration), or raise the busy timeout"
            ),
            OpenErrorKind::NoWal => write!(
                f,
                "the session store {path} cannot use a write-ahead log here: put the file on a local file system"
            ),
            OpenErrorKind::Io => {
                write!(f, "the session store {path} cannot be opened")?;
                if let Some(source) = &self.source {
                    write!(f, ": {source}")?;
                }
                write!(f, ": look at the disk, its file system and the system's log, and start again")
            }
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

/// What SQLite said in the midst of work, as the engine understands it. The step had no effect.
///
/// The text names no key and no value: SQLite's messages know columns and codes only, since every value is bound.
pub(crate) fn unavailable(path: &Path, doing: &str, error: &rusqlite::Error) -> StoreError {
    let path = path.display();
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "make room on the disk, and the store goes on by itself",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process kept the file locked for longer than the busy timeout: stop what holds it (a backup, an open \
             sqlite3 shell, a migration), or raise `SqliteBuilder::busy_timeout`"
        }
        Some(ErrorCode::ReadOnly) => "give the process write access to the file and its directory",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            let advice =
                "if the disk is sound, stop the service and restore a backup or use `sqlite3 FILE .recover`";
            return StoreError::new(StoreErrorKind::Corrupt, format!("{doing} {path}: {error}: {advice}"));
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            "the disk or its file system has trouble: look at the system's log, and whether the file is where it was and \
             the process may open more files; the store goes on when it can"
        }
        _ => return StoreError::new(StoreErrorKind::Unavailable, format!("{doing} {path}: {error}")),
    };
    StoreError::new(StoreErrorKind::Unavailable, format!("{doing} {path}: {error}: {advice}"))
}

/// The store was closed, or its thread is gone.
pub(crate) fn closed(path: &Path) -> StoreError {
    let path = path.display();
    let text = format!(
        "the session store {path} is closed: ask nothing of it after `close`; if nobody called that, its thread has ended, \
         for the reason in the log: open the store anew"
    );
    StoreError::new(StoreErrorKind::Unavailable, text)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn every_trouble_in_the_midst_of_work_says_what_to_do() {
        let path = Path::new("sessions.db");
        for (code, advice) in [
            (ffi::SQLITE_BUSY, "stop what holds it"),
            (ffi::SQLITE_LOCKED, "raise `SqliteBuilder::busy_timeout`"),
            (ffi::SQLITE_IOERR, "look at the system's log"),
            (ffi::SQLITE_CANTOPEN, "may open more files"),
            (ffi::SQLITE_FULL, "make room"),
            (ffi::SQLITE_READONLY, "give the process write access"),
            (ffi::SQLITE_CORRUPT, "restore a backup"),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let text = unavailable(path, "writing to", &error).to_string();
            assert!(text.contains("sessions.db") && text.contains(advice), "{text}");
        }
        let text = closed(path).to_string();
        assert!(text.contains("sessions.db") && text.contains("open the store anew"), "{text}");
        let io = OpenError::from_io(path, std::io::Error::other("no such device"));
        let text = io.to_string();
        assert!(text.contains("no such device") && text.contains("the system's log"), "{text}");
    }
}
