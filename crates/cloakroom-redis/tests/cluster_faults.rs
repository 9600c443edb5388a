//! What befalls nodes of a cluster under load, and what the sessions on them and on the others notice of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::store::{Committed, Created, Loaded, Store, StoreErrorKind};
use cloakroom_redis::Durability;
use cloakroom_testing::requests;
use counting::{Counter, count_on, number};
use support::cluster::Cluster;
use support::pace::Pace;
use support::{Kind, Server, name_of};

/// Of a call to the store.
const DEADLINE: Duration = Duration::from_secs(2);

/// Which of the three that are primaries at the start has a session.
fn home_of(cluster: &Cluster, key: &StoreKey) -> usize {
    cluster.first_owner(cluster.slot(&name_of(key)))
}

/// A key whose session is there.
fn key_on(cluster: &Cluster, home: usize) -> StoreKey {
    std::iter::repeat_with(requests::key).find(|key| home_of(cluster, key) == home).unwrap()
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(30), "it did not come to be that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn counted(number: u64) -> cloakroom::payload::Payload {
    requests::data(&[("n", number.to_string().as_bytes())])
}

/// What a node says that has said nothing for long is believed once the others agree, and they are not asked by everybody all the time. A
/// write that waits for replicas is no such thing.
async fn a_cluster_in_doubt_is_asked_ten_times_a_second_who_serves_what(kind: Kind) {
    let cluster = Cluster::start(kind);
    let waits = Durability::replicas(5).within(Duration::from_millis(400));
    let store = cluster.builder().durability(waits).build().unwrap();
    let key = key_on(&cluster, 0);
    let asked = async |after: &str| {
        cluster.nodes.iter().for_each(Server::forget_calls);
        let (began, mut reads) = (Instant::now(), 0_u32);
        while began.elapsed() < Duration::from_secs(1) {
            store.load(key).await.unwrap();
            reads += 1;
        }
        let times = (began.elapsed().as_millis() / 100 + 2) as u64;
        for (n, node) in cluster.nodes.iter().enumerate() {
            let calls = node.calls("cluster|slots");
            assert!(calls <= times, "node {n} was asked {calls} times beside {reads} reads after {after}");
        }
    };
    let made = store.create(requests::create(key, counted(1))).await;
    assert_eq!(made.unwrap_err().kind(), StoreErrorKind::Undurable, "no node has five replicas");
    asked("a write that waited").await;
    let silent = tokio::spawn(store.load(key));
    cluster.nodes[0].pause();
    let held = tokio::spawn(store.load(key));
    tokio::time::sleep(Duration::from_millis(400)).await;
    cluster.nodes[0].resume();
    for load in [silent, held] {
        load.await.unwrap().unwrap();
    }
    asked("it stood still").await;
}

