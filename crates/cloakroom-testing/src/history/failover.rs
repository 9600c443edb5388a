//! Sessions on servers whose replicas take over: what replication had not passed on by then is undone.
//!
//! A failover may take back the last writes of a session, acknowledged ones and its end included, in one piece and once; or all
//! of the session, where it was that young. Nothing else: no older write without the newer ones, and nothing twice.

use super::Event;
use super::search::{self, Model, Verdict};
use super::session::{self, Answer, BOUND, Call, Session, State};

/// Writes of one session that a failover may take back, at most.
pub const LAST_WRITES: usize = 16;

/// Checks a history of *one* session, as [`session::check`] does, where servers failed over meanwhile: at these times of the
/// recorder's ([`Recorder::now`](super::Recorder::now)), each taken before anybody could notice.
///
/// Each failover may have taken back up to [`LAST_WRITES`]. How many is found out by trying: expensive for histories that are
/// wrong, and no dearer than without failovers for those that lost nothing. Positions in the verdict are positions in `history`,
/// and beyond its end for the failovers.
pub fn check(history: &[Event<Call, Answer>], failovers: &[u64]) -> Verdict {
    let nothing_lost = session::check(history);
    if failovers.is_empty() || nothing_lost.is_explained() {
        return nothing_lost;
    }
    // What did not happen needs no explanation; the others keep their places.
    let happened: Vec<usize> = (0..history.len())
        .filter(|at| !matches!(history.get(*at), Some(Event { answer: Some((Answer::Refused, _)), .. })))
        .collect();
    let events: Vec<_> = happened.iter().filter_map(|at| history.get(*at)).map(asked).collect();
    let mut undecided = None;
    for lost in losses(failovers.len()) {
        let mut events = events.clone();
        events.extend(failovers.iter().zip(&lost).filter(|(_, lost)| **lost != Lost::Last(0)).map(
            // Nobody is told of it: it may have happened at any time since.
            |(called, lost)| Event { call: Happening::Failover(*lost), called: *called, answer: None },
        ));
        match search::check(&SessionOnReplicas, &events, BOUND) {
            Verdict::Explained(order) => {
                let beyond = |at: usize| history.len() + at - happened.len();
                let place = |at: usize| happened.get(at).copied().unwrap_or_else(|| beyond(at));
                return Verdict::Explained(order.into_iter().map(place).collect());
            }
            Verdict::Unexplained(_) => {}
            verdict @ Verdict::Undecided { .. } => undecided = Some(verdict),
        }
    }
    undecided.unwrap_or(nothing_lost)
}

fn asked(event: &Event<Call, Answer>) -> Event<Happening, Answer> {
    let Event { call, called, answer } = event.clone();
    Event { call: Happening::Asked(call), called, answer }
}

/// What a failover takes back of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lost {
    Last(usize),
    /// The session itself.
    All,
}

/// What several failovers may have taken back, the least first.
fn losses(failovers: usize) -> Vec<Vec<Lost>> {
    let each: Vec<Lost> = (0..=LAST_WRITES).map(Lost::Last).chain([Lost::All]).collect();
    let mut all = vec![Vec::new()];
    for _ in 0..failovers {
        all = all
            .iter()
            .flat_map(|before: &Vec<Lost>| each.iter().map(|lost| [before.as_slice(), &[*lost]].concat()))
            .collect();
    }
    let writes = |lost: &Lost| match lost {
        Lost::Last(writes) => *writes,
        Lost::All => LAST_WRITES + 1,
    };
    all.sort_by_key(|lost| lost.iter().map(writes).sum::<usize>());
    all
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Happening {
    Asked(Call),
    Failover(Lost),
}

struct SessionOnReplicas;

/// A session, and what it was before its last writes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Line {
    now: State,
    before: Vec<State>,
}

impl Model for SessionOnReplicas {
    type Call = Happening;
    type Answer = Answer;
    type State = Line;

    fn initial(&self) -> Line {
        Line { now: Session.initial(), before: Vec::new() }
    }

    fn step(&self, line: &Line, call: &Happening, answer: Option<&Answer>) -> Option<Line> {
        match call {
            Happening::Asked(call) => {
                let now = Session.step(&line.now, call, answer)?;
                let mut before = line.before.clone();
                if now != line.now {
                    before.push(line.now.clone());
                    let too_many = before.len().saturating_sub(LAST_WRITES);
                    before.drain(..too_many);
                }
                Some(Line { now, before })
            }
            Happening::Failover(Lost::Last(writes)) => {
                let mut before = line.before.clone();
                let mut now = line.now.clone();
                for _ in 0..*writes {
                    now = before.pop()?;
                }
                Some(Line { now, before })
            }
            Happening::Failover(Lost::All) => {
                let gone = State { over: true, ..Session.initial() };
                Some(Line { now: gone, before: Vec::new() })
            }
        }
    }
}
