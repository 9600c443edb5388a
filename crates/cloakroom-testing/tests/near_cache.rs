//! The near cache in front of a store whose news are late, lost or cut off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use cloakroom::payload::Payload;
use cloakroom::record::Record;
use cloakroom::store::{
    Committed, Create, Ended, Loaded, OldId, Renamed, RevokeWhich, Store, StoreErrorKind, StoreFuture,
};
use cloakroom::{MemoryStore, NearCache, StoreKey};
use cloakroom_testing::conformance::Subject;
use cloakroom_testing::spy::Op;
use cloakroom_testing::{
    Fault, FaultStore, Gate, ManualClock, PushingStore, ReferenceStore, SpyStore, requests,
};

mod common;
use common::{live, payload};

fn data(value: &str) -> Payload {
    payload(&[("value", value)])
}

fn create(key: StoreKey) -> Create {
    requests::create(key, data("old"))
}

type Near = NearCache<PushingStore>;

const LIFETIME: Duration = Duration::from_secs(2);

/// Two nodes, each with its cache, on one store.
struct Nodes {
    clock: ManualClock,
    spy: SpyStore,
    faults: FaultStore,
    here: PushingStore,
    there: PushingStore,
    near: Near,
    far: Near,
}

impl Nodes {
    fn new() -> Self {
        let clock = ManualClock::new();
        let spy = SpyStore::new(Arc::new(ReferenceStore::with_clock(clock.clone())));
        let faults = FaultStore::new(Arc::new(spy.clone()));
        let here = PushingStore::new(Arc::new(faults.clone()));
        let there = here.another_node();
        let cache = |store: &PushingStore| NearCache::builder(store.clone()).clock(clock.clone()).build();
        let (near, far) = (cache(&here), cache(&there));
        Nodes { clock, spy, faults, here, there, near, far }
    }

    /// A session that both nodes have read.
    async fn known(&self) -> (StoreKey, Arc<Record>) {
        let key = requests::key();
        self.near.create(create(key)).await.unwrap();
        for node in [&self.near, &self.far] {
            live(node, key).await;
            live(node, key).await;
        }
        assert_eq!(self.calls(async || drop(live(&self.near, key).await)).await, 0, "it is kept");
        assert_eq!(self.calls(async || drop(live(&self.far, key).await)).await, 0, "it is kept");
        (key, live(&self.near, key).await)
    }

    /// Asks the near node for a session; the store gives the answer, which arrives once the gate is opened.
    async fn on_its_way(&self, key: StoreKey) -> (StoreFuture<Loaded>, Gate) {
        let gate = Gate::new();
        self.faults.at_op(Op::Load, 1, Fault::HoldAnswer(gate.clone()));
        let mark = self.spy.mark();
        let answer = self.near.load(key);
        while self.spy.since(mark).is_empty() {
            tokio::task::yield_now().await;
        }
        (answer, gate)
    }

    /// How many calls reached the store.
    async fn calls(&self, what: impl AsyncFnOnce()) -> usize {
        let mark = self.spy.mark();
        what().await;
        self.spy.since(mark).len()
    }
}

/// Writes over the newest version.
async fn write(node: &Near, key: StoreKey, value: &str) -> Arc<Record> {
    let over = live(node.store(), key).await;
    match node.commit(requests::commit(key, over.version, data(value))).await.unwrap() {
        Committed::Committed(snapshot) => snapshot.record,
        other => panic!("{other:?}"),
    }
}

async fn coherent() -> Subject {
    let clock = ManualClock::new();
    let here = PushingStore::new(Arc::new(MemoryStore::builder().clock(clock.clone()).build()));
    let open = {
        let clock = clock.clone();
        move |store: PushingStore| -> Arc<dyn Store> {
            Arc::new(NearCache::builder(store).clock(clock.clone()).build())
        }
    };
    let there = here.another_node();
    Subject::new(open(here)).clock(clock).second_handle(move || {
        let store = open(there.clone());
        async move { store }
    })
}

