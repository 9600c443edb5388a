//! Writes to a cluster that are waited for until a replica has them: of the node that made the write, and of no other.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::store::{Committed, Created, Ended, Loaded, Renamed, RevokeWhich, Revoked, Store, StoreError};
use cloakroom_redis::{Durability, RedisStore};
use cloakroom_testing::requests;
use support::cluster::Cluster;
use support::waiting::{WITHIN, confirmed, each_wait_has_a_note_ahead, made_though, version};
use support::{Kind, name_of};

fn waiting(cluster: &Cluster, within: Duration) -> RedisStore {
    cluster.builder().durability(Durability::replicas(1).within(within)).build().unwrap()
}

fn key_on(cluster: &Cluster, home: usize) -> StoreKey {
    let there = |key: &StoreKey| cluster.first_owner(cluster.slot(&name_of(key))) == home;
    std::iter::repeat_with(requests::key).find(there).unwrap()
}

/// A user whose index is there.
fn user_on(cluster: &Cluster, home: usize) -> cloakroom::UserId {
    let users = (0..).map(|n| requests::user(&format!("user-{n}")));
    let there = |user: &cloakroom::UserId| {
        cluster.first_owner(cluster.slot(&name_of(&StoreKey::of_user(user)))) == home
    };
    users.into_iter().find(there).unwrap()
}

/// The answer to what was made all the same.
#[track_caller]
fn made<A: std::fmt::Debug + 'static>(answer: Result<A, StoreError>) -> A {
    if let Err(error) = &answer {
        assert!(error.to_string().contains("the node 127.0.0.1:"), "{error}");
    }
    made_though(answer, "0 of 1 replicas confirmed it")
}

/// What this node has under that name: itself, and not by asking another.
fn there(cluster: &Cluster, node: usize, name: &str) -> String {
    let answer = support::raw(cluster.nodes[node].port(), &format!("READONLY\r\nGET {name}\r\nQUIT"), false);
    answer.strip_prefix("+OK\r\n").unwrap().to_owned()
}

async fn c8_what_is_acknowledged_is_on_the_replica_of_its_node(kind: Kind) {
    let cluster = Cluster::start(kind);
    let store = waiting(&cluster, Duration::from_secs(2));
    // At once: nobody waits for it here.
    let replicated = |key: &StoreKey| {
        let name = name_of(key);
        let home = cluster.first_owner(cluster.slot(&name));
        let on_replica = there(&cluster, cluster.shard(home)[1], &name);
        assert!(on_replica.len() > 20, "{on_replica}");
        assert_eq!(on_replica, there(&cluster, home, &name));
    };
    for round in 0..12 {
        let key = key_on(&cluster, round % 3);
        let created = store.create(requests::create(key, requests::data(&[("n", b"1")]))).await.unwrap();
        let Created::Created { snapshot, .. } = created else { panic!() };
        replicated(&key);
        if round % 2 == 1 {
            cluster.nodes[round % 3].raw("SCRIPT FLUSH");
        }
        let commit = requests::commit(key, snapshot.record.version, requests::data(&[("n", b"2")]));
        let Committed::Committed(now) = store.commit(commit).await.unwrap() else { panic!() };
        replicated(&key);
        let to = requests::successor(key);
        let rename = requests::rename(key, to, now.record.version, requests::data(&[]));
        assert!(matches!(store.rename(rename).await.unwrap(), Renamed::Renamed { .. }));
        replicated(&key);
        replicated(&to);
        assert!(matches!(store.end(requests::end(to)).await.unwrap(), Ended::Ended(_)));
        replicated(&to);
        let (user, bound) = (user_on(&cluster, (round + 1) % 3), key_on(&cluster, round % 3));
        store.create(requests::create_for(bound, requests::bind(&user))).await.unwrap();
        replicated(&bound);
        assert_eq!(store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap().count, 1);
        replicated(&bound);
    }
}

