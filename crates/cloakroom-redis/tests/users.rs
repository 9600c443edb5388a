//! Users with very many sessions, or very large ones: that is up to them, and nobody else is to suffer from it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/restless.rs"]
mod restless;
mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom::record::Version;
use cloakroom::store::{Create, Created, Ended, Loaded, Renamed, RevokeWhich, Store, StoreErrorKind};
use cloakroom::{StoreKey, UserId};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use support::proxy::Proxy;
use support::{Kind, Server, name_of, on_both};

/// Fewer than a step is over, and more.
const FEW: usize = 50;
const MANY: usize = 300;
/// Of the sessions of somebody who fills them.
const LARGE: usize = 63_000;

on_both! {
    c13_how_much_a_users_sessions_hold_is_nobodys_concern_when_they_are_listed_or_ended
    c13_a_capped_login_makes_room_however_many_there_are
    c2_a_revocation_comes_through_beside_logins_without_end
    c2_a_revocation_comes_through_beside_sessions_whose_ids_change_all_the_time
    c2_c4_a_logout_comes_through_beside_somebody_who_changes_the_id_all_the_time
    c2_a_revocation_that_was_cut_off_ends_the_rest_when_it_is_repeated
    c13_whoever_has_too_many_to_be_listed_in_time_has_nobody_elses_reads_refused
    c2_whoever_has_too_many_ended_ones_in_the_index_can_be_listed_and_revoked_in_the_end
    what_has_ended_goes_out_of_an_index_that_is_too_long_for_one_step
}

fn large(user: &UserId) -> Create {
    let mut request = requests::create_for(requests::key(), requests::bind(user));
    request.payload = requests::data(&[("x", &vec![7; LARGE])]);
    request
}

/// So many sessions of the user.
async fn log_in(store: &RedisStore, user: &UserId, many: usize) -> Vec<StoreKey> {
    let mut keys = Vec::new();
    for _ in 0..many {
        let key = requests::key();
        logged_in(store, key, user).await;
        keys.push(key);
    }
    keys
}

async fn logged_in(store: &RedisStore, key: StoreKey, user: &UserId) -> Version {
    let created = store.create(requests::create_for(key, requests::bind(user))).await.unwrap();
    let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
    snapshot.record.version
}

async fn live(store: &RedisStore, keys: &[StoreKey]) -> Vec<StoreKey> {
    let mut live = Vec::new();
    for key in keys {
        if let Loaded::Live(_) = store.load(*key).await.unwrap() {
            live.push(*key);
        }
    }
    live
}

fn index_of(user: &UserId) -> String {
    name_of(&StoreKey::of_user(user)).replace("cloakroom:", "cloakroom:u")
}

/// Members of the user's index.
fn in_index(server: &Server, user: &UserId) -> usize {
    let told = server.raw(&format!("ZCARD {}", index_of(user)));
    told.lines().next().unwrap().trim_start_matches(':').parse().unwrap()
}

/// Bytes that the server has sent, to whomever.
fn sent(server: &Server) -> usize {
    let stats = server.raw("INFO stats");
    let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    line.unwrap().trim().parse().unwrap()
}

async fn c13_how_much_a_users_sessions_hold_is_nobodys_concern_when_they_are_listed_or_ended(kind: Kind) {
    for many in [FEW, MANY] {
        let server = Server::start_with(kind, &["--appendfsync", "no"]);
        let (store, user) = (server.store(), requests::user("mallory"));
        let mut made = Vec::new();
        for _ in 0..many {
            let request = large(&user);
            made.push(request.key);
            store.create(request).await.unwrap();
        }
        let before = sent(&server);
        let listed = store.list_user(user.clone()).await.unwrap();
        assert_eq!(
            listed.iter().map(|session| session.key).collect::<HashSet<_>>(),
            HashSet::from_iter(made.clone())
        );
        assert!(listed.iter().all(|session| session.size > LARGE), "{:?}", listed[0]);
        let revoked = store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap();
        assert_eq!((revoked.count, revoked.ended), (many, listed));
        let told = sent(&server) - before;
        assert!(told < many * 2_000 + 20_000, "{told} bytes were told of {many} sessions");
        assert_eq!(live(&store, &made).await, []);
    }
}

