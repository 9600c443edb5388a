//! The checker accepts what one request after the other could have done, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;

use cloakroom_testing::history::session::{self, Answer, Call, Step};
use cloakroom_testing::history::{Event, Model, Recorder, Verdict, check};
use parking_lot::Mutex;

type SessionEvent = Event<Call, Answer>;

/// An operation on session 1, called and answered at these times.
fn event(step: Step, called: u64, answered: u64, answer: Answer) -> SessionEvent {
    Event { call: Call::one(1, step), called, answer: Some((answer, answered)) }
}

/// Never answered.
fn unanswered(step: Step, called: u64) -> SessionEvent {
    Event { call: Call::one(1, step), called, answer: None }
}

fn together(steps: &[Step], called: u64, answered: u64, answer: Answer) -> SessionEvent {
    Event { call: Call::together(1, steps), called, answer: Some((answer, answered)) }
}

#[track_caller]
fn accepted(history: &[SessionEvent]) {
    let verdict = session::check(history);
    assert!(verdict.is_explained(), "{verdict:?}");
}

#[track_caller]
fn rejected(history: &[SessionEvent]) {
    let verdict = session::check(history);
    assert!(verdict.is_unexplained(), "{verdict:?}");
}

#[test]
fn one_after_the_other_is_explained_as_it_was() {
    let history = [
        event(Step::put("a", 1), 1, 2, Answer::done()),
        event(Step::read("a"), 3, 4, Answer::seen(1)),
        event(Step::increment("a", 2), 5, 6, Answer::seen(3)),
        event(Step::remove("a"), 7, 8, Answer::done()),
        event(Step::read("a"), 9, 10, Answer::seen_nothing()),
    ];
    assert_eq!(session::check(&history), Verdict::Explained(vec![0, 1, 2, 3, 4]));
    accepted(&[]);
}

#[test]
fn concurrent_operations_may_be_ordered_either_way() {
    for seen in [Answer::seen_nothing(), Answer::seen("x")] {
        accepted(&[event(Step::put("a", "x"), 1, 5, Answer::done()), event(Step::read("a"), 2, 4, seen)]);
    }
    // The later call may well have come first.
    accepted(&[
        event(Step::increment("n", 1), 1, 10, Answer::seen(2)),
        event(Step::increment("n", 1), 2, 9, Answer::seen(1)),
    ]);
}

#[test]
fn c1_a_lost_increment_is_rejected() {
    rejected(&[
        event(Step::increment("n", 1), 1, 3, Answer::seen(1)),
        event(Step::increment("n", 1), 2, 4, Answer::seen(1)),
    ]);
    rejected(&[
        event(Step::increment("n", 1), 1, 3, Answer::seen(1)),
        event(Step::increment("n", 1), 2, 4, Answer::seen(2)),
        event(Step::read("n"), 5, 6, Answer::seen(1)),
    ]);
}

#[test]
fn c1_a_stale_read_after_an_acknowledged_write_is_rejected() {
    rejected(&[
        event(Step::put("a", "x"), 1, 2, Answer::done()),
        event(Step::read("a"), 3, 4, Answer::seen_nothing()),
    ]);
}

#[test]
fn reads_do_not_go_back_in_time() {
    // The write is under way all along; once a reader has seen it, later readers do.
    rejected(&[
        event(Step::put("a", "x"), 1, 10, Answer::done()),
        event(Step::read("a"), 2, 3, Answer::seen("x")),
        event(Step::read("a"), 4, 5, Answer::seen_nothing()),
    ]);
}

#[test]
fn a_value_nobody_wrote_is_rejected() {
    rejected(&[
        event(Step::put("a", "x"), 1, 4, Answer::done()),
        event(Step::read("a"), 2, 3, Answer::seen("y")),
    ]);
}

#[test]
fn c2_a_write_after_the_end_is_rejected() {
    rejected(&[event(Step::Destroy, 1, 2, Answer::done()), event(Step::put("a", "x"), 3, 4, Answer::done())]);
    rejected(&[
        event(Step::put("a", "x"), 1, 2, Answer::done()),
        event(Step::Destroy, 3, 4, Answer::done()),
        event(Step::read("a"), 5, 6, Answer::seen("x")),
    ]);
    // In flight while it ended, it came first.
    accepted(&[
        event(Step::Destroy, 1, 5, Answer::done()),
        event(Step::put("a", "x"), 2, 6, Answer::done()),
        event(Step::read("a"), 7, 8, Answer::seen_nothing()),
    ]);
    // And a session that lives does not say it is gone.
    rejected(&[event(Step::put("a", "x"), 1, 2, Answer::Gone)]);
    accepted(&[event(Step::Destroy, 1, 2, Answer::done()), event(Step::put("a", "x"), 3, 4, Answer::Gone)]);
}

