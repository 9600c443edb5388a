//! Sessions in a Redis Cluster of three primaries and three replicas.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::store::{Loaded, RevokeWhich, Store, StoreErrorKind};
use cloakroom::{NearCache, StoreKey};
use cloakroom_redis::{RedisBuilder, RedisStore};
use cloakroom_testing::conformance::{Case, Outcome, Subject, run_case_in_time};
use cloakroom_testing::{RecallStore, requests};
use support::cluster::Cluster;
use support::pace::Pace;
use support::{Kind, Server, free_port};

fn open(builder: &RedisBuilder) -> Arc<dyn Store> {
    Arc::new(RecallStore::new(Arc::new(builder.clone().build().unwrap())))
}

async fn damage(cluster: Arc<Cluster>, prefix: String, key: StoreKey) {
    let name = support::name_of(&key).replace("cloakroom:", &prefix);
    let owner = cluster.first_owner(cluster.slot(&name));
    let script = "redis.call('SET',KEYS[1],string.sub(redis.call('GET',KEYS[1]),1,80),'KEEPTTL')return'cut'";
    let answer = cluster.nodes[owner].raw(&format!("EVAL \"{script}\" 1 {name}"));
    assert!(answer.contains("cut"), "{answer}");
}

/// The store behind a near cache; a second handle is another on the same cache, as in one process.
fn behind_a_cache(cluster: &Arc<Cluster>) -> Subject {
    let prefix = cluster.prefix();
    let near = NearCache::new(cluster.builder().prefix(prefix.clone()).build().unwrap());
    let as_the_engine = |near: &NearCache<RedisStore>| -> Arc<dyn Store> {
        Arc::new(RecallStore::new(Arc::new(near.clone())))
    };
    let damaged = cluster.clone();
    Subject::new(as_the_engine(&near))
        .second_handle(move || {
            let near = as_the_engine(&near);
            async move { near }
        })
        .damage(move |key| damage(damaged.clone(), prefix.clone(), key))
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
            let store: Arc<dyn Store> = Arc::new(RedisStore::new(&url).unwrap());
            store
        })
}

/// What cannot be had here.
const LACKING: [&str; 4] =
    ["a manual clock", "a way to reopen the store", "a store with a bound", "a store that is away"];