async fn c13_a_capped_login_makes_room_however_many_there_are(kind: Kind) {
    let server = Server::start_with(kind, &["--appendfsync", "no"]);
    let (store, user) = (server.store(), requests::user("mallory"));
    let mut alive = log_in(&store, &user, MANY).await;
    let key = requests::key();
    let created = store.create(requests::create_for(key, requests::bind_capped(&user, 5))).await.unwrap();
    let Created::Created { evicted, .. } = created else { panic!("{created:?}") };
    alive.push(key);
    alive.retain(|key| evicted.iter().all(|session| session.key != *key));
    assert_eq!((alive.len(), alive.last()), (5, Some(&key)));
    let listed = store.list_user(user.clone()).await.unwrap();
    assert_eq!(
        listed.iter().map(|session| session.key).collect::<HashSet<_>>(),
        HashSet::from_iter(alive.clone())
    );

    alive.extend(log_in(&store, &user, MANY).await);
    let old = requests::key();
    let created = store.create(requests::create(old, requests::data(&[]))).await.unwrap();
    let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
    let new = requests::key();
    let mut login = requests::rename(old, new, snapshot.record.version, requests::data(&[]));
    login.bind = Some(requests::bind_capped(&user, 1));
    let renamed = store.rename(login).await.unwrap();
    let Renamed::Renamed { evicted, .. } = renamed else { panic!("{renamed:?}") };
    assert_eq!(evicted.len(), alive.len());
    assert_eq!(live(&store, &alive).await, []);
    assert_eq!(live(&store, &[old, new]).await, [new]);
}

/// Whoever had logged in before is out; who does so meanwhile may be.
async fn c2_a_revocation_comes_through_beside_logins_without_end(kind: Kind) {
    for many in [FEW, MANY] {
        let server = Server::start_with(kind, &["--appendfsync", "no"]);
        let (store, user) = (server.store(), requests::user("mallory"));
        let over = Arc::new(AtomicBool::new(false));
        let logins: Vec<_> = (0..4)
            .map(|_| {
                let (store, user, over) = (server.store(), user.clone(), over.clone());
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        logged_in(&store, requests::key(), &user).await;
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            let before = log_in(&store, &user, many / 3).await;
            let revoked = store.revoke(requests::revoke(&user, RevokeWhich::All)).await.unwrap();
            assert!(revoked.count >= before.len(), "{}", revoked.count);
            assert_eq!(live(&store, &before).await, []);
        }
        over.store(true, Ordering::Relaxed);
        for login in logins {
            login.await.unwrap();
        }
    }
}

/// Also where whoever revokes is much farther away from the server than whoever changes the ids.
async fn c2_a_revocation_comes_through_beside_sessions_whose_ids_change_all_the_time(kind: Kind) {
    let server = Server::start_with(kind, &["--appendfsync", "no"]);
    let far = far_from(&server);
    let far_off = RedisStore::builder(&far.url()).unwrap().build().unwrap();
    for revoker in [server.store(), far_off] {
        for _ in 0..3 {
            restless::are_revoked(FEW, &revoker, || server.store()).await;
        }
    }
}

/// By the first of its ids, a thousand ids later, and from far away.
async fn c2_c4_a_logout_comes_through_beside_somebody_who_changes_the_id_all_the_time(kind: Kind) {
    let server = Server::start_with(kind, &["--appendfsync", "no"]);
    let far = far_from(&server);
    let far_off = RedisStore::builder(&far.url()).unwrap().build().unwrap();
    restless::is_ended(1, &server.store(), &server.store()).await;
    restless::is_ended(1_000, &server.store(), &server.store()).await;
    restless::is_ended(1, &far_off, &server.store()).await;
}

/// A wire over which every answer takes its time.
fn far_from(server: &Server) -> Proxy {
    Proxy::disguised(server.port(), |told| {
        std::thread::sleep(Duration::from_millis(20));
        told.to_vec()
    })
}

/// Cut off with most of its sessions alive; by the time that it is repeated they are few enough for one step.
async fn c2_a_revocation_that_was_cut_off_ends_the_rest_when_it_is_repeated(kind: Kind) {
    let server = Server::start_with(kind, &["--appendfsync", "no"]);
    let (store, user) = (server.store(), requests::user("ann"));
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(60), "it is never cut off in its midst");
        let all = log_in(&store, &user, 5 * MANY).await;
        let revoke = requests::revoke(&user, RevokeWhich::All);
        let revoking = tokio::spawn(store.revoke(revoke.clone()));
        while in_index(&server, &user) == all.len() {
            tokio::task::yield_now().await;
        }
        revoking.abort();
        let _ = revoking.await;
        let left = live(&store, &all).await;
        if left.len() < FEW {
            continue;
        }
        for key in &left[FEW..] {
            let ended = store.end(requests::end(*key)).await.unwrap();
            assert!(matches!(ended, Ended::Ended(_) | Ended::NotLive), "{ended:?}");
        }
        let since = log_in(&store, &user, 1).await;
        assert_eq!(store.revoke(revoke).await.unwrap().count, all.len());
        assert_eq!(live(&store, &all).await, []);
        assert_eq!(live(&store, &since).await, since, "who has logged in since is spared");
        return;
    }
}

