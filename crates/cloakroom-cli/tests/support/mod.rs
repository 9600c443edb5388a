//! What the tests of the program share: starting it, and asking it over plain HTTP.
#![allow(dead_code)] // Each test program uses a part of it.

pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod round_robin;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A demo that runs for a test, on a free port. Killed when it is dropped.
pub(crate) struct Demo {
    child: Child,
    stderr: Option<ChildStderr>,
    /// `http://127.0.0.1:PORT`
    pub(crate) base: String,
    /// The admin's token, read from where the user reads it.
    pub(crate) token: String,
}

/// The program, in an environment of its own.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Demo {
    /// Keeps its sessions in `folder`.
    pub(crate) fn on(folder: &Path) -> Self {
        Self::start(program().arg("--listen").arg("127.0.0.1:0").arg("--data").arg(folder))
    }

    /// Keeps its sessions in memory.
    pub(crate) fn in_memory() -> Self {
        Self::start(program().args(["--listen", "127.0.0.1:0", "--store", "memory:"]))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut base, mut token) = (None, None);
        for line in &mut lines {
            let line = line.unwrap();
            let line = line.trim();
            base = base.or(line.strip_prefix("listening on ").map(str::to_owned));
            token = token.or(line.strip_prefix("Its token").map(|token| token.trim().to_owned()));
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let stderr = child.stderr.take();
        let Some((base, token)) = base.zip(token) else {
            let mut said = String::new();
            stderr.unwrap().read_to_string(&mut said).unwrap();
            panic!("the program did not start: {said}");
        };
        Demo { child, stderr, base, token }
    }

    pub(crate) fn address(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    /// A visitor without a cookie.
    pub(crate) fn visitor(&self) -> http::Visitor {
        http::Visitor::of(self.address())
    }

    /// One of the shop's numbers, as the admin page gives them to a program.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let bearer = format!("Bearer {}", self.token);
        let answer = self.visitor().ask("GET", "/admin/metrics", &[("authorization", &bearer)], "");
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        let line = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {}", answer.body)).parse().unwrap()
    }

    /// Sends a request to a slow handler, and comes back when that has opened the session: the request is under way then.
    pub(crate) fn under_way(
        &self,
        request: impl FnOnce() -> http::Answer + Send + 'static,
    ) -> std::thread::JoinHandle<http::Answer> {
        let before = self.metric("cloakroom_opened_total");
        let answer = std::thread::spawn(request);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.metric("cloakroom_opened_total") == before {
            assert!(Instant::now() < deadline, "the request does not arrive");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!answer.is_finished(), "it was answered already");
        answer
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `SIGTERM`; answers with the exit status, and what was written to standard error meanwhile.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        terminate(&self.child);
        let status = end_of(&mut self.child);
        let mut said = String::new();
        self.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `SIGTERM`.
pub(crate) fn terminate(child: &Child) {
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(told.unwrap().success());
}

/// How it ended; one that does not is killed, and fails its test.
pub(crate) fn end_of(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The text between two others.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