async fn c8_what_the_replica_does_not_confirm_is_made_and_told_so(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (store, plain) = (waiting(&cluster, WITHIN), cluster.store());
    let (key, moving, ending) = (key_on(&cluster, 0), key_on(&cluster, 0), key_on(&cluster, 0));
    for key in [key, moving, ending] {
        plain.create(requests::create(key, requests::data(&[]))).await.unwrap();
    }
    // One whose index is on that node, another whose session is.
    let (ann, bob) = (user_on(&cluster, 0), user_on(&cluster, 1));
    let (ann_s, bob_s) = (key_on(&cluster, 1), key_on(&cluster, 0));
    let create = requests::create(key_on(&cluster, 0), requests::data(&[]));
    let commit = requests::commit(key, version(&plain, key).await, requests::data(&[("n", b"1")]));
    let version_now = version(&plain, moving).await;
    let rename = requests::rename(moving, requests::successor(moving), version_now, requests::data(&[]));
    let end = requests::end(ending);
    let by_index = requests::create_for(ann_s, requests::bind(&ann));
    let by_session = requests::create_for(bob_s, requests::bind_capped(&bob, 1));
    let others = requests::create_for(key_on(&cluster, 2), requests::bind(&bob));
    let revoke = requests::revoke(&ann, RevokeWhich::All);

    cluster.nodes[3].pause();
    cluster.nodes[0].forget_calls();
    // Twice: what is recognised as made before is not confirmed by that either, also where it is asked by somebody else.
    let another = waiting(&cluster, WITHIN);
    for store in [&store, &another] {
        assert!(matches!(made(store.create(create.clone()).await), Created::Created { .. }));
        assert!(matches!(made(store.commit(commit.clone()).await), Committed::Committed(_)));
        assert!(matches!(made(store.rename(rename.clone()).await), Renamed::Renamed { .. }));
        assert!(matches!(made(store.end(end).await), Ended::Ended(_)));
        assert!(matches!(made(store.create(by_index.clone()).await), Created::Created { .. }));
        assert!(matches!(made(store.create(by_session.clone()).await), Created::Created { .. }));
    }
    each_wait_has_a_note_ahead(&cluster.nodes[0], "pttl");
    // What it does not concern is acknowledged as ever.
    store.create(others.clone()).await.unwrap();
    assert_eq!(plain.list_user(ann.clone()).await.unwrap().len(), 1);
    for store in [&store, &another] {
        assert_eq!(made::<Revoked>(store.revoke(revoke.clone()).await).count, 1);
    }
    assert!(matches!(plain.load(ann_s).await.unwrap(), Loaded::Ended(_)), "it is made, for everybody");
    assert!(matches!(plain.load(moving).await.unwrap(), Loaded::Ended(_)));
    let stale = requests::commit(key, commit.expected, requests::data(&[("n", b"2")]));
    assert!(
        matches!(store.commit(stale).await.unwrap(), Committed::Conflict(_)),
        "not made, and not said to be"
    );

    cluster.nodes[3].resume();
    confirmed(|| store.create(create.clone())).await;
    confirmed(|| store.commit(commit.clone())).await;
    assert!(matches!(confirmed(|| store.rename(rename.clone())).await, Renamed::Renamed { .. }));
    assert!(matches!(confirmed(|| store.end(end)).await, Ended::Ended(_)));
    assert!(matches!(confirmed(|| store.create(by_session.clone())).await, Created::Created { .. }));
    assert_eq!(confirmed(|| store.revoke(revoke.clone())).await.count, 1);
    // Once each.
    assert_eq!(version(&store, key).await.counter, 2);
    // The one with the cap, asked again, has ended the other.
    assert_eq!(store.list_user(bob).await.unwrap().len(), 1);
}

/// The node that sends a write on has nothing to wait for.
async fn c8_a_write_that_is_sent_on_is_waited_for_where_it_is_made(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (store, plain) = (waiting(&cluster, WITHIN), cluster.store());
    let key = key_on(&cluster, 0);
    plain.create(requests::create(key, requests::data(&[]))).await.unwrap();
    // It knows who serves what, and then that is not so any more.
    version(&store, key).await;
    cluster.move_slot(cluster.slot(&name_of(&key)), 0, 1, Duration::ZERO);
    cluster.nodes[3].pause();
    let commit = |version| requests::commit(key, version, requests::data(&[("n", b"1")]));
    let known = version(&plain, key).await;
    assert!(
        matches!(store.commit(commit(known)).await.unwrap(), Committed::Committed(_)),
        "of the node before"
    );
    cluster.nodes[3].resume();

    let on_its_way = key_on(&cluster, 1);
    let slot = cluster.slot(&name_of(&on_its_way));
    plain.create(requests::create(on_its_way, requests::data(&[]))).await.unwrap();
    let known = version(&store, on_its_way).await;
    // The key is there already, and its slot is not.
    let ok = |answer: String| assert!(answer.starts_with("+OK"), "{answer}");
    ok(cluster.nodes[2].raw(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", cluster.id(1))));
    ok(cluster.nodes[1].raw(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", cluster.id(2))));
    let migrate = format!("MIGRATE 127.0.0.1 {} {} 0 5000", cluster.nodes[2].port(), name_of(&on_its_way));
    ok(cluster.nodes[1].raw(&migrate));
    cluster.nodes[5].pause();
    let commit = requests::commit(on_its_way, known, requests::data(&[("n", b"1")]));
    assert!(matches!(made(store.commit(commit.clone()).await), Committed::Committed(_)));
    cluster.nodes[5].resume();
    assert!(matches!(confirmed(|| store.commit(commit.clone())).await, Committed::Committed(_)));
    assert_eq!(version(&store, on_its_way).await.counter, 2);
}

support::on_both! {
    c8_what_is_acknowledged_is_on_the_replica_of_its_node
    c8_what_the_replica_does_not_confirm_is_made_and_told_so
    c8_a_write_that_is_sent_on_is_waited_for_where_it_is_made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c8_disks_are_waited_for_in_a_cluster() {
    let cluster = Cluster::start(Kind::Valkey);
    let on_disk = Durability::replicas(1).on_disk().within(Duration::from_secs(5));
    let store = cluster.builder().durability(on_disk).call_deadline(Duration::from_secs(6)).build().unwrap();
    for home in 0..3 {
        let text = format!("on-the-disks-of-{home}");
        let data = requests::data(&[("n", text.as_bytes())]);
        let create = requests::create(key_on(&cluster, home), data);
        // A replica rewrites its file after it was given everything, and confirms nothing until that is done.
        confirmed(|| store.create(create.clone())).await;
        for node in cluster.shard(home) {
            let written = cluster.nodes[node].append_only_file();
            assert!(written.windows(text.len()).any(|window| window == text.as_bytes()), "node {node}");
        }
    }
    cluster.nodes[3].pause();
    let here =
        cluster.builder().durability(Durability::disk().within(Duration::from_secs(5))).build().unwrap();
    here.create(requests::create(key_on(&cluster, 0), requests::data(&[]))).await.unwrap();
    let both =
        cluster.builder().durability(Durability::replicas(1).on_disk().within(WITHIN)).build().unwrap();
    made(both.create(requests::create(key_on(&cluster, 0), requests::data(&[]))).await);
    let create = requests::create(key_on(&cluster, 1), requests::data(&[]));
    confirmed(|| both.create(create.clone())).await;
    cluster.nodes[3].resume();
}
