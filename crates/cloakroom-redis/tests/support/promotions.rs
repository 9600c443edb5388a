//! What a sentinel writes down of the failovers that it leads.
//!
//! It writes a line before it does anything, and has written it to the file by then: whoever reads the file knows of a failover before
//! anybody can notice. What sentinels publish comes later, and on a busy machine too late.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;

/// Written by the sentinel that leads a failover, before it tells a replica to be the primary.
const PROMOTES: &str = "+failover-state-send-slaveof-noone ";

const LAST_LINES: usize = 40;

pub struct Log {
    path: PathBuf,
    read: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Bytes of whole lines.
    up_to: u64,
    promotions: u64,
}

impl Log {
    pub fn at(path: PathBuf) -> Self {
        Log { path, read: Mutex::default() }
    }

    /// The last that it wrote, for whoever has to find out why something did not happen.
    pub fn end(&self) -> String {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        format!("{}:\n{last}\n", self.path.display())
    }

    /// How often it made a replica the primary, also those that it is about to.
    pub fn promotions(&self) -> u64 {
        let mut read = self.read.lock().unwrap();
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(read.up_to)).unwrap();
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        // A line that is being written is read the next time.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = String::from_utf8_lossy(&text[..whole]);
        read.promotions += lines.matches(PROMOTES).count() as u64;
        read.up_to += whole as u64;
        read.promotions
    }
}