#[test]
fn c6_a_torn_commit_is_rejected() {
    let both = [Step::put("a", "x"), Step::put("b", "y")];
    let read_both = [Step::read("a"), Step::read("b")];
    let torn = Answer::Done(vec![Some("x".into()), None]);
    rejected(&[together(&both, 1, 6, Answer::done()), together(&read_both, 2, 3, torn)]);
    let whole = Answer::Done(vec![Some("x".into()), Some("y".into())]);
    accepted(&[together(&both, 1, 6, Answer::done()), together(&read_both, 2, 3, whole)]);
}

#[test]
fn c7_the_data_of_the_user_before_is_rejected() {
    let login = |user, called| event(Step::login(user), called, called + 1, Answer::done());
    let history = |seen| {
        [
            login("ann", 1),
            event(Step::put("card", 1), 3, 4, Answer::done()),
            login("ann", 5),
            login("ben", 7),
            event(Step::User, 9, 10, Answer::seen("ben")),
            event(Step::read("card"), 11, 12, seen),
        ]
    };
    accepted(&history(Answer::seen_nothing()));
    rejected(&history(Answer::seen(1)));
    // What an anonymous visitor collected stays through the login.
    accepted(&[
        event(Step::put("basket", 1), 1, 2, Answer::done()),
        login("ann", 3),
        event(Step::read("basket"), 5, 6, Answer::seen(1)),
    ]);
}

#[test]
fn c9_a_refused_write_must_not_show() {
    rejected(&[
        event(Step::put("a", "x"), 1, 2, Answer::Refused),
        event(Step::read("a"), 3, 4, Answer::seen("x")),
    ]);
    accepted(&[
        event(Step::put("a", "x"), 1, 2, Answer::Refused),
        event(Step::read("a"), 3, 4, Answer::seen_nothing()),
    ]);
}

#[test]
fn an_operation_without_an_answer_happened_once_at_any_time_or_never() {
    let lost = unanswered(Step::increment("n", 1), 1);
    let read = |at, n| {
        event(Step::read("n"), at, at + 1, if n == 0 { Answer::seen_nothing() } else { Answer::seen(n) })
    };
    accepted(&[lost.clone(), read(3, 0)]);
    accepted(&[lost.clone(), read(3, 1)]);
    accepted(&[lost.clone(), read(3, 0), read(5, 0), read(7, 1)]);
    rejected(&[lost.clone(), read(3, 2)]);
    rejected(&[lost.clone(), read(3, 1), read(5, 0)]);
    rejected(&[lost, event(Step::increment("n", 1), 3, 4, Answer::seen(1)), read(5, 3)]);
    // Not before it was called.
    rejected(&[read(1, 1), unanswered(Step::increment("n", 1), 5)]);
}

#[test]
fn sessions_have_nothing_to_do_with_each_other() {
    let mut other = event(Step::read("a"), 3, 4, Answer::seen_nothing());
    other.call.session = 2;
    accepted(&[event(Step::put("a", "x"), 1, 2, Answer::done()), other.clone()]);
    other.answer = Some((Answer::seen("x"), 4));
    rejected(&[event(Step::put("a", "x"), 1, 2, Answer::done()), other]);
}

#[test]
fn a_rejection_tells_where_it_got_stuck() {
    let history = [
        event(Step::put("a", 1), 1, 2, Answer::done()),
        event(Step::put("b", 1), 3, 4, Answer::done()),
        event(Step::increment("b", 1), 5, 6, Answer::seen(7)),
        event(Step::read("b"), 8, 9, Answer::seen(7)),
    ];
    let Verdict::Unexplained(stuck) = session::check(&history) else { panic!("accepted") };
    assert_eq!((stuck.explained, stuck.next), (vec![1], vec![2]));
    assert!(stuck.state.contains("\"b\": 1"), "{}", stuck.state);
}

#[test]
fn the_search_is_bounded() {
    // Twenty unanswered increments of different size, and a sum that none of their subsets has.
    let mut history: Vec<_> =
        (0..20).map(|n| unanswered(Step::increment("n", 2 << n), 1 + n as u64)).collect();
    history.push(event(Step::read("n"), 30, 31, Answer::seen(1)));
    assert!(matches!(check(&session::Session, &history, 10_000), Verdict::Undecided { looked_at: 10_000 }));
}

#[test]
fn a_long_history_of_many_clients_is_decided() {
    let mut history = Vec::new();
    for n in 0..2000u64 {
        // Eight at a time.
        let (called, answered) = (2 * n + 1, 2 * n + 16);
        history.push(event(Step::increment("n", 1), called, answered, Answer::seen(n as i64 + 1)));
    }
    accepted(&history);
    history[1500].answer = Some((Answer::seen(1500), 3016));
    rejected(&history);
}

/// A model of one's own: a queue.
struct Queue;

