//! What is measured: processes that serve sessions on the same Redis server.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::door::{self, Door};
use super::serve;

/// A number of processes, by their doors, and two visitors: who counts, and who passes by.
pub struct Site {
    /// For the table.
    pub name: &'static str,
    /// Requests go to them in turn.
    pub doors: Vec<Door>,
    /// The cookie of the session that all the locks are on.
    pub cookie: String,
    /// The cookie of another one.
    pub bystander: String,
    /// What was counted so far.
    pub counted: u64,
    _processes: Vec<Process>,
}

/// Killed with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    /// So many processes of ours.
    pub async fn ours(name: &'static str, processes: usize, url: &str) -> Result<Self, String> {
        let mut started = Vec::new();
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for _ in 0..processes {
            let program = std::env::current_exe().map_err(|error| error.to_string())?;
            let child = Command::new(program).args([serve::COMMAND, url]).stdout(Stdio::piped()).spawn();
            let mut process = Process(child.map_err(|error| error.to_string())?);
            let mut line = String::new();
            let told = process.0.stdout.as_mut().ok_or("no output")?;
            BufReader::new(told).read_line(&mut line).map_err(|error| error.to_string())?;
            addresses.push(line.trim().parse().map_err(|_| format!("a server says {line:?}"))?);
            started.push(process);
        }
        let first = *addresses.first().ok_or("no process")?;
        Ok(Site {
            name,
            doors: addresses.into_iter().map(Door::Http).collect(),
            cookie: new_session(first).await?,
            bystander: new_session(first).await?,
            counted: 0,
            _processes: started,
        })
    }

    /// PHP, whose visitors choose their ids.
    pub fn php(door: Door) -> Self {
        Site {
            name: "php-fpm",
            doors: vec![door],
            cookie: "PHPSESSID=whoever0counts0here0".to_owned(),
            bystander: "PHPSESSID=whoever0passes0by00000".to_owned(),
            counted: 0,
            _processes: Vec::new(),
        }
    }

    /// Whose turn it is.
    pub fn door(&self, turn: usize) -> Door {
        self.doors[turn % self.doors.len()].clone()
    }
}

async fn new_session(address: SocketAddr) -> Result<String, String> {
    let response = door::http(address, "/new", "").await.map_err(|error| error.to_string())?;
    let cookie = response.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    cookie.map(str::to_owned).ok_or_else(|| format!("no session: {response}"))
}
