//! The near cache over a server that tracks what its clients read: what it costs, how soon it knows, and what becomes of it when the
//! connection goes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "near/others.rs"]
mod others;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::record::{Record, Version};
use cloakroom::store::{Committed, Created, Ended, Loaded, RevokeWhich, Store, StoreErrorKind};
use cloakroom::{NearCache, StoreKey};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use others::{Bustle, Deed, session_of};
use support::pace::Pace;
use support::proxy::Proxy;
use support::{Kind, Server};

type Near = NearCache<RedisStore>;

/// So long that nothing but news, or the loss of them, ends what is kept.
const FOR_EVER: Duration = Duration::from_secs(3_600);
/// Far longer than anything takes that works, on however busy a machine.
const LATE: Duration = Duration::from_secs(20);

fn near(store: RedisStore) -> Near {
    NearCache::builder(store).lifetime(FOR_EVER).build()
}

async fn new_session(store: &impl Store) -> StoreKey {
    let key = requests::key();
    let created = store.create(requests::create(key, requests::data(&[("n", b"0")]))).await.unwrap();
    assert!(matches!(created, Created::Created { .. }));
    key
}

async fn live(store: &impl Store, key: StoreKey) -> Arc<Record> {
    match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot.record,
        other => panic!("{other:?}"),
    }
}

/// Writes over the newest version, which is asked of this store.
async fn write(store: &RedisStore, key: StoreKey) -> Version {
    let over = live(store, key).await.version;
    match store.commit(requests::commit(key, over, requests::data(&[("n", b"1")]))).await.unwrap() {
        Committed::Committed(snapshot) => snapshot.record.version,
        other => panic!("{other:?}"),
    }
}

