//! A probe process of the test's own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloakroom_testing::processes;
use tempfile::TempDir;

use super::certificates::Authority;
use super::lent::Lent;
use super::phps_layout::PhpsLayout;
use super::servers::cluster::Cluster;
use super::servers::proxy::Proxy;
use super::servers::sentinels::Group;
use super::servers::{Kind, Server};
use super::{Request, Response, Visitor, sleep_ms};

/// A store behind a framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub store: &'static str,
    pub framework: &'static str,
    /// Another process over the same store, behind this framework: a visitor's requests that overlap are asked of both.
    pub beside: Option<&'static str>,
    /// Behind a near cache.
    pub near_cache: bool,
    /// In the layout of a PHP application, in this format.
    pub php: Option<PhpsLayout>,
}

impl Place {
    const fn axum(store: &'static str) -> Self {
        Place { store, framework: "axum", beside: None, near_cache: false, php: None }
    }

    const fn hyper(store: &'static str) -> Self {
        Place { framework: "hyper", ..Place::axum(store) }
    }

    pub const MEMORY_AXUM: Place = Place::axum("memory");
    pub const MEMORY_HYPER: Place = Place::hyper("memory");
    pub const SQLITE_AXUM: Place = Place::axum("sqlite");
    pub const SQLITE_HYPER: Place = Place::hyper("sqlite");
    pub const FILE_AXUM: Place = Place::axum("file");
    pub const FILE_HYPER: Place = Place::hyper("file");
    pub const REDIS_AXUM: Place = Place::axum("redis");
    pub const REDIS_HYPER: Place = Place::hyper("redis");
    pub const VALKEY_AXUM: Place = Place::axum("valkey");
    pub const VALKEY_HYPER: Place = Place::hyper("valkey");
    /// A server that a sentinel knows.
    pub const SENTINEL_AXUM: Place = Place::axum("sentinel");
    pub const SENTINEL_HYPER: Place = Place::hyper("sentinel");
    /// Three primaries and three replicas.
    pub const CLUSTER_AXUM: Place = Place::axum("cluster");
    pub const CLUSTER_HYPER: Place = Place::hyper("cluster");
    pub const VALKEY_CLUSTER_AXUM: Place = Place::axum("valkey-cluster");
    pub const VALKEY_CLUSTER_HYPER: Place = Place::hyper("valkey-cluster");
    /// Over TLS.
    pub const TLS_AXUM: Place = Place::axum("redis-tls");
    pub const TLS_HYPER: Place = Place::hyper("redis-tls");
    pub const NEAR_AXUM: Place = Place { near_cache: true, ..Place::REDIS_AXUM };
    pub const NEAR_VALKEY_HYPER: Place = Place { near_cache: true, ..Place::VALKEY_HYPER };
    pub const NEAR_CLUSTER_AXUM: Place = Place { near_cache: true, ..Place::CLUSTER_AXUM };
    /// Two processes, one behind each framework.
    pub const REDIS_BOTH: Place = Place { beside: Some("hyper"), ..Place::REDIS_AXUM };
    pub const VALKEY_BOTH: Place = Place { beside: Some("axum"), ..Place::VALKEY_HYPER };
    pub const CLUSTER_BOTH: Place = Place { beside: Some("axum"), ..Place::CLUSTER_HYPER };
    /// Where a PHP application keeps its sessions.
    pub const PHP_AXUM: Place = Place { php: Some(PhpsLayout::PHPREDIS), ..Place::REDIS_AXUM };
    pub const IGBINARY_HYPER: Place = Place { php: Some(PhpsLayout::IGBINARY), ..Place::REDIS_HYPER };
    pub const PHP_FILES_AXUM: Place = Place { php: Some(PhpsLayout::FILES), ..Place::FILE_AXUM };
    pub const MINI_HYPER: Place = Place { php: Some(PhpsLayout::MINI), ..Place::FILE_HYPER };

    /// Starts a probe here, on a free port, over an empty store.
    pub fn start(self, flags: &[&str]) -> Probe {
        self.start_on(self.data(), flags, command())
    }

    /// One of two places that differ in their framework, where both for each case would take too long: half of the cases have the one, and half
    /// the other.
    pub fn one_of(two: [Place; 2], case: &str) -> Self {
        two[case.len() % 2]
    }

    /// How many processes a visitor's requests go to.
    pub fn processes(self) -> usize {
        1 + usize::from(self.beside.is_some())
    }

    /// Whether the sessions are in a server's hands.
    pub fn is_served(self) -> bool {
        matches!(self.store, "redis" | "redis-tls" | "valkey" | "sentinel" | "cluster" | "valkey-cluster")
    }

    /// Asks until it is so. What another process did shows with the next request; behind a near cache, some time later.
    pub async fn shows(self, shown: impl AsyncFn() -> bool) {
        let asked = Instant::now();
        loop {
            let after = asked.elapsed();
            if shown().await {
                return;
            }
            let soon = self.near_cache && after < Duration::from_secs(2);
            assert!(soon, "what was asked {after:?} later does not show it");
            sleep_ms(1).await;
        }
    }

