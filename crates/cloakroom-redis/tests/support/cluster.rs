//! A cluster of three primaries and three replicas, of one test: started in folders of its own, gone when dropped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cloakroom_redis::{RedisBuilder, RedisStore};

use super::proxy::Proxy;
use super::{Kind, Server, free_port};

/// Slots of a cluster.
const SLOTS: u16 = 16_384;
const PRIMARIES: usize = 3;

pub struct Cluster {
    pub nodes: Vec<Server>,
    /// In front of each node, where it was asked for: what nodes announce then leads there, for clients and for replicas. The
    /// nodes' own talk, by which they tell who is away, goes past them.
    pub wires: Vec<Proxy>,
    /// The port of each node for TLS, where there is any.
    pub tls_ports: Vec<u16>,
    prefixes: AtomicUsize,
}

impl Cluster {
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, false, None)
    }

    /// With a wire to each node that can be cut.
    pub fn start_behind_wires(kind: Kind) -> Self {
        Self::start_with(kind, true, None)
    }

    /// With TLS to clients and between the nodes; `options` say with which certificates. The plain ports are there as well, for tests
    /// to look in by.
    pub fn start_over_tls(kind: Kind, options: &[&str]) -> Self {
        Self::start_with(kind, false, Some(options))
    }

    fn start_with(kind: Kind, wired: bool, tls: Option<&[&str]>) -> Self {
        // A port may be taken by somebody else before its node has it: then other ones.
        for _ in 0..5 {
            if let Some(cluster) = Self::try_start(kind, wired, tls) {
                return cluster;
            }
        }
        panic!("a cluster of {kind:?} does not start");
    }

    /// The nodes begin as if they had known each other for long: they read it from the file in which they keep that.
    fn try_start(kind: Kind, wired: bool, tls: Option<&[&str]>) -> Option<Self> {
        let ports: Vec<u16> = (0..6 * PRIMARIES).map(|_| free_port()).collect();
        let (ports, others) = ports.split_at(2 * PRIMARIES);
        let (bus, over_tls) = others.split_at(2 * PRIMARIES);
        let wires: Vec<Proxy> = ports.iter().filter(|_| wired).map(|port| Proxy::to(*port)).collect();
        let of_clients = if tls.is_some() { over_tls } else { ports };
        let announced = |n: usize| wires.get(n).map_or(of_clients[n], Proxy::port);
        let id = |n: usize| format!("{:040x}", n + 1);
        let mut nodes = Vec::new();
        for me in 0..2 * PRIMARIES {
            let known: Vec<String> = (0..2 * PRIMARIES)
                .map(|n| {
                    let mine = if n == me { "myself," } else { "" };
                    let (role, of, slots) = if n < PRIMARIES {
                        let (first, last) = slots_of(n);
                        ("master", "-".to_owned(), format!(" {first}-{last}"))
                    } else {
                        ("slave", id(n - PRIMARIES), String::new())
                    };
                    let epoch = n % PRIMARIES + 1;
                    let (port, bus) = (announced(n), bus[n]);
                    format!(
                        "{} 127.0.0.1:{port}@{bus} {mine}{role} {of} 0 0 {epoch} connected{slots}\n",
                        id(n)
                    )
                })
                .collect();
            let file = known.concat() + "vars currentEpoch 3 lastVoteEpoch 0\n";
            let bus = bus[me].to_string();
            let announced = announced(me).to_string();
            let mut options = vec![
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                "1000",
                "--cluster-require-full-coverage",
                "no",
                "--cluster-replica-validity-factor",
                "0",
                "--repl-diskless-sync-delay",
                "0",
            ];
            match tls {
                Some(tls) => {
                    options.extend(["--tls-port", &announced, "--tls-cluster", "yes"]);
                    options.extend(["--tls-replication", "yes"]);
                    options.extend(tls);
                }
                None => options.extend(["--cluster-announce-port", &announced]),
            }
            nodes.push(Server::start_in_cluster(kind, ports[me], &options, &file)?);
        }
        let tls_ports = if tls.is_some() { over_tls.to_vec() } else { Vec::new() };
        let cluster = Cluster { nodes, wires, tls_ports, prefixes: AtomicUsize::new(0) };
        cluster.wait_until_whole();
        Some(cluster)
    }

    /// Waits until half of the nodes are primaries, the others follow them, and all say that all is well.
    pub fn wait_until_whole(&self) {
        self.wait_until("everybody knows everybody", || {
            let well = |node: &Server| node.raw("CLUSTER INFO").contains("cluster_state:ok");
            let follows = |node: &&Server| node.raw("INFO replication").contains("master_link_status:up");
            self.nodes.iter().all(well) && self.nodes.iter().filter(follows).count() == PRIMARIES
        });
    }

    /// Whether that node is a primary at present, as it says itself.
    pub fn is_primary(&self, n: usize) -> bool {
        self.nodes[n].raw("ROLE").contains("master")
    }

    /// The nodes of the shard that this primary of the start serves: itself and its replica.
    pub fn shard(&self, n: usize) -> [usize; 2] {
        [n, n + PRIMARIES]
    }

    /// Moves a slot, as `redis-cli --cluster reshard` does, with time for requests at each stage.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize, linger: Duration) {
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let ok =
            |answer: String| assert!(answer.starts_with("+OK") || answer.starts_with("+NOKEY"), "{answer}");
        ok(target.raw(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", self.id(from))));
        ok(source.raw(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", self.id(to))));
        std::thread::sleep(linger);
        loop {
            let answer = source.raw(&format!("CLUSTER GETKEYSINSLOT {slot} 100"));
            // Not the lengths between them.
            let is_key = |line: &&str| line.contains(':') && !line.starts_with(['*', '$', '+']);
            let keys: Vec<&str> = answer.lines().filter(is_key).collect();
            if keys.is_empty() {
                break;
            }
            // One by one, so that some are here and some are there.
            for key in keys {
                ok(source.raw(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", target.port())));
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        std::thread::sleep(linger);
        ok(target.raw(&format!("CLUSTER SETSLOT {slot} NODE {}", self.id(to))));
        ok(source.raw(&format!("CLUSTER SETSLOT {slot} NODE {}", self.id(to))));
    }

    pub fn primaries(&self) -> &[Server] {
        &self.nodes[..PRIMARIES]
    }

    pub fn url(&self) -> String {
        let port = |(n, node): (usize, &Server)| self.wires.get(n).map_or(node.port(), Proxy::port);
        let ports = self.nodes.iter().enumerate().map(port);
        let nodes: Vec<String> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }

    /// A few of the nodes by this name, over TLS.
    pub fn tls_url(&self, host: &str) -> String {
        let nodes: Vec<String> = self.tls_ports.iter().take(2).map(|port| format!("{host}:{port}")).collect();
        format!("rediss-cluster://{}", nodes.join(","))
    }

    pub fn builder(&self) -> RedisBuilder {
        RedisStore::builder(&self.url()).unwrap()
    }

    pub fn store(&self) -> RedisStore {
        self.builder().build().unwrap()
    }

    /// A prefix that nobody else has.
    pub fn prefix(&self) -> String {
        format!("t{}:", self.prefixes.fetch_add(1, Ordering::Relaxed))
    }

    pub fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(60), "it did not come to be that {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The slot of a key, as the servers compute it.
    pub fn slot(&self, name: &str) -> u16 {
        let answer = self.nodes[0].raw(&format!("CLUSTER KEYSLOT {name}"));
        answer.lines().next().and_then(|line| line.strip_prefix(':')).unwrap().parse().unwrap()
    }

    /// Which of the primaries at the start has that slot.
    pub fn first_owner(&self, slot: u16) -> usize {
        (0..PRIMARIES).find(|n| (slots_of(*n).0..=slots_of(*n).1).contains(&slot)).unwrap()
    }

    /// The id of a node.
    pub fn id(&self, n: usize) -> String {
        format!("{:040x}", n + 1)
    }
}

fn slots_of(primary: usize) -> (u16, u16) {
    let share = SLOTS / PRIMARIES as u16;
    let first = share * primary as u16;
    (first, if primary + 1 == PRIMARIES { SLOTS - 1 } else { first + share - 1 })
}
