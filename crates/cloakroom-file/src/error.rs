//! What can go wrong, said in words that help: what, where, and what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use cloakroom::store::wire::MalformedEntry;
use cloakroom::store::{StoreError, StoreErrorKind};

/// Why a store could not be opened. Nothing was changed in a directory that was refused.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    path: PathBuf,
    source: Option<io::Error>,
}

/// The kinds of trouble with opening a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The path is empty.
    NotAPath,
    /// The directory above it does not exist.
    NoParent,
    /// There is something else than a directory.
    NotADirectory,
    /// This user may not read or write the directory.
    PermissionDenied,
    /// The file system is mounted read-only.
    ReadOnly,
    /// Other users may write into the directory: they could replace sessions.
    WritableByOthers {
        /// Its mode.
        mode: u32,
    },
    /// The directory belongs to another user, who could replace sessions.
    NotOurs {
        /// Its owner.
        owner: u32,
    },
    /// There are other things in the directory, and nothing says that it is a session store.
    Foreign,
    /// Its `format` cannot be understood.
    Corrupt,
    /// It was made by a later release of this crate.
    NewerFormat {
        /// The format of the directory.
        found: u32,
        /// The latest one that this release knows.
        supported: u32,
    },
    /// PHP's `session.save_path` is not there.
    NoSavePath,
    /// Everybody may write into PHP's `session.save_path`, and remove each other's files.
    NotSticky {
        /// Its mode.
        mode: u32,
    },
    /// The disk is full.
    DiskFull,
    /// Another process kept the directory locked for longer than the busy timeout.
    Busy,
    /// The operating system reported something else; see the source.
    Io,
}

impl OpenError {
    pub(crate) fn new(kind: OpenErrorKind, path: &Path) -> Self {
        OpenError { kind, path: path.to_owned(), source: None }
    }

    pub(crate) fn from_io(path: &Path, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => OpenErrorKind::NoParent,
            io::ErrorKind::NotADirectory => OpenErrorKind::NotADirectory,
            io::ErrorKind::PermissionDenied => OpenErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem => OpenErrorKind::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenErrorKind::DiskFull,
            _ => OpenErrorKind::Io,
        };
        OpenError { kind, path: path.to_owned(), source: Some(error) }
    }

    /// What kind of trouble.
    pub fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.kind {
            OpenErrorKind::NotAPath => {
                write!(f, "the session store needs the path of a directory, not an empty one")
            }
            OpenErrorKind::NoParent => write!(
                f,
                "the session store {path} cannot be made because the directory above it does not exist: create that, or \
                 name another path"
            ),
            OpenErrorKind::NotADirectory => {
                write!(f, "the session store {path} is not a directory: name a directory of its own for it")
            }
            OpenErrorKind::PermissionDenied => write!(
                f,
                "the session store {path} cannot be used by this user: the process needs to own the directory, and to \
                 read, write and search it (mode 700)"
            ),
            OpenErrorKind::ReadOnly => write!(
                f,
                "the session store {path} is on a file system that is mounted read-only: mount it for writing, or name \
                 another path"
            ),
            OpenErrorKind::WritableByOthers { mode } => write!(
                f,
                "the session store {path} can be written to by other users (mode {:03o}), who could put a session of \
                 their making there: run `chmod 700` on it, or name a directory of its own for it (never /tmp itself)",
                mode & 0o777
            ),
            OpenErrorKind::NotOurs { owner } => write!(
                f,
                "the session store {path} belongs to another user (uid {owner}), who could put a session of their making \
                 there: give it to the user of this process with `chown`, or name another path"
            ),
            OpenErrorKind::Foreign => write!(
                f,
                "{path} holds other things than sessions and was left as it is: name an empty directory, or one that is \
                 not there yet"
            ),
            OpenErrorKind::Corrupt => write!(
                f,
                "the session store {path} has a `format` file that cannot be understood, and was left as it is: restore \
                 that file from a backup, or move the directory away to start with an empty store"
            ),
            OpenErrorKind::NewerFormat { found, supported } => write!(
                f,
                "the session store {path} has format {found}, this release knows up to {supported}: run the release that \
                 made it, or a later one; it was left as it is"
            ),
            OpenErrorKind::NoSavePath => write!(
                f,
                "PHP's session.save_path {path} is not there: name the directory that PHP is set to, or make it (PHP does not)"
            ),
            OpenErrorKind::NotSticky { mode } => write!(
                f,
                "PHP's session.save_path {path} can be written to by other users (mode {:04o}), who could remove and replace \
                 sessions there: run `chmod +t` on it, or `chmod 700`, or name a directory of its own in php.ini",
                mode & 0o7777
            ),
            OpenErrorKind::DiskFull => write!(
                f,
                "the session store {path} cannot be opened because its disk is full: make room and start again; nothing \
                 was lost"
            ),
            OpenErrorKind::Busy => write!(
                f,
                "the session store {path} is locked by another process: stop what holds it, or raise the busy timeout"
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
        self.source.as_ref().map(|e| e as &(dyn Error + 'static))
    }
}

/// Why a step did not come to an answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The operating system refused; nothing was changed.
    Io(io::Error),
    /// The operating system refused when the change may have been made already.
    Half(io::Error),
    /// A stored entry cannot be understood.
    Malformed(MalformedEntry),
    /// The session's data have so many bytes.
    TooLarge(usize),
    /// A directory stayed locked.
    Busy,
    /// A part of the store is gone, or another one is in its place.
    Gone,
    /// Nobody waits for the answer any more.
    Abandoned,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Io(error)
    }
}

