//! The shop as a process of the test's own, and a visitor who keeps one cookie.
#![allow(dead_code)] // Each test program uses a part of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it has to come to its end: four programs have three seconds each.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct House {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
    folder: String,
}

impl House {
    pub(crate) fn open() -> Self {
        let mut house = Self::start(&std::env::temp_dir());
        let shop = house.line_with("http://");
        house.address = shop.split("http://").nth(1).unwrap().trim().trim_end_matches('/').to_owned();
        let folder = house.line_with("Everything is in");
        house.folder = folder.split_whitespace().last().unwrap().to_owned();
        house
    }

    /// Its folder will be in this one. Nothing of it stands yet.
    pub(crate) fn start(scratch: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_worked-migration"))
            .env("TMPDIR", scratch)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        House { child, out, address: String::new(), folder: String::new() }
    }

    /// What it says next that has this in it.
    fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it ended before it said {text:?}");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Presses Enter, and waits for what is said then.
    pub(crate) fn go_on(&mut self, said: &str) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.line_with(said);
    }

    pub(crate) fn visitor(&self) -> Visitor {
        Visitor { address: self.address.clone(), cookie: None }
    }

    /// The address of one of its pages.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What PHP complained of.
    pub(crate) fn complaints(&self) -> String {
        std::fs::read_to_string(format!("{}/php.log", self.folder)).unwrap_or_default()
    }
}

/// Told to stop, so that nothing of it is left. One that does not is killed, and fails its test.
impl Drop for House {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        // Nobody types anything any more, which it may hear of at the same time.
        drop(self.child.stdin.take());
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                assert!(std::thread::panicking(), "the migration does not end");
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[derive(Clone)]
pub(crate) struct Visitor {
    address: String,
    /// `name=value`.
    pub(crate) cookie: Option<String>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    location: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn sees_other(&self, location: &str) {
        assert_eq!((self.status, self.location.as_deref()), (303, Some(location)), "{}", self.body);
    }

    fn between(&self, before: &str) -> Option<&str> {
        self.body.split_once(before)?.1.split_once('<').map(|(text, _)| text)
    }

    /// The number on the basket.
    #[track_caller]
    pub(crate) fn count(&self) -> u32 {
        self.between("id=\"count\">")
            .unwrap_or_else(|| panic!("{} {}", self.status, self.body))
            .parse()
            .unwrap()
    }

    /// Who is logged in.
    pub(crate) fn user(&self) -> Option<&str> {
        self.between("id=\"user\">")
    }
}

impl Visitor {
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub(crate) fn post(&mut self, path: &str, form: &str) -> Answer {
        self.ask("POST", path, form)
    }

    /// HTTP/1.0: a body ends with its connection.
    fn ask(&mut self, method: &str, path: &str, form: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.0\r\nhost: {}\r\n", self.address);
        if method == "POST" {
            let length = form.len();
            request.push_str("content-type: application/x-www-form-urlencoded\r\n");
            request.push_str(&format!("content-length: {length}\r\n"));
        }
        if let Some(cookie) = &self.cookie {
            request.push_str(&format!("cookie: {cookie}\r\n"));
        }
        request.push_str(&format!("\r\n{form}"));
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next_back()
        };
        let cookie = header("set-cookie");
        if let Some(cookie) = &cookie {
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let gone = attributes.contains("Max-Age=0");
            self.cookie = (!gone).then(|| pair.to_owned());
        }
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            location: header("location"),
            body: body.to_owned(),
        }
    }
}
