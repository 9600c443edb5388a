//! The `cloakroom-probe` program; see the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    cloakroom_probe::start()
}
