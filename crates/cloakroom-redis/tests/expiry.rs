//! Sessions that reach their deadline are told of, where the server tells: those, and not what is left of ended ones.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::store::{Created, ExpiryListener, Loaded, OldId, RevokeWhich, Store, StoreError};
use cloakroom_redis::{RedisBuilder, RedisStore};
use cloakroom_testing::requests;
use support::cluster::Cluster;
use support::proxy::Proxy;
use support::{Kind, Server};

/// How long what is left of a session is kept here.
const MARKER: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Heard(Mutex<Vec<StoreKey>>);

impl ExpiryListener for Heard {
    fn expired(&self, key: StoreKey) {
        self.0.lock().unwrap().push(key);
    }
}

impl Heard {
    fn to(store: &RedisStore) -> Arc<Self> {
        let heard = Arc::new(Heard::default());
        let listener: Arc<dyn ExpiryListener> = heard.clone();
        store.tell_expired(Arc::downgrade(&listener), MARKER);
        heard
    }

    fn keys(&self) -> Vec<StoreKey> {
        self.0.lock().unwrap().clone()
    }

    fn has(&self, key: StoreKey) -> bool {
        self.keys().contains(&key)
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(20), "it did not come to be that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A session that nobody uses for so long is gone.
async fn begin(store: &RedisStore, key: StoreKey, idle: Duration) -> cloakroom::record::Version {
    try_begin(store, key, idle).await.unwrap()
}

/// The same, where the server may not be there.
async fn try_begin(
    store: &RedisStore,
    key: StoreKey,
    idle: Duration,
) -> Result<cloakroom::record::Version, StoreError> {
    let mut create = requests::create(key, requests::data(&[]));
    create.lifetime.idle = idle;
    let Created::Created { snapshot, .. } = store.create(create).await? else { panic!("taken") };
    Ok(snapshot.record.version)
}

/// Sessions begin and expire until one is told of: by then everybody is listened to, and the time of silence is over. Those do not
/// count that a failover refuses.
async fn until_told(store: &RedisStore, heard: &Heard, keys: impl Fn() -> StoreKey) {
    until("something is told", async || {
        let key = keys();
        if try_begin(store, key, Duration::from_millis(50)).await.is_err() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Asked for, it is removed at once.
        let Ok(gone) = store.load(key).await else { return false };
        assert_eq!(gone, Loaded::Missing);
        tokio::time::sleep(Duration::from_millis(10)).await;
        heard.has(key)
    })
    .await;
}

async fn only_what_was_a_session_is_told(store: RedisStore) {
    let long = Duration::from_secs(600);
    let heard = Heard::to(&store);
    until_told(&store, &heard, requests::key).await;
    let told_before = heard.keys().len();
    // Ended, moved, moved with a grace, revoked: a marker each, an alias, and a receipt.
    let ended = requests::key();
    begin(&store, ended, long).await;
    let mut end = requests::end(ended);
    end.marker = MARKER;
    store.end(end).await.unwrap();
    let mut moved = Vec::new();
    for old in [OldId::Dead, requests::alias(MARKER)] {
        let from = requests::key();
        let to = requests::successor(from);
        let version = begin(&store, from, long).await;
        let mut rename = requests::rename(from, to, version, requests::data(&[]));
        (rename.old, rename.marker) = (old, MARKER);
        store.rename(rename).await.unwrap();
        moved.push(from);
    }
    let user = requests::user("ann");
    let theirs = requests::key();
    store.create(requests::create_for(theirs, requests::bind(&user))).await.unwrap();
    let mut revoke = requests::revoke(&user, RevokeWhich::All);
    revoke.marker = MARKER;
    assert_eq!(store.revoke(revoke).await.unwrap().count, 1);
    // One that another process ended is known as well, and one that is used lives on.
    let expiring = requests::key();
    begin(&store, expiring, MARKER * 3).await;
    for gone in [ended, moved[0], moved[1], theirs] {
        until("nothing is left of it", async || store.load(gone).await.unwrap() == Loaded::Missing).await;
    }
    until("the session is told of", async || {
        let _ = store.load(expiring).await.unwrap();
        heard.has(expiring)
    })
    .await;
    let told = heard.keys().split_off(told_before);
    assert_eq!(told, [expiring], "of all that expired, one was a session");
}

fn told(builder: RedisBuilder) -> RedisStore {
    builder.expired_events(true).build().unwrap()
}

async fn on_one_server(kind: Kind) {
    let server = Server::start_with(kind, &["--notify-keyspace-events", "Egx"]);
    only_what_was_a_session_is_told(told(server.builder())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_tells_of_sessions_that_expire_and_of_nothing_else() {
    on_one_server(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn valkey_tells_of_sessions_that_expire_and_of_nothing_else() {
    on_one_server(Kind::Valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_node_of_a_cluster_tells_of_its_own_and_so_does_the_one_that_takes_over() {
    let cluster = Cluster::start(Kind::Redis);
    for node in &cluster.nodes {
        assert!(node.raw("CONFIG SET notify-keyspace-events Egx").starts_with("+OK"));
    }
    let store = told(cluster.builder());
    only_what_was_a_session_is_told(store.clone()).await;
    let heard = Heard::to(&store);
    let on = |home: usize| {
        let there = |key: &StoreKey| cluster.first_owner(cluster.slot(&support::name_of(key))) == home;
        std::iter::repeat_with(requests::key).find(there).unwrap()
    };
    for home in 0..3 {
        until_told(&store, &heard, || on(home)).await;
    }
    assert!(cluster.nodes[3].raw("CLUSTER FAILOVER").starts_with("+OK"));
    until("the replica has taken over", async || cluster.is_primary(3) && !cluster.is_primary(0)).await;
    until_told(&store, &heard, || on(0)).await;
}

/// What ended while nobody listened may expire now: it is not taken for a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_lost_connection_nothing_is_told_that_might_be_wrong() {
    let server = Server::start_with(Kind::Redis, &["--notify-keyspace-events", "Egx"]);
    let (store, other) = (told(server.builder()), server.store());
    let heard = Heard::to(&store);
    until_told(&store, &heard, requests::key).await;
    let ended = requests::key();
    begin(&other, ended, Duration::from_secs(600)).await;
    server.raw("CLIENT KILL TYPE pubsub");
    let mut end = requests::end(ended);
    // Longer than it takes to listen again.
    end.marker = Duration::from_millis(1_400);
    let (longer, listener): (_, Arc<dyn ExpiryListener>) = (end.marker, heard.clone());
    store.tell_expired(Arc::downgrade(&listener), longer);
    assert!(server.raw("PUBSUB NUMSUB __keyevent@0__:expired").contains(":0"), "it is still listened to");
    other.end(end).await.unwrap();
    until("it is listened to again", async || {
        server.raw("PUBSUB NUMSUB __keyevent@0__:expired").contains(":1")
    })
    .await;
    until("nothing is left of it", async || other.load(ended).await.unwrap() == Loaded::Missing).await;
    until_told(&store, &heard, requests::key).await;
    assert!(!heard.has(ended));
}

/// On one thread, which looks at nothing until both are there: the answer to the first words, and the end behind it.
#[tokio::test]
async fn a_connection_that_ends_as_soon_as_it_is_made_is_made_anew_and_listened_on() {
    let server = Server::start_with(Kind::Redis, &["--notify-keyspace-events", "Egx"]);
    let wire = Proxy::to(server.port());
    wire.hold_answers();
    let store = told(RedisStore::builder(&wire.url()).unwrap());
    let heard = Heard::to(&store);
    until("the first words are answered", async || server.raw("CLIENT LIST").contains("cmd=hello")).await;
    assert_eq!(wire.accepted(), 1, "nobody else asks anything");
    wire.end_behind_the_next_answer();
    wire.mend();
    let began = Instant::now();
    while wire.open() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "the connection does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    until("it is listened to", async || server.raw("PUBSUB NUMSUB __keyevent@0__:expired").contains(":1"))
        .await;
    until_told(&store, &heard, requests::key).await;
}

/// A server looks for keys that expired where it comes by, and to some of them it comes after minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_left_of_a_session_is_not_told_however_late_the_server_removes_it() {
    let options = ["--notify-keyspace-events", "Egx", "--enable-debug-command", "yes"];
    let server = Server::start_with(Kind::Redis, &options);
    let store = told(server.builder());
    let heard = Heard::to(&store);
    until_told(&store, &heard, requests::key).await;
    // From now on only what is asked for.
    assert!(server.raw("DEBUG SET-ACTIVE-EXPIRE 0").starts_with("+OK"));
    let mut ended = Vec::new();
    for _ in 0..3 {
        let key = requests::key();
        begin(&store, key, Duration::from_secs(600)).await;
        let mut end = requests::end(key);
        end.marker = MARKER;
        store.end(end).await.unwrap();
        ended.push(key);
        // Well past the time of what is left.
        tokio::time::sleep(MARKER + Duration::from_millis(1_200)).await;
    }
    for key in &ended {
        assert_eq!(store.load(*key).await.unwrap(), Loaded::Missing);
    }
    // What is told of that comes first.
    until_told(&store, &heard, requests::key).await;
    assert!(!ended.iter().any(|key| heard.has(*key)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unless_it_was_asked_for_nobody_listens() {
    let server = Server::start_with(Kind::Redis, &["--notify-keyspace-events", "Egx"]);
    let store = server.store();
    let heard = Heard::to(&store);
    begin(&store, requests::key(), Duration::from_millis(50)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(server.raw("PUBSUB NUMSUB __keyevent@0__:expired").contains(":0"));
    assert_eq!(heard.keys(), []);
}

/// As a program does it, with the permissions in the manual.
#[cfg(feature = "config")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscribers_to_events_are_told() {
    use cloakroom::config::{Configuration, Drivers, Environment};
    use cloakroom::{Event, SessionConfig, SessionManager};

    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md")).unwrap();
    let from = manual.find("ACL SETUSER shop").unwrap();
    let single = manual[from..].split("```").next().unwrap().replace(['\n', '\r'], " ");
    let also = manual.split("Where sessions that expire are told of, with `").nth(1).unwrap();
    let also = also.split('`').next().unwrap();
    let server = Server::start_with(Kind::Redis, &["--notify-keyspace-events", "Egx"]);
    let answer = server.raw(&format!("{} {also}", single.replace("PASSWORD", "hush")));
    assert!(answer.starts_with("+OK"), "{answer}");
    let text = format!(
        "[connections.redis]\nurl = \"redis://shop:hush@127.0.0.1:{}\"\nexpired_events = true\n",
        server.port()
    );
    let env = Environment::of([("SESSION_DRIVER", "redis")]);
    let read = Configuration::parse("cloakroom.toml", text.as_bytes(), &env).unwrap();
    let store = Drivers::none().with(cloakroom_redis::driver(&env)).open(&read).await.unwrap();
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let config = SessionConfig::new()
        .idle(Duration::from_millis(400))
        .marker(MARKER)
        .renewal(Duration::from_secs(60), MARKER)
        .subscribe({
            let told = told.clone();
            move |event: &Event| told.lock().unwrap().push(event.clone())
        });
    let manager = SessionManager::over(store, config).unwrap();
    // Nothing is asked of the server before a session is.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(server.raw("PUBSUB NUMSUB __keyevent@0__:expired").contains(":0"));
    let began = |event: &Event| match event {
        Event::Created(key) => Some(*key),
        _ => None,
    };
    until("an expired session is told of", async || {
        let (head, ()) = http::Request::get("/").body(()).unwrap().into_parts();
        let handle = manager.open(&head, None);
        handle.open().await.unwrap().put("k", 1).await.unwrap();
        let done = manager.close(&handle, http::StatusCode::OK, &mut http::HeaderMap::new()).await;
        assert!(!matches!(done, cloakroom::Outcome::Failed(_)));
        tokio::time::sleep(Duration::from_millis(600)).await;
        let told = told.lock().unwrap();
        let created: Vec<StoreKey> = told.iter().filter_map(began).collect();
        told.iter().any(|event| matches!(event, Event::Expired(key) if created.contains(key)))
    })
    .await;
}
