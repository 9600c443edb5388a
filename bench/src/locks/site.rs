//! What is measured: processes that serve sessions on the same Redis server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
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
    /// Of their sockets, if they are ours.
    _folder: Option<tempfile::TempDir>,
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
        let folder = tempfile::tempdir().map_err(|error| format!("no folder for sockets: {error}"))?;
        let mut sockets: Vec<PathBuf> = Vec::new();
        for number in 0..processes {
            let program = std::env::current_exe().map_err(|error| error.to_string())?;
            let socket = folder.path().join(number.to_string());
            let mut command = Command::new(program);
            command.args([serve::COMMAND, url]).arg(&socket);
            let child = command.stdout(Stdio::piped()).spawn();
            let mut process = Process(child.map_err(|error| error.to_string())?);
            let mut line = String::new();
            let told = process.0.stdout.as_mut().ok_or("no output")?;
            BufReader::new(told).read_line(&mut line).map_err(|error| error.to_string())?;
            if line.trim() != "ready" {
                return Err(format!("a server says {line:?}"));
            }
            sockets.push(socket);
            started.push(process);
        }
        let first = sockets.first().ok_or("no process")?;
        Ok(Site {
            name,
            cookie: new_session(first).await?,
            bystander: new_session(first).await?,
            doors: sockets.into_iter().map(Door::Http).collect(),
            counted: 0,
            _processes: started,
            _folder: Some(folder),
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
            _folder: None,
        }
    }

    /// Whose turn it is.
    pub fn door(&self, turn: usize) -> Door {
        self.doors[turn % self.doors.len()].clone()
    }
}

async fn new_session(socket: &Path) -> Result<String, String> {
    let response = door::http(socket, "/new", "").await.map_err(|error| error.to_string())?;
    let cookie = response.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    cookie.map(str::to_owned).ok_or_else(|| format!("no session: {response}"))
}
