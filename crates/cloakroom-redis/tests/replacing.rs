//! The commit of nearly every request: one command where the server has one that compares, else one script.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::record::Record;
use cloakroom::store::{Acquired, Commit, Committed, Ended, Ending, Loaded, Store, StoreErrorKind, Touched};
use cloakroom::{NearCache, StoreKey};
use cloakroom_redis::{Durability, RedisStore};
use cloakroom_testing::requests;
use support::proxy::Proxy;
use support::{Kind, Server, on_both};

/// By how the server was asked to replace a session, since it forgot what it was asked before.
#[derive(Debug, PartialEq, Eq)]
enum By {
    OneCommand,
    OneScript,
    /// The script that judges by the server's clock.
    TheRules,
    /// The same behind one of the others.
    TheRulesBehind(Box<By>),
}
use By::{OneCommand, OneScript, TheRules, TheRulesBehind};

fn by(server: &Server) -> By {
    let scripts = server.calls("evalsha") + server.calls("eval");
    // Only the script that applies the rules tells the time.
    match (scripts, server.calls("set"), server.calls("time")) {
        (0, 1, 0) => OneCommand,
        (1, 0 | 1, 0) => OneScript,
        (1, 1, 1) if server.calls("get") == 0 => TheRules,
        (1, 1 | 2, 1) => TheRulesBehind(Box::new(OneCommand)),
        (2, 0 | 1, 1) => TheRulesBehind(Box::new(OneScript)),
        counts => panic!("scripts, SET, TIME: {counts:?}"),
    }
}

/// What this server has for it.
fn usual(kind: Kind) -> By {
    match kind {
        Kind::Redis => OneScript,
        Kind::Valkey => OneCommand,
    }
}

async fn live(store: &impl Store, key: StoreKey) -> Arc<Record> {
    let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!() };
    found.record
}

async fn begin(store: &impl Store) -> (StoreKey, Arc<Record>) {
    let key = requests::key();
    store.create(requests::create(key, requests::data(&[("n", b"1")]))).await.unwrap();
    (key, live(store, key).await)
}

/// As the engine makes it: with the record that is replaced.
fn commit(key: StoreKey, base: &Arc<Record>, data: &[u8]) -> Commit {
    let mut request = requests::commit(key, base.version, requests::data(&[("n", data)]));
    request.base = Some(base.clone());
    request
}

async fn committed(store: &impl Store, request: Commit) -> Arc<Record> {
    match store.commit(request).await.unwrap() {
        Committed::Committed(snapshot) => snapshot.record,
        other => panic!("{other:?}"),
    }
}

/// Knows the scripts, the clock and the server.
async fn warm(store: &RedisStore) {
    let (key, base) = begin(store).await;
    let large = committed(store, commit(key, &base, &[7; 5_000])).await;
    let record = committed(store, commit(key, &large, b"2")).await;
    let by_version = requests::commit(key, record.version, requests::data(&[]));
    committed(store, by_version).await;
}

async fn a_commit_is_one_round_trip_and_so_is_its_repetition(kind: Kind) {
    let server = Server::start(kind);
    let store = server.store();
    warm(&store).await;
    let (key, base) = begin(&store).await;
    let request = commit(key, &base, b"2");
    server.forget_calls();
    let record = committed(&store, request.clone()).await;
    assert_eq!(by(&server), usual(kind));
    assert_eq!(record.version, base.version.next(request.op));
    assert_eq!(live(&store, key).await, record, "what was answered is what is there");

    server.forget_calls();
    assert_eq!(committed(&store, request.clone()).await, record);
    assert_eq!(by(&server), usual(kind));
    // And where somebody else has written since.
    let later = committed(&server.store(), commit(key, &record, b"3")).await;
    assert_eq!(committed(&store, request).await, later, "done, and not done again");
    assert_eq!(live(&store, key).await, later);
}