/// It is not dead, and answers nobody: its replica takes over, and what it wakes up to is not its own any more.
async fn c1_c9_a_primary_that_stands_still_is_replaced_under_load(kind: Kind) {
    let cluster = Arc::new(Cluster::start(kind));
    let store = cluster.builder().call_deadline(DEADLINE).build().unwrap();
    let go_on = Arc::new(AtomicBool::new(true));
    let mut running = Vec::new();
    for n in 0..9 {
        let key = key_on(&cluster, n % 3);
        running.push((n % 3, count_on(Counter::begin(&store, key).await, go_on.clone())));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pace = Pace::here();
    cluster.nodes[0].pause();
    let stopped = pace.now();
    until("the replica takes over", async || cluster.is_primary(3)).await;
    let took_over = stopped.elapsed();
    // The calls that it had been sent before have run out of time, and others are served by the new one.
    tokio::time::sleep(DEADLINE).await;
    cluster.nodes[0].resume();
    until("it follows the new one", async || !cluster.is_primary(0)).await;
    cluster.nodes[0].forget_calls();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = cluster.nodes[0].raw("INFO commandstats");
    assert!(!asked.contains("cmdstat_eval"), "it is still asked: {asked}");
    go_on.store(false, Ordering::Relaxed);
    for (home, counter) in running {
        let counter = tokio::time::timeout(Duration::from_secs(20), counter).await.unwrap().unwrap();
        let Loaded::Live(found) = store.load(counter.key).await.unwrap() else { panic!("a session is gone") };
        assert_eq!(number(&found.record), number(&counter.record), "acknowledged and there");
        assert!(counter.slowest < DEADLINE + Duration::from_secs(1), "an answer took {:?}", counter.slowest);
        if home == 0 {
            assert!(counter.losses <= 1, "lost {} times", counter.losses);
            let late = counter.gap.saturating_sub(took_over.max(DEADLINE));
            assert!(late < Duration::from_millis(1_500), "served {late:?} after it could be");
        } else {
            assert_eq!(counter.lost, 0);
            let errors = counter.undisturbed_errors();
            assert!(errors.is_empty(), "of another node: {errors:?}");
            assert!(counter.gap < Duration::from_secs(2), "held up by another node: {:?}", counter.gap);
        }
    }
}

/// What is under way to it when it turns out to have been replaced is not waited for: awake, it would acknowledge what is lost.
async fn c1_a_node_that_was_replaced_acknowledges_nothing_of_what_it_was_sent_before(kind: Kind) {
    let cluster = Cluster::start(kind);
    let deadline = Duration::from_secs(4);
    let store = cluster.builder().call_deadline(deadline).build().unwrap();
    let key = key_on(&cluster, 0);
    let Created::Created { snapshot, .. } = store.create(requests::create(key, counted(0))).await.unwrap()
    else {
        panic!("it is taken")
    };
    until("the replica has it", async || {
        let script = format!("READONLY\r\nEXISTS {}", name_of(&key));
        cluster.nodes[3].raw(&script).contains(":1")
    })
    .await;
    cluster.nodes[0].pause();
    let reading = tokio::spawn(store.load(key));
    let pace = Pace::here();
    tokio::time::sleep(deadline / 2).await;
    let began = pace.now();
    let commit = requests::commit(key, snapshot.record.version, counted(1));
    let writing = tokio::spawn(store.commit(commit.clone()));
    until("the replica takes over", async || cluster.is_primary(3)).await;
    // The first that was asked of it has run out of time, so that it is asked who serves what.
    let _ = reading.await.unwrap();
    let error = writing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unknown, "{error}");
    assert!(began.elapsed() < deadline * 3 / 4, "it was waited for: {:?}", began.elapsed());
    // As the engine does: the same again, which is made where it lasts.
    let Committed::Committed(made) = store.commit(commit).await.unwrap() else { panic!("it is refused") };
    cluster.nodes[0].resume();
    until("it follows the new one", async || !cluster.is_primary(0)).await;
    let Loaded::Live(found) = store.load(key).await.unwrap() else { panic!("it is gone") };
    assert_eq!(found.record.version, made.record.version);
}

/// Replaced while it stood still, it answers on waking what it had been asked, as if nothing had been: with sessions as they were. Who
/// has not heard of the other one yet must not take that for how things are, or a visitor who logged in a moment ago loses the session.
async fn c1_c9_what_a_primary_answers_that_stood_still_is_believed_once_the_others_agree(kind: Kind) {
    let cluster = Cluster::start(kind);
    let store = cluster.builder().call_deadline(Duration::from_secs(20)).build().unwrap();
    let (before, after) = (key_on(&cluster, 0), key_on(&cluster, 0));
    let created = store.create(requests::create(before, counted(0))).await.unwrap();
    let Created::Created { snapshot, .. } = created else { panic!("it is taken") };
    until("the replica has it", async || {
        let script = format!("READONLY\r\nEXISTS {}", name_of(&before));
        cluster.nodes[3].raw(&script).contains(":1")
    })
    .await;
    cluster.nodes[0].pause();
    until("the replica takes over", async || cluster.is_primary(3)).await;
    // Another process comes to know who serves now.
    let other = cluster.store();
    until("the new one serves", async || other.load(before).await.is_ok()).await;
    let Created::Created { .. } = other.create(requests::create(after, counted(0))).await.unwrap() else {
        panic!("it is taken")
    };
    let commit = requests::commit(before, snapshot.record.version, counted(1));
    let Committed::Committed(made) = other.commit(commit).await.unwrap() else { panic!("it is refused") };
    // This one asks where it always did.
    let asked = [tokio::spawn(store.load(after)), tokio::spawn(store.load(before))];
    let late = tokio::spawn(store.commit(requests::commit(before, snapshot.record.version, counted(2))));
    tokio::time::sleep(Duration::from_millis(600)).await;
    cluster.nodes[0].resume();
    let [began_since, changed_since] = asked;
    let Loaded::Live(_) = began_since.await.unwrap().unwrap() else { panic!("it is not there") };
    let Loaded::Live(found) = changed_since.await.unwrap().unwrap() else { panic!("it is not there") };
    assert_eq!(found.record.version, made.record.version, "as it was before the other one took over");
    match late.await.unwrap() {
        Ok(Committed::Conflict(there)) => assert_eq!(there.record.version, made.record.version),
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unknown, "{error}"),
        other => panic!("{other:?}"),
    }
}

