//! Writes to PHP's sessions that are waited for until replicas, or disks, have them.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod replicas;
mod support;
#[path = "php_support/terms.rs"]
mod terms;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloakroom::store::{Acquired, Committed, Created, Ended, Loaded, Renamed, Store, StoreError, Touched};
use cloakroom::{ErrorKind, SessionManager};
use cloakroom_redis::php::{Layout, MovingStore, PhpServer, PhpServers, PhpStore, Stage};
use cloakroom_redis::{Durability, RedisBuilder};
use cloakroom_testing::requests;
use replicas::a_life_is_on_the_replicas;
use support::Kind;
use support::sentinels::Group;
use support::waiting::{WITHIN, confirmed, each_wait_has_a_note_ahead, made_though, version};
use terms::{InPhpsTerms, Known, USER};

fn two() -> Durability {
    Durability::replicas(2).within(WITHIN)
}

/// Handles on the same sessions.
#[derive(Default)]
struct Sessions(Arc<Mutex<Known>>);

impl Sessions {
    fn of(&self, server: RedisBuilder) -> InPhpsTerms {
        self.spread(vec![server])
    }

    fn spread(&self, servers: Vec<RedisBuilder>) -> InPhpsTerms {
        let servers = PhpServers::new(servers.into_iter().map(|server| (server, 1))).unwrap();
        let store = PhpStore::new(servers, Layout::phpredis().user_variable(USER));
        InPhpsTerms::new(Arc::new(store), &self.0)
    }
}

/// The answer to what was made all the same.
#[track_caller]
fn made<A: std::fmt::Debug + 'static>(answer: Result<A, StoreError>) -> A {
    made_though(answer, "0 of 2 replicas confirmed it")
}

async fn c8_what_is_acknowledged_is_on_the_replicas(kind: Kind) {
    let (group, sessions) = (Group::unattended(kind), Sessions::default());
    let store = sessions.of(group.servers[0].builder().durability(two().within(Duration::from_secs(2))));
    let on_replicas: Vec<_> =
        group.servers[1..].iter().map(|replica| sessions.of(replica.builder())).collect();
    for round in 0..10 {
        a_life_is_on_the_replicas(&group, &store, &on_replicas, round % 2 == 1).await;
    }
}

async fn c8_what_replicas_do_not_confirm_is_made_and_told_so(kind: Kind) {
    let (group, sessions) = (Group::unattended(kind), Sessions::default());
    let waiting = || sessions.of(group.servers[0].builder().durability(two()));
    let (store, another, plain) = (waiting(), waiting(), sessions.of(group.servers[0].builder()));
    let (key, moving, ending) = (requests::key(), requests::key(), requests::key());
    for key in [key, moving, ending] {
        plain.create(requests::create(key, requests::data(&[]))).await.unwrap();
    }
    let create = requests::create(requests::key(), requests::data(&[]));
    let login = requests::create_for(requests::key(), requests::bind(&requests::user("ann")));
    let commit = requests::commit(key, version(&plain, key).await, requests::data(&[("n", b"1")]));
    let rename =
        requests::rename(moving, requests::key(), version(&plain, moving).await, requests::data(&[]));
    let end = requests::end(ending);

    group.pause_replicas();
    group.servers[0].forget_calls();
    // Twice: what is recognised as made before is not confirmed by that either, also where it is asked over another connection.
    for store in [&store, &another] {
        let began = Instant::now();
        assert!(matches!(made(store.create(create.clone()).await), Created::Created { .. }));
        assert!(began.elapsed() > WITHIN / 2, "{:?}", began.elapsed());
        assert!(matches!(made(store.create(login.clone()).await), Created::Created { .. }));
        assert!(matches!(made(store.commit(commit.clone()).await), Committed::Committed(_)));
        assert!(matches!(made(store.rename(rename.clone()).await), Renamed::Renamed { .. }));
        assert!(matches!(made(store.end(end).await), Ended::Ended(_)));
    }
    each_wait_has_a_note_ahead(&group.servers[0], "spublish");
    // It is there, for everybody.
    assert_eq!(version(&plain, key).await.counter, 2);
    assert!(matches!(plain.load(moving).await.unwrap(), Loaded::Ended(_)));
    assert!(matches!(plain.load(ending).await.unwrap(), Loaded::Ended(_)));
    // What is refused is not made, and not said to be.
    let stale = requests::commit(key, commit.expected, requests::data(&[("n", b"2")]));
    assert!(matches!(store.commit(stale).await.unwrap(), Committed::Conflict(_)));
    assert_eq!(store.end(requests::end(ending)).await.unwrap(), Ended::NotLive);
    // Leases and touches are nobody's to wait for.
    assert!(matches!(store.touch(requests::touch(key)).await.unwrap(), Touched::Touched { .. }));
    assert!(matches!(store.acquire(requests::acquire(key, 1)).await.unwrap(), Acquired::Acquired { .. }));
    store.release(requests::release(key, 1)).await.unwrap();

    group.resume_replicas();
    confirmed(|| store.commit(commit.clone())).await;
    assert!(matches!(confirmed(|| store.rename(rename.clone())).await, Renamed::Renamed { .. }));
    assert!(matches!(confirmed(|| store.end(end)).await, Ended::Ended(_)));
    // Once each.
    assert_eq!(version(&store, key).await.counter, 2);
}