async fn c2_a_conflict_and_an_end_are_told_in_the_same_answer(kind: Kind) {
    let server = Server::start(kind);
    let (store, other) = (server.store(), server.store());
    warm(&store).await;
    let (key, base) = begin(&store).await;
    let theirs = committed(&other, commit(key, &base, b"2")).await;
    server.forget_calls();
    let Committed::Conflict(found) = store.commit(commit(key, &base, b"3")).await.unwrap() else { panic!() };
    assert_eq!(by(&server), usual(kind));
    assert_eq!((found.record, live(&store, key).await), (theirs.clone(), theirs.clone()));

    let Ended::Ended(_) = other.end(requests::end(key)).await.unwrap() else { panic!() };
    server.forget_calls();
    assert_eq!(store.commit(commit(key, &theirs, b"4")).await.unwrap(), Committed::Ended(Ending::Destroyed));
    assert_eq!(by(&server), usual(kind));

    // It expired, or was evicted.
    let (key, base) = begin(&store).await;
    server.raw(&format!("DEL {}", support::name_of(&key)));
    server.forget_calls();
    assert_eq!(store.commit(commit(key, &base, b"2")).await.unwrap(), Committed::Missing);
    assert_eq!(by(&server), usual(kind));
    assert_eq!(store.load(key).await.unwrap(), Loaded::Missing, "nothing comes back by it");
}

async fn what_only_the_servers_clock_can_judge_is_left_to_it(kind: Kind) {
    let server = Server::start(kind);
    let (store, other) = (server.store(), server.store());
    warm(&store).await;
    // Somebody holds the lease.
    let (key, base) = begin(&store).await;
    let Acquired::Acquired { .. } = other.acquire(requests::acquire(key, 1)).await.unwrap() else { panic!() };
    server.forget_calls();
    let answer = store.commit(commit(key, &base, b"2")).await.unwrap();
    assert!(matches!(answer, Committed::Locked { .. }), "{answer:?}");
    assert_eq!(by(&server), TheRulesBehind(Box::new(usual(kind))));
    other.release(requests::release(key, 1)).await.unwrap();
    server.forget_calls();
    let base = committed(&store, commit(key, &base, b"2")).await;
    assert_eq!(by(&server), usual(kind), "given back, it leaves nothing behind");
    // Somebody died with it.
    let mut short = requests::acquire(key, 2);
    short.lease = Duration::from_millis(1);
    let Acquired::Acquired { until, .. } = other.acquire(short).await.unwrap() else { panic!() };
    while store.now().await.unwrap() <= until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.forget_calls();
    let base = committed(&store, commit(key, &base, b"3")).await;
    assert_eq!(by(&server), TheRulesBehind(Box::new(usual(kind))));
    // A read slid the deadline further than this one would.
    let mut touch = requests::touch(key);
    touch.idle = requests::IDLE * 2;
    let Touched::Touched { idle_deadline } = other.touch(touch).await.unwrap() else { panic!() };
    server.forget_calls();
    let record = committed(&store, commit(key, &base, b"4")).await;
    assert_eq!(by(&server), TheRulesBehind(Box::new(usual(kind))));
    assert_eq!(record.idle_deadline, idle_deadline, "never backwards");
}

async fn a_large_session_is_replaced_by_script_and_has_the_same_life(kind: Kind) {
    let server = Server::start(kind);
    let store = server.store();
    warm(&store).await;
    let (key, base) = begin(&store).await;
    let base = committed(&store, commit(key, &base, &[7; 5_000])).await;
    server.forget_calls();
    let base = committed(&store, commit(key, &base, b"1")).await;
    assert_eq!(by(&server), OneScript, "what is compared would travel twice more");
    for data in [&[7; 5_000][..], b"1"] {
        let before = base.idle_deadline;
        let base = committed(&store, commit(key, &live(&store, key).await, data)).await;
        assert!(base.idle_deadline >= before);
        let expires = server.raw(&format!("PEXPIRETIME {}", support::name_of(&key)));
        let expires: u64 = expires.lines().next().unwrap().trim_start_matches(':').parse().unwrap();
        assert_eq!(expires, base.idle_deadline.as_millis());
    }
}

async fn what_does_not_slide_leaves_the_key_the_expiry_that_it_has(kind: Kind) {
    let server = Server::start(kind);
    let store = server.store();
    warm(&store).await;
    let (key, mut base) = begin(&store).await;
    let expires = || server.raw(&format!("PEXPIRETIME {}", support::name_of(&key)));
    let (before, idle_deadline) = (expires(), base.idle_deadline);
    let mut write = async |mut request: Commit, how: By| {
        request.unless_seen_within = requests::IDLE;
        server.forget_calls();
        base = committed(&store, request).await;
        assert_eq!(by(&server), how);
        assert_eq!((base.idle_deadline, expires()), (idle_deadline, before.clone()));
        assert_eq!(live(&store, key).await, base);
        base.clone()
    };
    let base = write(commit(key, &live(&store, key).await, b"2"), usual(kind)).await;
    let base = write(commit(key, &base, &[7; 5_000]), OneScript).await;
    let base = write(commit(key, &base, b"3"), OneScript).await;
    // By the rules alone.
    let by_version = requests::commit(key, base.version, requests::data(&[("n", b"4")]));
    write(by_version, TheRules).await;
}

