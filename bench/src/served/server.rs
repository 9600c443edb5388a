//! A Redis server of the run's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends with this.
pub struct Server {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

/// What is under a name.
#[derive(Clone)]
pub struct Stored {
    /// Under which.
    pub name: String,
    /// What.
    pub value: Vec<u8>,
}

impl Server {
    /// Starts one that keeps nothing on disk.
    pub fn start(program: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no folder for the server: {error}"))?;
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("no free port: {error}"))?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        drop(listener);
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{program} does not start: {error}; is it installed?"))?;
        let server = Server { process, port, _folder: folder };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > Duration::from_secs(10) {
                return Err(format!("{program} does not answer"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, each subject in a database of its own.
    pub fn url(&self, database: u8) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }
}

impl Server {
    async fn ask<T: redis::FromRedisValue>(&self, database: u8, command: &redis::Cmd) -> T {
        let client = redis::Client::open(self.url(database)).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a server");
        command.query_async(&mut connection).await.expect("an answer")
    }

    /// Bytes.
    pub async fn used_memory(&self) -> u64 {
        let info: String = self.ask(0, redis::cmd("INFO").arg("memory")).await;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.trim().parse().ok()).expect("a number")
    }

    /// One of the values in a database.
    pub async fn sample(&self, database: u8) -> Stored {
        let name: String = self.ask(database, &redis::cmd("RANDOMKEY")).await;
        let value = self.ask(database, redis::cmd("GET").arg(&name)).await;
        Stored { name, value }
    }

    /// Removes everything from a database.
    pub async fn empty(&self, database: u8) {
        let _: redis::Value = self.ask(database, &redis::cmd("FLUSHDB")).await;
    }

    /// Its name and version.
    pub async fn version(&self) -> String {
        let info: String = self.ask(0, redis::cmd("INFO").arg("server")).await;
        let field = |name| info.lines().find_map(|line| line.strip_prefix(name));
        match field("valkey_version:") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", field("redis_version:").unwrap_or("of an unknown version")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