async fn logins_and_ends_alone_may_be_waited_for(kind: Kind) {
    let (group, sessions) = (Group::unattended(kind), Sessions::default());
    let store = sessions.of(group.servers[0].builder().durability(two().only_logins_and_ends()));
    group.pause_replicas();
    let key = requests::key();
    store.create(requests::create(key, requests::data(&[]))).await.unwrap();
    let request = requests::commit(key, version(&store, key).await, requests::data(&[("n", b"1")]));
    assert!(matches!(store.commit(request).await.unwrap(), Committed::Committed(_)));
    made(store.create(requests::create_for(requests::key(), requests::bind(&requests::user("ann")))).await);
    let rename = requests::rename(key, requests::key(), version(&store, key).await, requests::data(&[]));
    made(store.rename(rename.clone()).await);
    made(store.end(requests::end(rename.to)).await);
    group.resume_replicas();
}

/// Each server's own replicas are waited for, wherever a change of id leads.
async fn c8_on_several_servers_each_is_waited_for(kind: Kind) {
    let (a, b) = tokio::join!(
        tokio::task::spawn_blocking(move || Group::unattended(kind)),
        tokio::task::spawn_blocking(move || Group::unattended(kind)),
    );
    let (groups, sessions) = ([a.unwrap(), b.unwrap()], Sessions::default());
    let over = |wanted: &dyn Fn(RedisBuilder) -> RedisBuilder| {
        groups.each_ref().map(|g| wanted(g.servers[0].builder()))
    };
    let waiting = || sessions.spread(over(&|server| server.durability(two())).into());
    let (store, another) = (waiting(), waiting());
    let plain = sessions.spread(over(&|server| server).into());
    let alone = groups.each_ref().map(|group| sessions.of(group.servers[0].builder()));
    let is_on = async |key, at: usize| matches!(alone[at].load(key).await.unwrap(), Loaded::Live(_));
    // Ids that lead from one server to the other, for each direction and each group that stands still.
    for (from, still) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let key = loop {
            let key = requests::key();
            plain.create(requests::create(key, requests::data(&[]))).await.unwrap();
            if is_on(key, from).await {
                break key;
            }
        };
        // Where an id goes is known once something is there.
        let to = loop {
            let to = requests::key();
            plain.create(requests::create(to, requests::data(&[]))).await.unwrap();
            let there = is_on(to, 1 - from).await;
            let end = requests::end(to);
            plain.end(cloakroom::store::End { marker: Duration::from_millis(1), ..end }).await.unwrap();
            if there {
                break to;
            }
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        let rename = requests::rename(key, to, version(&plain, key).await, requests::data(&[]));
        groups[still].pause_replicas();
        for store in [&store, &another] {
            assert!(matches!(made(store.rename(rename.clone()).await), Renamed::Renamed { .. }));
        }
        assert!(is_on(to, 1 - from).await && !is_on(key, from).await);
        groups[still].resume_replicas();
        assert!(matches!(confirmed(|| store.rename(rename.clone())).await, Renamed::Renamed { .. }));
    }
}

support::on_both! {
    c8_what_is_acknowledged_is_on_the_replicas
    c8_what_replicas_do_not_confirm_is_made_and_told_so
    logins_and_ends_alone_may_be_waited_for
    c8_on_several_servers_each_is_waited_for
}

