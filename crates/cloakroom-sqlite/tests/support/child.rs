//! Other processes: this test program itself, started again to do one thing.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ROLE: &str = "CLOAKROOM_TEST_ROLE";
const FILE: &str = "CLOAKROOM_TEST_FILE";

/// The command that runs the test `entry` of this program as a child with a role. What it prints is piped.
pub fn command(entry: &str, role: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    dress(&mut command, entry, role, file);
    command
}

/// The same, by way of a program that starts the one it is given.
pub fn command_under(wrapper: &[&str], entry: &str, role: &str, file: &Path) -> Command {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(std::env::current_exe().unwrap());
    dress(&mut command, entry, role, file);
    command
}

fn dress(command: &mut Command, entry: &str, role: &str, file: &Path) {
    command
        .args([entry, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(FILE, file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
}

/// In the child: what it is to do, and with which file. `None` in the parent.
pub fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(FILE)?.into()))
}

/// In the child: tells the parent something, at once.
pub fn tell(what: &str) {
    use std::io::Write;
    // One `write`: a kill leaves whole lines. The prefix tells them from the test runner's own.
    std::io::stdout().write_all(format!("\n@{what}\n").as_bytes()).unwrap();
}

/// In the parent: what the child tells, until it ends.
pub fn told(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix('@')?.to_owned()))
}

/// How many rounds: the second number when `CLOAKROOM_LONG` is set.
pub fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("CLOAKROOM_LONG").is_some() { long } else { short }
}
