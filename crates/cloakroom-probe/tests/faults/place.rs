//! Where the sessions are kept whose store fails.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloakroom::MemoryStore;
use cloakroom::store::Store;
use cloakroom_redis::RedisBuilder;
use cloakroom_testing::ManualClock;

use super::apart::ApartStore;
use super::lent::Lent;
use super::servers::{Kind, Server};

pub struct Place(Box<Open>);

/// A store with nothing in it, which goes by this clock.
type Open = dyn Fn(&ManualClock) -> Arc<dyn Store>;

impl Place {
    pub fn in_memory() -> Self {
        Place(Box::new(|clock| Arc::new(MemoryStore::builder().clock(clock.clone()).build())))
    }

    pub fn on_a_server(kind: Kind) -> Self {
        let server = Server::start(kind);
        // Power cuts are not among the faults: nothing waits for the disk.
        server.raw("CONFIG SET appendonly no");
        Self::served(server.builder(), server)
    }

    pub fn on_a_cluster(kind: Kind) -> Self {
        let cluster = Lent::of(kind);
        for node in &cluster.nodes {
            node.raw("CONFIG SET appendonly no");
        }
        Self::served(cluster.builder(), cluster)
    }

    fn served(builder: RedisBuilder, servers: impl Any) -> Self {
        // However busy this machine is: the calls that fail are those that are to.
        let patience = Duration::from_secs(30);
        let builder = builder.call_deadline(patience).connect_timeout(patience);
        let real_time = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (real_time, stores) = (real_time.unwrap(), AtomicUsize::new(0));
        Place(Box::new(move |clock| {
            let _kept_running = &servers;
            let prefix = format!("t{}:", stores.fetch_add(1, Ordering::Relaxed));
            let store = builder.clone().prefix(prefix).clock(clock.clone()).build().unwrap();
            Arc::new(ApartStore::new(Arc::new(store), real_time.handle().clone()))
        }))
    }

    pub fn store(&self, clock: &ManualClock) -> Arc<dyn Store> {
        (self.0)(clock)
    }
}