    fn data(self) -> Data {
        let server = match self.store {
            "redis" => Some(Arc::new(Server::start(Kind::Redis))),
            "valkey" => Some(Arc::new(Server::start(Kind::Valkey))),
            _ => None,
        };
        // Each write to a file is flushed by itself, up to seven times: on a busy disk slower than what is timed here.
        let memory = std::path::Path::new("/dev/shm");
        let dir = match self.store == "file" && memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let dir = dir.unwrap();
        if self.php == Some(PhpsLayout::FILES) {
            // PHP has it.
            std::fs::create_dir(dir.path().join("sessions")).unwrap();
        }
        let mut data = Data { dir: Arc::new(dir), server, authority: None, group: None, cluster: None };
        if self.store == "redis-tls" {
            let authority = Authority::new();
            let (identity, ca) = (authority.server(&["127.0.0.1"]), authority.file());
            data.server = Some(Arc::new(Server::start_with_tls(Kind::Redis, &identity.options(&ca, "no"))));
            data.authority = Some(Arc::new(authority));
        }
        if self.store == "sentinel" {
            let mut group = Group::alone(Kind::Redis);
            data.server = Some(Arc::new(group.servers.remove(0)));
            data.group = Some(Arc::new(group));
        }
        data.cluster = match self.store {
            "cluster" => Some(Arc::new(Lent::of(Kind::Redis))),
            "valkey-cluster" => Some(Arc::new(Lent::of(Kind::Valkey))),
            _ => None,
        };
        data
    }

    /// Starts a probe here over the servers of this group, wherever their primary is.
    pub fn start_over(self, group: &Arc<Group>, flags: &[&str]) -> Probe {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let data = Data { dir, server: None, authority: None, group: Some(group.clone()), cluster: None };
        self.start_on(data, flags, command())
    }

    /// Starts a probe here over this cluster.
    #[allow(dead_code)] // By the soak, which has this harness as well.
    pub fn start_over_cluster(self, cluster: &Arc<Cluster>, flags: &[&str]) -> Probe {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let cluster = Some(Arc::new(Lent::own(cluster.clone())));
        self.start_on(Data { dir, server: None, authority: None, group: None, cluster }, flags, command())
    }

    /// As `start`, with everything logged that the library has to say.
    pub fn start_logging(self, flags: &[&str]) -> Probe {
        let mut command = command();
        command.env(
            "RUST_LOG",
            "cloakroom=trace,cloakroom_probe=trace,cloakroom_sqlite=trace,cloakroom_file=trace,cloakroom_redis=trace",
        );
        self.start_on(self.data(), flags, command)
    }

    fn start_on(self, data: Data, flags: &[&str], command: Command) -> Probe {
        let beside = self.beside.map(|framework| {
            let place = Place { framework, beside: None, ..self };
            Box::new(place.start_on(data.clone(), flags, self::command()))
        });
        let store = match (self.store, &data.server) {
            ("sentinel", _) => data.group.as_ref().unwrap().url(),
            ("cluster" | "valkey-cluster", _) => data.cluster.as_ref().unwrap().url(),
            ("sqlite", _) => format!("sqlite:{}", data.dir.path().join("sessions.db").display()),
            ("file", _) => format!("file:{}", data.dir.path().join("sessions").display()),
            ("redis-tls", Some(server)) => {
                let ca = data.authority.as_ref().unwrap().file();
                format!("rediss://127.0.0.1:{}/0?ca={}", server.tls_port(), ca.display())
            }
            // By either way in.
            (_, Some(server)) if self.framework == "axum" => server.url(),
            (_, Some(server)) => format!("redis+unix:{}", server.socket().display()),
            (other, None) => format!("{other}:"),
        };
        let mut probe = self.start_at(&store, data, flags, command);
        probe.beside = beside;
        probe
    }

    fn start_at(self, store: &str, data: Data, flags: &[&str], mut command: Command) -> Probe {
        let Data { dir, server, authority, group, cluster } = data;
        let mut child = command
            .args(["--store", store, "--framework", self.framework])
            .args(self.near_cache.then_some("--near-cache"))
            .args(self.php.into_iter().flat_map(|layout| layout.flags(flags)))
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Said::by(&mut child);
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim_end().strip_prefix("listening on http://") else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the probe did not start: {line:?} {}", said.all());
        };
        let address = address.parse().unwrap();
        let said = Some(said);
        Probe { place: self, address, child, said, beside: None, dir, server, authority, group, cluster }
    }
}

/// The probe, not yet started.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-probe"));
    // Panics on purpose need no pages of explanation.
    command.env("RUST_BACKTRACE", "0").env_remove("RUST_LOG").stdin(Stdio::null());
    // Of a Laravel application that does not exist.
    command.env("APP_KEY", "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    command
}