/// The server talks all the time, so its connection is not given up: else every call of the process would be refused until there is another.
/// A machine that stands still may make it seem silent, though not every time.
async fn c13_whoever_has_too_many_to_be_listed_in_time_has_nobody_elses_reads_refused(kind: Kind) {
    const ROUNDS: usize = 10;
    let server = Server::start_with(kind, &["--appendfsync", "no"]);
    let (near, user) = (server.store(), requests::user("mallory"));
    log_in(&near, &user, MANY).await;
    let others = log_in(&near, &requests::user("ann"), 1).await[0];
    let far = far_from(&server);
    let builder = RedisStore::builder(&far.url()).unwrap().connections(1);
    let store = builder.call_deadline(Duration::from_millis(100)).build().unwrap();
    let mut undisturbed = 0;
    for _ in 0..ROUNDS {
        let over = AtomicBool::new(false);
        let listing = async {
            // Six answers of a fiftieth of a second, at the least.
            let error = store.list_user(user.clone()).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            over.store(true, Ordering::Relaxed);
        };
        let reading = async {
            let mut refused = false;
            loop {
                // The last one is asked when the listing has failed.
                let is_last = over.load(Ordering::Relaxed);
                match store.load(others).await {
                    Ok(_) if is_last => return refused,
                    Ok(_) => {}
                    Err(error) => {
                        refused |= error.to_string().contains("does not answer");
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        };
        let ((), refused) = tokio::join!(listing, reading);
        undisturbed += usize::from(!refused);
    }
    assert!(undisturbed > ROUNDS / 2, "others were read all along in {undisturbed} of {ROUNDS} rounds");
}

/// More than can be looked at in a call's time: each try takes those out that it has seen, so that the next one has less to look at.
async fn c2_whoever_has_too_many_ended_ones_in_the_index_can_be_listed_and_revoked_in_the_end(kind: Kind) {
    const ENDED: usize = 3_000;
    let server = Server::start_with(kind, &["--appendfsync", "no"]);
    let user = requests::user("ann");
    let alive = log_in(&server.store(), &user, 1).await;
    let ended: Vec<StoreKey> = (0..ENDED).map(|_| requests::key()).collect();
    for some in ended.chunks(500) {
        let member = |key| format!(" 99999999999999 {}", name_of(key).replace("cloakroom:", ""));
        let members: String = some.iter().map(member).collect();
        server.raw(&format!("ZADD {}{members}", index_of(&user)));
    }
    assert_eq!(in_index(&server, &user), ENDED + 1);
    let far = far_from(&server);
    let builder = RedisStore::builder(&far.url()).unwrap();
    let store = builder.call_deadline(Duration::from_millis(500)).build().unwrap();
    let (began, mut tries) = (Instant::now(), 0);
    let revoked = loop {
        tries += 1;
        match store.revoke(requests::revoke(&user, RevokeWhich::All)).await {
            Ok(revoked) => break revoked,
            Err(error) => {
                let left = in_index(&server, &user);
                assert!(began.elapsed() < Duration::from_secs(60), "{error}: {left} are left");
            }
        }
    };
    assert!(tries > 1, "all were looked at in one call's time");
    assert_eq!(revoked.count, 1);
    assert_eq!(live(&server.store(), &alive).await, []);
}

async fn what_has_ended_goes_out_of_an_index_that_is_too_long_for_one_step(kind: Kind) {
    let server = Server::start_with(kind, &["--appendfsync", "no"]);
    let (store, user) = (server.store(), requests::user("ann"));
    let keys = log_in(&store, &user, MANY).await;
    for key in &keys[..MANY - 1] {
        // As one that has expired leaves it.
        server.raw(&format!("DEL {}", name_of(key)));
    }
    assert_eq!(in_index(&server, &user), MANY);
    assert_eq!(store.list_user(user.clone()).await.unwrap().len(), 1);
    let began = Instant::now();
    while in_index(&server, &user) != 1 {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{} are left in the index",
            in_index(&server, &user)
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
