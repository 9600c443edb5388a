//! Sentinels of a test's own: real ones over real servers, and one that says what a test has it say.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloakroom_redis::{RedisBuilder, RedisStore};

use super::promotions::Log;
use super::{Kind, Server, free_port};

/// What the sentinels call their service.
pub const SERVICE: &str = "shop";
/// Longer than anything takes that is waited for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// A primary, its replicas, and the sentinels that look after them.
pub struct Group {
    pub servers: Vec<Server>,
    sentinels: Vec<Sentinel>,
}

pub struct Sentinel {
    pub port: u16,
    process: Child,
    log: Log,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Group {
    /// One primary, two replicas and three sentinels that lose patience with a primary after half a second.
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, 2, 3, Duration::from_millis(500))
    }

    /// The same with more patience: nobody is replaced because the machine or its disk is busy.
    pub fn start_patiently(kind: Kind, patience: Duration) -> Self {
        Self::start_with(kind, 2, 3, patience)
    }

    /// A primary without replicas and one sentinel, which does nothing but know it.
    pub fn alone(kind: Kind) -> Self {
        Self::start_with(kind, 0, 1, Duration::from_secs(60))
    }

    /// A primary, the first of the servers, with two replicas that nobody looks after.
    pub fn unattended(kind: Kind) -> Self {
        Self::start_with(kind, 2, 0, Duration::ZERO)
    }

    fn start_with(kind: Kind, replicas: usize, sentinels: usize, patience: Duration) -> Self {
        // Replication begins at once, and what is sent is small.
        let swift = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];
        let mut servers = vec![Server::start_with(kind, &swift)];
        let port = servers[0].port();
        for _ in 0..replicas {
            let of = ["--replicaof", "127.0.0.1", &port.to_string()];
            servers.push(Server::start_with(kind, &[&swift[..], &of[..]].concat()));
        }
        let mut group = Group { servers, sentinels: Vec::new() };
        wait_for("the replicas are in step", || {
            let linked = |replica: &Server| replica.raw("INFO replication").contains("link_status:up");
            let known = group.servers[0].raw("INFO replication").matches("state=online").count();
            known == replicas && group.servers[1..].iter().all(linked)
        });
        for _ in 0..sentinels {
            let folder = group.servers[0].folder();
            group.sentinels.push(Sentinel::start(kind, folder, port, sentinels / 2 + 1, patience, &[]));
        }
        wait_for("the sentinels know one another and all servers", || {
            group.sentinels.iter().all(|sentinel| {
                let known = raw(sentinel.port, &format!("SENTINEL MASTER {SERVICE}"));
                let tells = |what: &str, n: usize| {
                    known.contains(&format!("{what}\r\n${}\r\n{n}\r\n", n.to_string().len()))
                };
                tells("num-slaves", replicas) && tells("num-other-sentinels", sentinels - 1)
            })
        });
        group
    }

    pub fn url(&self) -> String {
        let each: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis-sentinel://{}/{SERVICE}", each.join(","))
    }

    pub fn builder(&self) -> RedisBuilder {
        RedisStore::builder(&self.url()).unwrap()
    }

    pub fn store(&self) -> RedisStore {
        self.builder().build().unwrap()
    }

    /// The server that most sentinels name.
    pub fn primary(&self) -> &Server {
        let named: Vec<u16> = self.sentinels.iter().filter_map(Sentinel::names).collect();
        let most = named.iter().max_by_key(|port| named.iter().filter(|other| other == port).count());
        self.servers.iter().find(|server| Some(&server.port()) == most).expect("one of ours")
    }

    /// Waits until all replicas have what was written up to now.
    pub fn in_step(&self) {
        let replicas = self.servers.len() - 1;
        // WAIT is about what its own connection wrote.
        let told = self.primary().raw(&format!("SET step 1 PX 1000\r\nWAIT {replicas} 20000"));
        assert!(told.contains(&format!(":{replicas}")), "{told}");
    }

    /// Has the replicas stand still: they take nothing and confirm nothing.
    pub fn pause_replicas(&self) {
        self.servers[1..].iter().for_each(Server::pause);
    }

    pub fn resume_replicas(&self) {
        self.servers[1..].iter().for_each(Server::resume);
    }

    /// Waits until all sentinels name another server than this one.
    pub fn wait_for_another_than(&self, port: u16) -> &Server {
        let named = within(PATIENCE, || self.all_name_another_than(port));
        assert!(named, "the sentinels name no other primary:\n{}", self.logs());
        self.primary()
    }

    fn all_name_another_than(&self, port: u16) -> bool {
        let named: BTreeSet<_> = self.sentinels.iter().map(Sentinel::names).collect();
        named.len() == 1 && !named.contains(&Some(port)) && !named.contains(&None)
    }

    fn logs(&self) -> String {
        self.sentinels.iter().map(|sentinel| sentinel.log.end()).collect()
    }

    /// How often a replica was made the primary so far, by whoever's order: counted before it is told to be.
    pub fn promotions(&self) -> u64 {
        self.sentinels.iter().map(|sentinel| sentinel.log.promotions()).sum()
    }

    /// Has the first sentinel fail over, as an administrator would, and waits until all name another server.
    pub fn fail_over(&self) {
        // It gives up where a server is late, and does not begin where no replica is fit to take over, or while it is at it.
        let a_failover_takes = Duration::from_secs(6);
        let (began, old) = (Instant::now(), self.primary().port());
        loop {
            let told = raw(self.sentinels[0].port, &format!("SENTINEL FAILOVER {SERVICE}"));
            assert!(["+OK", "INPROG", "NOGOODSLAVE"].iter().any(|known| told.contains(known)), "{told}");
            if within(a_failover_takes, || self.all_name_another_than(old)) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "no replica takes over in order:\n{}", self.logs());
        }
    }
}

