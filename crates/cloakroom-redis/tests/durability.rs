//! Writes that are waited for until replicas, or disks, have them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod replicas;
mod support;

use std::time::{Duration, Instant};

use cloakroom::store::{
    Committed, Created, Ended, Loaded, Renamed, RevokeWhich, Revoked, Store, StoreError, StoreErrorKind,
    StoreFuture,
};
use cloakroom_redis::{Durability, RedisStore};
use cloakroom_testing::requests;
use replicas::{a_life_is_on_the_replicas, is_on_each};
use support::Kind;
use support::pace::Pace;
use support::sentinels::{Group, wait_for};
use support::undisturbed::undisturbed;
use support::waiting::{
    WITHIN, confirmed, each_wait_has_a_note_ahead, made_though, once_replicas_go_on, version,
};

/// How much longer than replicas are waited for a call may take.
const SLACK: Duration = Duration::from_millis(1500);
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn two() -> Durability {
    Durability::replicas(2).within(WITHIN)
}

fn store(group: &Group, durability: Durability) -> RedisStore {
    group.servers[0].builder().durability(durability).build().unwrap()
}

/// The answer to what was made all the same.
#[track_caller]
fn made<A: std::fmt::Debug + 'static>(answer: Result<A, StoreError>) -> A {
    made_though(answer, "")
}

async fn c8_what_is_acknowledged_is_on_the_replicas(kind: Kind) {
    let group = Group::unattended(kind);
    let store = store(&group, Durability::replicas(2).within(Duration::from_secs(2)));
    let on_replicas: Vec<RedisStore> = group.servers[1..].iter().map(|replica| replica.store()).collect();
    let ann = requests::user("ann");
    for round in 0..10 {
        a_life_is_on_the_replicas(&group, &store, &on_replicas, round % 2 == 1).await;
        let bound = requests::key();
        store.create(requests::create_for(bound, requests::bind(&ann))).await.unwrap();
        let revoke = requests::revoke(&ann, RevokeWhich::All);
        assert_eq!(once_replicas_go_on(&group, store.revoke(revoke)).await.count, 1);
        is_on_each(&on_replicas, bound, |there| matches!(there, Loaded::Ended(_))).await;
    }
}

