//! How the store gets on with a server: where it is, who it is, what is kept there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::{Clock, Timestamp};
use cloakroom::store::{
    Acquired, Committed, Created, Ending, Loaded, Renamed, RevokeWhich, Store, StoreErrorKind, Touched,
};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use support::{Kind, Server};

const HUSH: &str = "hush-hush";

async fn works(store: &RedisStore) {
    let key = requests::key();
    let created = store.create(requests::create(key, requests::data(&[("a", b"1")]))).await.unwrap();
    assert!(matches!(created, Created::Created { .. }));
    assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));
    store.end(requests::end(key)).await.unwrap();
    assert!(matches!(store.load(key).await.unwrap(), Loaded::Ended(_)));
}

fn connections(server: &Server) -> u64 {
    let stats = server.raw("INFO stats");
    let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn nothing_is_asked_of_the_server_before_a_session_is() {
    let server = Server::start(Kind::Redis);
    let before = connections(&server);
    let store = server.store();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(connections(&server), before + 1, "only the question itself");
    store.ping().await.unwrap();
    works(&store).await;
    assert_eq!(connections(&server), before + 3, "one connection for all of it");
}

/// A connection is driven on the runtime that made it.
#[test]
fn c9_a_runtime_that_stands_still_makes_nobody_on_another_one_wait_for_ever() {
    let server = Server::start(Kind::Redis);
    let deadline = Duration::from_millis(300);
    let store = server.builder().call_deadline(deadline).build().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stands_still = runtime();
    stands_still.block_on(works(&store));
    runtime().block_on(async {
        let began = Instant::now();
        let waited = tokio::time::timeout(Duration::from_secs(20), store.load(requests::key())).await;
        assert_eq!(waited.expect("it ends").unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert!(began.elapsed() >= deadline);
        // Given up, and made anew here.
        let again = async {
            while store.load(requests::key()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again).await.expect("it serves again");
        works(&store).await;
    });
}

#[tokio::test]
async fn a_socket_in_the_file_system_serves() {
    let server = Server::start(Kind::Redis);
    let store = RedisStore::new(&format!("redis+unix:{}?db=3", server.socket().display())).unwrap();
    works(&store).await;
    assert!(server.raw("INFO keyspace").contains("db3:keys=1"), "the marker is in database 3");
}

#[tokio::test]
async fn a_password_is_asked_for_and_never_shown() {
    let server = Server::start_with(Kind::Redis, &["--requirepass", HUSH]);
    works(&server.builder().password(HUSH).build().unwrap()).await;
    let url = format!("redis://:{HUSH}@127.0.0.1:{}", server.port());
    works(&RedisStore::new(&url).unwrap()).await;

    let wrong = server.builder().password("hush-wrong").user("shop-user");
    assert!(!format!("{wrong:?}").contains("hush"));
    let wrong = wrong.build().unwrap();
    for store in [wrong, server.store()] {
        let error = store.load(requests::key()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let shown = format!("{error} {error:?} {store:?}");
        assert!(!shown.contains("hush") && !shown.contains("shop-user"), "{shown}");
        assert!(shown.contains("password"), "{shown}");
    }
}

#[tokio::test]
async fn a_user_with_the_permissions_of_the_manual_may_do_everything() {
    let server = Server::start(Kind::Redis);
    let permissions = "+@connection +@scripting +@pubsub +get +set +getrange +setrange +strlen +pexpire +persist +pttl +time +scan +info \
                       +zrange +zadd +zrem +zremrangebyscore ~cloakroom:* &cloakroom:*";
    let answer = server.raw(&format!("ACL SETUSER shop on >{HUSH} resetkeys resetchannels {permissions}"));
    assert!(answer.starts_with("+OK"), "{answer}");
    let store = server.builder().user("shop").password(HUSH).build().unwrap();
    works(&store).await;
    let ann = requests::user("ann");
    let key = requests::key();
    store.create(requests::create_for(key, requests::bind_capped(&ann, 1))).await.unwrap();
    assert_eq!(store.list_user(ann.clone()).await.unwrap().len(), 1);
    store.touch(requests::touch(key)).await.unwrap();
    let Acquired::Acquired { .. } = store.acquire(requests::acquire(key, 1)).await.unwrap() else { panic!() };
    let signal = store.released(key).unwrap();
    store.release(requests::release(key, 1)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), signal).await.unwrap().unwrap();
    store.scan(cloakroom::store::ScanFrom { after: None, limit: 10 }).await.unwrap();
    store.stats().await.unwrap();
    assert_eq!(store.revoke(requests::revoke(&ann, RevokeWhich::All)).await.unwrap().count, 1);

    let answer = server.raw("ACL SETUSER shop -set");
    assert!(answer.starts_with("+OK"), "{answer}");
    let error = store.create(requests::create(requests::key(), requests::data(&[]))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn applications_with_different_prefixes_do_not_see_each_other() {
    let server = Server::start(Kind::Redis);
    let one = server.builder().prefix("one[*]:").build().unwrap();
    let two = server.builder().prefix("two:").build().unwrap();
    let ann = requests::user("ann");
    let key = requests::key();
    one.create(requests::create_for(key, requests::bind(&ann))).await.unwrap();
    assert_eq!(two.load(key).await.unwrap(), Loaded::Missing);
    assert_eq!(two.list_user(ann.clone()).await.unwrap(), []);
    let all = cloakroom::store::ScanFrom { after: None, limit: 10 };
    assert_eq!(two.scan(all).await.unwrap().sessions, []);
    assert_eq!(one.scan(all).await.unwrap().sessions.len(), 1);
    assert_eq!(one.list_user(ann).await.unwrap().len(), 1);
}

#[tokio::test]
async fn every_key_has_an_expiry() {
    let server = Server::start(Kind::Redis);
    let store = server.store();
    let ann = requests::user("ann");
    for n in 0..4 {
        let key = requests::key();
        store.create(requests::create_for(key, requests::bind_capped(&ann, 2))).await.unwrap();
        let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!() };
        let version = found.record.version;
        store.commit(requests::commit(key, version, requests::data(&[("a", b"2")]))).await.unwrap();
        store.touch(requests::touch(key)).await.unwrap();
        store.acquire(requests::acquire(key, 1)).await.unwrap();
        store.release(requests::release(key, 1)).await.unwrap();
        let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!() };
        let mut rename = requests::rename(key, requests::key(), found.record.version, requests::data(&[]));
        if n % 2 == 0 {
            rename.old = requests::alias(requests::MARKER);
        }
        store.rename(rename).await.unwrap();
        works(&store).await;
    }
    store.revoke(requests::revoke(&ann, RevokeWhich::All)).await.unwrap();
    store.create(requests::create_for(requests::key(), requests::bind(&ann))).await.unwrap();
    let names = server.raw("KEYS *");
    let names: Vec<&str> = names.lines().filter(|line| line.starts_with("cloakroom:")).collect();
    assert!(names.iter().any(|name| name.starts_with("cloakroom:u")), "the index is among them: {names:?}");
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let left = server.raw(&format!("PTTL {name}"));
        let left: i64 = left.lines().next().unwrap()[1..].parse().unwrap();
        assert!(left > 0, "{name} has {left} ms left");
    }
}

#[tokio::test]
async fn an_index_forgets_sessions_that_are_gone() {
    let server = Server::start(Kind::Redis);
    let store = server.store();
    let ann = requests::user("ann");
    let (stays, goes) = (requests::key(), requests::key());
    for key in [stays, goes] {
        store.create(requests::create_for(key, requests::bind(&ann))).await.unwrap();
    }
    // Evicted, or expired: gone without a word.
    server.raw(&format!("DEL {}", support::name_of(&goes)));
    let index = server.raw("KEYS cloakroom:u*");
    let index = index.lines().find(|line| line.starts_with("cloakroom:u")).unwrap();
    assert!(server.raw(&format!("ZCARD {index}")).starts_with(":2"));
    assert_eq!(store.list_user(ann).await.unwrap().len(), 1);
    let began = Instant::now();
    while !server.raw(&format!("ZCARD {index}")).starts_with(":1") {
        assert!(began.elapsed() < Duration::from_secs(10), "the index keeps what is gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn data_that_was_changed_or_put_under_another_key_is_an_error() {
    let server = Server::start(Kind::Redis);
    let store = server.store();
    let (mine, yours) = (requests::key(), requests::key());
    for key in [mine, yours] {
        store.create(requests::create(key, requests::data(&[("a", b"123456")]))).await.unwrap();
    }
    let (my_name, your_name) = (support::name_of(&mine), support::name_of(&yours));
    server.raw(&format!("COPY {my_name} {your_name} REPLACE"));
    assert_eq!(store.load(yours).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert!(matches!(store.load(mine).await.unwrap(), Loaded::Live(_)));
    let length = server.raw(&format!("STRLEN {my_name}"));
    let length: usize = length.lines().next().unwrap()[1..].parse().unwrap();
    server.raw(&format!("SETRANGE {my_name} {} X", length - 1));
    assert_eq!(store.load(mine).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    server.raw(&format!("DEL {my_name}"));
    server.raw(&format!("LPUSH {my_name} x"));
    assert_eq!(store.load(mine).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_full_server_takes_no_new_sessions_and_says_so() {
    let server = Server::start(Kind::Redis);
    let store = server.store();
    let key = requests::key();
    store.create(requests::create(key, requests::data(&[("a", b"1")]))).await.unwrap();
    let ann = requests::user("ann");
    store.create(requests::create_for(requests::key(), requests::bind(&ann))).await.unwrap();
    server.raw("CONFIG SET maxmemory 1");
    let error = store.create(requests::create(requests::key(), requests::data(&[]))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));
    // Who only reads stays logged in.
    let touched = store.touch(requests::touch(key)).await.unwrap();
    assert!(matches!(touched, Touched::Touched { .. }), "{touched:?}");
    // A logout logs out all the same, and so does a revocation.
    store.end(requests::end(key)).await.unwrap();
    assert!(matches!(store.load(key).await.unwrap(), Loaded::Ended(_)));
    let ended = store.revoke(requests::revoke(&ann, RevokeWhich::All)).await.unwrap();
    assert_eq!(ended.count, 1);
    server.raw("CONFIG SET maxmemory 0");
    works(&store).await;
}

/// From the server's own count, which also counts what scripts call: a read is one `GET` and no script, a write one script.
#[tokio::test]
async fn one_round_trip_each() {
    let server = Server::start(Kind::Redis);
    let store = server.store();
    let key = requests::key();
    works(&store).await; // connected, the clock known
    let scripts = |server: &Server| server.calls("evalsha") + server.calls("eval");
    server.raw("SCRIPT FLUSH");
    store.create(requests::create(key, requests::data(&[]))).await.unwrap();
    let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!() };
    store.commit(requests::commit(key, found.record.version, requests::data(&[]))).await.unwrap();

    server.forget_calls();
    let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!() };
    assert_eq!((server.calls("get"), scripts(&server), server.calls("time")), (1, 0, 0));
    server.forget_calls();
    store.load_many(vec![key, requests::key(), requests::key()]).await.unwrap();
    assert_eq!((server.calls("get"), scripts(&server)), (3, 0));
    server.forget_calls();
    store.commit(requests::commit(key, found.record.version, requests::data(&[]))).await.unwrap();
    assert_eq!((server.calls("get"), scripts(&server)), (0, 1));
    server.forget_calls();
    store.commit(requests::commit(key, found.record.version, requests::data(&[]))).await.unwrap();
    assert_eq!((server.calls("get"), scripts(&server)), (1, 1), "a conflict brings the record along");
    server.forget_calls();
    store.create(requests::create(requests::key(), requests::data(&[]))).await.unwrap();
    assert_eq!(scripts(&server), 1);
}

#[tokio::test]
async fn an_operation_that_was_done_is_not_done_again_over_its_own_version() {
    let server = Server::start(Kind::Redis);
    let store = server.store();
    let key = requests::key();
    let create = requests::create(key, requests::data(&[]));
    store.create(create.clone()).await.unwrap();
    let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!() };
    let mut again = requests::commit(key, found.record.version, requests::data(&[("a", b"1")]));
    again.op = create.op;
    let Committed::Committed(answer) = store.commit(again).await.unwrap() else { panic!() };
    assert_eq!(answer.record, found.record, "the operation is known, nothing changes");
}

/// The server's clock, as a test gives it: once told to, it jumps after it was read once more.
struct Jumping {
    reads_left: AtomicU64,
    before: Timestamp,
    after: Timestamp,
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        let left = self.reads_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() { self.before } else { self.after }
    }
}

/// A change of id is decided on what was read. A deadline that passes before it is applied must be seen.
#[tokio::test]
async fn a_deadline_that_passes_in_the_midst_of_a_step_is_seen() {
    let server = Server::start(Kind::Redis);
    let before = Timestamp::from_millis(1_800_000_000_000);
    let ann = requests::user("ann");
    for jump in [Duration::ZERO, requests::IDLE] {
        let key = requests::key();
        let reads_left = AtomicU64::new(u64::MAX);
        let clock = Arc::new(Jumping { reads_left, before, after: before.after(jump) });
        let store = server.builder().clock(clock.clone()).build().unwrap();
        store.create(requests::create_for(key, requests::bind(&ann))).await.unwrap();
        let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!() };
        let rename = requests::rename(key, requests::key(), found.record.version, requests::data(&[]));
        // The look at what is there, and no more.
        clock.reads_left.store(1, Ordering::SeqCst);
        let answer = store.rename(rename).await.unwrap();
        match jump.is_zero() {
            true => assert!(matches!(answer, Renamed::Renamed { .. }), "{answer:?}"),
            false => assert_eq!(answer, Renamed::Ended(Ending::Expired)),
        }
    }
}

/// By the server's own count again: what takes several entries reads once and writes once; an end follows its session in one go.
#[tokio::test]
async fn two_round_trips_for_a_step_and_one_for_an_end() {
    let server = Server::start(Kind::Redis);
    let store = server.store();
    let ann = requests::user("ann");
    // The server knows the scripts from here on.
    works(&store).await;
    store.list_user(ann.clone()).await.unwrap();
    let scripts = |server: &Server| server.calls("evalsha") + server.calls("eval");
    let (first, second, third) = (requests::key(), requests::key(), requests::key());
    server.forget_calls();
    store.create(requests::create_for(first, requests::bind_capped(&ann, 3))).await.unwrap();
    assert_eq!(scripts(&server), 2, "a new session of a user");
    let Loaded::Live(found) = store.load(first).await.unwrap() else { panic!() };
    server.forget_calls();
    let mut rename = requests::rename(first, second, found.record.version, requests::data(&[]));
    rename.bind = Some(requests::bind_capped(&ann, 3));
    store.rename(rename).await.unwrap();
    assert_eq!(scripts(&server), 2, "a login");
    server.forget_calls();
    assert_eq!(store.list_user(ann.clone()).await.unwrap().len(), 1);
    assert_eq!(scripts(&server), 1, "a list");
    server.forget_calls();
    assert_eq!(store.revoke(requests::revoke(&ann, RevokeWhich::All)).await.unwrap().count, 1);
    assert_eq!(scripts(&server), 2, "a revocation");
    store.create(requests::create(third, requests::data(&[]))).await.unwrap();
    server.forget_calls();
    store.end(requests::end(third)).await.unwrap();
    assert_eq!(scripts(&server), 1, "a logout");
    server.forget_calls();
    store.end(requests::end(third)).await.unwrap();
    assert_eq!(scripts(&server), 1, "a logout of nobody");
}

#[tokio::test]
async fn a_server_that_was_made_a_replica_is_asked_anew() {
    let (primary, server) = (Server::start(Kind::Redis), Server::start(Kind::Redis));
    let store = server.store();
    works(&store).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.raw(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    let before = connections(&server);
    let refused = || store.create(requests::create(requests::key(), requests::data(&[])));
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(refused().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
    // One a second, and one for the connection of before.
    let at_most = 2 + began.elapsed().as_secs();
    let made = connections(&server) - before - 1;
    assert!((1..=at_most).contains(&made), "{made} connections for five writes that were refused");
    server.raw("REPLICAOF NO ONE");
    works(&store).await;
}
