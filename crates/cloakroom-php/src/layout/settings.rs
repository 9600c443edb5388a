//! Why the sessions of an application with these settings of PHP's cannot be shared.

use std::fmt;

use super::error::LayoutError;
use crate::ini::{IniError, SaveHandler, SavePathError, SessionIni};

/// Why sessions with these settings cannot be shared.
#[derive(Debug)]
#[non_exhaustive]
pub enum PhpSettingsError {
    /// A file cannot be read.
    Ini(IniError),
    /// `session.save_handler` is another one than the store is for.
    SaveHandler {
        /// What it is.
        found: SaveHandler,
        /// What it would have to be.
        wanted: SaveHandler,
    },
    /// `session.save_path` cannot be read.
    SavePath(SavePathError),
    /// `session.save_path` names no directory, and has to.
    NoFolder,
    /// So many servers are named, and phpredis locks.
    LockOnServers(usize),
    /// `session.save_path` has servers with different prefixes.
    Prefixes,
    /// One of the settings does not do.
    Layout(LayoutError),
}

impl PhpSettingsError {
    /// Refuses settings by which PHP keeps its sessions elsewhere than where this handler does.
    ///
    /// # Errors
    /// [`SaveHandler`](Self::SaveHandler).
    pub fn unless_kept_by(wanted: SaveHandler, php: &SessionIni) -> Result<(), Self> {
        let found = php.save_handler.clone();
        if found == wanted { Ok(()) } else { Err(PhpSettingsError::SaveHandler { found, wanted }) }
    }
}

impl fmt::Display for PhpSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PhpSettingsError::Ini(error) => error.fmt(f),
            PhpSettingsError::SaveHandler { found, wanted } => write!(
                f,
                "session.save_handler is {}, and this store is for session.save_handler = {}: cloakroom-file shares what PHP keeps in \
                 files, cloakroom-redis what phpredis keeps on servers (redis) or in a cluster (rediscluster)",
                found.name(),
                wanted.name()
            ),
            PhpSettingsError::SavePath(error) => error.fmt(f),
            PhpSettingsError::NoFolder => f.write_str(
                "session.save_path is not set in these files: PHP then has the directory that it was built with (on Debian \
                 /var/lib/php/sessions), which no file tells; `php -i` does: set session.save_path to it in php.ini, or name it \
                 with PhpFiles::builder",
            ),
            PhpSettingsError::LockOnServers(count) => write!(
                f,
                "{count} servers are named and redis.session.locking_enabled is on: phpredis frees locks on the wrong server, and \
                 sessions stay locked; name one server in session.save_path (better, for without locks PHP loses changes), or write \
                 redis.session.locking_enabled = 0"
            ),
            PhpSettingsError::Prefixes => f.write_str(
                "session.save_path has servers with different prefixes: give all of them the same prefix",
            ),
            PhpSettingsError::Layout(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PhpSettingsError {}

impl From<IniError> for PhpSettingsError {
    fn from(error: IniError) -> Self {
        PhpSettingsError::Ini(error)
    }
}

impl From<SavePathError> for PhpSettingsError {
    fn from(error: SavePathError) -> Self {
        PhpSettingsError::SavePath(error)
    }
}

impl From<LayoutError> for PhpSettingsError {
    fn from(error: LayoutError) -> Self {
        PhpSettingsError::Layout(error)
    }
}