/// And where nobody took over, nothing came of it but the wait.
async fn c9_a_primary_that_stood_still_and_was_not_replaced_is_believed(kind: Kind) {
    let cluster = Arc::new(Cluster::start(kind));
    let store = cluster.builder().call_deadline(Duration::from_secs(20)).build().unwrap();
    let key = key_on(&cluster, 0);
    let created = store.create(requests::create(key, counted(0))).await.unwrap();
    let Created::Created { snapshot, .. } = created else { panic!("it is taken") };
    let version = std::cell::Cell::new(snapshot.record.version);
    // To its clients only, this one among them: the other nodes hear of it as ever.
    let paused = tokio::task::spawn_blocking({
        let cluster = cluster.clone();
        move || cluster.nodes[0].raw("CLIENT PAUSE 2000 ALL")
    });
    until("it stands still", async || {
        let began = Instant::now();
        let commit = requests::commit(key, version.get(), counted(1));
        let (loaded, committed) = tokio::join!(store.load(key), store.commit(commit));
        assert!(matches!(loaded, Ok(Loaded::Live(_))), "{loaded:?}");
        let Ok(Committed::Committed(made)) = committed else { panic!("{committed:?}") };
        version.set(made.record.version);
        began.elapsed() > Duration::from_millis(400)
    })
    .await;
    assert!(paused.await.unwrap().starts_with("+OK"));
}

