//! Other processes: the test program itself, started again to do one thing.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const ROLE: &str = "CLOAKROOM_TEST_ROLE";
const FILE: &str = "CLOAKROOM_TEST_FILE";

/// No child takes so long, however busy the machine is.
const LIFETIME: Duration = Duration::from_secs(300);
/// Nor does any program that was asked to end.
const PATIENCE: Duration = Duration::from_secs(30);

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
///
/// A child that has a role ends with its parent, and after five minutes in any case: whoever waits for it, or for what it tells, does not do
/// so for ever.
pub fn role() -> Option<(String, PathBuf)> {
    let role = (std::env::var(ROLE).ok()?, std::env::var_os(FILE)?.into());
    // Looked at here: whoever is told something by this child knows that it has seen its parent.
    #[cfg(unix)]
    let parent = std::os::unix::process::parent_id();
    #[cfg(unix)]
    let has_parent = move || std::os::unix::process::parent_id() == parent;
    #[cfg(not(unix))]
    let has_parent = || true;
    std::thread::spawn(move || end_some_time(has_parent));
    Some(role)
}

fn end_some_time(has_parent: impl Fn() -> bool) {
    let began = Instant::now();
    while has_parent() && began.elapsed() < LIFETIME {
        std::thread::sleep(Duration::from_millis(500));
    }
    if has_parent() {
        eprintln!("the child did not come to its end within {LIFETIME:?}");
    }
    std::process::abort();
}

/// Asks a process to end, as a supervisor does (`SIGTERM`), and waits until it has. One that does not within half a minute is killed, which its
/// status tells.
pub fn end(process: &mut Child) -> ExitStatus {
    let _ = Command::new("kill").arg(process.id().to_string()).status();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = process.kill();
    process.wait().unwrap()
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
