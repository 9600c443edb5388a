//! What a failover may take back is explained: the last writes before it began and what the old server took after that, in
//! one piece. Nothing else is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use cloakroom_testing::history::failover::{self, Failover, LAST_WRITES};
use cloakroom_testing::history::session::{self, Answer, Call, Step};
use cloakroom_testing::history::{Event, Recorder, Verdict};

type SessionEvent = Event<Call, Answer>;

/// One after the other, each answered before the next is called: the first is called at 1, the next at 3.
fn in_a_row(steps: &[(Step, Answer)]) -> Vec<SessionEvent> {
    let event = |(n, (step, answer)): (usize, &(Step, Answer))| {
        let called = 2 * n as u64 + 1;
        Event { call: Call::one(1, step.clone()), called, answer: Some((answer.clone(), called + 1)) }
    };
    steps.iter().enumerate().map(event).collect()
}

fn count(sum: i64) -> (Step, Answer) {
    (Step::increment("n", 1), Answer::seen(sum))
}

/// Failovers that began at these times, and none of which was seen to be over; all is asked of one process.
fn check(history: &[SessionEvent], begun: &[u64]) -> Verdict {
    let failovers: Vec<_> = begun.iter().map(|begun| Failover { begun: *begun, over: None }).collect();
    failover::check(history, &vec![Some(0); history.len()], &failovers)
}

#[track_caller]
fn explained(history: &[SessionEvent], failovers: &[u64]) {
    let verdict = check(history, failovers);
    assert!(verdict.is_explained(), "{verdict:?}");
}

#[track_caller]
fn unexplained(history: &[SessionEvent], failovers: &[u64]) {
    let verdict = check(history, failovers);
    assert!(verdict.is_unexplained(), "{verdict:?}");
}

#[test]
fn the_last_writes_may_be_undone_once_and_only_by_a_failover() {
    let history = in_a_row(&[count(1), count(2), count(3), count(2), count(3)]);
    explained(&history, &[6]);
    unexplained(&history, &[]);
    // It began when the number had fallen already.
    unexplained(&history, &[8]);
    let twice = in_a_row(&[count(1), count(2), count(2), count(3), count(3)]);
    unexplained(&twice, &[2]);
    explained(&twice, &[2, 6]);
}

#[test]
fn an_older_write_is_not_lost_without_the_newer_ones() {
    let put = |key, value: i64| (Step::put(key, value), Answer::done());
    let read = |key, value: i64| (Step::read(key), Answer::seen(value));
    let history = in_a_row(&[put("a", 1), put("a", 2), put("b", 3), read("a", 1), read("b", 3)]);
    unexplained(&history, &[6]);
    let history = in_a_row(&[put("a", 1), put("a", 2), put("b", 3), read("a", 2), read("b", 3)]);
    explained(&history, &[6]);
    let nothing = (Step::read("b"), Answer::seen_nothing());
    explained(&in_a_row(&[put("a", 1), put("a", 2), put("b", 3), read("a", 1), nothing]), &[6]);
}

#[test]
fn an_end_may_be_undone_and_so_may_a_session_as_a_whole() {
    let end = (Step::Destroy, Answer::done());
    explained(&in_a_row(&[count(1), end.clone(), count(2)]), &[4]);
    unexplained(&in_a_row(&[count(1), end.clone(), count(3)]), &[4]);
    let gone = (Step::increment("n", 1), Answer::Gone);
    explained(&in_a_row(&[count(1), count(2), gone.clone(), gone.clone()]), &[1]);
    unexplained(&in_a_row(&[count(1), count(2), gone.clone(), gone]), &[]);
}

#[test]
fn no_more_is_undone_than_the_last_writes_before_it_began_and_what_came_after() {
    let counted = LAST_WRITES as i64 + 2;
    let mut steps: Vec<_> = (1..=counted).map(count).collect();
    let began = 2 * counted as u64;
    steps.push((Step::read("n"), Answer::seen(2)));
    explained(&in_a_row(&steps), &[began + 1]);
    *steps.last_mut().unwrap() = (Step::read("n"), Answer::seen(1));
    unexplained(&in_a_row(&steps), &[began + 1]);
    // The server that was replaced went on.
    explained(&in_a_row(&steps), &[began - 1]);
}

