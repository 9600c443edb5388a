//! A PHP process that times its own functions.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Php {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Php {
    pub fn start(format: &str) -> Result<Self, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/php/server.php");
        let mut process = Command::new("php")
            .args(["-d", "serialize_precision=-1", "-d", "igbinary.compact_strings=1"])
            .args(["-d", &format!("session.serialize_handler={format}"), script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("php: {error}; apt-get install php-cli php-igbinary php-msgpack"))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("php has no input or output".to_owned());
        };
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    fn ask(&mut self, request: &str) -> Result<String, String> {
        let mut answer = String::new();
        writeln!(self.input, "{request}").map_err(|error| format!("php: {error}"))?;
        self.output.read_line(&mut answer).map_err(|error| format!("php: {error}"))?;
        match answer.trim() {
            "" => Err("php ended; what it said stands above".to_owned()),
            answer => Ok(answer.to_owned()),
        }
    }

    /// The session with so many items in its basket.
    pub fn payload(&mut self, items: usize) -> Result<Vec<u8>, String> {
        let hex = self.ask(&format!("payload {items}"))?;
        let byte = |at| hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        bytes.ok_or_else(|| format!("php answers {hex}"))
    }

    /// Nanoseconds that its function takes so many times.
    pub fn time(&mut self, what: &str, items: usize, times: u64) -> Result<u64, String> {
        let answer = self.ask(&format!("{what} {items} {times}"))?;
        answer.parse().map_err(|_| format!("php answers {answer}"))
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
