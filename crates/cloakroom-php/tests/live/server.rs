//! A PHP process that answers, in one of the formats, as long as it is kept.

use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use cloakroom_php::Format;

use crate::program::php;

pub(crate) struct Php {
    format: Format,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What PHP makes of a session.
pub(crate) struct Seen {
    /// Warnings, and whether it could be read at all; empty if all is well.
    pub(crate) complaints: String,
    /// What it writes in the format.
    pub(crate) written: Vec<u8>,
    /// `serialize($_SESSION)`.
    pub(crate) says: Vec<u8>,
}

impl Php {
    pub(crate) fn start(format: Format) -> Self {
        let mut process = php()
            .args(["-d", "display_errors=stderr", "-d", "serialize_precision=-1", "-d", "memory_limit=1G"])
            .args(["-d", "igbinary.compact_strings=1", "-d", "session.auto_start=0"])
            .args(["-d", &format!("session.serialize_handler={format}")])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/server.php"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("php is needed, with its extensions: apt-get install php-cli php-igbinary php-msgpack");
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { format, process, input, output }
    }

    /// Reads the whole request before it answers, so neither side waits for the other to listen.
    fn ask(&mut self, texts: &[&[u8]]) -> Vec<Vec<u8>> {
        self.try_ask(texts).expect("PHP listens and answers; what ended it stands above")
    }

    fn try_ask(&mut self, texts: &[&[u8]]) -> std::io::Result<Vec<Vec<u8>>> {
        let mut request = (texts.len() as u32).to_be_bytes().to_vec();
        for text in texts {
            request.extend_from_slice(&(text.len() as u32).to_be_bytes());
            request.extend_from_slice(text);
        }
        self.input.write_all(&request)?;
        self.input.flush()?;
        let count = self.number()?;
        (0..count).map(|_| self.text()).collect()
    }

    fn number(&mut self) -> std::io::Result<u32> {
        let mut bytes = [0; 4];
        self.output.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn text(&mut self) -> std::io::Result<Vec<u8>> {
        let mut text = vec![0; self.number()? as usize];
        self.output.read_exact(&mut text)?;
        Ok(text)
    }

    fn seen(answer: Vec<Vec<u8>>) -> Vec<Seen> {
        let mut answer = answer.into_iter();
        let mut seen = Vec::new();
        while let (Some(complaints), Some(written), Some(says)) =
            (answer.next(), answer.next(), answer.next())
        {
            let complaints = String::from_utf8_lossy(&complaints).into_owned();
            seen.push(Seen { complaints, written, says });
        }
        seen
    }

    /// Has PHP read these sessions and write them again.
    pub(crate) fn read(&mut self, payloads: &[Vec<u8>]) -> Vec<Seen> {
        let mut request: Vec<&[u8]> = vec![b"read"];
        request.extend(payloads.iter().map(Vec::as_slice));
        Self::seen(self.ask(&request))
    }

    /// Has PHP read what may be its end: `None` for what was, and another process goes on.
    pub(crate) fn read_one_by_one(&mut self, payloads: &[Vec<u8>]) -> Vec<Option<Seen>> {
        let mut request: Vec<&[u8]> = vec![b"read"];
        request.extend(payloads.iter().map(Vec::as_slice));
        if let Ok(answer) = self.try_ask(&request) {
            return Self::seen(answer).into_iter().map(Some).collect();
        }
        *self = Self::start(self.format);
        let one = |payload: &Vec<u8>| match self.try_ask(&[b"read", payload]) {
            Ok(answer) => Self::seen(answer).pop(),
            Err(_) => {
                *self = Self::start(self.format);
                None
            }
        };
        payloads.iter().map(one).collect()
    }

    /// Has PHP put these sessions, as `serialize()` text, into an envelope; or take them out of one.
    #[cfg(all(feature = "amp", feature = "laravel"))]
    pub(crate) fn envelope(&mut self, what: &str, kind: &str, key: &[u8], texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut request: Vec<&[u8]> = vec![what.as_bytes(), kind.as_bytes(), key];
        request.extend(texts.iter().map(Vec::as_slice));
        self.ask(&request)
    }

    /// Has PHP open envelopes that may be broken: as [`read`](Self::read), and what is no array was not read.
    #[cfg(all(feature = "amp", feature = "laravel"))]
    pub(crate) fn open(&mut self, kind: &str, texts: &[Vec<u8>]) -> Vec<Seen> {
        let mut request: Vec<&[u8]> = vec![b"open", kind.as_bytes(), b""];
        request.extend(texts.iter().map(Vec::as_slice));
        Self::seen(self.ask(&request))
    }

    /// Has PHP make up so many sessions.
    pub(crate) fn invent(&mut self, seed: u32, count: usize) -> Vec<Seen> {
        Self::seen(self.ask(&[b"invent", seed.to_string().as_bytes(), count.to_string().as_bytes()]))
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