/// Its answers are swallowed: what was on its way is not known, is made once, and is recognised when it is asked for again.
async fn c9_a_node_whose_answers_do_not_come_through_makes_what_it_was_sent_once(kind: Kind) {
    let cluster = Cluster::start_behind_wires(kind);
    let (deadline, pace) = (Duration::from_millis(1_500), Pace::here());
    let store = cluster.builder().call_deadline(deadline).build().unwrap();
    let (here, elsewhere) = (key_on(&cluster, 0), key_on(&cluster, 1));
    let begun = |created| match created {
        Created::Created { snapshot, .. } => snapshot.record,
        other => panic!("{other:?}"),
    };
    let record = begun(store.create(requests::create(here, counted(0))).await.unwrap());
    let other = begun(store.create(requests::create(elsewhere, counted(0))).await.unwrap());
    cluster.wires[0].hold_answers();
    let commit = requests::commit(here, record.version, counted(1));
    let error = store.commit(commit.clone()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unknown, "{error}");
    // From now on at once, and of a write that is not sent nobody has to wonder.
    let began = pace.now();
    for _ in 0..5 {
        let error = store.load(here).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        let error = store.commit(requests::commit(here, record.version, counted(9))).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
    assert!(began.elapsed() < deadline, "{:?}", began.elapsed());
    let began = pace.now();
    let served = store.commit(requests::commit(elsewhere, other.version, counted(1))).await.unwrap();
    assert!(matches!(served, Committed::Committed(_)), "{served:?}");
    assert!(began.elapsed() < deadline, "held up by another node");
    cluster.wires[0].mend();
    let mended = pace.now();
    until("it is served again", async || store.load(here).await.is_ok()).await;
    assert!(mended.elapsed() < Duration::from_secs(1), "back {:?} after the wire", mended.elapsed());
    let Committed::Committed(made) = store.commit(commit.clone()).await.unwrap() else {
        panic!("made before")
    };
    assert_eq!(number(&made.record), 1);
    let Committed::Committed(again) = store.commit(commit).await.unwrap() else { panic!("made before") };
    assert_eq!(again.record.version, made.record.version, "made once");
}

/// Cut off from those who ask it and not from the other nodes: nobody takes over.
async fn c9_a_node_that_is_cut_off_is_refused_at_once_and_comes_back(kind: Kind) {
    let cluster = Arc::new(Cluster::start_behind_wires(kind));
    let (deadline, pace) = (Duration::from_secs(2), Pace::here());
    let store = cluster.builder().call_deadline(deadline).build().unwrap();
    let go_on = Arc::new(AtomicBool::new(true));
    let mut running = Vec::new();
    for n in 0..6 {
        let key = key_on(&cluster, n % 3);
        running.push((n % 3, count_on(Counter::begin(&store, key).await, go_on.clone())));
    }
    let here = key_on(&cluster, 0);
    store.create(requests::create(here, counted(0))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.wires[0].cut();
    until("it is noticed", async || store.load(here).await.is_err()).await;
    for _ in 0..20 {
        let began = pace.now();
        assert_eq!(store.load(here).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        // Connecting to it gets no further than its wire: whoever asks in the meantime is not told to wait for that.
        assert!(began.elapsed() < deadline / 4, "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(cluster.is_primary(0), "somebody took over");
    cluster.wires[0].mend();
    let mended = pace.now();
    until("it is served again", async || store.load(here).await.is_ok()).await;
    assert!(mended.elapsed() < Duration::from_millis(1_500), "back {:?} after the wire", mended.elapsed());
    tokio::time::sleep(Duration::from_millis(300)).await;
    go_on.store(false, Ordering::Relaxed);
    for (home, counter) in running {
        let counter = tokio::time::timeout(Duration::from_secs(20), counter).await.unwrap().unwrap();
        let Loaded::Live(found) = store.load(counter.key).await.unwrap() else { panic!("a session is gone") };
        assert_eq!((counter.lost, number(&found.record)), (0, number(&counter.record)));
        if home != 0 {
            let errors = counter.undisturbed_errors();
            assert!(errors.is_empty(), "of another node: {errors:?}");
            assert!(counter.gap < deadline / 2, "held up by another node: {:?}", counter.gap);
        }
    }
}

/// To it every node seems to have stood still, those too that could tell whether one was replaced: what they had said meanwhile is read after they
/// are asked that.
async fn c9_a_process_that_stood_still_itself_refuses_nothing(kind: Kind) {
    const ROUNDS: usize = 10;
    let cluster = Cluster::start(kind);
    let store = cluster.builder().call_deadline(Duration::from_secs(20)).build().unwrap();
    let mut sessions = Vec::new();
    for home in 0..3 {
        let key = key_on(&cluster, home);
        let created = store.create(requests::create(key, counted(0))).await.unwrap();
        let Created::Created { snapshot, .. } = created else { panic!("it is taken") };
        sessions.push((key, snapshot.record.version));
    }
    for _ in 0..ROUNDS {
        let mut under_way = Vec::new();
        for (key, version) in &sessions {
            let commit = store.commit(requests::commit(*key, *version, counted(1)));
            under_way.push((tokio::spawn(store.load(*key)), tokio::spawn(commit)));
        }
        // They are sent, and their answers lie there unread.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        std::thread::sleep(Duration::from_millis(400));
        for ((loaded, committed), (_, version)) in under_way.into_iter().zip(&mut sessions) {
            let loaded = loaded.await.unwrap();
            assert!(matches!(loaded, Ok(Loaded::Live(_))), "{loaded:?}");
            let committed = committed.await.unwrap();
            let Ok(Committed::Committed(made)) = committed else { panic!("{committed:?}") };
            *version = made.record.version;
        }
    }
}

/// On one thread, so that all of the process stands still.
mod on_one_thread {
    use super::support::Kind;

    #[tokio::test]
    async fn c9_a_process_that_stood_still_itself_refuses_nothing_of_redis() {
        super::c9_a_process_that_stood_still_itself_refuses_nothing(Kind::Redis).await;
    }

    #[tokio::test]
    async fn c9_a_process_that_stood_still_itself_refuses_nothing_of_valkey() {
        super::c9_a_process_that_stood_still_itself_refuses_nothing(Kind::Valkey).await;
    }
}

support::on_both! {
    a_cluster_in_doubt_is_asked_ten_times_a_second_who_serves_what
    c1_c9_a_primary_that_stands_still_is_replaced_under_load
    c1_a_node_that_was_replaced_acknowledges_nothing_of_what_it_was_sent_before
    c1_c9_what_a_primary_answers_that_stood_still_is_believed_once_the_others_agree
    c9_a_primary_that_stood_still_and_was_not_replaced_is_believed
    c9_a_node_whose_answers_do_not_come_through_makes_what_it_was_sent_once
    c9_a_node_that_is_cut_off_is_refused_at_once_and_comes_back
}