impl Sentinel {
    /// One that speaks TLS, and nothing else, also to the primary; it does nothing but know it.
    pub fn over_tls(primary: &Server, options: &[String]) -> Self {
        let options = [options, &["--tls-replication".to_owned(), "yes".to_owned()]].concat();
        let patience = Duration::from_secs(60);
        Self::start(Kind::Redis, primary.folder(), primary.tls_port(), 1, patience, &options)
    }

    fn start(
        kind: Kind,
        folder: &Path,
        primary: u16,
        quorum: usize,
        patience: Duration,
        tls: &[String],
    ) -> Self {
        for _ in 0..20 {
            let port = free_port();
            let listens = match tls {
                [] => format!("port {port}"),
                _ => format!("port 0\ntls-port {port}"),
            };
            let settings = folder.join(format!("sentinel-{port}.conf"));
            let log = folder.join(format!("sentinel-{port}.log"));
            let patience = patience.as_millis();
            let text = format!(
                "{listens}\nbind 127.0.0.1\ndir {}\nlogfile {}\n\
                 sentinel monitor {SERVICE} 127.0.0.1 {primary} {quorum}\n\
                 sentinel down-after-milliseconds {SERVICE} {patience}\n\
                 sentinel failover-timeout {SERVICE} 3000\nsentinel parallel-syncs {SERVICE} 2\n",
                folder.display(),
                log.display(),
            );
            std::fs::write(&settings, text).unwrap();
            let mut process = Command::new(kind.program())
                .arg(&settings)
                .arg("--sentinel")
                .args(tls)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(20) {
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Sentinel { port, process, log: Log::at(log) };
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("no sentinel starts: see its log in the folder for temporary files");
    }

    /// The port of the server that it names.
    fn names(&self) -> Option<u16> {
        let told = raw(self.port, &format!("SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}"));
        told.lines().nth(4)?.trim().parse().ok()
    }
}

/// A sentinel knows no QUIT, and closes when its client does.
fn raw(port: u16, line: &str) -> String {
    super::raw(port, line, true)
}

#[track_caller]
pub fn wait_for(what: &str, it: impl FnMut() -> bool) {
    assert!(within(PATIENCE, it), "in vain: {what}");
}

/// Whether it comes to be so in that time.
fn within(limit: Duration, mut it: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if it() {
            return true;
        }
        if began.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A sentinel that says what it is told to, and nothing by itself.
pub struct Puppet {
    pub port: u16,
    stage: Arc<Mutex<Stage>>,
}

struct Stage {
    names: Option<(String, u16)>,
    password: Option<&'static str>,
    clients: Vec<TcpStream>,
    /// Those that want to hear of switches.
    subscribed: Vec<TcpStream>,
    asked: usize,
    over: bool,
}

impl Puppet {
    pub fn naming(host: &str, port: u16) -> Self {
        Self::with(Some((host.to_owned(), port)), None)
    }

    /// It knows no such service.
    pub fn clueless() -> Self {
        Self::with(None, None)
    }

    pub fn with(names: Option<(String, u16)>, password: Option<&'static str>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stage =
            Stage { names, password, clients: Vec::new(), subscribed: Vec::new(), asked: 0, over: false };
        let stage = Arc::new(Mutex::new(stage));
        let shared = stage.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let mut stage = shared.lock().unwrap();
                if stage.over {
                    return;
                }
                stage.clients.push(client.try_clone().unwrap());
                let shared = shared.clone();
                std::thread::spawn(move || serve(client, &shared));
            }
        });
        Puppet { port, stage }
    }