#[tokio::test]
async fn c8_a_disk_is_waited_for_where_the_server_can() {
    let (group, sessions) = (Group::unattended(Kind::Valkey), Sessions::default());
    let store = |durability| sessions.of(group.servers[0].builder().durability(durability));
    let on_all = store(Durability::replicas(2).on_disk().within(Duration::from_secs(5)));
    // A replica rewrites its file after it was given everything, and confirms nothing until that is done.
    let create = requests::create(requests::key(), requests::data(&[("n", b"on-the-disks")]));
    confirmed(|| on_all.create(create.clone())).await;
    for server in &group.servers {
        assert!(server.append_only_file().windows(12).any(|window| window == b"on-the-disks"));
    }
    group.pause_replicas();
    let new = || requests::create(requests::key(), requests::data(&[]));
    store(Durability::disk()).create(new()).await.unwrap();
    made(store(Durability::replicas(2).on_disk().within(WITHIN)).create(new()).await);
    group.resume_replicas();

    let old = Group::unattended(Kind::Redis);
    let old = sessions.of(old.servers[0].builder().durability(Durability::disk())).create(new()).await;
    made_though(old, "cannot wait for its disk: that takes an append-only file, and Redis 7.2 or Valkey");
}

const ID: &str = "0123456789abcdefghijklmnop";

/// A request of a visitor that PHP knows: what the handler says, and what the response does.
async fn request<T>(
    sessions: &SessionManager,
    handler: impl AsyncFnOnce(&cloakroom::Session) -> T,
) -> (T, cloakroom::Outcome) {
    let request = http::Request::builder().header("cookie", format!("PHPSESSID={ID}"));
    let handle = sessions.open(&request.body(()).unwrap(), None);
    let said = handler(&handle.open().await.unwrap()).await;
    let outcome = sessions.close(&handle, http::StatusCode::OK, &mut http::HeaderMap::new()).await;
    (said, outcome)
}

#[tokio::test]
async fn c8_c9_a_request_is_told_what_replicas_do_not_confirm_and_php_reads_it() {
    let group = Group::unattended(Kind::Redis);
    let primary = &group.servers[0];
    primary.raw(&format!("SET PHPREDIS_SESSION:{ID} n|i:1; EX 1440"));
    let (layout, server) = (Layout::phpredis(), primary.builder().durability(two().within(WITHIN / 2)));
    let config = layout.session_config();
    let store = PhpStore::new(PhpServer::new(server).unwrap(), layout);
    let sessions = SessionManager::new(store, config).unwrap();
    group.pause_replicas();
    let (told, _) = request(&sessions, async |session| session.put("n", 2).await).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Undurable);
    let value = primary.raw(&format!("GET PHPREDIS_SESSION:{ID}"));
    assert!(value.contains("n|i:2;"), "{value}");
    let (read, outcome) = request(&sessions, async |session| session.get("n").unwrap()).await;
    assert!(read == Some(2) && !matches!(outcome, cloakroom::Outcome::Failed(_)), "{read:?} {outcome:?}");
    group.resume_replicas();
}

/// What the move itself does is in order on the replicas, and nobody asked for it.
#[tokio::test]
async fn a_session_moves_out_of_phps_layout_though_replicas_do_not_confirm_it() {
    let group = Group::unattended(Kind::Redis);
    let primary = &group.servers[0];
    primary.raw(&format!("SET PHPREDIS_SESSION:{ID} n|i:1; EX 1440"));
    let (layout, server) = (Layout::phpredis(), primary.builder().durability(two().within(WITHIN / 2)));
    let config = layout.session_config();
    let php = PhpStore::new(PhpServer::new(server.clone()).unwrap(), layout);
    let store = MovingStore::new(php, Arc::new(server.build().unwrap()), Stage::Move);
    let sessions = SessionManager::new(store, config).unwrap();
    group.pause_replicas();
    let (read, _) = request(&sessions, async |session| session.get("n").unwrap()).await;
    assert_eq!(read, Some(1));
    assert!(primary.raw(&format!("EXISTS PHPREDIS_SESSION:{ID}")).starts_with(":0"));
    // What is asked for then is a write like any other.
    let (told, _) = request(&sessions, async |session| session.put("n", 2).await).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Undurable);
    let (read, _) = request(&sessions, async |session| session.get("n").unwrap()).await;
    assert_eq!(read, Some(2));
    group.resume_replicas();
}
