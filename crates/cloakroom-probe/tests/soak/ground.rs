//! What the sessions are kept on: what can happen to it, and what can be asked of it.
//!
//! A single server, or those of a cluster (`cluster.rs`). Another kind of ground is another implementation with troubles of its
//! own; the lives, the checks and the report stay as they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::chronicle::Chronicle;
use super::harness::servers::Server;
use super::tally::Tally;

/// Between the end of one trouble and the next.
const PEACE_MS: std::ops::Range<u64> = 1_000..3_000;

/// Where sessions are kept.
pub trait Ground: Send + Sync {
    /// The names of what can happen to it.
    fn troubles(&self) -> &'static [&'static str];

    /// Makes it happen, says to whom, and is back when it is over.
    fn happen(&self, trouble: &str, to: &dyn Fn(String));

    /// What is kept there; nothing while it cannot say.
    fn kept(&self) -> Option<Kept>;

    /// How often a server may have been replaced by its replica, which may take back the last writes: so far, counted before it
    /// happens.
    fn failovers(&self) -> u64 {
        0
    }

    /// How many of them are over: whoever was replaced knows it.
    fn failovers_over(&self) -> u64 {
        0
    }

    /// What else is to be told of it in the summary.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub keys: u64,
    /// Keys that are there for ever.
    pub without_expiry: u64,
    /// Bytes of the server's memory.
    pub memory: u64,
}

/// One Redis or Valkey server, which writes everything to disk before it acknowledges it.
pub struct Standalone(Arc<Server>);

impl Standalone {
    pub fn of(server: Arc<Server>) -> Self {
        Standalone(server)
    }

    fn ask(&self, line: &str) -> Option<String> {
        ask(self.0.port(), line)
    }
}

/// One line to the server on this port, and whatever it says; nothing where it is away.
pub fn ask(port: u16, line: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
    stream.write_all(format!("{line}\r\nQUIT\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

impl Ground for Standalone {
    fn troubles(&self) -> &'static [&'static str] {
        &["killed and started again", "stopped for a second", "connections cut", "scripts forgotten"]
    }

    fn happen(&self, trouble: &str, _: &dyn Fn(String)) {
        match trouble {
            "killed and started again" => self.0.start_again(),
            "stopped for a second" => {
                self.0.pause();
                thread::sleep(Duration::from_secs(1));
                self.0.resume();
            }
            "connections cut" => drop(self.ask("CLIENT KILL TYPE normal")),
            "scripts forgotten" => drop(self.ask("SCRIPT FLUSH")),
            other => panic!("nobody knows how to make this happen: {other}"),
        }
    }

    fn kept(&self) -> Option<Kept> {
        Kept::read(&self.ask("INFO")?)
    }
}

impl Kept {
    /// From what a server says of itself (`INFO`).
    pub fn read(said: &str) -> Option<Self> {
        let after = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
        let memory = after("used_memory:")?.trim().parse().ok()?;
        // No line: no keys.
        let Some(line) = after("db0:") else { return Some(Kept { keys: 0, without_expiry: 0, memory }) };
        let number = |name: &str| -> Option<u64> {
            line.trim().split(',').find_map(|part| part.strip_prefix(name))?.parse().ok()
        };
        let (keys, expire) = (number("keys=")?, number("expires=")?);
        Some(Kept { keys, without_expiry: keys.checked_sub(expire)?, memory })
    }
}

/// Makes one trouble after the other until it is time to stop: all of them in turn, beginning with any. Those alone whose name has
/// `CLOAKROOM_SOAK_ONLY` in it, where somebody looks for what one of them does.
pub fn trouble(
    ground: &dyn Ground,
    until: Instant,
    chance: &mut Chance,
    chronicle: &Chronicle,
    tally: &Tally,
) {
    let only = std::env::var("CLOAKROOM_SOAK_ONLY").unwrap_or_default();
    let all: Vec<_> = ground.troubles().iter().copied().filter(|trouble| trouble.contains(&only)).collect();
    assert!(!all.is_empty(), "nothing that can happen has {only:?} in its name");
    let mut next = chance.below(all.len() as u64) as usize;
    loop {
        thread::sleep(Duration::from_millis(PEACE_MS.start + chance.below(PEACE_MS.end - PEACE_MS.start)));
        // The last of them leaves time to get over it.
        if Instant::now() + Duration::from_secs(1) > until {
            return;
        }
        let trouble = all[next % all.len()];
        chronicle.begins(trouble);
        ground.happen(trouble, &|whom| chronicle.hits(whom));
        chronicle.is_over();
        tally.trouble(trouble);
        next += 1;
    }
}
