//! The index of users: for each a directory with an empty file for each of their sessions.
//!
//! It may tell of more sessions than there are, never of fewer: a session is in it before it is the user's, and is taken
//! out once somebody notices that it is not any more. All of that happens under the lock of the directory that the user's
//! own is in.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use cloakroom::{StoreKey, UserId};

use crate::Durability;
use crate::error::Trouble;
use crate::files::Disk;
use crate::layout;
use crate::stripes::{Held, Set};

impl Disk {
    /// Notes that a session is the user's.
    pub(crate) fn index(&self, held: &Held<'_>, user: &UserId, key: &StoreKey) -> io::Result<()> {
        let dir = self.layout.user(user);
        let durable = self.durability == Durability::Full;
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) if durable => held.sync(Set::user(user))?,
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let name = dir.join(layout::name(key));
        match options.open(&name) {
            Ok(_) if durable => File::open(&dir).and_then(|dir| dir.sync_all()).inspect_err(|_| {
                // Found there, it would be taken to be on the disk.
                let _ = std::fs::remove_file(&name);
            }),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes a session out. What cannot be taken out now is noticed again.
    pub(crate) fn unindex(&self, user: &UserId, key: &StoreKey) {
        let _ = std::fs::remove_file(self.layout.user(user).join(layout::name(key)));
    }

    /// Whether a session is noted as the user's.
    pub(crate) fn is_indexed(&self, user: &UserId, key: &StoreKey) -> bool {
        self.layout.user(user).join(layout::name(key)).exists()
    }

    /// The sessions that may be the user's.
    pub(crate) fn indexed(&self, user: &UserId) -> Result<Vec<StoreKey>, Trouble> {
        let listed = match std::fs::read_dir(self.layout.user(user)) {
            Ok(listed) => listed,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.stripes.check_place(Set::user(user))?;
                return Ok(Vec::new());
            }
            Err(error) => return Err(Trouble::Io(error)),
        };
        let mut keys = Vec::new();
        for file in listed {
            keys.extend(file?.file_name().to_str().and_then(layout::key));
        }
        Ok(keys)
    }
}
