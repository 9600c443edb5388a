//! A cluster of three primaries and three replicas as the ground, with a wire to each node that can be cut.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::chance::Chance;
use super::ground::{self, Ground, Kept};
use super::harness::servers::cluster::Cluster;
use super::harness::servers::{Kind, Server};

/// Nodes that are primaries at the start, and as many replicas.
const SHARDS: u64 = 3;
/// Slots that are moved one after the other.
const SLOTS_AT_A_TIME: usize = 4;
/// A node is taken to have failed when it was silent for a second: not yet.
const A_MOMENT: Duration = Duration::from_millis(400);
/// A few writes of each session.
const AHEAD: Duration = Duration::from_millis(25);
/// Longer than the deadline of a call to a store, which is two seconds.
const TOO_LONG: Duration = Duration::from_millis(2_500);

pub struct ClusterGround {
    cluster: Arc<Cluster>,
    /// Who it happens to next.
    chance: Mutex<Chance>,
    failovers: AtomicU64,
    failovers_over: AtomicU64,
}

impl ClusterGround {
    pub fn start(kind: Kind, seed: u64) -> Self {
        ClusterGround {
            cluster: Arc::new(Cluster::start_behind_wires(kind)),
            chance: Mutex::new(Chance::of(seed, u64::MAX - 1)),
            failovers: AtomicU64::new(0),
            failovers_over: AtomicU64::new(0),
        }
    }

    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    fn below(&self, bound: u64) -> u64 {
        self.chance.lock().unwrap().below(bound)
    }

    /// The primary of a shard, and its replica.
    fn a_shard(&self, to: &dyn Fn(String)) -> (&Server, &Server) {
        let [one, other] = self.cluster.shard(self.below(SHARDS) as usize);
        let (primary, replica) = if self.cluster.is_primary(one) { (one, other) } else { (other, one) };
        to(format!("node {primary}, whose replica is {replica},"));
        (&self.cluster.nodes[primary], &self.cluster.nodes[replica])
    }

    fn any_node(&self, to: &dyn Fn(String)) -> usize {
        let node = self.below(2 * SHARDS) as usize;
        to(format!("node {node}"));
        node
    }

    /// From here on the last writes may be lost.
    fn replicas_may_take_over(&self) {
        self.failovers.fetch_add(1, Ordering::SeqCst);
    }

    fn takes_over(&self, replica: &Server, to: &dyn Fn(String)) {
        self.cluster.wait_until("the replica takes over", || replica.raw("ROLE").contains("master"));
        to("replaced".to_owned());
    }

    /// Slots in which sessions live, from one shard to the next, while they are used.
    fn move_slots(&self, to_whom: &dyn Fn(String)) {
        let shard = self.below(SHARDS) as usize;
        let serving =
            |shard: usize| self.cluster.shard(shard).into_iter().find(|node| self.cluster.is_primary(*node));
        let (Some(from), Some(to)) = (serving(shard), serving((shard + 1) % SHARDS as usize)) else {
            panic!("a shard has no primary");
        };
        // Live ones are few among the marks of those that ended.
        let live = "local live = {} \
            for _, key in ipairs(redis.call('KEYS', 'cloakroom:{*')) do \
              if redis.call('GETRANGE', key, 1, 1) == '\\x01' then live[#live + 1] = key end \
            end \
            return live";
        let said = self.cluster.nodes[from].raw(&format!("EVAL \"{live}\" 0"));
        // Servers that keep keys by their slots tell those of one slot together.
        let mut keys: Vec<&str> = said.lines().filter(|line| line.starts_with("cloakroom:{")).collect();
        let mut moved = BTreeSet::new();
        while moved.len() < SLOTS_AT_A_TIME && !keys.is_empty() {
            let key = keys.swap_remove(self.below(keys.len() as u64) as usize);
            let slot = self.cluster.slot(key);
            if moved.insert(slot) {
                to_whom(format!("slot {slot} from node {from} to {to}"));
                self.cluster.move_slot(slot, from, to, Duration::from_millis(50));
            }
        }
    }
}

