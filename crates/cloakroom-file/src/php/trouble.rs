//! What can go wrong with PHP's files, said in words that help.

use std::io;
use std::path::Path;

use cloakroom::store::{StoreError, StoreErrorKind};
use cloakroom_php::{DecodeError, EncodeError};

use crate::error::advice;

/// Why nothing came of a request.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The operating system refused; nothing was changed.
    Io(io::Error),
    /// The operating system refused when the change may have been made already.
    Half(io::Error),
    /// A session stayed locked.
    Busy,
    /// A session's file is none that PHP would use.
    Strange(&'static str),
    /// A session's file is no entry of a cache.
    Unreadable(DecodeError),
    /// A session can be no entry of a cache.
    Unwritable(EncodeError),
    /// A session has so many bytes.
    TooLarge(u64),
    /// The directory for ids that begin so is missing.
    NoFolder,
    /// `session.save_path` is gone.
    Gone,
    /// What is beside is gone.
    OwnGone,
    /// PHP has no file for such an id.
    NoName,
    /// Nobody waits for the answer any more.
    Abandoned,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Io(error)
    }
}

/// Of our own directory.
impl From<crate::error::Trouble> for Trouble {
    fn from(trouble: crate::error::Trouble) -> Self {
        use crate::error::Trouble as Own;
        match trouble {
            Own::Io(error) => Trouble::Io(error),
            Own::Half(error) => Trouble::Half(error),
            Own::Busy => Trouble::Busy,
            Own::Abandoned => Trouble::Abandoned,
            Own::Gone => Trouble::OwnGone,
            Own::TooLarge(len) => Trouble::TooLarge(len as u64),
            Own::Malformed(_) => Trouble::Strange("what is beside it is damaged"),
        }
    }
}

impl Trouble {
    /// In words. No file is named: those have ids in their names.
    pub(super) fn explain(self, place: &Path) -> StoreError {
        let place = place.display();
        let unavailable = |text: String| StoreError::new(StoreErrorKind::Unavailable, text);
        match self {
            Trouble::Io(error) => {
                unavailable(format!("using PHP's sessions in {place}: {error}{}", advice(&error)))
                    .with_source(error)
            }
            Trouble::Half(error) => {
                let text = format!(
                    "writing to PHP's sessions in {place}: {error}; whether it is stored is not known"
                );
                StoreError::new(StoreErrorKind::Unknown, text).with_source(error)
            }
            Trouble::Busy => unavailable(format!(
                "a session in {place} was locked for longer than the busy timeout: a PHP request that runs for long holds its \
                 session until it calls session_write_close(); let it do so earlier, or raise `PhpFilesBuilder::busy_timeout`"
            )),
            Trouble::Strange(what) => StoreError::new(
                StoreErrorKind::Corrupt,
                format!("a session's file in {place} was left as it is: {what}"),
            ),
            Trouble::Unreadable(why) => StoreError::new(
                StoreErrorKind::Corrupt,
                format!("a session that PHP stored in {place} cannot be read: {why}; it was left as it is"),
            ),
            Trouble::Unwritable(why) => StoreError::new(
                StoreErrorKind::Refused,
                format!("a session was not written in {place}, for PHP could not read it so: {why}"),
            ),
            Trouble::TooLarge(len) => unavailable(format!(
                "a session in {place} has {len} bytes: at most {} can be shared",
                super::value::MOST
            )),
            Trouble::NoFolder => unavailable(format!(
                "{place} has no directory for a session's id: session.save_path says how deep they are, and PHP expects them to \
                 be there (its mod_files.sh makes them)"
            )),
            Trouble::Gone => unavailable(format!(
                "the directory of PHP's sessions {place} is gone: put it back, and the store goes on by itself"
            )),
            Trouble::OwnGone => unavailable(format!(
                "what is kept beside PHP's sessions in {place} is gone, or something else is in its place: put it back and \
                 start the service again"
            )),
            Trouble::NoName => StoreError::new(
                StoreErrorKind::Refused,
                format!(
                    "a session was not made in {place}: its id is shorter than session.save_path's directories are deep, or \
                     the layout's prefix is not part of a file's name"
                ),
            ),
            Trouble::Abandoned => unavailable(format!(
                "a request to PHP's sessions in {place} was given up before it was begun"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_says_where_and_what_to_do() {
        let unreadable = cloakroom_php::CacheEntry::decode(b"").unwrap_err();
        let io = |kind| Trouble::Io(io::Error::from(kind));
        for (trouble, advice) in [
            (io(io::ErrorKind::StorageFull), "make room"),
            (io(io::ErrorKind::PermissionDenied), "back to the user"),
            (io(io::ErrorKind::ReadOnlyFilesystem), "mount the file system"),
            (Trouble::Half(io::Error::other("bad sector")), "not known"),
            (Trouble::Busy, "session_write_close()"),
            (Trouble::Strange("it is a symbolic link"), "symbolic link"),
            (Trouble::Unreadable(unreadable), "left as it is"),
            (Trouble::Unwritable(EncodeError::Unverified), "not written"),
            (Trouble::TooLarge(99), "99 bytes"),
            (Trouble::NoFolder, "mod_files.sh"),
            (Trouble::Gone, "put it back"),
            (Trouble::OwnGone, "start the service again"),
            (Trouble::NoName, "prefix"),
        ] {
            let text = trouble.explain(Path::new("/srv/php")).to_string();
            assert!(text.contains("/srv/php") && text.contains(advice), "{text}");
        }
    }
}