mod conformance {
    cloakroom_testing::conformance_tests!(super::coherent);
}

#[tokio::test]
async fn a_second_read_costs_no_call_and_tells_the_time() {
    let nodes = Nodes::new();
    let (key, record) = nodes.known().await;
    nodes.clock.advance(Duration::from_millis(1_500));
    let calls = nodes.calls(async || {
        let Loaded::Live(snapshot) = nodes.near.load(key).await.unwrap() else { panic!("it lives") };
        assert_eq!(snapshot.record, record);
        assert_eq!(snapshot.now, cloakroom::clock::Clock::now(&nodes.clock));
    });
    assert_eq!(calls.await, 0);
    let counts = nodes.near.counts();
    assert_eq!((counts.entries, counts.connected), (1, true));
    assert!(counts.hits > 0 && counts.misses > 0 && counts.bytes > 300, "{counts:?}");
}

#[tokio::test]
async fn a_process_reads_what_it_wrote_even_if_no_news_reach_it() {
    let nodes = Nodes::new();
    let (key, _) = nodes.known().await;
    nodes.here.cut();
    let written = write(&nodes.near, key, "new").await;
    assert_eq!(live(&nodes.near, key).await, written);

    // A touch.
    live(&nodes.near, key).await;
    nodes.clock.advance(Duration::from_millis(10));
    nodes.near.touch(requests::touch(key)).await.unwrap();
    assert!(live(&nodes.near, key).await.last_seen > written.last_seen);

    // A change of id.
    let to = requests::key();
    let mut request = requests::rename(key, to, written.version, written.payload.clone());
    request.old = OldId::Dead;
    assert!(matches!(nodes.near.rename(request).await.unwrap(), Renamed::Renamed { .. }));
    assert!(matches!(nodes.near.load(key).await.unwrap(), Loaded::Ended(_)));
    live(&nodes.near, to).await;

    // An end that is asked for under the old id, and follows it.
    let ended = nodes.near.end(requests::end(key)).await.unwrap();
    assert!(matches!(ended, Ended::Ended(Some(_))));
    assert!(matches!(nodes.near.load(to).await.unwrap(), Loaded::Ended(_)));
}

#[tokio::test]
async fn a_process_reads_that_it_revoked_even_if_no_news_reach_it() {
    let nodes = Nodes::new();
    let user = requests::user("ann");
    let mut keys = Vec::new();
    for _ in 0..3 {
        let key = requests::key();
        nodes.near.create(requests::create_for(key, requests::bind(&user))).await.unwrap();
        live(&nodes.near, key).await;
        keys.push(key);
    }
    nodes.here.cut();
    let request = requests::revoke(&user, RevokeWhich::All);
    assert_eq!(nodes.near.revoke(request).await.unwrap().count, 3);
    for key in keys {
        assert!(matches!(nodes.near.load(key).await.unwrap(), Loaded::Ended(_)));
    }
}

#[tokio::test]
async fn what_another_node_wrote_is_read_once_news_of_it_arrive() {
    let nodes = Nodes::new();
    let (key, old) = nodes.known().await;
    nodes.here.hold_news();
    let written = write(&nodes.far, key, "new").await;
    assert_eq!(live(&nodes.near, key).await, old, "nothing is known of it yet");
    nodes.here.deliver_news();
    assert_eq!(live(&nodes.near, key).await, written);

    let ended = nodes.far.end(requests::end(key)).await.unwrap();
    assert!(matches!(ended, Ended::Ended(Some(_))));
    assert!(
        matches!(nodes.near.load(key).await.unwrap(), Loaded::Ended(_)),
        "a revocation is a write like any other"
    );
}

#[tokio::test]
async fn an_answer_that_arrives_after_younger_news_is_not_kept() {
    let nodes = Nodes::new();
    let (key, old) = nodes.known().await;
    nodes.here.disconnect();
    nodes.here.connect();
    let (on_its_way, gate) = nodes.on_its_way(key).await;
    let written = write(&nodes.far, key, "new").await;
    gate.open();
    let Loaded::Live(arrived) = on_its_way.await.unwrap() else { panic!("it lives") };
    assert_eq!(arrived.record, old, "it was asked for before");
    assert_eq!(live(&nodes.near, key).await, written);
}

