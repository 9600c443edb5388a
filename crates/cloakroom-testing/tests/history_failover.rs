//! What a failover may take back is explained: the last writes, in one piece, once, and not before it began. Nothing else is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use cloakroom_testing::history::failover::{self, LAST_WRITES};
use cloakroom_testing::history::session::{self, Answer, Call, Step};
use cloakroom_testing::history::{Event, Recorder};

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

#[track_caller]
fn explained(history: &[SessionEvent], failovers: &[u64]) {
    let verdict = failover::check(history, failovers);
    assert!(verdict.is_explained(), "{verdict:?}");
}

#[track_caller]
fn unexplained(history: &[SessionEvent], failovers: &[u64]) {
    let verdict = failover::check(history, failovers);
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
fn no_more_is_undone_than_the_last_writes() {
    let mut steps: Vec<_> = (1..=LAST_WRITES as i64 + 2).map(count).collect();
    steps.push((Step::read("n"), Answer::seen(2)));
    explained(&in_a_row(&steps), &[1]);
    *steps.last_mut().unwrap() = (Step::read("n"), Answer::seen(1));
    unexplained(&in_a_row(&steps), &[1]);
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
    let verdict = failover::check(&history, &[4]);
    assert_eq!(verdict, cloakroom_testing::history::Verdict::Explained(vec![1, 3, 2]));
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