/// What two processes are told while one of them has not heard of the new server.
#[test]
fn each_process_comes_over_once_and_what_the_old_server_took_from_the_others_is_lost() {
    let (put, read) =
        (|n: i64| (Step::put("k", n), Answer::done()), |n: i64| (Step::read("k"), Answer::seen(n)));
    let split = |last: [i64; 2], by: [usize; 7], over| {
        let steps = [put(1), put(2), read(1), read(2), put(3), read(last[0]), read(last[1])];
        let by = by.map(Some);
        failover::check(&in_a_row(&steps), &by, &[Failover { begun: 4, over }])
    };
    // 2 is written to the old one, where 0 reads it still, after 1 has read 1 from the new one, and writes 3 there.
    let at_the_old_one = [0, 0, 1, 0, 1, 0, 1];
    assert!(split([3, 3], at_the_old_one, None).is_explained());
    assert!(split([2, 3], at_the_old_one, None).is_explained());
    // Not back again.
    assert!(split([3, 2], at_the_old_one, None).is_unexplained());
    // And not once it is over: 0 reads at 11, and 7 is when it asked before.
    assert!(split([2, 3], at_the_old_one, Some(12)).is_explained());
    assert!(split([2, 3], at_the_old_one, Some(11)).is_unexplained());
    assert!(split([3, 3], at_the_old_one, Some(9)).is_explained());
    assert!(split([3, 3], at_the_old_one, Some(6)).is_unexplained());
    // One process alone sees no two servers.
    assert!(split([3, 3], [0; 7], None).is_unexplained());
}

/// Sentinels that lose their patience twice: the third server had not heard of the second.
#[test]
fn a_replica_may_have_followed_the_first_server_until_the_failover_from_that_one_is_over() {
    let gone = (Step::increment("n", 1), Answer::Gone);
    let history = in_a_row(&[count(1), count(2), gone.clone(), gone, count(3)]);
    let by = vec![Some(0); history.len()];
    let first_over = |over| {
        let failovers = [Failover { begun: 2, over }, Failover { begun: 7, over: None }];
        failover::check(&history, &by, &failovers)
    };
    assert!(first_over(None).is_explained());
    assert!(first_over(Some(9)).is_explained());
    assert!(first_over(Some(6)).is_unexplained());
}

#[test]
fn a_failover_that_is_over_takes_nothing_back_any_more() {
    let history = in_a_row(&[count(1), count(2), count(3), count(3)]);
    let by = vec![Some(0); history.len()];
    let over_at = |over| failover::check(&history, &by, &[Failover { begun: 2, over: Some(over) }]);
    assert!(over_at(7).is_explained());
    assert!(over_at(4).is_unexplained());
}

#[test]
fn a_session_is_ended_on_the_server_that_was_asked_and_expires_on_every_one() {
    let put = |n: i64| (Step::put("k", n), Answer::done());
    let read = (Step::read("k"), Answer::seen(1));
    let history = in_a_row(&[put(1), put(2), read.clone(), (Step::Destroy, Answer::done()), read]);
    let failovers = [Failover { begun: 4, over: None }];
    let ended_by = |who| {
        let by = [Some(0), Some(0), Some(1), who, Some(1)];
        failover::check(&history, &by, &failovers)
    };
    assert!(ended_by(Some(0)).is_explained());
    assert!(ended_by(Some(1)).is_unexplained());
    assert!(ended_by(None).is_unexplained());
}

#[test]
fn what_was_refused_or_never_answered_is_allowed_for_as_without_failovers() {
    let recorder = Recorder::new();
    let call = |step| recorder.call(Call::one(1, step));
    call(Step::increment("n", 1)).answered(Answer::seen(1));
    drop(call(Step::increment("n", 1)));
    call(Step::put("n", 9)).answered(Answer::Refused);
    let failover = recorder.now();
    call(Step::increment("n", 1)).answered(Answer::seen(3));
    call(Step::increment("n", 1)).answered(Answer::seen(2));
    let history = recorder.history();
    assert!(session::check(&history).is_unexplained());
    explained(&history, &[failover]);
    call(Step::read("n")).answered(Answer::seen(9));
    unexplained(&recorder.history(), &[failover]);
}

#[test]
fn positions_are_those_of_the_history() {
    let history = in_a_row(&[(Step::put("n", 5), Answer::Refused), count(1), count(1)]);
    assert_eq!(check(&history, &[4]), Verdict::Explained(vec![1, 3, 2]));
}

/// Of three who write at the same time, in any order: as many orders as there are, which all come to the same, are one.
#[test]
fn what_three_lose_who_write_at_the_same_time_is_found() {
    let recorder = Recorder::new();
    let call = |step| recorder.call(Call::one(1, step));
    for round in 1..=20 {
        let all = [Step::put("a", round), Step::put("b", round), Step::increment("n", 1)].map(call);
        for (pending, answer) in all.into_iter().zip([Answer::done(), Answer::done(), Answer::seen(round)]) {
            pending.answered(answer);
        }
    }
    let failovers = [recorder.now(), recorder.now()];
    call(Step::read("a")).answered(Answer::seen(17));
    call(Step::increment("n", 1)).answered(Answer::seen(18));
    let torn = recorder.history();
    call(Step::read("b")).answered(Answer::seen(16));
    explained(&recorder.history(), &failovers[..1]);
    let too_old = recorder.now();
    let read = Event { call: Call::one(1, Step::read("b")), called: too_old, answer: None };
    let read = Event { answer: Some((Answer::seen(13), too_old + 1)), ..read };
    unexplained(&[torn, vec![read]].concat(), &failovers);
}
