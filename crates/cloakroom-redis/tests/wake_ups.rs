//! Who waits for a lease is woken by the store's signal, and not by trying again, whatever becomes of the connection that listens.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::store::{Acquired, Store, StoreFuture};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use support::cluster::Cluster;
use support::pace::Pace;
use support::proxy::Proxy;
use support::{Kind, Server, name_of};

/// Longer than a message takes, at the machine's pace.
const SOON: Duration = Duration::from_millis(500);
/// So soon what nobody tells has been noticed, at the machine's pace.
const NOTICED: Duration = Duration::from_secs(15);

/// One store that holds a lease, and another that waits for it.
struct Pair {
    holder: RedisStore,
    waiter: RedisStore,
    key: StoreKey,
}

impl Pair {
    /// The lease is held for a minute.
    async fn on(key: StoreKey, holder: RedisStore, waiter: RedisStore) -> Self {
        holder.create(requests::create(key, requests::data(&[]))).await.unwrap();
        let pair = Pair { holder, waiter, key };
        pair.hold().await;
        pair
    }

    async fn hold(&self) {
        let mut request = requests::acquire(self.key, 1);
        request.lease = Duration::from_secs(60);
        let held = self.holder.acquire(request).await.unwrap();
        assert!(matches!(held, Acquired::Acquired { .. }), "{held:?}");
    }

    async fn is_refused(&self) -> bool {
        let told = self.waiter.acquire(requests::acquire(self.key, 2)).await;
        matches!(told, Ok(Acquired::Locked { .. }))
    }

    fn waits(&self) -> StoreFuture<()> {
        self.waiter.released(self.key).unwrap()
    }

    /// Waits for the lease, which is given back and taken again: whether whoever waits was woken by that.
    async fn is_woken(&self) -> bool {
        let began = Pace::here().now();
        loop {
            assert!(began.elapsed() < 2 * NOTICED, "it is not refused, or woken all the time");
            if !self.is_refused().await {
                continue;
            }
            let mut waiting = tokio::spawn(self.waits());
            // Woken by what came before: it looks again.
            if tokio::time::timeout(SOON / 2, &mut waiting).await.is_ok() {
                continue;
            }
            self.holder.release(requests::release(self.key, 1)).await.unwrap();
            let woken = Pace::here().within(SOON, &mut waiting).await.is_some();
            waiting.abort();
            self.hold().await;
            return woken;
        }
    }