impl Model for Queue {
    type Call = Option<u8>;
    type Answer = Option<u8>;
    type State = Vec<u8>;

    fn initial(&self) -> Vec<u8> {
        Vec::new()
    }

    fn step(&self, state: &Vec<u8>, call: &Option<u8>, answer: Option<&Option<u8>>) -> Option<Vec<u8>> {
        let mut next = state.clone();
        let out = match call {
            Some(item) => {
                next.push(*item);
                None
            }
            None if next.is_empty() => None,
            None => Some(next.remove(0)),
        };
        answer.is_none_or(|answer| *answer == out).then_some(next)
    }
}

#[test]
fn any_sequential_model_can_be_checked_against() {
    let recorder = Recorder::new();
    let (a, b) = (recorder.call(Some(1)), recorder.call(Some(2)));
    a.answered(None);
    b.answered(None);
    recorder.call(None).answered(Some(2));
    drop(recorder.call(None));
    assert!(check(&Queue, &recorder.history(), 1000).is_explained());
    recorder.call(None).answered(Some(2));
    assert!(check(&Queue, &recorder.history(), 1000).is_unexplained());
}

/// Whether some order of all answered and some of the unanswered events explains the history: by trying all of them.
fn by_brute_force(history: &[SessionEvent]) -> bool {
    fn extend(history: &[SessionEvent], used: &mut Vec<usize>, state: &session::State) -> bool {
        let open: Vec<usize> = (0..history.len()).filter(|at| !used.contains(at)).collect();
        if open.iter().all(|&at| history[at].answer.is_none()) {
            return true;
        }
        open.iter().any(|&at| {
            let first = open.iter().all(|&other| {
                history[other].answer.as_ref().is_none_or(|(_, answered)| *answered > history[at].called)
            });
            let answer = history[at].answer.as_ref().map(|(answer, _)| answer);
            let Some(next) = session::Session.step(state, &history[at].call, answer).filter(|_| first) else {
                return false;
            };
            used.push(at);
            let explained = extend(history, used, &next);
            used.pop();
            explained
        })
    }
    extend(history, &mut Vec::new(), &session::Session.initial())
}

#[test]
fn the_search_agrees_with_trying_every_order() {
    let mut seed = 1u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut explained, mut unexplained) = (0, 0);
    for _ in 0..4000 {
        let mut times: Vec<u64> = (1..=12).collect();
        for at in (1..times.len()).rev() {
            times.swap(at, random(at as u64 + 1) as usize);
        }
        let history: Vec<SessionEvent> = times
            .chunks(2)
            .map(|time| {
                let (called, answered) = (time[0].min(time[1]), time[0].max(time[1]));
                let key = ["a", "b"][random(2) as usize];
                let number = random(3) as i64;
                let (step, answer) = match random(7) {
                    0 => (Step::put(key, number), Answer::done()),
                    1 | 2 => (Step::increment(key, 1), Answer::seen(number + 1)),
                    3 if number == 0 => (Step::read(key), Answer::seen_nothing()),
                    3 => (Step::read(key), Answer::seen(number)),
                    4 => (Step::Clear, Answer::done()),
                    5 if number == 0 => (Step::Destroy, Answer::done()),
                    5 => (Step::put(key, number), Answer::Gone),
                    _ => (Step::remove(key), Answer::done()),
                };
                match random(6) {
                    0 => unanswered(step, called),
                    _ => event(step, called, answered, answer),
                }
            })
            .collect();
        let expected = by_brute_force(&history);
        assert_eq!(session::check(&history).is_explained(), expected, "{history:#?}");
        let whole = check(&session::Session, &history, 100_000);
        assert_eq!(whole.is_explained(), expected, "{history:#?}");
        *(if expected { &mut explained } else { &mut unexplained }) += 1;
    }
    assert!(explained > 400 && unexplained > 400, "{explained} explained, {unexplained} not");
}

#[test]
fn what_threads_do_under_a_lock_is_always_explained_and_without_it_not() {
    let mut unexplained = 0;
    for round in 0..20 {
        let locked = round % 2 == 0;
        let (recorder, counter) = (Recorder::new(), Arc::new(Mutex::new(0i64)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let pending = recorder.call(Call::one(1, Step::increment("n", 1)));
                        let sum = if locked {
                            let mut counter = counter.lock();
                            *counter += 1;
                            *counter
                        } else {
                            let read = *counter.lock();
                            std::thread::yield_now();
                            *counter.lock() = read + 1;
                            read + 1
                        };
                        pending.answered(Answer::seen(sum));
                    }
                });
            }
        });
        let verdict = session::check(&recorder.history());
        if locked {
            assert!(verdict.is_explained(), "{verdict:?}");
        } else {
            unexplained += usize::from(verdict.is_unexplained());
        }
    }
    assert!(unexplained > 0, "ten rounds of unlocked increments, and none was lost");
}
