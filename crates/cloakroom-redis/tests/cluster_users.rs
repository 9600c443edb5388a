//! Users in a cluster, whose index is on another node than their sessions.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/restless.rs"]
mod restless;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::record::Version;
use cloakroom::store::{Created, Ending, Loaded, Renamed, Revoke, RevokeWhich, Store, StoreErrorKind};
use cloakroom::{StoreKey, UserId};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use support::cluster::Cluster;
use support::{Kind, Server, name_of};

fn index_of(user: &UserId) -> String {
    name_of(&StoreKey::of_user(user)).replace("cloakroom:", "cloakroom:u")
}

fn announced_of(user: &UserId) -> String {
    name_of(&StoreKey::of_user(user)).replace("cloakroom:", "cloakroom:p")
}

fn node_of<'c>(cluster: &'c Cluster, name: &str) -> &'c Server {
    &cluster.nodes[cluster.first_owner(cluster.slot(name))]
}

/// A key on another node than that name.
fn key_apart_from(cluster: &Cluster, name: &str) -> StoreKey {
    let there = cluster.first_owner(cluster.slot(name));
    std::iter::repeat_with(requests::key)
        .find(|key| cluster.first_owner(cluster.slot(&name_of(key))) != there)
        .unwrap()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "it did not come to be that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn is_live(store: &RedisStore, key: StoreKey) -> bool {
    matches!(store.load(key).await.unwrap(), Loaded::Live(_))
}

/// As a login does before it commits.
fn announce(cluster: &Cluster, user: &UserId, key: &StoreKey) {
    let (index, announced) = (index_of(user), announced_of(user));
    let (home, member) = (node_of(cluster, &index), member(key));
    home.raw(&format!("ZADD {index} 9000000000000 {member}"));
    let script = "redis.call('HSET',KEYS[1],ARGV[1],struct.pack('>I8',9000000000000)..string.rep('x',16))";
    home.raw(&format!("EVAL \"{script}\" 1 {announced} {member}"));
    home.raw(&format!("PEXPIRE {announced} 60000"));
}

/// How an index calls a session.
fn member(key: &StoreKey) -> String {
    name_of(key).replace("cloakroom:", "")
}

/// A login has announced itself, is held up, and commits after a revocation that came between.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revocation_misses_no_login_that_is_on_its_way() {
    let cluster = Cluster::start(Kind::Redis);
    let store = cluster.store();
    let user = requests::user("ann");
    let key = key_apart_from(&cluster, &index_of(&user));
    announce(&cluster, &user, &key);
    let revoke = requests::revoke(&user, RevokeWhich::All);
    assert_eq!(store.revoke(revoke.clone()).await.unwrap().count, 0, "it is not there yet");
    let created = store.create(requests::create_for(key, requests::bind(&user))).await.unwrap();
    assert!(matches!(created, Created::Created { .. }), "it began, and was ended: {created:?}");
    assert!(!is_live(&store, key).await);

    let old = requests::key();
    let created = store.create(requests::create(old, requests::data(&[]))).await.unwrap();
    let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
    let new = requests::successor(old);
    announce(&cluster, &user, &new);
    store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap();
    let mut login = requests::rename(old, new, snapshot.record.version, requests::data(&[]));
    login.bind = Some(requests::bind(&user));
    let renamed = store.rename(login).await.unwrap();
    assert!(matches!(renamed, Renamed::Ended(Ending::Revoked)), "{renamed:?}");
    assert!(is_live(&store, old).await && !is_live(&store, new).await);

    assert_eq!(store.list_user(user.clone()).await.unwrap(), []);
    // Asked again, it spares whoever has logged in since.
    let since = requests::key();
    store.create(requests::create_for(since, requests::bind(&user))).await.unwrap();
    assert_eq!(store.revoke(revoke).await.unwrap().count, 0);
    assert!(is_live(&store, since).await);
}

