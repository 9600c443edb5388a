//! Servers for tests: started on a free port in a folder of their own, gone when dropped.
#![allow(dead_code, unused_macros, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod cluster;
pub mod pace;
mod promotions;
pub mod proxy;
pub mod sentinels;
pub mod undisturbed;
pub mod waiting;

use std::hash::{BuildHasher, RandomState};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom_redis::{RedisBuilder, RedisStore};

/// Which program serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Redis,
    Valkey,
}

impl Kind {
    /// The program. A missing one is a failure, never a skip.
    pub fn program(self) -> PathBuf {
        let (variable, names): (_, &[&str]) = match self {
            Kind::Redis => {
                ("CLOAKROOM_REDIS_SERVER", &["/usr/bin/redis-server", "/usr/local/bin/redis-server"])
            }
            Kind::Valkey => ("CLOAKROOM_VALKEY_SERVER", &["/usr/bin/valkey-server"]),
        };
        if let Some(program) = std::env::var_os(variable) {
            return program.into();
        }
        // Where `./test` unpacks it.
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers/valkey-server");
        let mut places: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        if self == Kind::Valkey {
            places.insert(0, unpacked);
        }
        let found = places.iter().find(|place| place.exists()).cloned();
        found.unwrap_or_else(|| {
            panic!("there is no server for {self:?}: ./test installs it, or set {variable}")
        })
    }
}

/// A server of one test.
pub struct Server {
    kind: Kind,
    port: u16,
    tls_port: Option<u16>,
    folder: tempfile::TempDir,
    options: Vec<String>,
    process: Mutex<Option<Child>>,
}

impl Server {
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[])
    }

    /// With further options, as on the command line: `["--requirepass", "hush"]`.
    pub fn start_with(kind: Kind, options: &[&str]) -> Self {
        Self::start_on(kind, options, false)
    }

    /// With TLS on a port of its own, beside the plain one; `options` say with which certificates.
    pub fn start_with_tls(kind: Kind, options: &[&str]) -> Self {
        Self::start_on(kind, options, true)
    }

    fn start_on(kind: Kind, options: &[&str], tls: bool) -> Self {
        // The free port may be taken by somebody else before the server has it: then another one.
        for _ in 0..20 {
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let mut options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
            let tls_port = tls.then(free_port);
            if let Some(port) = tls_port {
                options.extend(["--tls-port".to_owned(), port.to_string()]);
            }
            let server = Server { kind, port, tls_port, folder, options, process: Mutex::new(None) };
            if server.launch() {
                return server;
            }
        }
        panic!("{kind:?} does not start: see its log in the folder for temporary files");
    }

    /// A node of a cluster, on this port; it begins with what `file` says of the others. Nothing where the port is taken.
    pub fn start_in_cluster(kind: Kind, port: u16, options: &[&str], file: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("nodes.conf"), file).unwrap();
        let options = options.iter().map(|&o| o.to_owned()).collect();
        let server = Server { kind, port, tls_port: None, folder, options, process: Mutex::new(None) };
        server.launch().then_some(server)
    }

    /// The process that serves at present.
    pub fn pid(&self) -> u32 {
        self.process.lock().unwrap().as_ref().expect("it runs").id()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("started with TLS")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    pub fn builder(&self) -> RedisBuilder {
        RedisStore::builder(&self.url()).unwrap()
    }

    pub fn store(&self) -> RedisStore {
        self.builder().build().unwrap()
    }

    fn launch(&self) -> bool {
        let log = self.folder.path().join("log");
        let mut command = Command::new(self.kind.program());
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"]);
        command.arg("--unixsocket").arg(self.socket()).arg("--dir").arg(self.folder.path());
        command.arg("--logfile").arg(&log).args(&self.options).stdin(Stdio::null());
        // In our hands at once, so that it goes with us whatever happens next.
        *self.process.lock().unwrap() = Some(command.spawn().unwrap());
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if self.has_ended() {
                return false;
            }
            // Whoever has the socket in our folder is our server, and not a stranger on our port.
            if self.socket().exists() && self.answers() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    fn has_ended(&self) -> bool {
        let mut process = self.process.lock().unwrap();
        process.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Ready for commands, having read its data.
    fn answers(&self) -> bool {
        // One that gives up as it starts may have listened for a moment.
        let told = try_raw(self.port, "PING\r\nQUIT", false);
        told.is_ok_and(|told| !told.is_empty() && !told.contains("LOADING"))
    }

    /// Kills it, as a crash would.
    pub fn kill(&self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts it again, with the data it had.
    pub fn start_again(&self) {
        self.kill();
        assert!(self.launch(), "{:?} does not start again", self.kind);
    }

    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = self.process.lock().unwrap().as_ref() {
            let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
            assert!(sent.success());
        }
    }

    /// Sends a line on a connection of its own; answers with all that comes within a moment.
    pub fn raw(&self, line: &str) -> String {
        raw(self.port, &format!("{line}\r\nQUIT"), false)
    }

    /// How often each command was called, since `CONFIG RESETSTAT`.
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.raw("INFO commandstats");
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|rest| rest.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
    }

    /// How far it is in what is replicated.
    pub fn offset(&self) -> String {
        let told = self.raw("INFO replication");
        let offset = told.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
        offset.unwrap().to_owned()
    }

    /// All that was written since it started.
    pub fn append_only_file(&self) -> Vec<u8> {
        let mut written = Vec::new();
        for file in std::fs::read_dir(self.folder.path().join("appendonlydir")).unwrap() {
            written.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
        written
    }

    pub fn forget_calls(&self) {
        self.raw("CONFIG RESETSTAT");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends lines on a connection of its own, and their end as well if it is to be heard; answers with all that comes within a moment.
pub fn raw(port: u16, lines: &str, end: bool) -> String {
    try_raw(port, lines, end).unwrap()
}

/// The same, where nobody may be there.
fn try_raw(port: u16, lines: &str, end: bool) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(format!("{lines}\r\n").as_bytes())?;
    if end {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A free port, given out once, and none of those that the kernel gives to outgoing connections: a server that is away for a moment
/// would find its own taken when it comes back.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const LAST: u16 = 32_000;
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(0)));
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % u64::from(LAST - FIRST);
        let port = FIRST + u16::try_from(next).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Under which name the default prefix keeps a session, written anew: it is what other programs see.
pub fn name_of(key: &StoreKey) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let base64 = |bytes: &[u8]| -> String {
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().chain([0, 0].iter()).take(3).fold(0u32, |n, b| n << 8 | u32::from(*b));
            for n in 0..=chunk.len() {
                text.push(char::from(alphabet[(bits >> (18 - 6 * n)) as usize & 63]));
            }
        }
        text
    };
    let (tag, digest) = key.as_bytes().split_at(3);
    format!("cloakroom:{{{}}}{}", base64(tag), base64(digest))
}

/// Each of these tests on Redis and on Valkey.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() { super::$name($crate::support::Kind::Redis).await; })*
        }
        mod valkey {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() { super::$name($crate::support::Kind::Valkey).await; })*
        }
    };
}
#[allow(unused_imports)]
pub(crate) use on_both;
