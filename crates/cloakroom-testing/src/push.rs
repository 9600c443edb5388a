//! A store that tells its nodes of changes, for what keeps copies of sessions.

use std::sync::{Arc, Weak};

use cloakroom::StoreKey;
use cloakroom::store::{
    ChangeListener, Commit, Committed, Create, Created, End, Ended, PushStore, Rename, Renamed, Revoke,
    Revoked, Store, StoreFuture, Summary, Touch, Touched,
};
use parking_lot::Mutex;

/// One node's handle on a store that others use as well and that tells each of them of every change, with the ways in which
/// that goes wrong in a network: late news, a lost connection, a connection that is cut unnoticed. For answers that are late, put
/// a [`FaultStore`](crate::FaultStore) behind it. Clones are handles of the same node.
///
/// ```
/// use std::sync::Arc;
/// use cloakroom::{MemoryStore, NearCache};
/// use cloakroom_testing::PushingStore;
///
/// let here = PushingStore::new(Arc::new(MemoryStore::new()));
/// let there = here.another_node();
/// let (near, far) = (NearCache::new(here.clone()), NearCache::new(there));
/// here.cut(); // what `far` writes is not told to `near` any more
/// # let _ = (near, far);
/// ```
#[derive(Clone)]
pub struct PushingStore {
    store: Arc<dyn Store>,
    node: Arc<Node>,
    nodes: Arc<Mutex<Vec<Weak<Node>>>>,
}

struct Node {
    line: Mutex<Line>,
}

/// A node's connection, as far as news are concerned.
struct Line {
    listeners: Vec<Weak<dyn ChangeListener>>,
    connected: bool,
    cut: bool,
    /// News on their way.
    held: Option<Vec<StoreKey>>,
}

impl Line {
    fn each(&mut self, tell: impl Fn(&dyn ChangeListener)) {
        self.listeners.retain(|listener| listener.upgrade().inspect(|listener| tell(&**listener)).is_some());
    }

    fn told(&mut self, keys: &[StoreKey]) {
        if self.cut || !self.connected {
            return;
        }
        match &mut self.held {
            Some(held) => held.extend(keys),
            None => self.each(|listener| keys.iter().for_each(|key| listener.changed(*key))),
        }
    }
}

impl PushingStore {
    /// The first node's handle.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let nodes = Arc::default();
        PushingStore { store: inner, node: Node::joining(&nodes), nodes }
    }

    /// Another node's.
    pub fn another_node(&self) -> Self {
        let (store, nodes) = (Arc::clone(&self.store), Arc::clone(&self.nodes));
        PushingStore { store, node: Node::joining(&nodes), nodes }
    }

    /// The node's connection for news is lost, and the node notices.
    pub fn disconnect(&self) {
        let mut line = self.node.line.lock();
        line.connected = false;
        line.held = line.held.as_ref().map(|_| Vec::new());
        line.each(|listener| listener.disconnected());
    }

    /// There is one again.
    pub fn connect(&self) {
        let mut line = self.node.line.lock();
        (line.connected, line.cut) = (true, false);
        line.each(|listener| listener.connected());
    }

    /// News for this node are lost from now on, and nobody notices.
    pub fn cut(&self) {
        self.node.line.lock().cut = true;
    }

    /// News for this node are late: until [`deliver_news`](Self::deliver_news).
    pub fn hold_news(&self) {
        self.node.line.lock().held.get_or_insert_default();
    }

    /// Late news arrive.
    pub fn deliver_news(&self) {
        let mut line = self.node.line.lock();
        if let Some(held) = line.held.take() {
            line.told(&held);
        }
    }

    /// Has the nodes told of what a write changed.
    fn told<T: Send + 'static>(
        &self,
        answer: StoreFuture<T>,
        keys: impl Fn(&T) -> Vec<StoreKey> + Send + 'static,
    ) -> StoreFuture<T> {
        let nodes = Arc::clone(&self.nodes);
        let tell = move |keys: &[StoreKey]| {
            let nodes: Vec<_> = nodes.lock().iter().filter_map(Weak::upgrade).collect();
            nodes.iter().for_each(|node| node.line.lock().told(keys));
        };
        match answer.try_ready() {
            Ok(answer) => {
                answer.iter().for_each(|answer| tell(&keys(answer)));
                StoreFuture::ready(answer)
            }
            Err(pending) => StoreFuture::boxed(async move {
                let answer = pending.await;
                answer.iter().for_each(|answer| tell(&keys(answer)));
                answer
            }),
        }
    }
}

impl Node {
    fn joining(nodes: &Mutex<Vec<Weak<Node>>>) -> Arc<Node> {
        let line = Line { listeners: Vec::new(), connected: true, cut: false, held: None };
        let node = Arc::new(Node { line: Mutex::new(line) });
        nodes.lock().push(Arc::downgrade(&node));
        node
    }
}

fn keys_of<'a>(
    named: impl IntoIterator<Item = StoreKey>,
    ended: impl IntoIterator<Item = &'a Summary>,
) -> Vec<StoreKey> {
    named.into_iter().chain(ended.into_iter().map(|session| session.key)).collect()
}

impl PushStore for PushingStore {
    fn tell(&self, listener: Weak<dyn ChangeListener>) {
        let mut line = self.node.line.lock();
        if line.connected
            && let Some(listener) = listener.upgrade()
        {
            listener.connected();
        }
        line.listeners.push(listener);
    }
}

impl Store for PushingStore {
    fn create(&self, request: Create) -> StoreFuture<Created> {
        let key = request.key;
        self.told(self.store.create(request), move |answer| match answer {
            Created::Created { evicted, .. } => keys_of([key], evicted),
            Created::Exists => Vec::new(),
        })
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        let key = request.key;
        self.told(self.store.commit(request), move |_| vec![key])
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        let keys = [request.from, request.to];
        self.told(self.store.rename(request), move |answer| match answer {
            Renamed::Renamed { evicted, .. } => keys_of(keys, evicted),
            _ => Vec::new(),
        })
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        let key = request.key;
        self.told(self.store.touch(request), move |_| vec![key])
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        let key = request.key;
        self.told(self.store.end(request), move |answer| match answer {
            Ended::Ended(ended) => keys_of([key], ended),
            Ended::NotLive => Vec::new(),
        })
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        self.told(self.store.revoke(request), |answer| keys_of([], &answer.ended))
    }

    crate::hand_on!(store: name conventions load load_many acquire renew release list_user scan purge);
    crate::hand_on!(store: stats now released tell_expired);
}

impl std::fmt::Debug for PushingStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PushingStore({})", self.store.name())
    }
}