/// However short markers are: what is in the way of a login is so for as long as that may be made.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_what_a_short_marker_leaves_in_the_way_of_a_login_outlasts_it() {
    let cluster = Cluster::start(Kind::Redis);
    let store = cluster.store();
    let user = requests::user("ann");
    let key = requests::key();
    announce(&cluster, &user, &key);
    let mut revoke = requests::revoke(&user, RevokeWhich::All);
    revoke.marker = Duration::from_millis(100);
    store.revoke(revoke).await.unwrap();
    let told = node_of(&cluster, &name_of(&key)).raw(&format!("PTTL {}", name_of(&key)));
    let left: i64 = told.lines().next().unwrap().trim_start_matches(':').parse().unwrap();
    // A login is committed within ten seconds of its being decided, which was before.
    assert!((5_000..=10_000).contains(&left), "{left} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_had_logged_in_before_a_revocation_is_out_after_it() {
    let cluster = Arc::new(Cluster::start(Kind::Valkey));
    let user = requests::user("ann");
    for round in 0..10_u64 {
        let mut logins = Vec::new();
        for n in 0..8_u64 {
            let (store, user) = (cluster.store(), user.clone());
            logins.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis((n * 7 + round * 3) % 20)).await;
                let key = requests::key();
                if n % 2 == 0 {
                    store.create(requests::create_for(key, requests::bind(&user))).await.unwrap();
                    return (key, Instant::now());
                }
                let created = store.create(requests::create(key, requests::data(&[]))).await.unwrap();
                let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
                let to = requests::successor(key);
                let mut rename = requests::rename(key, to, snapshot.record.version, requests::data(&[]));
                rename.bind = Some(requests::bind(&user));
                let renamed = store.rename(rename).await.unwrap();
                assert!(matches!(renamed, Renamed::Renamed { .. } | Renamed::Ended(_)), "{renamed:?}");
                (to, Instant::now())
            }));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let store = cluster.store();
        let began = Instant::now();
        store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap();
        let mut alive = Vec::new();
        for login in logins {
            let (key, done) = login.await.unwrap();
            if is_live(&store, key).await {
                assert!(done > began, "it had logged in before, and lives");
                alive.push(key);
            }
        }
        let mut listed: Vec<StoreKey> =
            store.list_user(user.clone()).await.unwrap().iter().map(|session| session.key).collect();
        alive.sort();
        listed.sort();
        assert_eq!(listed, alive, "who is alive is listed");
    }
}

/// A session whose id changes several times; ends with its last one.
async fn on_the_move(store: RedisStore, key: StoreKey, mut version: Version) -> StoreKey {
    let mut at = key;
    for _ in 0..12 {
        let to = requests::successor(at);
        match store.rename(requests::rename(at, to, version, requests::data(&[]))).await.unwrap() {
            Renamed::Renamed { snapshot, .. } => (at, version) = (to, snapshot.record.version),
            Renamed::Ended(Ending::Revoked) => break,
            other => panic!("{other:?}"),
        }
    }
    at
}

async fn logged_in(store: &RedisStore, key: StoreKey, user: &UserId) -> Version {
    let created = store.create(requests::create_for(key, requests::bind(user))).await.unwrap();
    let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
    snapshot.record.version
}

/// Between the look at the index and the end of a session its id changes: the session ends under the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_c4_a_revocation_ends_a_session_whose_id_changes_meanwhile() {
    let cluster = Cluster::start(Kind::Redis);
    let (store, other) = (cluster.store(), cluster.store());
    let user = requests::user("ann");
    for round in 0..60_u64 {
        let key = key_apart_from(&cluster, &index_of(&user));
        let version = logged_in(&other, key, &user).await;
        let moving = tokio::spawn(on_the_move(other.clone(), key, version));
        tokio::time::sleep(Duration::from_micros(300 * (round % 10))).await;
        store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap();
        assert!(!is_live(&store, moving.await.unwrap()).await, "in round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_a_revocation_comes_through_beside_sessions_whose_ids_change_all_the_time() {
    let cluster = Cluster::start(Kind::Valkey);
    for _ in 0..3 {
        restless::are_revoked(20, &cluster.store(), || cluster.store()).await;
    }
}

/// The same, held still: the index is as it was before the session went on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_c4_a_session_that_has_gone_on_since_the_index_was_read_is_found_where_it_is() {
    let cluster = Cluster::start(Kind::Redis);
    let (store, user) = (cluster.store(), requests::user("ann"));
    let key = key_apart_from(&cluster, &index_of(&user));
    let version = logged_in(&store, key, &user).await;
    let to = requests::successor(key);
    store.rename(requests::rename(key, to, version, requests::data(&[]))).await.unwrap();
    is_indexed_as(&cluster, &user, &to, &key).await;
    assert_eq!(store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap().count, 1);
    assert!(!is_live(&store, to).await);
}

