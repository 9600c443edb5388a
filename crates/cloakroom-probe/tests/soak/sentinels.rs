//! A primary, two replicas and three sentinels as the ground.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::chance::Chance;
use super::ground::{self, Ground, Kept};
use super::harness::servers::sentinels::{Group, wait_for};
use super::harness::servers::{Kind, Server};

/// The sentinels': so little that on a busy machine they replace a primary by themselves now and then, at any time.
const PATIENCE: Duration = Duration::from_millis(500);
/// They do not lose it yet.
const A_MOMENT: Duration = Duration::from_millis(200);
/// A few writes of each session.
const AHEAD: Duration = Duration::from_millis(25);

pub struct SentinelGround {
    group: Arc<Group>,
    chance: Mutex<Chance>,
    /// Those that a trouble meant to cause.
    ordered: AtomicU64,
    failovers_over: AtomicU64,
}

impl SentinelGround {
    pub fn start(kind: Kind, seed: u64) -> Self {
        SentinelGround {
            group: Arc::new(Group::start_patiently(kind, PATIENCE)),
            chance: Mutex::new(Chance::of(seed, u64::MAX - 1)),
            ordered: AtomicU64::new(0),
            failovers_over: AtomicU64::new(0),
        }
    }

    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    fn primary(&self, to: &dyn Fn(String)) -> &Server {
        let primary = self.group.primary();
        to(format!("the primary on port {}", primary.port()));
        primary
    }

    /// Waits until the sentinels name another primary, brings the old one back in some way, and has it follow as they would in the end.
    fn replaced(&self, old: &Server, to: &dyn Fn(String), back: impl FnOnce()) {
        self.ordered.fetch_add(1, Ordering::SeqCst);
        let new = self.group.wait_for_another_than(old.port());
        to(format!("replaced by the one on port {}", new.port()));
        back();
        assert!(old.raw(&format!("REPLICAOF 127.0.0.1 {}", new.port())).starts_with("+OK"));
    }

    /// Waits until everybody else follows whom the sentinels name.
    fn wait_until_whole(&self) {
        wait_for("all replicas follow the primary", || {
            let primary = self.group.primary();
            let mut others = self.group.servers.iter().filter(|server| server.port() != primary.port());
            let follows = |replica: &Server| {
                let told = replica.raw("INFO replication");
                told.contains(&format!("master_port:{}", primary.port())) && told.contains("link_status:up")
            };
            primary.raw("ROLE").contains("master") && others.all(follows)
        });
    }
}

impl Ground for SentinelGround {
    fn troubles(&self) -> &'static [&'static str] {
        &[
            "primaries killed",
            "primaries killed ahead of their replicas",
            "scripts forgotten",
            "primaries replaced in order",
            "connections cut",
            "primaries stopped until they were replaced",
            "primaries stopped for a moment",
        ]
    }

    fn happen(&self, trouble: &str, to: &dyn Fn(String)) {
        let primary = self.primary(to);
        match trouble {
            "primaries killed" => {
                primary.kill();
                self.replaced(primary, to, || primary.start_again());
            }
            // The replicas lose their connection and may not make it again: what comes in until the end is lost.
            "primaries killed ahead of their replicas" => {
                assert!(primary.raw("ACL SETUSER default -psync -sync").starts_with("+OK"));
                primary.raw("CLIENT KILL TYPE replica");
                thread::sleep(AHEAD);
                primary.kill();
                self.replaced(primary, to, || primary.start_again());
            }
            "primaries stopped until they were replaced" => {
                primary.pause();
                let late = Duration::from_millis(self.chance.lock().unwrap().below(1_500));
                self.replaced(primary, to, || {
                    thread::sleep(late);
                    primary.resume();
                    to("awake".to_owned());
                });
            }
            // In order, but it waits for no replica.
            "primaries replaced in order" => {
                self.group.fail_over();
                self.replaced(primary, to, || {});
            }
            "primaries stopped for a moment" => {
                // On a machine that is too busy a moment can be too long, and a replica takes over.
                primary.pause();
                thread::sleep(A_MOMENT);
                primary.resume();
            }
            "connections cut" => {
                primary.raw("CLIENT KILL TYPE normal");
                primary.raw("CLIENT KILL TYPE pubsub");
            }
            "scripts forgotten" => {
                for server in &self.group.servers {
                    server.raw("SCRIPT FLUSH");
                }
            }
            other => panic!("nobody knows how to make this happen: {other}"),
        }
        let begun = self.failovers();
        self.wait_until_whole();
        self.failovers_over.store(begun, Ordering::SeqCst);
    }

    /// On the primary: replicas have the same once more.
    fn kept(&self) -> Option<Kept> {
        let named = self.group.servers.iter().filter_map(|server| ground::ask(server.port(), "INFO"));
        let mut primaries = named.filter(|said| said.contains("role:master"));
        let only = primaries.next()?;
        if primaries.next().is_some() { None } else { Kept::read(&only) }
    }

    /// Whoever caused them: a trouble, or sentinels that lost their patience with a busy machine.
    fn failovers(&self) -> u64 {
        self.group.promotions()
    }

    fn failovers_over(&self) -> u64 {
        self.failovers_over.load(Ordering::SeqCst)
    }

    fn remark(&self) -> Option<String> {
        let (all, ordered) = (self.failovers(), self.ordered.load(Ordering::SeqCst));
        Some(format!("{all} failovers, {} of them by the sentinels themselves", all.saturating_sub(ordered)))
    }
}
