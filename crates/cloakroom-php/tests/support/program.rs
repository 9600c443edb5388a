//! Which PHP the tests ask.

use std::process::Command;

/// PHP on the command line: the one that `CLOAKROOM_PHP` names, or else the one that is installed.
pub(crate) fn php() -> Command {
    Command::new(std::env::var_os("CLOAKROOM_PHP").unwrap_or_else(|| "php".into()))
}
