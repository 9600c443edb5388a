//! Which server is asked, by sentinels that say what a test has them say; mostly over two servers that know nothing of one another.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/counter.rs"]
mod counter;
mod support;

use std::time::Duration;

use cloakroom::NearCache;
use cloakroom::store::{Acquired, Created, LeaseOwner, Loaded, Released, Store, StoreErrorKind};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use counter::{back, count, counter, live, new_counter, soon};
use support::pace::Pace;
use support::sentinels::{Puppet, led_by};
use support::undisturbed::undisturbed;
use support::{Kind, Server};

struct Two {
    first: Server,
    second: Server,
}

impl Two {
    fn start() -> Self {
        Two { first: Server::start(Kind::Redis), second: Server::start(Kind::Redis) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_asked_before_a_session_is_and_a_name_serves_as_an_address() {
    let server = Server::start(Kind::Redis);
    let sentinel = Puppet::naming("localhost", server.port());
    let store = led_by(&[&sentinel]).build().unwrap();
    assert_eq!(sentinel.asked(), 0);
    let key = new_counter(&store).await;
    assert_eq!(count(&*live(&store, key).await), 0);
    assert!(sentinel.asked() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_switch_is_followed_at_once_by_word_and_soon_without() {
    let two = Two::start();
    let sentinel = Puppet::naming("127.0.0.1", two.first.port());
    let store = led_by(&[&sentinel]).build().unwrap();
    let key = new_counter(&store).await;
    // Right after it was asked as it is every second: by that the switch would be noticed a second from now.
    let asked = sentinel.asked();
    soon("it is asked again", async || sentinel.asked() > asked).await;
    let pace = Pace::here();
    sentinel.switch_to(two.second.port());
    let began = pace.now();
    soon("the second is asked", async || store.load(key).await.is_ok_and(|at| at == Loaded::Missing)).await;
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    sentinel.name_quietly(two.first.port());
    soon("the first is asked", async || matches!(store.load(key).await, Ok(Loaded::Live(_)))).await;
}

/// The connection was given up, because it left a call without an answer; others wait on it still.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waits_for_a_primary_that_went_silent_is_unknown_as_soon_as_it_is_left() {
    let two = Two::start();
    let sentinel = Puppet::naming("127.0.0.1", two.first.port());
    let deadline = Duration::from_secs(4);
    let store = led_by(&[&sentinel]).call_deadline(deadline).build().unwrap();
    store.ping().await.unwrap();
    two.first.pause();
    let first = tokio::spawn(store.load(requests::key()));
    let pace = Pace::here();
    tokio::time::sleep(deadline / 2).await;
    let began = pace.now();
    let write = tokio::spawn(store.create(requests::create(requests::key(), counter(1))));
    assert_eq!(first.await.unwrap().unwrap_err().kind(), StoreErrorKind::Unavailable);
    sentinel.switch_to(two.second.port());
    let error = write.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unknown, "{error}");
    assert!(began.elapsed() < deadline * 3 / 4, "it was waited for: {:?}", began.elapsed());
    back(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_under_way_to_a_primary_that_was_left_is_unknown_at_once_and_made_once() {
    let two = Two::start();
    let sentinel = Puppet::naming("127.0.0.1", two.first.port());
    let store = led_by(&[&sentinel]).call_deadline(Duration::from_secs(20)).build().unwrap();
    store.ping().await.unwrap();
    two.first.pause();
    let request = requests::create(requests::key(), counter(1));
    let write = tokio::spawn(store.create(request.clone()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    sentinel.switch_to(two.second.port());
    let error = tokio::time::timeout(Duration::from_secs(5), write).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unknown, "{error}");
    // Asked again under its operation id, of the other.
    assert!(matches!(store.create(request.clone()).await.unwrap(), Created::Created { .. }));
    assert_eq!(live(&store, request.key).await.version.counter, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_was_demoted_refuses_and_the_write_goes_to_the_next_within_its_deadline() {
    let two = Two::start();
    let sentinel = Puppet::naming("127.0.0.1", two.first.port());
    let store = led_by(&[&sentinel]).build().unwrap();
    let key = new_counter(&store).await;
    // It copies what the second has, and takes no writes; the sentinel knows, and says so when it is asked.
    let demote = |server: &Server, of: &Server| {
        assert!(server.raw(&format!("REPLICAOF 127.0.0.1 {}", of.port())).contains("+OK"));
    };
    demote(&two.first, &two.second);
    sentinel.name_quietly(two.second.port());
    let created = store.create(requests::create(requests::key(), counter(1))).await;
    assert!(matches!(created.unwrap(), Created::Created { .. }));
    assert_eq!(store.load(key).await.unwrap(), Loaded::Missing);

    // Nobody knows of another one: refused, for certain.
    two.first.raw("REPLICAOF NO ONE");
    demote(&two.second, &two.first);
    let error = store.create(requests::create(requests::key(), counter(1))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("is none, or none any more"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_sentinel_that_was_left_behind_leads_nobody_astray() {
    // Sentinels that nothing was heard of for a third of a second are not waited for.
    undisturbed(Duration::from_millis(50), one_was_left_behind).await;
}

async fn one_was_left_behind() {
    let two = Two::start();
    let named = |server: &Server| Puppet::naming("127.0.0.1", server.port());
    let (stale, right, too) = (named(&two.second), named(&two.first), named(&two.first));
    let store = led_by(&[&stale, &right, &too]).build().unwrap();
    let key = new_counter(&store).await;
    for _ in 0..3 {
        stale.switch_to(two.second.port());
        assert_eq!(count(&*live(&store, key).await), 0);
    }
    two.first.raw("CLIENT KILL TYPE normal SKIPME yes");
    back(&store).await;
    assert_eq!(count(&*live(&store, key).await), 0);
    assert_eq!(two.second.calls("evalsha") + two.second.calls("get"), 0);
}

/// On one thread, so that all of the process stands still: the sentinel has answered, and was not heard.
#[tokio::test]
async fn c9_a_process_that_stood_still_while_it_looked_for_the_primary_finds_it() {
    let server = Server::start(Kind::Redis);
    let sentinel = Puppet::naming("127.0.0.1", server.port());
    let store = led_by(&[&sentinel]).call_deadline(Duration::from_secs(20)).build().unwrap();
    let asked = tokio::spawn(store.load(requests::key()));
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(asked.await.unwrap().unwrap(), Loaded::Missing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s49_what_a_near_cache_keeps_is_gone_with_a_switch() {
    let two = Two::start();
    let sentinel = Puppet::naming("127.0.0.1", two.first.port());
    let store = led_by(&[&sentinel]).build().unwrap();
    // For so long that it is the switch which does it.
    let near = NearCache::builder(store.clone()).lifetime(Duration::from_secs(60)).build();
    let key = new_counter(&store).await;
    soon("it is kept", async || {
        live(&near, key).await;
        let before = two.first.calls("get");
        live(&near, key).await;
        two.first.calls("get") == before
    })
    .await;
    sentinel.switch_to(two.second.port());
    soon("it is gone", async || near.load(key).await.is_ok_and(|at| at == Loaded::Missing)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_for_a_lease_is_told_by_the_next_primary() {
    let two = Two::start();
    let sentinel = Puppet::naming("127.0.0.1", two.first.port());
    let store = led_by(&[&sentinel]).build().unwrap();
    let other = two.second.store();
    let key = requests::key();
    for server in [&two.first, &two.second] {
        server.store().create(requests::create(key, counter(0))).await.unwrap();
        let held = server.store().acquire(requests::acquire(key, 1)).await.unwrap();
        assert!(matches!(held, Acquired::Acquired { .. }));
    }
    let asked_in_vain = async || {
        let locked = store.acquire(requests::acquire(key, 2)).await;
        assert!(matches!(locked, Ok(Acquired::Locked { .. })), "{locked:?}");
    };
    asked_in_vain().await;
    let waiting = tokio::spawn(store.released(key).unwrap());
    soon("it listens", async || two.first.raw("PUBSUB SHARDCHANNELS").contains("cloakroom:r")).await;
    sentinel.switch_to(two.second.port());
    // Nobody sleeps over a switch.
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    back(&store).await;
    soon("it listens again", async || two.second.raw("PUBSUB SHARDCHANNELS").contains("cloakroom:r")).await;
    asked_in_vain().await;
    let waiting = tokio::spawn(store.released(key).unwrap());
    let release = cloakroom::store::Release { key, owner: LeaseOwner(1) };
    assert_eq!(other.release(release).await.unwrap(), Released::Released);
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_wrong_with_sentinels_is_told_and_no_password() {
    let server = Server::start_with(Kind::Redis, &["--requirepass", "hush"]);
    let at = Some(("127.0.0.1".to_owned(), server.port()));
    let guarded = Puppet::with(at.clone(), Some("whisper"));
    let told = async |builder: cloakroom_redis::RedisBuilder, what: &str| {
        let error = builder.build().unwrap().ping().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        let error = error.to_string();
        assert!(error.contains(what) && error.starts_with("redis-sentinel://127.0.0.1:"), "{error}");
        for secret in ["hush", "whisper", "wrong"] {
            assert!(!error.contains(secret), "{error}");
        }
    };
    told(led_by(&[&guarded]), "asks for a password: give the one for sentinels (sentinel_password)").await;
    told(
        led_by(&[&guarded]).sentinel_password("wrong"),
        "does not accept the user and password for sentinels",
    )
    .await;
    let open = led_by(&[&guarded]).sentinel_user("u").sentinel_password("whisper");
    told(open.clone(), "asks for a password: give the connection one").await;
    open.password("hush").build().unwrap().ping().await.unwrap();
    told(led_by(&[&Puppet::clueless()]), "look after no service of that name").await;
    let nobody = format!("redis-sentinel://127.0.0.1:{}/shop", support::free_port());
    told(RedisStore::builder(&nobody).unwrap(), "has no sentinel that answers: 127.0.0.1:").await;
    let away = Puppet::naming("127.0.0.1", support::free_port());
    told(led_by(&[&away]), "has its primary at 127.0.0.1:").await;
    let replica = Server::start_with(Kind::Redis, &["--replicaof", "127.0.0.1", &server.port().to_string()]);
    told(led_by(&[&Puppet::naming("127.0.0.1", replica.port())]), "is none, or none any more").await;
    let plain = server.builder().sentinel_password("whisper").build().unwrap_err().to_string();
    assert!(plain.contains("names none") && !plain.contains("whisper"), "{plain}");
}