impl Trouble {
    /// In words. The text names the directory and no file in it: those are named by keys.
    pub(crate) fn explain(self, path: &Path) -> StoreError {
        let path = path.display();
        match self {
            Trouble::Io(error) => {
                let text = format!("using the session store {path}: {error}{}", advice(&error));
                StoreError::new(StoreErrorKind::Unavailable, text).with_source(error)
            }
            Trouble::Half(error) => {
                let text = format!(
                    "writing to the session store {path}: {error}; whether it is stored is not known"
                );
                StoreError::new(StoreErrorKind::Unknown, text).with_source(error)
            }
            Trouble::Malformed(error) => StoreError::new(
                StoreErrorKind::Corrupt,
                format!("a session in {path} is damaged and was left as it is: {error}"),
            )
            .with_source(error),
            Trouble::TooLarge(len) => StoreError::new(
                StoreErrorKind::Unavailable,
                format!(
                    "a session of {len} bytes is too large for {path}: at most {}",
                    crate::files::MAX_PAYLOAD
                ),
            ),
            Trouble::Busy => StoreError::new(
                StoreErrorKind::Unavailable,
                format!(
                    "the session store {path} was locked for longer than the busy timeout: stop what holds it (a stopped \
                     process, `flock` in a script), or raise `FileBuilder::busy_timeout`"
                ),
            ),
            Trouble::Gone => StoreError::new(
                StoreErrorKind::Unavailable,
                format!(
                    "directories of the session store {path} are gone, or others are in their place: put them back and \
                     start the service again"
                ),
            ),
            Trouble::Abandoned => StoreError::new(
                StoreErrorKind::Unavailable,
                format!("a request to the session store {path} was given up before it was begun"),
            ),
        }
    }
}

pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": make room on the disk (space, or inodes: `df -i`), and the store goes on by itself"
        }
        io::ErrorKind::PermissionDenied => {
            ": give the directory and what is in it back to the user of this process"
        }
        io::ErrorKind::ReadOnlyFilesystem => ": mount the file system for writing",
        _ => {
            ": the disk or its file system has trouble, or the process may not open more files: look at the system's log; \
             the store goes on when it can"
        }
    }
}

/// The store was closed.
pub(crate) fn closed(path: &Path) -> StoreError {
    let text = format!("the session store {} is closed: ask nothing of it after `close`", path.display());
    StoreError::new(StoreErrorKind::Unavailable, text)
}

/// As many requests wait as may wait.
pub(crate) fn overloaded(path: &Path) -> StoreError {
    let text = format!(
        "the session store {} is overloaded: as many requests are waiting as its queue may hold",
        path.display()
    );
    StoreError::new(StoreErrorKind::Unavailable, text)
}

/// The thread that had a request ended without an answer.
pub(crate) fn unanswered(path: &Path) -> StoreError {
    let text = format!("a thread of the session store {} ended before it answered", path.display());
    StoreError::new(StoreErrorKind::Unknown, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_says_where_and_what_to_do() {
        let path = Path::new("/srv/sessions");
        let io = |kind| Trouble::Io(io::Error::from(kind));
        for (trouble, advice) in [
            (io(io::ErrorKind::StorageFull), "make room"),
            (io(io::ErrorKind::PermissionDenied), "back to the user"),
            (io(io::ErrorKind::ReadOnlyFilesystem), "mount the file system"),
            (Trouble::Io(io::Error::other("bad sector")), "bad sector"),
            (Trouble::Half(io::Error::other("bad sector")), "not known"),
            (Trouble::Busy, "busy_timeout"),
            (Trouble::Gone, "put them back"),
            (Trouble::TooLarge(99), "99 bytes"),
            (Trouble::Malformed(MalformedEntry::Checksum), "left as it is"),
        ] {
            let text = trouble.explain(path).to_string();
            assert!(text.contains("/srv/sessions") && text.contains(advice), "{text}");
        }
    }
}
