//! Sessions in a Redis Cluster of three primaries and three replicas.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use cloakroom::StoreKey;
use cloakroom::store::Store;
use cloakroom_redis::RedisBuilder;
use cloakroom_testing::RecallStore;
use cloakroom_testing::conformance::{Case, Outcome, Subject, run_case};
use support::cluster::Cluster;
use support::{Kind, free_port};

fn open(builder: &RedisBuilder) -> Arc<dyn Store> {
    Arc::new(RecallStore::new(Arc::new(builder.clone().build().unwrap())))
}

async fn damage(cluster: Arc<Cluster>, prefix: String, key: StoreKey) {
    let name = support::name_of(&key).replace("cloakroom:", &prefix);
    let owner = cluster.first_owner(cluster.slot(&name));
    let script = "redis.call('SET',KEYS[1],string.sub(redis.call('GET',KEYS[1]),1,95),'KEEPTTL')return'cut'";
    let answer = cluster.nodes[owner].raw(&format!("EVAL \"{script}\" 1 {name}"));
    assert!(answer.contains("cut"), "{answer}");
}

fn subject(cluster: &Arc<Cluster>) -> Subject {
    let prefix = cluster.prefix();
    let builder = cluster.builder().prefix(prefix.clone());
    let (second, damaged) = (builder.clone(), cluster.clone());
    Subject::new(open(&builder))
        .second_handle(move || {
            let store = open(&second);
            async move { store }
        })
        .damage(move |key| damage(damaged.clone(), prefix.clone(), key))
        .unavailable(|| async {
            let url = format!("redis-cluster://secret-user:s3cret-value@127.0.0.1:{}", free_port());
            let store: Arc<dyn Store> = Arc::new(cloakroom_redis::RedisStore::new(&url).unwrap());
            store
        })
}

/// All cases, on one cluster, with a prefix each.
async fn conforms(kind: Kind) {
    let cluster = Arc::new(Cluster::start(kind));
    let mut failed = Vec::new();
    let running: Vec<_> = Case::all()
        .iter()
        .map(|case| {
            let cluster = cluster.clone();
            async move { (case, run_case(case, subject(&cluster)).await) }
        })
        .collect();
    for cases in chunks(running, 8) {
        let outcomes: Vec<_> = cases.into_iter().map(tokio::spawn).collect();
        for outcome in outcomes {
            match outcome.await.unwrap() {
                (_, Outcome::Passed) => {}
                (
                    _,
                    Outcome::Skipped("a manual clock" | "a way to reopen the store" | "a store with a bound"),
                ) => {}
                (case, outcome) => failed.push(format!("{case:?}: {outcome:?}")),
            }
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    // Whatever all of them left behind goes by itself.
    let script = "local n=0 for _,k in ipairs(redis.call('KEYS','*')) do if redis.call('PTTL',k)<0 then n=n+1 end end return n";
    for node in cluster.primaries() {
        assert!(node.raw(&format!("EVAL \"{script}\" 0")).starts_with(":0\r\n"), "a key without an expiry");
        assert!(!node.raw("DBSIZE").starts_with(":0\r\n"), "a node without sessions");
    }
}

fn chunks<T>(of: Vec<T>, size: usize) -> Vec<Vec<T>> {
    let mut chunks = Vec::new();
    for (n, item) in of.into_iter().enumerate() {
        if n % size == 0 {
            chunks.push(Vec::new());
        }
        chunks.last_mut().unwrap().push(item);
    }
    chunks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_of_redis_passes_the_conformance_suite() {
    conforms(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_of_valkey_passes_the_conformance_suite() {
    conforms(Kind::Valkey).await;
}