async fn c8_what_replicas_do_not_confirm_is_made_and_told_so(kind: Kind) {
    let group = Group::unattended(kind);
    let (store, plain) = (store(&group, two()), group.servers[0].store());
    let ann = requests::user("ann");
    let (key, moving, ending, bound) = (requests::key(), requests::key(), requests::key(), requests::key());
    for key in [key, moving, ending] {
        plain.create(requests::create(key, requests::data(&[]))).await.unwrap();
    }
    plain.create(requests::create_for(bound, requests::bind(&ann))).await.unwrap();
    let create = requests::create(requests::key(), requests::data(&[]));
    let commit = requests::commit(key, version(&plain, key).await, requests::data(&[("n", b"1")]));
    let rename =
        requests::rename(moving, requests::key(), version(&plain, moving).await, requests::data(&[]));
    let end = requests::end(ending);
    let login = requests::create_for(requests::key(), requests::bind(&ann));
    let revoke = requests::revoke(&requests::user("bob"), RevokeWhich::All);
    plain
        .create(requests::create_for(requests::key(), requests::bind(&requests::user("bob"))))
        .await
        .unwrap();

    group.pause_replicas();
    group.servers[0].forget_calls();
    // Twice: what is recognised as made before is not confirmed by that either, also where it is asked over another connection.
    let another = self::store(&group, two());
    for store in [&store, &another] {
        let (began, at_the_pace) = (Instant::now(), Pace::here().now());
        assert!(matches!(made(store.create(create.clone()).await), Created::Created { .. }));
        assert!(began.elapsed() > WITHIN / 2, "{:?}", began.elapsed());
        assert!(at_the_pace.elapsed() < WITHIN + SLACK, "{:?}", began.elapsed());
        assert!(matches!(made(store.commit(commit.clone()).await), Committed::Committed(_)));
        assert!(matches!(made(store.rename(rename.clone()).await), Renamed::Renamed { .. }));
        assert!(matches!(made(store.end(end).await), Ended::Ended(_)));
        assert!(matches!(made(store.create(login.clone()).await), Created::Created { .. }));
        assert_eq!(made::<Revoked>(store.revoke(revoke.clone()).await).count, 1);
    }
    each_wait_has_a_note_ahead(&group.servers[0], "spublish");
    // It is there, for everybody.
    assert_eq!(version(&plain, key).await.counter, 2);
    assert!(matches!(plain.load(moving).await.unwrap(), Loaded::Ended(_)));
    assert!(matches!(plain.load(ending).await.unwrap(), Loaded::Ended(_)));
    assert_eq!(plain.list_user(ann.clone()).await.unwrap().len(), 2);

    // What is refused is not made, and not said to be.
    let stale = requests::commit(key, commit.expected, requests::data(&[("n", b"2")]));
    assert!(matches!(store.commit(stale).await.unwrap(), Committed::Conflict(_)));
    assert_eq!(store.end(requests::end(ending)).await.unwrap(), Ended::NotLive);
    // Reads go on beside it.
    let patient = group.servers[0].builder().durability(Durability::replicas(2).within(PATIENCE));
    let patient = patient.call_deadline(PATIENCE).build().unwrap();
    let waits = tokio::spawn(write(&patient));
    wait_for("it waits", || group.servers[0].raw("INFO clients").contains("blocked_clients:1"));
    version(&patient, key).await;
    assert!(!waits.is_finished());

    group.resume_replicas();
    assert!(matches!(waits.await.unwrap().unwrap(), Created::Created { .. }));
    confirmed(|| store.commit(commit.clone())).await;
    assert!(matches!(confirmed(|| store.rename(rename.clone())).await, Renamed::Renamed { .. }));
    assert!(matches!(confirmed(|| store.end(end)).await, Ended::Ended(_)));
    assert_eq!(confirmed(|| store.revoke(revoke.clone())).await.count, 1);
    // Once each.
    assert_eq!(version(&store, key).await.counter, 2);
    assert_eq!(store.list_user(ann).await.unwrap().len(), 2);
}

async fn logins_and_ends_alone_may_be_waited_for(kind: Kind) {
    let group = Group::unattended(kind);
    let store = store(&group, two().only_logins_and_ends());
    let key = requests::key();
    group.pause_replicas();
    store.create(requests::create(key, requests::data(&[]))).await.unwrap();
    let request = requests::commit(key, version(&store, key).await, requests::data(&[("n", b"1")]));
    assert!(matches!(store.commit(request).await.unwrap(), Committed::Committed(_)));
    made(store.create(requests::create_for(requests::key(), requests::bind(&requests::user("ann")))).await);
    made(store.end(requests::end(key)).await);
    group.resume_replicas();
}

fn write(store: &RedisStore) -> StoreFuture<Created> {
    store.create(requests::create(requests::key(), requests::data(&[])))
}

/// A server whose replicas have just begun is held up by what they ask of it.
async fn caught_up(store: &RedisStore) {
    let since = Instant::now();
    while write(store).await.is_err() {
        assert!(since.elapsed() < PATIENCE, "the replicas do not catch up");
    }
}

/// Who had to wait for a connection waits for replicas only for as long as there is time: the write is told as made, not as unknown.
async fn c8_a_write_that_is_sent_late_is_waited_for_until_its_deadline_and_no_longer(kind: Kind) {
    // A fifth of a second is what is left for its answer to come in.
    undisturbed(Duration::from_millis(40), move || sent_late(kind)).await;
}