/// The probe must refuse to start with these arguments: exit status 2, one line on standard error that says `why`.
#[track_caller]
pub fn refused(arguments: &[&str], why: &str) {
    let output = command().args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.contains(why), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty());
}

/// A running probe; killed when dropped.
pub struct Probe {
    pub place: Place,
    pub address: SocketAddr,
    child: Child,
    said: Option<Said>,
    beside: Option<Box<Probe>>,
    pub dir: Arc<TempDir>,
    server: Option<Arc<Server>>,
    authority: Option<Arc<Authority>>,
    group: Option<Arc<Group>>,
    cluster: Option<Arc<Lent>>,
}

/// Where the sessions of a probe are, for one process after or beside the other.
#[derive(Clone)]
struct Data {
    dir: Arc<TempDir>,
    server: Option<Arc<Server>>,
    /// Who vouches for the server.
    authority: Option<Arc<Authority>>,
    /// Sentinels, and their servers.
    group: Option<Arc<Group>>,
    cluster: Option<Arc<Lent>>,
}

impl Probe {
    /// Somebody who has not been here before.
    pub fn visitor(&self) -> Visitor {
        self.presenting(None)
    }

    /// Somebody who presents this cookie, `name=value`.
    pub fn presenting(&self, cookie: Option<&str>) -> Visitor {
        let beside = self.beside.as_ref().map(|other| other.address);
        Visitor::at(self.address, beside, cookie)
    }

    /// A visitor with a session that holds `seed: 1`.
    pub async fn visitor_with_session(&self) -> Visitor {
        let visitor = self.visitor();
        visitor.get("/set/seed/1").await.ok();
        assert!(visitor.cookie().is_some());
        visitor
    }

    /// A visitor who is logged in.
    pub async fn logged_in(&self, user: &str) -> Visitor {
        let visitor = self.visitor();
        visitor.get(&format!("/login/{user}")).await.ok();
        visitor
    }

    /// How many live sessions a user has; seen from a session that is made to look, or in the store where nothing lists them.
    pub async fn sessions_of(&self, user: &str) -> usize {
        if let Some(layout) = self.place.php {
            return layout.sessions_with(self, user);
        }
        let devices = self.logged_in(user).await.get("/devices").await.json();
        devices.as_array().unwrap().len() - 1
    }

    /// A request without any cookie.
    pub async fn get(&self, path: &str) -> Response {
        self.ask(Request::get(path)).await
    }

    pub async fn ask(&self, request: Request) -> Response {
        request.send(self.address).await.response().await
    }

    /// A request with this in its `cookie` header.
    pub async fn get_with(&self, cookie: &str, path: &str) -> Response {
        self.ask(Request::get(path).header("cookie", cookie)).await
    }

    /// A counter of `/metrics`, by its name without prefix and suffix; of both processes where there are two.
    pub async fn counter(&self, name: &str) -> u64 {
        self.visitor().counter(name).await
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to stop, as a supervisor does, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        processes::end(&mut self.child)
    }

    /// Ends the process without notice.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts another process over the same store; for stores that outlive one.
    pub fn start_again(&self, flags: &[&str]) -> Probe {
        self.place.start_on(self.data(), flags, command())
    }

    /// As `start_again`, with a wire to the server that can be cut.
    pub fn start_behind(&self, wire: &Proxy, flags: &[&str]) -> Probe {
        self.place.start_at(&wire.url(), self.data(), flags, command())
    }

    fn data(&self) -> Data {
        Data {
            dir: Arc::clone(&self.dir),
            server: self.server.clone(),
            authority: self.authority.clone(),
            group: self.group.clone(),
            cluster: self.cluster.clone(),
        }
    }

    /// The servers that keep the sessions.
    pub fn servers(&self) -> Vec<&Server> {
        match &self.cluster {
            Some(cluster) => cluster.primaries().iter().collect(),
            None => vec![self.server()],
        }
    }

    /// The server that keeps the sessions.
    pub fn server(&self) -> &Arc<Server> {
        self.server.as_ref().unwrap()
    }

    /// What the probe wrote to standard error, all of it; ends it.
    pub fn log(&mut self) -> String {
        self.terminate();
        self.said.take().unwrap().all()
    }
}

impl Drop for Probe {
    /// Where the test has failed, what the process had to say may tell why.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let ended = self.child.wait();
        if let Some(said) = self.said.take().filter(|_| std::thread::panicking()) {
            println!("the probe at {}, {ended:?}: {}", self.address, said.all());
        }
    }
}

/// What a process writes to standard error, taken from it as it comes: one that nobody listens to stands still in the end.
struct Said(JoinHandle<Vec<u8>>);

impl Said {
    fn by(child: &mut Child) -> Self {
        let mut stderr = child.stderr.take().unwrap();
        Said(std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
            said
        }))
    }

    /// All of it; waits for the end of the process.
    fn all(self) -> String {
        String::from_utf8_lossy(&self.0.join().unwrap_or_default()).into_owned()
    }
}
