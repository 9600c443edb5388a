//! Who serves what at present, as far as is known here: asked for when first needed, corrected by every redirection, and asked
//! for again when a node cannot be reached, when it was told to be another one, and every now and then.
//!
//! One question is on its way at a time, and none within [`PAUSE`] of the one before: a cluster in trouble is not asked by every
//! request that meets the trouble. Several nodes are asked at once, and the first that answers counts; one that is behind the
//! others is corrected by the next redirection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cloakroom::clock::deadline_after;
use cloakroom::store::{StoreError, StoreErrorKind};
use parking_lot::{Mutex, RwLock};
use rand::seq::SliceRandom;
use tokio::runtime::Handle;

use super::map::SlotMap;
use super::seeds::Seeds;
use super::slot::SLOTS;
use crate::asking::Asking;
use crate::error::{self, Effect};
use crate::host::HostPort;
use crate::node::{Node, NodeSettings};
use crate::route::Route;
use crate::shared::{Deadline, Shared, Spot};
use crate::together;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// So much time has to be left for a question behind that.
const MARGIN: Duration = Duration::from_millis(50);
/// What is known is asked for again when it is as old as that, though nothing was wrong with it.
const OLD: Duration = Duration::from_secs(15);
/// Nodes asked at once.
const ASKED: usize = 6;
/// How long a node may take to tell.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Cluster {
    store: Weak<Shared>,
    settings: NodeSettings,
    /// As whom, and how.
    way: Route,
    seeds: Seeds,
    state: RwLock<State>,
    /// Held by whoever asks.
    asking: tokio::sync::Mutex<()>,
    last: Mutex<Last>,
    /// Somebody asks for nobody in particular.
    looking: AtomicBool,
}

struct State {
    /// Who serves each slot.
    slots: Vec<Option<Arc<Node>>>,
    /// All that are spoken with, those too that a redirection or a seed led to.
    nodes: HashMap<HostPort, Arc<Node>>,
    /// Since when all of it is known.
    known: Option<Instant>,
}

impl State {
    /// Every node that serves slots.
    fn serving(&self) -> Vec<Arc<Node>> {
        let mut serving: Vec<Arc<Node>> = Vec::new();
        for node in self.slots.iter().flatten() {
            // Many slots in a row are the same node's.
            let is_known = |known: &Arc<Node>| Arc::ptr_eq(known, node);
            if !serving.last().is_some_and(is_known) && !serving.iter().any(is_known) {
                serving.push(node.clone());
            }
        }
        serving
    }
}

/// How new an answer has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// What was told a moment ago will do.
    Recent,
    /// Asked from now on.
    New,
}

/// The last question.
struct Last {
    began: Option<Instant>,
    at: Option<Instant>,
    /// And why there was no answer.
    failed: Option<Arc<str>>,
}

impl Cluster {
    pub(crate) fn new(store: Weak<Shared>, settings: NodeSettings, way: Route, seeds: Seeds) -> Self {
        let state = State { slots: vec![None; usize::from(SLOTS)], nodes: HashMap::new(), known: None };
        Cluster {
            store,
            settings,
            way,
            seeds,
            state: RwLock::new(state),
            asking: tokio::sync::Mutex::new(()),
            last: Mutex::new(Last { began: None, at: None, failed: None }),
            looking: AtomicBool::new(false),
        }
    }

    /// Who serves that slot, as far as is known.
    pub(crate) fn known(&self, Spot(slot): Spot) -> Option<Arc<Node>> {
        self.state.read().slots.get(usize::from(slot)).cloned().flatten()
    }

    /// Who serves that slot, asked for where it is not known.
    pub(super) async fn owner(
        &self,
        store: &Shared,
        deadline: Deadline,
        spot: Spot,
    ) -> Result<Arc<Node>, StoreError> {
        if let Some(node) = self.known(spot) {
            if self.state.read().known.is_none_or(|known| known.elapsed() > OLD) {
                self.look_again();
            }
            return Ok(node);
        }
        self.learn(store, deadline, Age::Recent).await?;
        self.known(spot).ok_or_else(|| {
            error::unavailable(
                &store.place,
                "has no node for some of its slots: see CLUSTER INFO on one of them",
            )
        })
    }

    /// Whether another node than this one serves that slot by now.
    pub(super) async fn has_another(
        &self,
        store: &Shared,
        deadline: Deadline,
        spot: Spot,
        node: &Arc<Node>,
    ) -> bool {
        let another = || self.known(spot).is_some_and(|known| !Arc::ptr_eq(&known, node));
        another() || (self.learn(store, deadline, Age::Recent).await.is_ok() && another())
    }