async fn what_is_waited_for_is_a_script(kind: Kind) {
    let server = Server::start(kind);
    let nobody = Durability::replicas(1).within(Duration::from_millis(50));
    let store = server.builder().durability(nobody).build().unwrap();
    let elsewhere = server.store();
    warm(&elsewhere).await;
    store.ping().await.unwrap();
    let (key, base) = begin(&elsewhere).await;
    store.load(key).await.unwrap();
    server.forget_calls();
    let unsure = store.commit(commit(key, &base, b"2")).await.unwrap_err();
    assert_eq!(unsure.kind(), StoreErrorKind::Undurable);
    assert_eq!(server.calls("evalsha") + server.calls("eval"), 1);
    assert_eq!(live(&elsewhere, key).await.version.counter, base.version.counter + 1);

    let logins = Durability::replicas(1).within(Duration::from_millis(50)).only_logins_and_ends();
    let store = server.builder().durability(logins).build().unwrap();
    let base = live(&store, key).await;
    server.forget_calls();
    committed(&store, commit(key, &base, b"3")).await;
    assert_eq!(by(&server), usual(kind), "this one is not waited for");
}

async fn a_session_that_was_damaged_since_it_was_read_is_replaced(kind: Kind) {
    let server = Server::start(kind);
    let store = server.store();
    warm(&store).await;
    let (key, base) = begin(&store).await;
    let name = support::name_of(&key);
    let length = server.raw(&format!("STRLEN {name}"));
    let length: usize = length.lines().next().unwrap()[1..].parse().unwrap();
    server.raw(&format!("SETRANGE {name} {} X", length - 1));
    assert_eq!(store.load(key).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    let record = committed(&store, commit(key, &base, b"2")).await;
    assert_eq!(live(&store, key).await, record);
    // Where it cannot be told any more which version is there, nothing is written over it.
    server.raw(&format!("SETRANGE {name} 0 damaged!"));
    let damaged = store.commit(commit(key, &record, b"3")).await.unwrap_err();
    assert_eq!(damaged.kind(), StoreErrorKind::Corrupt);
}

/// Behind a cache that was told of nothing yet.
async fn c1_an_outdated_copy_overwrites_nothing(kind: Kind) {
    let server = Server::start(kind);
    let near = NearCache::new(server.store());
    let (key, _) = begin(&near).await;
    let base = live(&near, key).await;
    let theirs = committed(&server.store(), commit(key, &base, b"2")).await;
    let Committed::Conflict(found) = near.commit(commit(key, &base, b"3")).await.unwrap() else { panic!() };
    assert_eq!(found.record, theirs);
}

on_both! {
    a_commit_is_one_round_trip_and_so_is_its_repetition
    c2_a_conflict_and_an_end_are_told_in_the_same_answer
    what_only_the_servers_clock_can_judge_is_left_to_it
    a_large_session_is_replaced_by_script_and_has_the_same_life
    what_does_not_slide_leaves_the_key_the_expiry_that_it_has
    what_is_waited_for_is_a_script
    a_session_that_was_damaged_since_it_was_read_is_replaced
    c1_an_outdated_copy_overwrites_nothing
}

/// A server that was replaced by one of another version, or a node of a cluster that is half way to one.
#[tokio::test]
async fn a_server_that_does_not_know_the_words_is_asked_by_script() {
    let server = Server::start(Kind::Redis);
    // It says that it is one that knows them.
    let disguised = Proxy::disguised(server.port(), |answer| {
        let told = String::from_utf8_lossy(answer).into_owned();
        match told.contains("$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n") {
            true => told
                .replace("$5\r\nredis\r\n$7\r\nversion\r\n", "$6\r\nvalkey\r\n$7\r\nversion\r\n")
                .replace("$6\r\n7.0.15\r\n", "$5\r\n9.1.2\r\n")
                .into_bytes(),
            false => answer.to_vec(),
        }
    });
    let store = RedisStore::new(&disguised.url()).unwrap();
    warm(&store).await;
    let (key, base) = begin(&store).await;
    server.forget_calls();
    let record = committed(&store, commit(key, &base, b"2")).await;
    assert_eq!(live(&store, key).await, record);
    assert_eq!((server.calls("evalsha"), server.calls("set")), (1, 2), "refused, and then the script's");
}