/// An index as it was before its session got another id.
async fn is_indexed_as(cluster: &Cluster, user: &UserId, now: &StoreKey, before: &StoreKey) {
    let (index, announced) = (index_of(user), announced_of(user));
    let home = node_of(cluster, &index);
    until("the index is tidied", || home.raw(&format!("HLEN {announced}")).starts_with(":0")).await;
    home.raw(&format!("ZADD {index} 9000000000000 {}", member(before)));
    home.raw(&format!("ZREM {index} {}", member(now)));
}

/// The same, with one of its two ids on another node already: their slot is on its way there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_c4_a_session_that_has_gone_on_is_found_while_its_slot_is_moved() {
    let cluster = Cluster::start(Kind::Valkey);
    let store = cluster.store();
    let ok = |answer: String| assert!(answer.starts_with("+OK"), "{answer}");
    for (name, first) in [("ann", true), ("bob", false)] {
        let user = requests::user(name);
        let key = key_apart_from(&cluster, &index_of(&user));
        let version = logged_in(&store, key, &user).await;
        let to = requests::successor(key);
        store.rename(requests::rename(key, to, version, requests::data(&[]))).await.unwrap();
        is_indexed_as(&cluster, &user, &to, &key).await;
        let slot = cluster.slot(&name_of(&key));
        let from = cluster.first_owner(slot);
        let onto = (from + 1) % 3;
        let (source, target) = (&cluster.nodes[from], &cluster.nodes[onto]);
        ok(target.raw(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", cluster.id(from))));
        ok(source.raw(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", cluster.id(onto))));
        let leaves = name_of(if first { &key } else { &to });
        ok(source.raw(&format!("MIGRATE 127.0.0.1 {} {leaves} 0 5000", target.port())));
        assert_eq!(store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap().count, 1, "{name}");
        assert!(!is_live(&store, to).await, "{name}");
    }
}

/// A revocation that was written down, and then could not end anything, is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_c4_a_revocation_that_is_repeated_ends_what_has_moved_since() {
    let cluster = Cluster::start(Kind::Redis);
    let store = cluster.store();
    // However often: somebody who has stolen an id may change it as fast as they can.
    for changes in [1, 40, 90] {
        let (revoke, at) = written_down_and_then_moved(&cluster, &store, changes).await;
        assert_eq!(store.revoke(revoke).await.unwrap().count, 1);
        assert!(!is_live(&store, at).await, "after {changes} changes");
    }
}

/// The same, where somebody else has logged in to that session since: it is not theirs any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_a_revocation_that_is_repeated_spares_what_has_become_somebody_elses() {
    let cluster = Cluster::start(Kind::Redis);
    let store = cluster.store();
    let (revoke, at) = written_down_and_then_moved(&cluster, &store, 1).await;
    let Loaded::Live(found) = store.load(at).await.unwrap() else { panic!() };
    let to = requests::successor(at);
    let mut login = requests::rename(at, to, found.record.version, requests::data(&[]));
    login.bind = Some(requests::bind(&requests::user("bob")));
    let renamed = store.rename(login).await.unwrap();
    assert!(matches!(renamed, Renamed::Renamed { .. }), "{renamed:?}");
    store.revoke(revoke).await.unwrap();
    assert!(is_live(&store, to).await, "bob is logged out with ann");
}

/// A revocation that could not end the session it was about, and where that is after its id has changed so often since.
async fn written_down_and_then_moved(
    cluster: &Cluster,
    store: &RedisStore,
    changes: usize,
) -> (Revoke, StoreKey) {
    let user = requests::user(&format!("ann-{changes}"));
    let mut at = key_apart_from(cluster, &index_of(&user));
    let mut version = logged_in(store, at, &user).await;
    let home = node_of(cluster, &name_of(&at));
    let revoke = requests::revoke(&user, RevokeWhich::All);
    home.raw("CONFIG SET min-replicas-to-write 9");
    let told = store.revoke(revoke.clone()).await.unwrap_err();
    assert_eq!(told.kind(), StoreErrorKind::Unknown, "{told}");
    home.raw("CONFIG SET min-replicas-to-write 0");
    for _ in 0..changes {
        let to = requests::successor(at);
        let renamed = store.rename(requests::rename(at, to, version, requests::data(&[]))).await.unwrap();
        let Renamed::Renamed { snapshot, .. } = renamed else { panic!("{renamed:?}") };
        (at, version) = (to, snapshot.record.version);
    }
    (revoke, at)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leftovers_in_an_index_are_taken_out_and_what_is_announced_is_not() {
    let cluster = Cluster::start(Kind::Redis);
    let store = cluster.store();
    let user = requests::user("ann");
    let (index, announced) = (index_of(&user), announced_of(&user));
    let home = node_of(&cluster, &index);
    let key = requests::key();
    store.create(requests::create_for(key, requests::bind(&user))).await.unwrap();
    until("what has come true is no longer announced", || {
        home.raw(&format!("EXISTS {announced}")).starts_with(":0")
    })
    .await;
    // As a crash between announcing and committing leaves them: one long ago, one a moment ago.
    let (old, new) = (member(&requests::key()), requests::key());
    home.raw(&format!("ZADD {index} 9000000000000 {old}"));
    announce(&cluster, &user, &new);
    let new = member(&new);
    let listed = store.list_user(user.clone()).await.unwrap();
    assert_eq!(listed.iter().map(|session| session.key).collect::<Vec<_>>(), [key]);
    until("the leftover is gone", || !home.raw(&format!("ZRANGE {index} 0 -1")).contains(&old)).await;
    assert!(home.raw(&format!("ZRANGE {index} 0 -1")).contains(&new), "it may still come");
    // Ended, it is taken out without anybody's looking.
    store.end(requests::end(key)).await.unwrap();
    let member = member(&key);
    until("the ended one is gone", || !home.raw(&format!("ZRANGE {index} 0 -1")).contains(&member)).await;
}

/// Seen as a leftover, and announced before it is taken out: the step that takes it out looks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leftover_that_is_announced_meanwhile_stays_in_the_index() {
    let cluster = Cluster::start_behind_wires(Kind::Redis);
    let store = cluster.store();
    let user = requests::user("ann");
    let index = index_of(&user);
    let home = node_of(&cluster, &index);
    let key = key_apart_from(&cluster, &index);
    let member = member(&key);
    home.raw(&format!("ZADD {index} 9000000000000 {member}"));
    // Connected to all of them.
    store.ping().await.unwrap();
    store.load(key).await.unwrap();
    let runs = || home.calls("evalsha") + home.calls("eval");
    let (before, looked) = (runs(), home.calls("zrange"));
    // Whoever lists the user's sessions has seen the index, and does not hear yet what has become of this one.
    let wire = &cluster.wires[cluster.first_owner(cluster.slot(&name_of(&key)))];
    wire.hold_answers();
    let listing = tokio::spawn({
        let (store, user) = (store.clone(), user.clone());
        async move { store.list_user(user).await.unwrap() }
    });
    until("it has seen the index", || home.calls("zrange") > looked).await;
    announce(&cluster, &user, &key);
    let announced = runs();
    wire.mend();
    assert_eq!(listing.await.unwrap(), []);
    // By its name, which the server does not know yet, and by its text.
    until("what it took for leftovers was to be taken out", || runs() >= announced + 2).await;
    assert!(announced > before, "the test's own announcement is a script as well");
    assert!(home.raw(&format!("ZRANGE {index} 0 -1")).contains(&member), "it is announced, and may come");
    // It comes, and a revocation finds it.
    store.create(requests::create_for(key, requests::bind(&user))).await.unwrap();
    assert_eq!(store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap().count, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_node_of_its_index_nobody_logs_in_and_nothing_is_changed() {
    let cluster = Cluster::start(Kind::Redis);
    let store = cluster.store();
    let user = requests::user("ann");
    let index = index_of(&user);
    let key = key_apart_from(&cluster, &index);
    let created = store.create(requests::create(key, requests::data(&[]))).await.unwrap();
    let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
    store.ping().await.unwrap();
    let home = node_of(&cluster, &index);
    home.pause();
    let to = requests::successor(key);
    let mut login = requests::rename(key, to, snapshot.record.version, requests::data(&[]));
    login.bind = Some(requests::bind(&user));
    let error = store.rename(login).await.unwrap_err();
    home.resume();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(is_live(&store, key).await && !is_live(&store, to).await);
}