    async fn is_woken_in_the_end(&self) {
        let began = Pace::here().now();
        while !self.is_woken().await {
            assert!(began.elapsed() < NOTICED, "it is never woken again");
        }
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Pace::here().now();
    while !is_so() {
        assert!(began.elapsed() < NOTICED, "it did not come to be that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn subscribed(server: &Server) -> bool {
    server.raw("PUBSUB SHARDCHANNELS").contains("cloakroom:r{")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_waiter_is_woken_by_what_is_published() {
    let server = Server::start(Kind::Redis);
    let pair = Pair::on(requests::key(), server.store(), server.store()).await;
    for _ in 0..3 {
        assert!(pair.is_woken().await);
    }
}

#[tokio::test]
async fn c5_a_release_between_a_refusal_and_the_wait_is_not_missed() {
    let server = Server::start(Kind::Redis);
    let pair = Pair::on(requests::key(), server.store(), server.store()).await;
    // Subscribed from here on, as somebody who has waited before.
    let _subscribed = pair.waits();
    until("the waiter listens", || subscribed(&server)).await;
    // And has been told that it does.
    assert!(pair.is_woken().await);
    for _ in 0..20 {
        assert!(pair.is_refused().await);
        pair.holder.release(requests::release(pair.key, 1)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        Pace::here().within(SOON, pair.waits()).await.expect("it was told before").unwrap();
        pair.hold().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_waiter_whose_connection_is_lost_listens_on_the_next_one() {
    let server = Server::start(Kind::Redis);
    let pair = Pair::on(requests::key(), server.store(), server.store()).await;
    // Somebody waits all the time.
    let _waiting = pair.waits();
    until("the waiter listens", || subscribed(&server)).await;
    assert!(pair.is_woken().await);
    for _ in 0..5 {
        let woken = tokio::spawn(pair.waits());
        assert!(!server.raw("CLIENT KILL TYPE pubsub").starts_with(":0"));
        Pace::here().within(SOON, woken).await.expect("it may have missed something").unwrap().unwrap();
        until("it listens again", || subscribed(&server)).await;
        assert!(pair.is_woken().await);
    }
}

/// A connection on which nothing passes any more, and of which nobody is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_waiter_notices_that_its_connection_leads_nowhere() {
    let server = Server::start(Kind::Redis);
    let wire = Proxy::to(server.port());
    let waiter = RedisStore::builder(&wire.url()).unwrap().call_deadline(SOON).build().unwrap();
    let pair = Pair::on(requests::key(), server.store(), waiter).await;
    let _waiting = pair.waits();
    until("the waiter listens", || subscribed(&server)).await;
    assert!(pair.is_woken().await);
    wire.forget();
    pair.is_woken_in_the_end().await;
}

/// The runtime of whoever waited first is gone, and with it all tasks of the connection, which listened by then or was being made.
fn the_runtime_of_another_one_has_ended(listens: bool) {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let server = Server::start(Kind::Redis);
    let wire = Proxy::to(server.port());
    let (first, second) = (runtime(), runtime());
    let waiter = RedisStore::builder(&wire.url()).unwrap().build().unwrap();
    let pair = second.block_on(Pair::on(requests::key(), server.store(), waiter));
    if !listens {
        wire.cut();
    }
    let before = wire.accepted();
    // Never looked at: somebody waits all the time.
    let waiting = {
        let _in_the_first = first.enter();
        pair.waits()
    };
    first.block_on(async {
        match listens {
            true => until("the waiter listens", || subscribed(&server)).await,
            false => until("the connection is being made", || wire.accepted() > before).await,
        }
    });
    drop(first);
    wire.mend();
    second.block_on(pair.is_woken_in_the_end());
    drop(waiting);
}

#[test]
fn c5_a_waiter_listens_though_the_runtime_of_another_one_has_ended() {
    the_runtime_of_another_one_has_ended(true);
}

#[test]
fn c5_a_waiter_listens_though_the_runtime_of_another_one_ended_before_it_did() {
    the_runtime_of_another_one_has_ended(false);
}

fn key_on_the_first(cluster: &Cluster) -> StoreKey {
    let is_there = |key: &StoreKey| cluster.first_owner(cluster.slot(&name_of(key))) == 0;
    std::iter::repeat_with(requests::key).find(is_there).unwrap()
}

/// The slot goes to another node, and the word of the one before does not come through.
async fn a_slot_goes_to_another_node(by_redirection: bool) {
    let cluster = Cluster::start_behind_wires(Kind::Redis);
    let key = key_on_the_first(&cluster);
    let waiter = cluster.builder().call_deadline(SOON).build().unwrap();
    let pair = Pair::on(key, cluster.store(), waiter).await;
    let _waiting = pair.waits();
    until("the waiter listens", || subscribed(&cluster.nodes[0])).await;
    cluster.wires[0].forget();
    // Its calls find that out by themselves; what listens does not.
    let first = Pace::here().now();
    while by_redirection && pair.waiter.load(key).await.is_err() {
        assert!(first.elapsed() < NOTICED, "the node does not answer again");
    }
    cluster.move_slot(cluster.slot(&name_of(&key)), 0, 1, Duration::ZERO);
    let began = Pace::here().now();
    while pair.waiter.load(key).await.is_err() {
        assert!(began.elapsed() < NOTICED, "the slot is not found");
    }
    let known = Pace::here().now();
    until("it listens to the other node", || subscribed(&cluster.nodes[1])).await;
    assert!(
        known.elapsed() < 2 * SOON,
        "it found out by itself, and not by the redirection: {:?}",
        known.elapsed()
    );
    // The holder's calls as well.
    while pair.holder.load(key).await.is_err() {
        assert!(known.elapsed() < NOTICED, "the slot is not found");
    }
    pair.is_woken_in_the_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_waiter_listens_to_the_node_that_a_redirection_leads_to() {
    a_slot_goes_to_another_node(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_waiter_listens_to_the_node_that_the_other_nodes_name() {
    a_slot_goes_to_another_node(false).await;
}

/// Another node has the lease by then, and tells who waits for it: `takes_over` is how that comes to be.
async fn another_node_takes_over(kind: Kind, takes_over: impl Fn(&Cluster)) {
    let cluster = Cluster::start(kind);
    let pair = Pair::on(key_on_the_first(&cluster), cluster.store(), cluster.store()).await;
    assert!(pair.is_refused().await);
    // Somebody waits all the time.
    let _waiting = pair.waits();
    let woken = tokio::spawn(pair.waits());
    until("the waiter listens", || subscribed(&cluster.nodes[0])).await;
    until("the replica has it", || cluster.nodes[0].offset() == cluster.nodes[3].offset()).await;
    takes_over(&cluster);
    until("the replica takes over", || cluster.is_primary(3)).await;
    let began = Pace::here().now();
    while !subscribed(&cluster.nodes[3]) {
        // What requests do meanwhile.
        let _ = pair.waiter.load(pair.key).await;
        assert!(began.elapsed() < NOTICED, "it listens to the node of before");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Pace::here().within(SOON, woken).await.expect("it may have missed something").unwrap().unwrap();
    assert!(pair.is_refused().await, "the lease came along");
    pair.is_woken_in_the_end().await;
}

async fn c5_a_waiter_is_woken_by_the_node_that_changed_places(kind: Kind) {
    // Nobody fails.
    another_node_takes_over(kind, |cluster| {
        assert!(cluster.nodes[3].raw("CLUSTER FAILOVER").starts_with("+OK"));
    })
    .await;
}

async fn c5_a_waiter_is_woken_by_the_node_that_took_over(kind: Kind) {
    another_node_takes_over(kind, |cluster| cluster.nodes[0].kill()).await;
}

support::on_both! {
    c5_a_waiter_is_woken_by_the_node_that_changed_places
    c5_a_waiter_is_woken_by_the_node_that_took_over
}