/// Reads until it is answered from memory. What is told of the reader's own doings may come between two reads.
async fn warm(near: &Near, key: StoreKey) -> Arc<Record> {
    let began = Instant::now();
    loop {
        let before = near.counts().hits;
        let loaded = near.load(key).await;
        if near.counts().hits > before {
            let Ok(Loaded::Live(snapshot)) = loaded else { panic!("{loaded:?} from memory") };
            return snapshot.record;
        }
        assert!(began.elapsed() < LATE, "it is never kept: {loaded:?}, {:?}", near.counts());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Asks until the answer is as it should be; how long that took.
async fn until(near: &Near, key: StoreKey, should: impl Fn(&Loaded) -> bool) -> Duration {
    let began = Instant::now();
    loop {
        let loaded = near.load(key).await;
        if loaded.as_ref().is_ok_and(&should) {
            return began.elapsed();
        }
        assert!(began.elapsed() < LATE, "still {loaded:?}, {:?}", near.counts());
        tokio::task::yield_now().await;
    }
}

/// Waits until the server can be asked again.
async fn back(near: &Near, key: StoreKey) {
    until(near, key, |loaded| matches!(loaded, Loaded::Live(_))).await;
}

fn shows(version: Version) -> impl Fn(&Loaded) -> bool {
    move |loaded| matches!(loaded, Loaded::Live(snapshot) if snapshot.record.version == version)
}

/// What the server tells of itself.
fn told(server: &Server, section: &str, name: &str) -> u64 {
    let info = server.raw(&format!("INFO {section}"));
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap().trim().parse().unwrap()
}

fn tracking(server: &Server) -> (u64, u64) {
    (told(server, "clients", "tracking_clients"), told(server, "stats", "tracking_total_keys"))
}

async fn a_warm_read_asks_nothing_of_the_server_and_a_write_one_thing(kind: Kind) {
    let server = Server::start(kind);
    let near = near(server.store());
    let key = new_session(&near).await;
    // The script is known from here on.
    write(near.store(), key).await;
    let record = warm(&near, key).await;
    server.forget_calls();
    for _ in 0..100 {
        live(&near, key).await;
    }
    let asked = |server: &Server| {
        let scripts = server.calls("evalsha") + server.calls("eval");
        (server.calls("get"), scripts, server.calls("client|caching"))
    };
    assert_eq!(asked(&server), (0, 0, 0));
    near.commit(requests::commit(key, record.version, requests::data(&[]))).await.unwrap();
    assert_eq!(asked(&server), (0, 1, 0));
    live(&near, key).await;
    // In one packet.
    assert_eq!(asked(&server), (1, 1, 1));
}

async fn without_a_cache_nothing_is_tracked_and_with_one_sessions_that_it_may_keep(kind: Kind) {
    let server = Server::start(kind);
    let ann = requests::user("ann");
    let all = async |store: &RedisStore, near: Option<&Near>| {
        let key = requests::key();
        store.create(requests::create_for(key, requests::bind_capped(&ann, 5))).await.unwrap();
        for _ in 0..2 {
            match near {
                Some(near) => drop(live(near, key).await),
                None => drop(live(store, key).await),
            }
        }
        store.load_many(vec![key, requests::key()]).await.unwrap();
        store.list_user(ann.clone()).await.unwrap();
        store.acquire(requests::acquire(key, 1)).await.unwrap();
        store.release(requests::release(key, 1)).await.unwrap();
        store.scan(cloakroom::store::ScanFrom { after: None, limit: 10 }).await.unwrap();
        key
    };
    let store = server.store();
    all(&store, None).await;
    assert_eq!(tracking(&server), (0, 0));
    assert_eq!((server.calls("client|tracking"), server.calls("client|caching")), (0, 0));
    drop(store);

    let store = server.store();
    let near = near(store.clone());
    let key = all(&store, Some(&near)).await;
    assert_eq!(tracking(&server), (1, 0), "the lease was news of the only session that was kept");
    warm(&near, key).await;
    assert_eq!(tracking(&server), (1, 1), "neither the index nor anything else");
    store.revoke(requests::revoke(&ann, RevokeWhich::All)).await.unwrap();
    until(&near, key, |loaded| matches!(loaded, Loaded::Ended(_))).await;
}

/// What a store that was used before is connected over does not track.
async fn a_cache_may_be_put_before_a_store_in_use(kind: Kind) {
    let server = Server::start(kind);
    let store = server.builder().connections(3).build().unwrap();
    let key = new_session(&store).await;
    for _ in 0..6 {
        live(&store, key).await;
    }
    assert_eq!(tracking(&server), (0, 0));
    let (one, two) = (near(store.clone()), near(store));
    let other = server.store();
    for _ in 0..20 {
        warm(&one, key).await;
        warm(&two, key).await;
        let version = write(&other, key).await;
        until(&one, key, shows(version)).await;
        until(&two, key, shows(version)).await;
    }
    assert_eq!(tracking(&server).0, 3);
}

/// The cache is told by its store alone: with `NOLOOP` it would not be.
async fn what_this_process_writes_past_the_cache_shows(kind: Kind) {
    let server = Server::start(kind);
    let store = server.store();
    let near = near(store.clone());
    let key = new_session(&near).await;
    for _ in 0..50 {
        warm(&near, key).await;
        let version = write(&store, key).await;
        until(&near, key, shows(version)).await;
    }
    warm(&near, key).await;
    assert!(matches!(store.end(requests::end(key)).await.unwrap(), Ended::Ended(_)));
    until(&near, key, |loaded| matches!(loaded, Loaded::Ended(_))).await;
}

async fn a_server_that_was_flushed_is_asked_again(kind: Kind) {
    let server = Server::start(kind);
    let near = near(server.store());
    let key = new_session(&near).await;
    for flush in ["FLUSHALL", "FLUSHDB ASYNC"] {
        warm(&near, key).await;
        server.raw(flush);
        until(&near, key, |loaded| *loaded == Loaded::Missing).await;
        assert!(near.counts().connected, "{:?}", near.counts());
        near.create(requests::create(key, requests::data(&[]))).await.unwrap();
    }
}

async fn what_the_server_cannot_remember_to_tell_of_it_tells_of_at_once(kind: Kind) {
    let server = Server::start_with(kind, &["--tracking-table-max-keys", "10"]);
    let near = near(server.store());
    // From here on what is read is tracked.
    warm(&near, new_session(near.store()).await).await;
    for _ in 0..200 {
        let key = new_session(&near).await;
        live(&near, key).await;
    }
    let began = Instant::now();
    while near.counts().told < 190 || near.counts().entries > 10 {
        assert!(began.elapsed() < LATE, "{:?}", near.counts());
        // It looks how many they are when it is asked something.
        near.store().ping().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The answer is on its way when the session changes, and so are the news of that.
async fn an_answer_that_younger_news_follow_is_not_kept(kind: Kind) {
    let server = Server::start(kind);
    let proxy = Proxy::to(server.port());
    let near = near(RedisStore::new(&proxy.url()).unwrap());
    let other = server.store();
    let key = new_session(&near).await;
    for _ in 0..20 {
        let old = warm(&near, key).await;
        near.commit(requests::commit(key, old.version, requests::data(&[]))).await.unwrap();
        // Nothing of this session is kept, and nothing is told of it until it is read.
        server.forget_calls();
        proxy.hold_answers();
        let on_its_way = tokio::spawn(near.load(key));
        while server.calls("get") == 0 {
            tokio::task::yield_now().await;
        }
        let version = write(&other, key).await;
        proxy.mend();
        let Loaded::Live(arrived) = on_its_way.await.unwrap().unwrap() else { panic!("it lives") };
        assert_ne!(arrived.record.version, version, "it was read before that");
        until(&near, key, shows(version)).await;
    }
}

async fn a_server_that_refuses_to_track_serves_without_a_cache(kind: Kind) {
    let server = Server::start(kind);
    let may = "on >hush resetkeys resetchannels ~cloakroom:* &cloakroom:* +@connection +@scripting +@pubsub +get +set \
               +getrange +setrange +pexpire +persist +pttl +time +scan +info +zrange +zadd +zrem +zremrangebyscore";
    for (user, but, keeps) in
        [("one", "", true), ("two", "-client|tracking", false), ("three", "-client|caching", false)]
    {
        let answer = server.raw(&format!("ACL SETUSER {user} {may} {but}"));
        assert!(answer.starts_with("+OK"), "{answer}");
        let near = near(server.builder().user(user).password("hush").build().unwrap());
        let key = new_session(&near).await;
        for _ in 0..5 {
            live(&near, key).await;
        }
        assert_eq!(near.counts().connected, keeps, "{but}");
        if keeps {
            warm(&near, key).await;
            // What was allowed is not any more.
            server.raw("ACL SETUSER one -client|caching");
            let other = new_session(&near).await;
            live(&near, other).await;
            until(&near, other, |_| !near.counts().connected).await;
        }
        assert_eq!(near.counts().entries, 0, "{but}");
    }
}

/// As while it loads its data: what it refuses for now only, it is asked for again.
async fn a_server_that_is_busy_when_it_is_connected_to_tracks_in_the_end(kind: Kind) {
    let server = Arc::new(Server::start_with(kind, &["--lua-time-limit", "10"]));
    let key = new_session(&server.store()).await;
    let script = tokio::task::spawn_blocking({
        let server = server.clone();
        move || server.raw("EVAL \"while true do end\" 0")
    });
    let began = Instant::now();
    while !server.raw("GET nothing").contains("BUSY") {
        assert!(began.elapsed() < LATE);
    }
    let near = near(server.store());
    assert_eq!(near.load(key).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    server.raw("SCRIPT KILL");
    script.await.unwrap();
    back(&near, key).await;
    warm(&near, key).await;
}

#[cfg(feature = "config")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_puts_a_cache_in_front_of_its_store() {
    use cloakroom::config::{Configuration, Drivers, Environment};

    let server = Server::start(Kind::Redis);
    let env = Environment::of([("SESSION_DRIVER", "redis")]);
    for (wanted, lookups) in [("true", 1), ("false", 11)] {
        let file = format!("[connections.redis]\nport = {}\nnear_cache = {wanted}\n", server.port());
        let read = Configuration::parse("cloakroom.toml", file.as_bytes(), &env).unwrap();
        let store = Drivers::none().with(cloakroom_redis::driver(&env)).open(&read).await.unwrap();
        let key = requests::key();
        store.create(requests::create(key, requests::data(&[]))).await.unwrap();
        server.forget_calls();
        let began = Instant::now();
        for _ in 0..11 {
            assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));
        }
        assert!(server.calls("get") == lookups || began.elapsed() > Duration::from_secs(1), "{wanted}");
    }
}

/// Writes, ends and revocations of another store, while others keep both busy: how long after the server's answer the last read began that
/// did not show it, at the machine's pace. Nothing but news ends what is kept: one that got lost fails the test whatever the machine
/// does. For how late they are, a machine that stalls one of the two processes is made allowance for in one round of fifty.
async fn what_another_process_does_shows_within_50_ms(kind: Kind) {
    const ROUNDS: usize = 300;
    let server = Server::start(kind);
    let near = near(server.builder().connections(2).build().unwrap());
    let other = server.store();
    let bustle = Bustle::of(&other, &near).await;
    let ann = requests::user("ann");
    let (mut lags, pace) = (Vec::new(), Pace::here());
    for round in 0..ROUNDS {
        let deed = Deed::ALL[round % 3];
        let key = session_of(&other, &ann).await;
        let old = warm(&near, key).await.version;
        deed.done_by(&other, key, &ann).await;
        let answered = pace.now();
        let mut outdated = Duration::ZERO;
        loop {
            let began = answered.elapsed();
            if deed.shows(&near.load(key).await.unwrap(), old) {
                break;
            }
            outdated = began;
            assert!(outdated < LATE, "{deed:?} does not show: {:?}", near.counts());
            tokio::task::yield_now().await;
        }
        lags.push(outdated);
    }
    bustle.end().await;
    lags.sort_unstable();
    let [half, most, last] = [50, 98, 100].map(|percent| lags[(ROUNDS - 1) * percent / 100]);
    println!("{kind:?}: outdated for {half:?} (half), {most:?} (98 %), {last:?} (all)");
    assert!(most <= Duration::from_millis(50), "{lags:?}");
}

/// The wire is cut so that nobody notices, and then the session is written to, ended or revoked, while others keep the server busy. A read
/// that begins two seconds after the answer to that, or later, never shows what was before: no allowance is made.
async fn cut_off_it_shows_nothing_that_is_older_than_two_seconds(kind: Kind) {
    let server = Server::start(kind);
    let proxy = Proxy::to(server.port());
    let other = server.store();
    let bustle = Bustle::of(&other, &near(server.store())).await;
    let ann = requests::user("ann");
    for deed in Deed::ALL {
        // With the lifetime that everybody has.
        let near = NearCache::new(RedisStore::new(&proxy.url()).unwrap());
        let mut tries = 0;
        loop {
            proxy.mend();
            let key = session_of(&other, &ann).await;
            back(&near, key).await;
            let old = warm(&near, key).await;
            proxy.cut();
            deed.done_by(&other, key, &ann).await;
            let acknowledged = Instant::now();
            let mut outdated = 0;
            while acknowledged.elapsed() < Duration::from_secs(5) {
                let began = Instant::now();
                if let Ok(Loaded::Live(snapshot)) = near.load(key).await
                    && snapshot.record.version == old.version
                {
                    outdated += 1;
                    let late = began - acknowledged;
                    assert!(late < Duration::from_secs(2), "{deed:?}: outdated {late:?} after the answer");
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(!near.counts().connected, "by now the silence was noticed");
            proxy.mend();
            until(&near, key, |loaded| deed.shows(loaded, old.version)).await;
            if matches!(deed, Deed::Write) {
                let version = write(&other, key).await;
                until(&near, key, shows(version)).await;
                warm(&near, key).await;
            }
            if outdated > 0 {
                break;
            }
            // So slow that what was kept was outlived before the cut.
            tries += 1;
            assert!(tries < 5, "nothing is kept for long enough to be outdated");
        }
    }
    bustle.end().await;
}

/// Each time in the middle of everything, and each time what is kept has to go: it is not told of any more.
async fn with_a_connection_goes_what_was_kept(kind: Kind) {
    let server = Server::start(kind);
    let near = near(server.builder().connections(2).build().unwrap());
    let key = new_session(&server.store()).await;
    for round in 0..20 {
        back(&near, key).await;
        warm(&near, key).await;
        server.raw("CLIENT KILL TYPE normal SKIPME yes");
        // Another store each time: its connection was not killed.
        let other = server.store();
        let version = write(&other, key).await;
        until(&near, key, shows(version)).await;
        if round % 5 == 0 {
            // Over a new connection, tracked before it is read from.
            warm(&near, key).await;
            let version = write(&other, key).await;
            until(&near, key, shows(version)).await;
        }
    }
    // A server that is away, and then has forgotten everything about its clients.
    warm(&near, key).await;
    server.kill();
    let began = Instant::now();
    while near.load(key).await.is_ok() {
        assert!(began.elapsed() < LATE, "served from memory without the server: {:?}", near.counts());
    }
    assert_eq!((near.counts().connected, near.counts().entries), (false, 0));
    server.start_again();
    back(&near, key).await;
    let version = write(&server.store(), key).await;
    until(&near, key, shows(version)).await;
    warm(&near, key).await;
}

support::on_both! {
    a_warm_read_asks_nothing_of_the_server_and_a_write_one_thing
    without_a_cache_nothing_is_tracked_and_with_one_sessions_that_it_may_keep
    a_cache_may_be_put_before_a_store_in_use
    what_this_process_writes_past_the_cache_shows
    a_server_that_was_flushed_is_asked_again
    what_the_server_cannot_remember_to_tell_of_it_tells_of_at_once
    an_answer_that_younger_news_follow_is_not_kept
    a_server_that_refuses_to_track_serves_without_a_cache
    a_server_that_is_busy_when_it_is_connected_to_tracks_in_the_end
    what_another_process_does_shows_within_50_ms
    cut_off_it_shows_nothing_that_is_older_than_two_seconds
    with_a_connection_goes_what_was_kept
}
