//! Every interleaving of the store calls of two to four requests on one session, checked against a plain sequential session.
//!
//! For each interleaving: the requests that were answered with success, in *some* order, one after another, explain every
//! answer and the final record (C1, C6); what was refused left no trace and had a reason; at most one record of the line is
//! alive (C4); after an end none is (C2); no response of a dead request carries a cookie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod explore;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::{Loaded, Store};
use cloakroom::{Candidate, ErrorKind, MemoryStore, Mode, SessionConfig, SessionManager};
use cloakroom_testing::ManualClock;
use explore::{Conductor, StepStore, explore};
use requests::Does::*;
use requests::{Answer, Does, Plain, explained, request};

const LIMIT: usize = 40_000;

/// Explores a scenario: all these requests at once, on a session that holds n = 5 and m = 1.
/// Once through one manager, as in one process, and once with a manager for each request, as on as many machines.
fn check(name: &str, config: fn() -> SessionConfig, renews: bool, does: &[Does]) {
    let (together, all) = explore(LIMIT, |conductor| one(conductor, config, renews, does.to_vec(), false));
    assert!(all, "{name}: {together} interleavings and more; shrink the scenario");
    let (apart, all) = explore(LIMIT, |conductor| one(conductor, config, renews, does.to_vec(), true));
    assert!(all, "{name}: {apart} interleavings and more; shrink the scenario");
    assert!(apart > 1, "{name}: only one interleaving: the scenario has no concurrency");
    println!("{name}: {together} interleavings in one process, {apart} on several");
}

async fn one(
    conductor: Conductor,
    config: fn() -> SessionConfig,
    renews: bool,
    does: Vec<Does>,
    apart: bool,
) {
    let clock = ManualClock::new();
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
    let store = StepStore::new(Arc::clone(&memory));
    let process = || SessionManager::over(Arc::new(store.clone()), config().purge_every(None)).unwrap();
    let manager = process();

    let first = conductor.straight(&store, request(manager.clone(), clock.clone(), None, Set("n", 5))).await;
    let id = first.cookie.expect("a new session's cookie");
    let second = conductor
        .straight(&store, request(manager.clone(), clock.clone(), Some(id.clone()), Set("m", 1)))
        .await;
    assert_eq!(second.result, Ok(None));

    // Longer than the renewal of `renewing`, shorter than the idle time.
    clock.advance(Duration::from_secs(600));

    let mut tasks = Vec::new();
    for does in does {
        let manager = if apart { process() } else { manager.clone() };
        tasks.push(tokio::spawn(request(manager, clock.clone(), Some(id.clone()), does)));
    }
    let answers = conductor.conduct(&store, tasks).await;

    let mut ids = vec![id];
    for answer in answers.iter().filter(|a| !a.anonymous) {
        ids.extend(answer.cookie.clone().filter(|c| !c.is_empty()));
    }
    ids.sort();
    ids.dedup();
    let mut alive = Vec::new();
    for id in &ids {
        let key = Candidate::parse(id.as_bytes()).unwrap().store_key();
        if let Loaded::Live(snapshot) = memory.load(key).await.unwrap() {
            alive.push(snapshot.record);
        }
    }
    assert!(alive.len() <= 1, "a forked session: {answers:#?}");

    let mut end = Plain::default();
    if let Some(record) = alive.first() {
        end.alive = true;
        end.user = record.user.as_ref().map(|u| u.as_str().to_owned());
        for (key, value) in record.payload.iter() {
            end.data.insert(key.to_owned(), rmp_serde::from_slice(value).unwrap());
        }
    }
    let start = Plain { alive: true, data: [("m".into(), 1), ("n".into(), 5)].into(), user: None };
    // A logout with an id that has moved meanwhile is anonymous, and ends the successor all the same.
    let present = |a: &Answer| !a.anonymous || (a.does == Destroy && a.cookie.is_some());
    let took_effect: Vec<&Answer> = answers.iter().filter(|a| a.result.is_ok() && present(a)).collect();
    assert!(explained(&start, &took_effect, &end), "no order of these explains {end:?}: {answers:#?}");

    let ends = |a: &Answer| a.result.is_ok() && matches!(a.does, Destroy | Revoke | Expire);
    let moves = |a: &Answer| a.result.is_ok() && matches!(a.does, Regenerate | Login(_));
    for answer in &answers {
        let others = || answers.iter().filter(|other| !std::ptr::eq(*other, answer));
        if answer.anonymous {
            assert!(others().any(|o| ends(o) || moves(o)), "anonymous without a reason: {answers:#?}");
        }
        match answer.result {
            Ok(_) => {}
            Err(ErrorKind::Conflict) => {
                let done: Vec<Does> = others().filter(|o| o.result.is_ok()).map(|o| o.does).collect();
                assert!(answer.does.may_conflict_with(&done), "a conflict with nobody: {answers:#?}");
            }
            Err(ErrorKind::Gone) => {
                assert!(others().any(|o| ends(o) || moves(o)), "gone without a reason: {answers:#?}");
            }
            Err(ref kind) => panic!("unexpected {kind:?}: {answers:#?}"),
        }
        // Only what changes the id, or starts anew, tells one; only an end that ended something deletes one.
        match answer.cookie.as_deref() {
            None => {}
            Some("") => assert_eq!(answer.does, Destroy, "a deletion cookie: {answers:#?}"),
            // A renewed id is told to whoever is in its grace.
            Some(_) if renews => {}
            Some(_) => {
                assert!(moves(answer) || answer.anonymous, "a cookie from a dead request: {answers:#?}")
            }
        }
    }
    if answers.iter().any(|a| ends(a) && !a.anonymous) {
        // Whatever moved or wrote: an end that succeeded ended the line (C2, C4).
        assert!(alive.is_empty(), "a session came back after its end: {answers:#?}");
    }
}