async fn sent_late(kind: Kind) {
    let group = Group::unattended(kind);
    let builder = group.servers[0].builder().durability(two().within(Duration::from_secs(1)));
    let store = builder.call_deadline(Duration::from_millis(1800)).build().unwrap();
    caught_up(&store).await;
    group.pause_replicas();
    // Twice as many as there are connections.
    let writes: Vec<_> = (0..32).map(|_| tokio::spawn(write(&store))).collect();
    for write in writes {
        let error = write.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Undurable, "{error}");
    }
    group.resume_replicas();
}

/// No more wait at once than there are connections for it; who gets none is refused, for certain.
async fn c13_many_writes_that_wait_keep_to_their_connections(kind: Kind) {
    // As much time is left for their answers.
    undisturbed(Duration::from_millis(40), move || many_wait(kind)).await;
}

async fn many_wait(kind: Kind) {
    let group = Group::unattended(kind);
    let builder = group.servers[0].builder().durability(two().within(Duration::from_secs(5)));
    let store = builder.call_deadline(Duration::from_secs(2)).build().unwrap();
    caught_up(&store).await;
    group.pause_replicas();
    let writes: Vec<_> = (0..40).map(|_| tokio::spawn(write(&store))).collect();
    let (mut made, mut refused) = (0, 0);
    for write in writes {
        let error = write.await.unwrap().unwrap_err();
        match error.kind() {
            StoreErrorKind::Undurable => made += 1,
            StoreErrorKind::Unavailable => {
                assert!(error.to_string().contains("nothing was sent"), "{error}");
                refused += 1;
            }
            _ => panic!("{error}"),
        }
    }
    assert!(made == 16 && refused == 24, "{made} made, {refused} refused");
    assert!(group.servers[0].raw("CLIENT LIST").lines().count() < 40);
    group.resume_replicas();
}

support::on_both! {
    c8_what_is_acknowledged_is_on_the_replicas
    c8_what_replicas_do_not_confirm_is_made_and_told_so
    logins_and_ends_alone_may_be_waited_for
    c13_many_writes_that_wait_keep_to_their_connections
    c8_a_write_that_is_sent_late_is_waited_for_until_its_deadline_and_no_longer
}

#[tokio::test]
async fn c8_a_disk_is_waited_for_where_the_server_can() {
    let group = Group::unattended(Kind::Valkey);
    let on_all = store(&group, Durability::replicas(2).on_disk().within(Duration::from_secs(5)));
    // A replica rewrites its file after it was given everything, and confirms nothing until that is done.
    let create = requests::create(requests::key(), requests::data(&[("n", b"on-the-disks")]));
    confirmed(|| on_all.create(create.clone())).await;
    let is_written = |written: &[u8]| written.windows(12).any(|window| window == b"on-the-disks");
    for server in &group.servers {
        assert!(is_written(&server.append_only_file()));
    }
    group.pause_replicas();
    let here = store(&group, Durability::disk());
    here.create(requests::create(requests::key(), requests::data(&[]))).await.unwrap();
    let all = store(&group, Durability::replicas(2).on_disk().within(WITHIN));
    made(all.create(requests::create(requests::key(), requests::data(&[]))).await);
    group.resume_replicas();
    // Nothing is on a disk that is not written to.
    group.servers[0].raw("CONFIG SET appendonly no");
    wait_for("it stops", || group.servers[0].raw("INFO persistence").contains("aof_enabled:0"));
    let error = here.create(requests::create(requests::key(), requests::data(&[]))).await.unwrap_err();
    assert!(error.to_string().contains("that takes an append-only file"), "{error}");
    assert_eq!(error.kind(), StoreErrorKind::Undurable);

    let old = Group::unattended(Kind::Redis);
    let error =
        store(&old, Durability::disk()).create(requests::create(requests::key(), requests::data(&[])));
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Undurable, "{error}");
    assert!(error.to_string().contains("Redis 7.2 or Valkey"), "{error}");
}
