//! Clusters that one test uses after the other: to start one takes two seconds, to empty it no time.

use std::ops::Deref;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::servers::Kind;
use super::servers::cluster::Cluster;

/// Those that nobody uses.
static IDLE: Mutex<Vec<(Kind, Arc<Cluster>, Keeper)>> = Mutex::new(Vec::new());
/// As many as there may be tests at the same time that want one of a kind.
const KEPT: usize = 4;

/// A cluster in the hands of one test: empty when it begins, given back at its end.
pub struct Lent {
    cluster: Arc<Cluster>,
    /// What it is given back with; nothing for one that somebody else holds as well.
    kind: Option<Kind>,
    keeper: Option<Keeper>,
}

impl Lent {
    pub fn of(kind: Kind) -> Self {
        let mut idle = IDLE.lock().unwrap_or_else(|failed| failed.into_inner());
        let found = idle.iter().position(|(of, _, _)| *of == kind).map(|at| idle.swap_remove(at));
        drop(idle);
        let (cluster, keeper) = match found {
            Some((_, cluster, keeper)) => (cluster, keeper),
            None => {
                let cluster = Cluster::start(kind);
                let keeper = Keeper::of(&cluster);
                (Arc::new(cluster), keeper)
            }
        };
        Lent { cluster, kind: Some(kind), keeper: Some(keeper) }
    }

    /// One that somebody else answers for.
    pub fn own(cluster: Arc<Cluster>) -> Self {
        Lent { cluster, kind: None, keeper: None }
    }
}

impl Deref for Lent {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(kind), Some(keeper)) = (self.kind, self.keeper.take()) else { return };
        if std::thread::panicking() {
            return;
        }
        let emptied = |node: &super::servers::Server| node.raw("FLUSHALL").starts_with("+OK");
        if self.cluster.primaries().iter().all(emptied) {
            let mut idle = IDLE.lock().unwrap_or_else(|failed| failed.into_inner());
            if idle.len() < KEPT {
                idle.push((kind, self.cluster.clone(), keeper));
            }
        }
    }
}

/// Ends the nodes of a cluster when this process has ended, which drops nothing that is kept for ever: it notices by the pipe
/// between them.
struct Keeper(Child);

impl Keeper {
    fn of(cluster: &Cluster) -> Self {
        let script =
            "cat >/dev/null; for node; do kill -9 ${node%%:*}; rm -rf \"${node#*:}\"; done 2>/dev/null";
        let nodes = cluster.nodes.iter().map(|node| format!("{}:{}", node.pid(), node.folder().display()));
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(nodes);
        Keeper(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Keeper {
    /// The cluster ends by itself.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