fn merge() -> SessionConfig {
    SessionConfig::new()
}

fn exclusive() -> SessionConfig {
    SessionConfig::new().mode(Mode::Exclusive)
}

/// Every request of these scenarios comes with an id that is due.
fn renewing() -> SessionConfig {
    SessionConfig::new().renewal(Duration::from_secs(300), Duration::from_secs(30))
}

macro_rules! scenarios {
    ($($name:ident: $config:ident [$($does:expr),* $(,)?];)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), $config, stringify!($config) == "renewing", &[$($does),*]);
        })*
    };
}

scenarios! {
    c1_two_increments_add_two: merge [Incr("n"), Incr("n")];
    c1_three_increments_add_three: merge [Incr("n"), Incr("n"), Incr("n")];
    c1_of_two_read_then_written_counts_the_loser_is_refused: merge [Count("n"), Count("n")];
    c1_three_counts: merge [Count("n"), Count("n"), Count("n")];
    c1_a_count_and_an_increment: merge [Count("n"), Incr("n")];
    c1_blind_sets_of_different_keys_both_survive: merge [Set("a", 1), Set("b", 2), Set("c", 3)];
    c1_blind_sets_of_one_key: merge [Set("n", 1), Set("n", 2), Get("n")];
    c1_put_beside_buffered: merge [Put("n", 9), Count("n"), Set("m", 7)];
    c1_remove_and_count: merge [Remove("n"), Count("n")];
    c1_clear_and_writers: merge [Clear, Set("a", 1)];
    c1_clear_and_increment: merge [Clear, Incr("n")];
    c5_two_locked_counts: merge [LockCount("n"), LockCount("n")];
    c5_a_lock_against_an_increment: merge [LockCount("n"), Incr("n")];
    c5_a_lock_against_a_buffered_set: merge [LockCount("n"), Set("m", 3)];
    c2_a_logout_against_a_buffered_writer: merge [Destroy, Set("n", 1)];
    c2_a_logout_against_an_awaited_writer: merge [Destroy, Incr("n")];
    c2_a_logout_against_a_reader: merge [Destroy, Get("n")];
    c2_a_logout_against_a_count: merge [Destroy, Count("n"), Set("m", 2)];
    c2_a_logout_against_a_lock: merge [Destroy, LockCount("n")];
    c2_a_logout_against_a_rotator: merge [Destroy, Regenerate];
    c2_a_logout_against_a_login: merge [Destroy, Login("ada")];
    c2_a_logout_against_a_rotator_and_a_writer: merge [Destroy, Regenerate, Set("m", 2)];
    c2_two_logouts: merge [Destroy, Destroy];
    c2_a_revocation_against_everything: merge [Revoke, Incr("n"), Set("m", 2)];
    c2_a_revocation_against_a_rotator: merge [Revoke, Regenerate];
    c4_a_rotator_against_a_buffered_writer: merge [Regenerate, Set("m", 2)];
    c4_a_rotator_against_a_count: merge [Regenerate, Count("n")];
    c4_a_rotator_against_an_awaited_writer: merge [Regenerate, Incr("n")];
    c4_a_rotator_against_a_lock: merge [Regenerate, LockCount("n")];
    c4_two_rotators: merge [Regenerate, Regenerate];
    c4_two_rotators_and_a_writer: merge [Regenerate, Regenerate, Set("m", 2)];
    c4_a_login_against_a_buffered_writer: merge [Login("ada"), Set("m", 2)];
    c4_a_login_against_a_count: merge [Login("ada"), Count("n")];
    c4_two_logins: merge [Login("ada"), Login("bob")];
    c4_a_login_against_a_rotator: merge [Login("ada"), Regenerate];
    c4_a_login_against_a_clear: merge [Login("ada"), Clear];
    c4_a_rotator_against_a_clear: merge [Regenerate, Clear];
    exclusive_counts_lose_nothing: exclusive [Count("n"), Count("n")];
    exclusive_three_counts_lose_nothing: exclusive [Count("n"), Count("n"), Count("n")];
    exclusive_count_against_a_logout: exclusive [Count("n"), Destroy];
    exclusive_count_against_a_rotator: exclusive [Count("n"), Regenerate];
    exclusive_count_against_an_increment_and_a_lock: exclusive [Count("n"), Incr("n"), LockCount("n")];
    c2_expiry_against_a_buffered_writer: merge [Expire, Set("m", 2)];
    c2_expiry_against_an_awaited_writer: merge [Expire, Incr("n")];
    c2_expiry_against_a_rotator_and_a_count: merge [Expire, Regenerate, Count("n")];
    c2_expiry_against_a_lock: merge [Expire, LockCount("n")];
    c2_expiry_against_a_login: merge [Expire, Login("ada")];
    s33_two_readers_of_a_due_id_make_one_successor: renewing [Get("n"), Get("n")];
    s33_three_readers_of_a_due_id_make_one_successor: renewing [Get("n"), Get("n"), Get("m")];
    s30_writers_in_the_grace_reach_the_same_session: renewing [Get("n"), Incr("n"), Set("m", 2)];
    s30_counts_in_the_grace: renewing [Count("n"), Count("n")];
    s30_a_lock_in_the_grace: renewing [LockCount("n"), Get("n")];
    s30_a_logout_ends_the_grace: renewing [Get("n"), Destroy];
    s30_a_login_ends_the_grace: renewing [Get("n"), Login("ada")];
    s30_a_rotator_ends_the_grace: renewing [Get("n"), Regenerate];
    s30_a_revocation_ends_the_grace: renewing [Set("m", 2), Revoke];
    four_requests_of_four_kinds: merge [Incr("n"), Set("m", 2), Regenerate, Destroy];
    c1_three_blind_sets_of_different_keys_survive_beside_a_reader: merge [Set("a", 1), Set("b", 2), Set("c", 3), Get("n")];
    c1_four_requests_that_write_one_key_in_different_ways: merge [Count("n"), Put("n", 9), Set("n", 2), Get("n")];
    c2_a_logout_against_three_writers: merge [Destroy, Incr("n"), Set("m", 2), Put("a", 1)];
    c4_a_rotator_against_two_writers_and_a_reader: merge [Regenerate, Set("m", 2), Count("n"), Get("m")];
    c4_a_login_against_two_writers_and_a_reader: merge [Login("ada"), Set("m", 2), Put("a", 1), Get("n")];
    c5_a_lock_against_three_others: merge [LockCount("n"), Set("m", 2), Get("n"), Destroy];
}
