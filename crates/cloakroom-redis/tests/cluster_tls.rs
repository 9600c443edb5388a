//! A cluster over TLS: every node is verified, by the name or address that it announces.
#![cfg(feature = "tls")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/certificates.rs"]
mod certificates;
mod support;

use std::time::{Duration, Instant};

use certificates::Authority;
use cloakroom::StoreKey;
use cloakroom::store::{Created, Loaded, RevokeWhich, Store, StoreErrorKind};
use cloakroom_redis::{RedisBuilder, RedisStore};
use cloakroom_testing::requests;
use support::Kind;
use support::cluster::Cluster;

fn at(cluster: &Cluster, host: &str, authority: &Authority) -> RedisBuilder {
    RedisStore::builder(&cluster.tls_url(host)).unwrap().ca(authority.file())
}

/// From now on nodes call themselves by that name.
fn announce(cluster: &Cluster, name: &str) {
    for node in &cluster.nodes {
        assert!(node.raw(&format!("CONFIG SET cluster-announce-hostname {name}")).starts_with("+OK"));
        assert!(node.raw("CONFIG SET cluster-preferred-endpoint-type hostname").starts_with("+OK"));
    }
    cluster.wait_until("all of them are told so", || {
        cluster.nodes.iter().all(|node| node.raw("CLUSTER SLOTS").matches(name).count() >= 6)
    });
}

/// Sessions on each of the three, and a user who has some on all of them.
async fn works(store: &RedisStore, cluster: &Cluster) {
    let user = requests::user("ann");
    let on = |home: usize| {
        let there = |key: &StoreKey| cluster.first_owner(cluster.slot(&support::name_of(key))) == home;
        std::iter::repeat_with(requests::key).find(there).unwrap()
    };
    for home in 0..3 {
        let key = on(home);
        let created = store.create(requests::create_for(key, requests::bind(&user))).await.unwrap();
        assert!(matches!(created, Created::Created { .. }));
        assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));
    }
    assert_eq!(store.list_user(user.clone()).await.unwrap().len(), 3);
    assert_eq!(store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap().count, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_are_verified_by_the_addresses_that_they_announce() {
    let (authority, other) = (Authority::new(), Authority::new());
    let identity = authority.node(&["127.0.0.1"]);
    let cluster = Cluster::start_over_tls(Kind::Redis, &identity.options(&authority.file(), "no"));
    works(&at(&cluster, "127.0.0.1", &authority).build().unwrap(), &cluster).await;
    // A stranger's authority, or a name that no certificate has: nothing is asked of anybody.
    for (builder, why) in [
        (at(&cluster, "127.0.0.1", &other), "authority that is not trusted here"),
        (at(&cluster, "localhost", &authority), "certificate for another name"),
    ] {
        cluster.nodes.iter().for_each(support::Server::forget_calls);
        let error = builder.password("hush-hush").build().unwrap().load(requests::key()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(why) && !format!("{error:?}").contains("hush"), "{error}");
        assert!(cluster.nodes.iter().all(|node| node.calls("hello") == 0 && node.calls("auth") == 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_are_verified_by_the_names_that_they_announce() {
    let authority = Authority::new();
    let identity = authority.node(&["localhost"]);
    let client = authority.client();
    let cluster = Cluster::start_over_tls(Kind::Redis, &identity.options(&authority.file(), "yes"));
    let builder = at(&cluster, "localhost", &authority).client_certificate(client.certificate, client.key);
    // The node that was named is who it says it is, and sends on to addresses that no certificate has.
    let error = builder.clone().build().unwrap().load(requests::key()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    let told = error.to_string();
    assert!(told.contains("the node 127.0.0.1:") && told.contains("certificate for another name"), "{told}");

    announce(&cluster, "localhost");
    let store = builder.build().unwrap();
    works(&store, &cluster).await;
    let key = std::iter::repeat_with(requests::key)
        .find(|key| cluster.first_owner(cluster.slot(&support::name_of(key))) == 0)
        .unwrap();
    // The one that takes over is verified likewise.
    cluster.nodes[0].kill();
    cluster.wait_until("the replica takes over", || cluster.is_primary(3));
    let began = Instant::now();
    while store.create(requests::create(key, requests::data(&[]))).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "it is not served by the one that took over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));
}