    /// From now on it names this one, without telling.
    pub fn name_quietly(&self, port: u16) {
        self.stage.lock().unwrap().names = Some(("127.0.0.1".to_owned(), port));
    }

    /// From now on it names this one, and tells those of the switch who want to be told.
    pub fn switch_to(&self, port: u16) {
        self.name_quietly(port);
        let news = ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$4\r\nshop\r\n";
        for client in &mut self.stage.lock().unwrap().subscribed {
            let _ = client.write_all(news.as_bytes());
        }
    }

    /// How often it was asked where the primary is.
    pub fn asked(&self) -> usize {
        self.stage.lock().unwrap().asked
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        let mut stage = self.stage.lock().unwrap();
        stage.over = true;
        for client in stage.clients.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
        drop(stage);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// A store that asks these.
pub fn led_by(puppets: &[&Puppet]) -> RedisBuilder {
    let each: Vec<String> = puppets.iter().map(|puppet| format!("127.0.0.1:{}", puppet.port)).collect();
    RedisStore::builder(&format!("redis-sentinel://{}/{SERVICE}", each.join(","))).unwrap()
}

fn serve(client: TcpStream, stage: &Mutex<Stage>) {
    let (mut writing, mut known) = (client.try_clone().unwrap(), false);
    let mut reading = BufReader::new(client);
    while let Some(command) = command(&mut reading) {
        let word = |n: usize| command.get(n).map_or(String::new(), |word| word.to_uppercase());
        let answer = match word(0).as_str() {
            "HELLO" => {
                let shown = command.iter().position(|word| word.eq_ignore_ascii_case("AUTH"));
                let shown = shown.and_then(|at| command.get(at + 2)).map(String::as_str);
                match stage.lock().unwrap().password {
                    Some(_) if shown.is_none() && !known => {
                        "-NOAUTH HELLO must be called with\r\n".to_owned()
                    }
                    Some(password) if shown.is_some_and(|shown| shown != password) => {
                        "-WRONGPASS hush\r\n".to_owned()
                    }
                    _ => {
                        known = true;
                        "%1\r\n$5\r\nproto\r\n:3\r\n".to_owned()
                    }
                }
            }
            "SUBSCRIBE" => {
                if command[1] == "+switch-master" {
                    stage.lock().unwrap().subscribed.push(writing.try_clone().unwrap());
                }
                format!(">3\r\n$9\r\nsubscribe\r\n${}\r\n{}\r\n:1\r\n", command[1].len(), command[1])
            }
            "SENTINEL" => {
                let mut stage = stage.lock().unwrap();
                stage.asked += 1;
                match &stage.names {
                    Some((host, port)) => {
                        let port = port.to_string();
                        format!("*2\r\n${}\r\n{host}\r\n${}\r\n{port}\r\n", host.len(), port.len())
                    }
                    None => "_\r\n".to_owned(),
                }
            }
            _ => "+OK\r\n".to_owned(),
        };
        if writing.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn command(reading: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let number = |reading: &mut BufReader<TcpStream>| -> Option<usize> {
        let mut line = String::new();
        reading.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse().ok()
    };
    (0..number(reading)?)
        .map(|_| {
            let mut bytes = vec![0; number(reading)? + 2];
            reading.read_exact(&mut bytes).ok()?;
            bytes.truncate(bytes.len() - 2);
            String::from_utf8(bytes).ok()
        })
        .collect()
}