    /// The same of a node that stood still, as the others say now.
    pub(super) async fn others_have_another(
        &self,
        store: &Shared,
        deadline: Deadline,
        spot: Spot,
        node: &Arc<Node>,
    ) -> Result<bool, StoreError> {
        // Where it was this process that stood still, what the others had said meanwhile is read after they are asked this, and they
        // seem to have gone on in the midst of it as well. When they are asked again, all of that has been read.
        if self.learn(store, deadline, Age::New).await.is_err() {
            self.learn(store, deadline, Age::New).await?;
        }
        Ok(self.known(spot).is_some_and(|known| !Arc::ptr_eq(&known, node)))
    }

    /// Every node that serves slots, in the order of their places.
    pub(crate) async fn primaries(
        &self,
        store: &Shared,
        deadline: Deadline,
    ) -> Result<Vec<Arc<Node>>, StoreError> {
        if self.state.read().known.is_none() {
            self.learn(store, deadline, Age::Recent).await?;
        }
        let mut primaries = self.state.read().serving();
        primaries.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(primaries)
    }

    /// The node at that place, known or not.
    pub(super) fn node_at(&self, place: &HostPort) -> Arc<Node> {
        if let Some(node) = self.state.read().nodes.get(place) {
            return node.clone();
        }
        let node = self.settings.node_at(&self.way, place);
        let mut state = self.state.write();
        state.nodes.entry(place.clone()).or_insert(node).clone()
    }

