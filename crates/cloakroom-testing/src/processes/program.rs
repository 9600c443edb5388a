//! Other processes: the test program itself, started again to do one thing.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ROLE: &str = "CLOAKROOM_TEST_ROLE";
const FILE: &str = "CLOAKROOM_TEST_FILE";

/// The command that runs the test `entry` of this program with a role. `under`: by way of a program that starts the one it is given.
/// What it prints is piped.
pub fn command(under: &[&str], entry: &str, role: &str, path: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match under {
        [] => Command::new(program),
        [wrapper, arguments @ ..] => {
            let mut command = Command::new(wrapper);
            command.args(arguments).arg(program);
            command
        }
    };
    command
        .args([entry, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(FILE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// In the child: what it is to do, and under which path. `None` in the parent.
pub fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(FILE)?.into()))
}

/// In the child: tells the parent something, at once.
pub fn tell(what: &str) {
    // One `write`: a kill leaves whole lines. The prefix tells them from the test runner's own.
    std::io::stdout().lock().write_all(format!("\n@{what}\n").as_bytes()).unwrap();
}

/// In the parent: what the child tells, until it ends.
pub fn told(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix('@')?.to_owned()))
}

/// A folder of its own, removed at the end.
pub(super) struct Dir(tempfile::TempDir);

impl Dir {
    pub(super) fn new() -> Self {
        Dir(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("sessions")
    }
}
