//! One server: the connections to it, and its clock. A store has one, or those of a cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloakroom::clock::Clock;
use cloakroom::store::StoreError;
use redis::ServerError;

use crate::cluster::Cluster;
use crate::durability::{Durability, Waiting};
use crate::error;
use crate::expiry::{Expiry, Watch};
use crate::host::HostPort;
use crate::link::{Link, OnPush};
use crate::permissions;
use crate::route::Route;
use crate::standstill::Standstill;
use crate::time::ServerTime;
use crate::tracking::Tracking;

/// The servers of a store.
pub(crate) enum Nodes {
    One(Arc<Node>),
    Cluster(Box<Cluster>),
}

impl Nodes {
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        match self {
            Nodes::One(_) => None,
            Nodes::Cluster(cluster) => Some(cluster),
        }
    }
}

pub(crate) struct Node {
    /// Where, for a node of a cluster.
    pub(crate) at: Option<HostPort>,
    /// For people: where, never as whom.
    pub(crate) place: Arc<str>,
    /// Of the store's keys, to name it where the user may not use them.
    prefix: Arc<str>,
    pub(crate) time: ServerTime,
    /// Of a node of a cluster.
    pub(crate) standstill: Arc<Standstill>,
    links: Vec<Link>,
    next_link: AtomicUsize,
    /// For writes that are to be kept elsewhere as well before they are acknowledged.
    pub(crate) waiting: Option<Waiting>,
    /// The connection to listen on for leases that become free.
    pub(crate) ear: Link,
    /// The one to hear of sessions that expire, where that is wanted.
    pub(crate) watch: Option<Watch>,
}

/// What all nodes of a store have in common.
pub(crate) struct NodeSettings {
    pub(crate) prefix: Arc<str>,
    pub(crate) connections: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) durability: Option<Durability>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) tracking: Arc<Tracking>,
    pub(crate) expiry: Option<Arc<Expiry>>,
    /// What becomes of what is heard.
    pub(crate) heard: OnPush,
}

impl NodeSettings {
    /// A node that is connected to when it is first asked for something.
    pub(crate) fn node(&self, route: Route, place: Arc<str>) -> Arc<Node> {
        self.make(route, place, None)
    }

    /// A node of a cluster.
    pub(crate) fn node_at(&self, way: &Route, at: &HostPort) -> Arc<Node> {
        self.make(way.to(at), format!("the node {at}").into(), Some(at.clone()))
    }

    fn make(&self, route: Route, place: Arc<str>, at: Option<HostPort>) -> Arc<Node> {
        let route = Arc::new(route);
        let standstill = Arc::new(Standstill::new());
        let watched = at.as_ref().map(|_| standstill.clone());
        let link = |heard, line| {
            Link::new(route.clone(), place.clone(), self.connect_timeout, heard, line, watched.clone())
        };
        Arc::new(Node {
            at,
            links: (0..self.connections).map(|_| link(None, Some(self.tracking.line()))).collect(),
            next_link: AtomicUsize::new(0),
            waiting: self.durability.map(|_| Waiting::new(|| link(None, None))),
            ear: link(Some(self.heard.clone()), None),
            watch: self.expiry.as_ref().map(|expiry| expiry.watch(|push| link(Some(push), None))),
            time: ServerTime::new(self.clock.clone()),
            standstill,
            place: place.clone(),
            prefix: self.prefix.clone(),
        })
    }
}

impl Node {
    /// The connection whose turn it is.
    pub(crate) fn link(&self) -> Result<&Link, StoreError> {
        let turn = self.next_link.fetch_add(1, Ordering::Relaxed);
        let link = self.links.get(turn % self.links.len().max(1));
        link.ok_or_else(|| error::unavailable(&self.place, "has no connection"))
    }

    /// Whether it has `SET … IFEQ`, as far as it has said so.
    pub(crate) fn sets_if_same(&self) -> bool {
        self.links.first().is_some_and(|link| link.greeting().sets_if_same)
    }

    /// Connects, where it has not.
    pub(crate) fn wake(&self) {
        for link in &self.links {
            let _ = link.ready();
        }
    }

    /// It serves nothing any more: see [`Link::cut`].
    pub(crate) fn cut(&self) {
        self.links.iter().for_each(Link::cut);
        if let Some(waiting) = &self.waiting {
            waiting.cut();
        }
        self.ear.cut();
    }

    /// Why it does not do what it was asked to.
    pub(crate) fn refuses(&self, told: &ServerError) -> StoreError {
        match permissions::refused(told.code(), told.details(), Some(&self.prefix)) {
            Some(why) => error::unavailable(&self.place, &why),
            None => error::refused(&self.place, told.code()),
        }
    }

    /// Changes are to be told of from now on.
    pub(crate) fn track(&self) {
        self.links.iter().for_each(Link::track);
    }
}