#[tokio::test]
async fn an_answer_that_arrives_after_a_write_of_this_process_is_not_kept() {
    let nodes = Nodes::new();
    let (key, _) = nodes.known().await;
    write(&nodes.near, key, "first").await;
    nodes.here.cut();
    let (on_its_way, gate) = nodes.on_its_way(key).await;
    let over = live(&nodes.there, key).await;
    let request = requests::commit(key, over.version, data("second"));
    assert!(matches!(nodes.near.commit(request).await.unwrap(), Committed::Committed(_)));
    gate.open();
    drop(on_its_way.await.unwrap());
    assert_eq!(live(&nodes.near, key).await.payload, data("second"));
}

#[tokio::test]
async fn an_answer_that_was_on_its_way_when_the_connection_was_lost_is_not_kept() {
    let nodes = Nodes::new();
    let (key, _) = nodes.known().await;
    nodes.here.disconnect();
    nodes.here.connect();
    let (on_its_way, gate) = nodes.on_its_way(key).await;
    nodes.here.disconnect();
    // While nobody tells.
    let written = write(&nodes.far, key, "new").await;
    nodes.here.connect();
    gate.open();
    drop(on_its_way.await.unwrap());
    assert_eq!(live(&nodes.near, key).await, written);
}

#[tokio::test]
async fn nothing_is_kept_or_served_while_nobody_tells() {
    let nodes = Nodes::new();
    let (key, _) = nodes.known().await;
    nodes.here.disconnect();
    let written = write(&nodes.far, key, "new").await;
    assert_eq!(live(&nodes.near, key).await, written, "everything was forgotten");
    let calls = nodes.calls(async || {
        live(&nodes.near, key).await;
        live(&nodes.near, key).await;
    });
    assert_eq!(calls.await, 2);
    assert_eq!((nodes.near.counts().entries, nodes.near.counts().connected), (0, false));
    nodes.here.connect();
    live(&nodes.near, key).await;
    assert_eq!(nodes.calls(async || drop(live(&nodes.near, key).await)).await, 0);
}

#[tokio::test]
async fn cut_off_unnoticed_it_is_outdated_for_its_lifetime_at_most() {
    let nodes = Nodes::new();
    let (key, old) = nodes.known().await;
    let asked_again = nodes.clock.clone();
    nodes.here.cut();
    let written = write(&nodes.far, key, "new").await;
    asked_again.advance(LIFETIME - Duration::from_millis(1));
    assert_eq!(live(&nodes.near, key).await, old);
    asked_again.advance(Duration::from_millis(1));
    assert_eq!(live(&nodes.near, key).await, written);
}

#[tokio::test]
async fn the_lifetime_counts_from_when_it_was_asked_for() {
    let nodes = Nodes::new();
    let (key, _) = nodes.known().await;
    nodes.here.disconnect();
    nodes.here.connect();
    let (on_its_way, gate) = nodes.on_its_way(key).await;
    nodes.clock.advance(LIFETIME - Duration::from_millis(1));
    nodes.here.cut();
    let written = write(&nodes.far, key, "new").await;
    gate.open();
    drop(on_its_way.await.unwrap());
    nodes.clock.advance(Duration::from_millis(1));
    assert_eq!(live(&nodes.near, key).await, written);
}

