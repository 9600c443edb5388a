//! What a server is asked, as it says itself (`MONITOR`): every command of every client.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Probe;
use super::servers::{self, Server};

/// What sentinels ask every second, and what is asked of a cluster every 15 seconds: that is of no request.
const BY_THE_CLOCK: [&str; 4] = ["PING", "INFO", "PUBLISH", "CLUSTER"];

/// Listens to all the servers of a probe.
pub struct Asked {
    /// In a group or a cluster some is asked by the clock.
    alone: bool,
    servers: Vec<Monitor>,
}

impl Asked {
    pub fn of(probe: &Probe) -> Self {
        let alone = matches!(probe.place.store, "redis" | "valkey");
        Asked { alone, servers: probe.servers().into_iter().map(Monitor::of).collect() }
    }

    /// The commands since the last time, in their order on each server. A write is a script, or where a server compares by itself a `SET … IFEQ`:
    /// one of them is told as `WRITE`.
    pub fn since(&mut self) -> Vec<String> {
        let mut commands: Vec<String> = self.servers.iter_mut().flat_map(Monitor::since).collect();
        commands.retain(|command| self.alone || !BY_THE_CLOCK.contains(&command.as_str()));
        for command in &mut commands {
            if ["EVALSHA", "SET"].contains(&command.as_str()) {
                "WRITE".clone_into(command);
            }
        }
        commands
    }
}

struct Monitor {
    port: u16,
    lines: BufReader<TcpStream>,
    marks: u32,
}

impl Monitor {
    fn of(server: &Server) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut monitor = Monitor { port: server.port(), lines: BufReader::new(stream), marks: 0 };
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Without what scripts call on their part, and what this test asks itself.
    fn since(&mut self) -> Vec<String> {
        self.marks += 1;
        let mark = format!("\"ECHO\" \"mark-{}\"", self.marks);
        servers::raw(self.port, &format!("ECHO mark-{}\r\nQUIT", self.marks), false);
        let mut commands = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "the server is gone");
            if line.contains(&mark) {
                return commands;
            }
            let (client, command) = line.split_once("] \"").unwrap_or_else(|| panic!("{line}"));
            let name = command.split('"').next().unwrap().to_ascii_uppercase();
            if !client.ends_with(" lua") && name != "QUIT" {
                commands.push(name);
            }
        }
    }
}