impl Ground for ClusterGround {
    fn troubles(&self) -> &'static [&'static str] {
        &[
            "primaries killed",
            "slots moved",
            "nodes stopped for a moment",
            "answers swallowed",
            "places changed",
            "primaries killed ahead of their replicas",
            "connections cut",
            "primaries stopped until they were replaced",
            "nodes cut off",
            "scripts forgotten",
            "clients paused",
        ]
    }

    fn happen(&self, trouble: &str, to: &dyn Fn(String)) {
        match trouble {
            "primaries killed" => {
                let (primary, replica) = self.a_shard(to);
                self.replicas_may_take_over();
                primary.kill();
                self.takes_over(replica, to);
                primary.start_again();
            }
            // The replica loses its connection and may not make it again: what comes in until the end is lost.
            "primaries killed ahead of their replicas" => {
                let (primary, replica) = self.a_shard(to);
                assert!(primary.raw("ACL SETUSER default -psync -sync").starts_with("+OK"));
                self.replicas_may_take_over();
                primary.raw("CLIENT KILL TYPE replica");
                thread::sleep(AHEAD);
                primary.kill();
                self.takes_over(replica, to);
                primary.start_again();
            }
            "primaries stopped until they were replaced" => {
                let (primary, replica) = self.a_shard(to);
                self.replicas_may_take_over();
                primary.pause();
                self.takes_over(replica, to);
                thread::sleep(Duration::from_millis(self.below(1_500)));
                primary.resume();
                to("awake".to_owned());
            }
            "nodes stopped for a moment" => {
                let node = &self.cluster.nodes[self.any_node(to)];
                // On a machine that is too busy a moment can be too long.
                self.replicas_may_take_over();
                node.pause();
                thread::sleep(A_MOMENT);
                node.resume();
            }
            "slots moved" => self.move_slots(to),
            // Nobody fails: nothing may be lost.
            "places changed" => {
                let (_, replica) = self.a_shard(to);
                assert!(replica.raw("CLUSTER FAILOVER").starts_with("+OK"));
                self.takes_over(replica, to);
            }
            "answers swallowed" => {
                let wire = &self.cluster.wires[self.any_node(to)];
                wire.hold_answers();
                thread::sleep(TOO_LONG);
                wire.mend();
            }
            "nodes cut off" => {
                let wire = &self.cluster.wires[self.any_node(to)];
                wire.cut();
                thread::sleep(TOO_LONG);
                wire.mend();
            }
            "connections cut" => {
                let node = &self.cluster.nodes[self.any_node(to)];
                node.raw("CLIENT KILL TYPE normal");
                node.raw("CLIENT KILL TYPE pubsub");
            }
            "scripts forgotten" => {
                for node in &self.cluster.nodes {
                    node.raw("SCRIPT FLUSH");
                }
            }
            "clients paused" => {
                self.cluster.nodes[self.any_node(to)].raw("CLIENT PAUSE 700 ALL");
                thread::sleep(Duration::from_millis(700));
            }
            other => panic!("nobody knows how to make this happen: {other}"),
        }
        self.cluster.wait_until_whole();
        self.failovers_over.store(self.failovers(), Ordering::SeqCst);
    }

    /// On the primaries: replicas have the same once more.
    fn kept(&self) -> Option<Kept> {
        let mut all = Kept { keys: 0, without_expiry: 0, memory: 0 };
        let mut primaries = 0;
        for node in &self.cluster.nodes {
            let Some(said) = ground::ask(node.port(), "INFO") else { continue };
            if said.contains("role:master") {
                let kept = Kept::read(&said)?;
                all.keys += kept.keys;
                all.without_expiry += kept.without_expiry;
                all.memory += kept.memory;
                primaries += 1;
            }
        }
        (primaries == SHARDS).then_some(all)
    }

    fn failovers(&self) -> u64 {
        self.failovers.load(Ordering::SeqCst)
    }

    fn failovers_over(&self) -> u64 {
        self.failovers_over.load(Ordering::SeqCst)
    }
}
