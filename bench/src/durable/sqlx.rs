//! `tower-sessions-sqlx-store`, in a program of its own (`peer-sqlx`): its SQLite cannot be linked beside ours.
//! This side builds it, starts it, and tells it line by line what to write.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::{BYTES, SESSIONS, Subject};

/// The other program.
pub struct Peer {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Builds and starts it on a new file.
    pub fn open(path: &Path) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = here.join("target/peer-sqlx");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
            .arg(here.join("peer-sqlx/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the sqlx peer does not build");
        let mut child = Command::new(target.join("release/peer-sqlx"))
            .arg(path)
            .args([SESSIONS.to_string(), BYTES.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sqlx peer starts");
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut peer = Peer { child, commands, answers };
        assert_eq!(peer.answer(), SESSIONS as u64, "the table is made");
        peer
    }

    fn answer(&mut self) -> u64 {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the sqlx peer answers");
        line.trim().parse().expect("a number")
    }
}

impl Subject for Peer {
    fn name(&self) -> &'static str {
        "tower-sessions-sqlx-store"
    }

    fn write(&mut self, writers: usize, length: Duration) -> u64 {
        writeln!(self.commands, "{writers} {}", length.as_millis()).expect("the sqlx peer listens");
        self.answer()
    }

    fn check(&mut self, acknowledged: u64) {
        writeln!(self.commands, "check").expect("the sqlx peer listens");
        assert_eq!(self.answer(), acknowledged);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