#[tokio::test]
async fn a_session_that_is_due_to_be_touched_or_past_its_deadline_is_not_served() {
    let nodes = Nodes::new();
    let key = requests::key();
    let mut request = create(key);
    request.lifetime.idle = Duration::from_secs(5);
    nodes.near.create(request).await.unwrap();
    live(&nodes.near, key).await;
    nodes.clock.advance(Duration::from_millis(499));
    assert_eq!(nodes.calls(async || drop(live(&nodes.near, key).await)).await, 0);
    nodes.clock.advance(Duration::from_millis(1));
    assert_eq!(
        nodes.calls(async || drop(live(&nodes.near, key).await)).await,
        1,
        "a tenth of its idle time has passed"
    );

    let key = requests::key();
    let mut request = create(key);
    request.lifetime.absolute = Duration::from_millis(50);
    nodes.near.create(request).await.unwrap();
    live(&nodes.near, key).await;
    nodes.clock.advance(Duration::from_millis(50));
    assert!(!matches!(nodes.near.load(key).await.unwrap(), Loaded::Live(_)));
}

#[tokio::test]
async fn a_write_over_something_outdated_is_a_conflict_and_has_it_read_again() {
    let nodes = Nodes::new();
    let (key, old) = nodes.known().await;
    nodes.here.cut();
    let written = write(&nodes.far, key, "new").await;
    let request = requests::commit(key, live(&nodes.near, key).await.version, data("lost?"));
    assert_eq!(request.expected, old.version);
    let Committed::Conflict(snapshot) = nodes.near.commit(request).await.unwrap() else {
        panic!("an outdated write")
    };
    assert_eq!(snapshot.record, written);
    assert_eq!(live(&nodes.near, key).await, written);
}

#[tokio::test]
async fn c13_it_keeps_no_more_than_it_may() {
    let store = PushingStore::new(Arc::new(MemoryStore::new()));
    let near = NearCache::builder(store).max_entries(640).max_bytes(64 * 10_000).build();
    let mut keys = Vec::new();
    for _ in 0..3_000 {
        let key = requests::key();
        near.create(create(key)).await.unwrap();
        live(&near, key).await;
        keys.push(key);
    }
    let full = near.counts();
    assert!(full.entries <= 640 && full.entries > 500, "{full:?}");
    // Larger ones: now the bytes are the bound.
    for key in &keys {
        let over = live(near.store(), *key).await;
        let request = requests::commit(*key, over.version, data(&"x".repeat(3_000)));
        near.commit(request).await.unwrap();
        live(&near, *key).await;
    }
    let full = near.counts();
    assert!(full.bytes <= 64 * 10_000 && full.entries <= 3 * 64 && full.entries > 100, "{full:?}");
    // One that is too large for its part is not kept, and pushes nothing out.
    let key = requests::key();
    let mut request = create(key);
    request.payload = data(&"x".repeat(20_000));
    near.create(request).await.unwrap();
    let before = near.counts().entries;
    live(&near, key).await;
    assert_eq!(near.counts().entries, before);
    // Changed over and over, the queue of what came first does not grow either: it is dropped with what it is of.
    for _ in 0..10_000 {
        write(&near, keys[0], "again").await;
        live(&near, keys[0]).await;
    }
    assert!(near.counts().entries <= full.entries + 1);
}

#[tokio::test]
async fn unknown_ended_and_moved_ids_are_asked_for_each_time() {
    let nodes = Nodes::new();
    let (key, record) = nodes.known().await;
    let unknown = requests::key();
    let to = requests::key();
    nodes.near.rename(requests::rename(key, to, record.version, record.payload.clone())).await.unwrap();
    for absent in [unknown, key] {
        let calls = nodes.calls(async || {
            for _ in 0..3 {
                assert!(!matches!(nodes.near.load(absent).await.unwrap(), Loaded::Live(_)));
            }
        });
        assert_eq!(calls.await, 3);
    }
}

#[tokio::test]
async fn an_error_of_the_store_is_passed_on_and_not_kept() {
    let faults = FaultStore::new(Arc::new(MemoryStore::new()));
    let near = NearCache::new(PushingStore::new(Arc::new(faults.clone())));
    let key = requests::key();
    near.create(create(key)).await.unwrap();
    faults.at_op(Op::Load, 1, Fault::Unavailable);
    assert_eq!(near.load(key).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    live(&near, key).await;
}