    /// A redirection says that this slot is another node's now.
    pub(super) fn moved(&self, Spot(slot): Spot, place: &HostPort) -> Arc<Node> {
        let node = self.node_at(place);
        let changed = match self.state.write().slots.get_mut(usize::from(slot)) {
            Some(known) if !known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &node)) => {
                *known = Some(node.clone());
                true
            }
            _ => false,
        };
        if changed {
            self.have_moved(|at| at == Spot(slot));
        }
        self.look_again();
        node
    }

    /// What was told of these slots, or will be, is not what their nodes tell.
    fn have_moved(&self, slots: impl Fn(Spot) -> bool) {
        self.settings.tracking.start_anew();
        if let Some(store) = self.store.upgrade() {
            store.listen_anew(|key| slots(store.spot(key)));
        }
    }

    /// Changes are to be told of from now on, by every node.
    pub(crate) fn track(&self) {
        self.state.read().nodes.values().for_each(|node| node.track());
    }

    /// Asks who serves what, for nobody in particular.
    pub(crate) fn look_again(&self) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let since = self.last.lock().at.map_or(PAUSE, |at| at.elapsed());
        let looking = Looking(self.store.clone());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // What was told a moment ago may be what is wrong: asked again, though not at once.
                tokio::time::sleep(PAUSE.saturating_sub(since)).await;
                let Some(store) = looking.0.upgrade() else { return };
                if let Some(cluster) = store.nodes.cluster() {
                    let _ = cluster.learn(&store, Deadline::within(PATIENCE), Age::Recent).await;
                }
            });
        }
    }

    /// Asks who serves what, unless that has just been done: then what came of it counts.
    async fn learn(&self, store: &Shared, deadline: Deadline, age: Age) -> Result<(), StoreError> {
        let arrived = Instant::now();
        let too_late = || error::unavailable(&store.place, "could not be asked in time who serves what");
        let Ok(_turn) = tokio::time::timeout_at(deadline.ends.into(), self.asking.lock()).await else {
            return Err(too_late());
        };
        let pause = {
            let last = self.last.lock();
            let will_do = match age {
                Age::Recent => last.at.is_some_and(|at| at >= arrived || at.elapsed() < PAUSE),
                Age::New => last.began.is_some_and(|began| began >= arrived),
            };
            if will_do {
                return match &last.failed {
                    Some(why) => Err(StoreError::new(StoreErrorKind::Unavailable, why.to_string())),
                    None => Ok(()),
                };
            }
            last.at.map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()))
        };
        if !pause.is_zero() {
            // Whoever comes meanwhile waits behind this one, and what it is told is new to all of them: who would hardly have time to ask
            // leaves that to the next.
            if deadline_after(Instant::now(), pause.saturating_add(MARGIN)) >= deadline.ends {
                return Err(too_late());
            }
            tokio::time::sleep(pause).await;
        }
        let began = Instant::now();
        let learned = self.ask_some(store, deadline).await.map(|map| self.install(&map));
        let now = Instant::now();
        let mut last = self.last.lock();
        last.at = Some(now);
        // Where its own time was up, that is no answer to those who have more.
        if learned.is_ok() || now < deadline.ends {
            last.began = Some(began);
            last.failed = learned.as_ref().err().map(|error| error.to_string().into());
        }
        learned
    }

    async fn ask_some(&self, store: &Shared, deadline: Deadline) -> Result<SlotMap, StoreError> {
        let mut known: Vec<HostPort> = self.state.read().nodes.keys().cloned().collect();
        known.shuffle(&mut rand::rng());
        known.truncate(ASKED);
        // Where none of those that are known answers, all of them may be gone: then those that were there from the beginning.
        if known.is_empty() || self.last.lock().failed.is_some() {
            let mut seeds = self.seeds.places().to_vec();
            seeds.shuffle(&mut rand::rng());
            seeds.retain(|seed| !known.contains(seed));
            known.extend(seeds.into_iter().take(ASKED));
        }
        self.leave_out_who_stood_still(&mut known);
        let within = Deadline::within(PATIENCE).and(deadline);
        let asked = known.iter().map(|place| Self::ask_one(store, self.node_at(place), within));
        together::first(asked)
            .await
            .unwrap_or_else(|| Err(error::unavailable(&store.place, "has no node that could be asked")))
    }

    /// Who went on a moment ago may not know yet what happened meanwhile. Where nobody else is known, there is nobody else to ask.
    fn leave_out_who_stood_still(&self, places: &mut Vec<HostPort>) {
        let now = Instant::now();
        let knows = |place: &HostPort| !self.node_at(place).standstill.concerns(now);
        if !places.iter().any(knows) {
            let seeds = self.seeds.places().iter();
            places.extend(seeds.filter(|seed| knows(seed)).take(ASKED).cloned());
        }
        if places.iter().any(knows) {
            places.retain(knows);
        }
    }

    async fn ask_one(store: &Shared, node: Arc<Node>, deadline: Deadline) -> Result<SlotMap, StoreError> {
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let told = store.ask_node(node, deadline, Effect::Reads, &Asking::One(&slots)).await?;
        if told.by.standstill.ended_after(deadline.began) {
            return Err(error::unavailable(&told.by.place, "stood still while it was asked who serves what"));
        }
        let told = match &told.value {
            redis::Value::ServerError(error) if error.code() == "ERR" => {
                let why = "is a single server and no node of a cluster: write redis:// for redis-cluster://";
                return Err(error::unavailable(&told.by.place, why));
            }
            _ => told.accepted()?,
        };
        let map = told.by.at.as_ref().and_then(|at| SlotMap::read(&told.value, at));
        match map {
            // A node that has not met the others yet.
            Some(map) if map.ranges.is_empty() => {
                Err(error::unavailable(&told.by.place, "knows of nobody who serves anything"))
            }
            Some(map) => Ok(map),
            None => Err(error::strange(&told.by.place, Effect::Reads)),
        }
    }

    fn install(&self, map: &SlotMap) {
        let nodes: HashMap<HostPort, Arc<Node>> =
            map.ranges.iter().map(|(_, _, place)| (place.clone(), self.node_at(place))).collect();
        let mut slots = vec![None; usize::from(SLOTS)];
        for (first, last, place) in &map.ranges {
            let range = slots.get_mut(usize::from(*first)..=usize::from(*last));
            range.unwrap_or_default().fill(nodes.get(place).cloned());
        }
        let same = |a: &Option<Arc<Node>>, b: &Option<Arc<Node>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let (changed, before) = {
            let mut state = self.state.write();
            let changed = !state.slots.iter().zip(&slots).all(|(a, b)| same(a, b));
            let now = State { slots, nodes, known: Some(Instant::now()) };
            (changed, std::mem::replace(&mut *state, now))
        };
        // Outside of the lock. Whoever served something and serves nothing now was replaced: it may not know that yet, and what it
        // acknowledges will be undone.
        if changed {
            let still = |node: &Node| map.ranges.iter().any(|(_, _, place)| node.at.as_ref() == Some(place));
            before.serving().into_iter().filter(|node| !still(node)).for_each(|node| node.cut());
        }
        drop(before);
        if changed {
            self.have_moved(|_| true);
        }
        if self.settings.tracking.is_wanted() {
            // Nothing is kept before all of them tell.
            self.state.read().nodes.values().for_each(|node| node.wake());
        }
    }
}

/// Somebody asks for nobody in particular, the only one of the store.
struct Looking(Weak<Shared>);

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(store) = self.0.upgrade()
            && let Some(cluster) = store.nodes.cluster()
        {
            cluster.looking.store(false, Ordering::Release);
        }
    }
}