/// All cases, on one cluster, with a prefix each.
async fn conforms(kind: Kind, subject: fn(&Arc<Cluster>) -> Subject) {
    let cluster = Arc::new(Cluster::start(kind));
    let mut failed = Vec::new();
    let running: Vec<_> = Case::all()
        .iter()
        .map(|case| {
            let cluster = cluster.clone();
            async move { (case, run_case_in_time(case, || async { subject(&cluster) }).await) }
        })
        .collect();
    for cases in chunks(running, 8) {
        let outcomes: Vec<_> = cases.into_iter().map(tokio::spawn).collect();
        for outcome in outcomes {
            match outcome.await.unwrap() {
                (_, Outcome::Passed) => {}
                // The last one of the store itself, in another run.
                (_, Outcome::Skipped(lacking)) if LACKING.contains(&lacking) => {}
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
    conforms(Kind::Redis, subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_of_valkey_passes_the_conformance_suite() {
    conforms(Kind::Valkey, subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behind_a_near_cache_a_cluster_passes_the_conformance_suite() {
    conforms(Kind::Valkey, behind_a_cache).await;
}

/// While one primary is away, whoever has sessions on the others does not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_away_is_refused_at_once_and_the_others_serve() {
    let cluster = Cluster::start(Kind::Redis);
    // Nobody takes over.
    cluster.nodes[3].kill();
    let store = cluster.store();
    let mut keys = Vec::new();
    for _ in 0..20 {
        let key = requests::key();
        store.create(requests::create(key, requests::data(&[("a", b"1")]))).await.unwrap();
        keys.push((cluster.first_owner(cluster.slot(&support::name_of(&key))), key));
    }
    cluster.nodes[0].kill();
    // Found out by the first who asks.
    for (_, key) in &keys {
        let _ = store.load(*key).await;
    }
    let pace = Pace::here();
    for (home, key) in &keys {
        let began = pace.now();
        let loaded = store.load(*key).await;
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        match home {
            0 => assert_eq!(loaded.unwrap_err().kind(), StoreErrorKind::Unavailable),
            _ => assert!(matches!(loaded.unwrap(), Loaded::Live(_))),
        }
    }
    assert_eq!(store.ping().await.unwrap_err().kind(), StoreErrorKind::Unavailable, "not all of it is there");
    cluster.nodes[0].start_again();
    let began = Instant::now();
    while store.ping().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The other nodes take a moment to believe in it.
    for (_, key) in &keys {
        while !matches!(store.load(*key).await, Ok(Loaded::Live(_))) {
            assert!(began.elapsed() < Duration::from_secs(40), "its sessions do not come back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn what_is_no_cluster_or_no_single_server_says_so() {
    let server = Server::start(Kind::Redis);
    let wrong = RedisStore::new(&format!("redis-cluster://127.0.0.1:{}", server.port())).unwrap();
    let error = wrong.load(requests::key()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("write redis:// for redis-cluster://"), "{error}");

    let cluster = Cluster::start(Kind::Redis);
    let wrong = RedisStore::new(&cluster.primaries()[0].url()).unwrap();
    let key = std::iter::repeat_with(requests::key)
        .find(|key| cluster.first_owner(cluster.slot(&support::name_of(key))) != 0)
        .unwrap();
    let error = wrong.create(requests::create(key, requests::data(&[]))).await.unwrap_err();
    assert!(error.to_string().contains("redis-cluster:// for redis://"), "{error}");

    // What a session becomes is in its slot, or it is nothing.
    let store = cluster.store();
    let key = requests::key();
    store.create(requests::create(key, requests::data(&[]))).await.unwrap();
    let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!("it is not there") };
    let elsewhere = requests::rename(key, requests::key(), found.record.version, requests::data(&[]));
    let error = store.rename(elsewhere).await.unwrap_err();
    assert!(error.to_string().contains("the tag of the old one"), "{error}");
    assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));

    let database = cluster.builder().database(1).build().unwrap_err();
    assert!(database.to_string().contains("database 0 and no other"), "{database}");
}

/// With the permissions that the manual names, and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_permissions_in_the_manual_are_enough_in_a_cluster() {
    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md")).unwrap();
    let from = manual.find("ACL SETUSER shop").unwrap();
    let single = manual[from..].split("```").next().unwrap().replace(['\n', '\r'], " ");
    let cluster_too = manual.split("In a cluster, on every node, and with `").nth(1).unwrap();
    let cluster_too = cluster_too.split('`').next().unwrap();
    let cluster = Cluster::start(Kind::Redis);
    for node in &cluster.nodes {
        let answer = node.raw(&format!("{} {cluster_too}", single.replace("PASSWORD", "hush")));
        assert!(answer.starts_with("+OK"), "{answer}");
        assert!(node.raw("ACL SETUSER default -@all +acl").starts_with("+OK"));
    }
    let store = cluster.builder().user("shop").password("hush").build().unwrap();
    store.ping().await.unwrap();
    let user = requests::user("ann");
    for _ in 0..10 {
        let create = requests::create_for(requests::key(), requests::bind_capped(&user, 2));
        store.create(create).await.unwrap();
    }
    assert_eq!(store.list_user(user.clone()).await.unwrap().len(), 2);
    assert_eq!(store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap().count, 2);
    let key = requests::key();
    store.create(requests::create(key, requests::data(&[]))).await.unwrap();
    store.acquire(requests::acquire(key, 1)).await.unwrap();
    let waiting = tokio::spawn(store.released(key).unwrap());
    store.release(requests::release(key, 1)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap().unwrap();
    store.scan(cloakroom::store::ScanFrom { after: None, limit: 10 }).await.unwrap();
    store.stats().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_are_found_by_the_names_that_they_announce() {
    let cluster = Cluster::start(Kind::Redis);
    for node in &cluster.nodes {
        assert!(node.raw("CONFIG SET cluster-announce-hostname localhost").starts_with("+OK"));
    }
    // By their names, or not by anything: then each is where the one was that was asked.
    for (preferred, shown) in [("hostname", "localhost"), ("unknown-endpoint", "$-1")] {
        for node in &cluster.nodes {
            let answer = node.raw(&format!("CONFIG SET cluster-preferred-endpoint-type {preferred}"));
            assert!(answer.starts_with("+OK"), "{answer}");
        }
        cluster.wait_until("all of them are told so", || {
            let told = |node: &Server| node.raw("CLUSTER SLOTS").matches(shown).count() >= 6;
            cluster.nodes.iter().all(told)
        });
        // One that knows the others.
        let seed = format!("redis-cluster://127.0.0.1:{}", cluster.nodes[1].port());
        let store = RedisStore::new(&seed).unwrap();
        store.ping().await.unwrap();
        for _ in 0..20 {
            let key = requests::key();
            store.create(requests::create(key, requests::data(&[]))).await.unwrap();
            assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));
        }
    }
}
