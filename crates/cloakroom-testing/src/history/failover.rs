//! Sessions on servers whose replicas take over: what replication had not passed on by then is undone.
//!
//! A failover may take back the last writes of a session, acknowledged ones and its end included, in one piece and once; or all
//! of the session, where it was that young. Nothing else: no older write without the newer ones, and nothing twice.

use std::sync::Arc;

use super::Event;
use super::search::{self, Model, Verdict};
use super::session::{self, Answer, BOUND, Call, Session, State};

/// Writes of one session that a failover may take back, at most.
pub const LAST_WRITES: usize = 16;

/// Checks a history of *one* session, as [`session::check`] does, where servers failed over meanwhile: at these times of the
/// recorder's ([`Recorder::now`](super::Recorder::now)), each taken before anybody could notice.
///
/// Each failover may have taken back up to [`LAST_WRITES`]. Which ones is part of the search: what the replica had may have been the
/// session at any moment before. Looked for only where nothing less explains the history. Positions in the verdict are positions in
/// `history`, and beyond its end for the failovers.
pub fn check(history: &[Event<Call, Answer>], failovers: &[u64]) -> Verdict {
    let nothing_lost = session::check(history);
    if failovers.is_empty() || nothing_lost.is_explained() {
        return nothing_lost;
    }
    // What did not happen needs no explanation; the others keep their places.
    let happened: Vec<usize> = (0..history.len())
        .filter(|at| !matches!(history.get(*at), Some(Event { answer: Some((Answer::Refused, _)), .. })))
        .collect();
    let mut events: Vec<_> = happened.iter().filter_map(|at| history.get(*at)).map(asked).collect();
    // Nobody is told of it: it may have happened at any time since.
    let unseen = |call, called| Event { call, called, answer: None };
    events.extend(failovers.iter().zip(0..).map(|(called, n)| unseen(Happening::Failover(n), *called)));
    events.extend((0..failovers.len()).map(|n| unseen(Happening::Received(n), 0)));
    match search::check(&SessionOnReplicas { failovers: failovers.len() }, &events, BOUND) {
        Verdict::Explained(order) => {
            let place = |at: usize| match happened.get(at) {
                Some(at) => Some(*at),
                None => Some(at - happened.len()).filter(|n| *n < failovers.len()).map(|n| history.len() + n),
            };
            Verdict::Explained(order.into_iter().filter_map(place).collect())
        }
        Verdict::Unexplained(_) => nothing_lost,
        undecided @ Verdict::Undecided { .. } => undecided,
    }
}

fn asked(event: &Event<Call, Answer>) -> Event<Happening, Answer> {
    let Event { call, called, answer } = event.clone();
    Event { call: Happening::Asked(call), called, answer }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Happening {
    Asked(Call),
    /// The last that the replica receives before the n-th loss. A guess, which the failover makes good: all that comes after it until then
    /// is lost.
    Received(usize),
    /// The n-th of them. Where nothing was guessed to be received, it takes the session as a whole.
    Failover(usize),
}

/// Guesses made beforehand, rather than a memory of the last writes: that would tell apart sessions that came about in another order and
/// are the same, and there are as many of them as orders.
struct SessionOnReplicas {
    failovers: usize,
}

/// A session, and what of it will be left.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Line {
    now: State,
    /// The latest last.
    received: Vec<Received>,
    guesses: usize,
    failovers: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Received {
    state: Arc<State>,
    /// Writes between it and the next one, or now.
    writes: usize,
}

impl Model for SessionOnReplicas {
    type Call = Happening;
    type Answer = Answer;
    type State = Line;

    fn initial(&self) -> Line {
        Line { now: Session.initial(), received: Vec::new(), guesses: 0, failovers: 0 }
    }

    fn step(&self, line: &Line, call: &Happening, answer: Option<&Answer>) -> Option<Line> {
        match call {
            Happening::Asked(call) => {
                let now = Session.step(&line.now, call, answer)?;
                let wrote = now != line.now;
                let mut next = Line { now, ..line.clone() };
                if let Some(last) = next.received.last_mut().filter(|_| wrote) {
                    last.writes += 1;
                    let lost: usize = next.received.iter().map(|received| received.writes).sum();
                    // More than may be lost: not the last that was received.
                    return (lost <= LAST_WRITES).then_some(next);
                }
                Some(next)
            }
            // One after the other: they do not differ.
            Happening::Received(n) if *n != line.guesses => None,
            Happening::Received(_) => {
                let to_come = self.failovers - line.failovers;
                let mut next = line.clone();
                next.received.push(Received { state: Arc::new(line.now.clone()), writes: 0 });
                next.guesses += 1;
                (next.received.len() <= to_come).then_some(next)
            }
            Happening::Failover(n) if *n < line.failovers => None,
            Happening::Failover(n) => {
                let mut next = Line { failovers: n + 1, ..line.clone() };
                match next.received.pop() {
                    // Nothing is lost: that is explained without it.
                    Some(Received { writes: 0, .. }) => return None,
                    Some(Received { state, .. }) => next.now = (*state).clone(),
                    None => next.now = State { over: true, ..Session.initial() },
                }
                Some(next)
            }
        }
    }
}
