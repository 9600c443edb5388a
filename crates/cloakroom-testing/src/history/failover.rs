//! Sessions on servers whose replicas take over: what replication had not passed on by then is undone.
//!
//! From what it received last, the replica goes on on its own, and so may the server that it replaces: until whoever asked that one has
//! heard of the other, it takes writes which nobody will ever see again. Each process comes over once, at a time of its own.
//! So a failover takes back a session's last writes, acknowledged ones and its end included, in one piece; or all of the session, where
//! it was that young. Nothing else: no older write without the newer ones, nothing twice, nothing that a process wrote which had come over,
//! and nothing once the failover is over. Where another one begins before that, its replica may have followed the first server all the while, and
//! knows nothing of the second.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Event;
use super::search::{self, Model, Verdict};
use super::session::{self, Answer, Call, Session, State, Step};

/// Writes of one session that may be on their way to a replica, at most.
pub const LAST_WRITES: usize = 16;

/// States that [`check`] looks at, at most.
const BOUND: usize = 2 * session::BOUND;

/// A failover, in the recorder's time ([`Recorder::now`](super::Recorder::now)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failover {
    /// Taken before anybody could notice.
    pub begun: u64,
    /// Taken when everybody had come over; nothing where that was not seen.
    pub over: Option<u64>,
}

/// Checks a history of *one* session, as [`session::check`] does, where servers failed over meanwhile, one after the other.
///
/// `by` tells of each event which process was asked. `None`: nobody, and it came about on every server: the session expired.
///
/// Each failover may have taken back the last [`LAST_WRITES`] that were acknowledged before it began, and what came after them. Which ones is
/// part of the search: what the replica had may have been the session at any moment since. Looked for only where nothing less explains
/// the history. Positions in the verdict are positions in `history`, and beyond its end for the failovers.
pub fn check(history: &[Event<Call, Answer>], by: &[Option<usize>], failovers: &[Failover]) -> Verdict {
    let nothing_lost = session::check(history);
    if failovers.is_empty() || nothing_lost.is_explained() {
        return nothing_lost;
    }
    // What did not happen needs no explanation; the others keep their places.
    let happened: Vec<usize> = (0..history.len())
        .filter(|at| !matches!(history.get(*at), Some(Event { answer: Some((Answer::Refused, _)), .. })))
        .collect();
    let by = |at: &usize| by.get(*at).copied().flatten();
    let processes: BTreeSet<usize> = happened.iter().filter_map(by).collect();
    let number = |process| processes.iter().position(|known| *known == process);
    let asked = |at: &usize| {
        let Event { call, called, answer } = history.get(*at)?.clone();
        let asked = Happening::Asked { by: by(at).and_then(number), call };
        Some(Event { call: asked, called, answer: answer.map(|(answer, time)| (Some(answer), time)) })
    };
    let mut events: Vec<_> = happened.iter().filter_map(asked).collect();
    // Which failover each of the events beyond those makes good, if any.
    let mut of = Vec::new();
    for (n, failover) in failovers.iter().enumerate() {
        let since = safe_since(history, failover.begun);
        for from in followed(failovers, n) {
            let call = Happening::Received { n, from };
            events.push(Event { call, called: since.unwrap_or(0), answer: None });
            of.push(None);
        }
        for process in 0..processes.len() {
            let call = Happening::ComesOver { n, process, unknown_there: since.is_none() };
            let answer = failover.over.map(|over| (None, over));
            events.push(Event { call, called: failover.begun, answer });
            of.push(Some(n));
        }
    }
    let followed = (0..failovers.len()).map(|n| followed(failovers, n)).collect();
    match search::check(&SessionOnServers { processes: processes.len(), followed }, &events, BOUND) {
        Verdict::Explained(order) => {
            let place = |at: usize| match happened.get(at) {
                Some(at) => Some(*at),
                None => of.get(at - happened.len()).copied().flatten().map(|n| history.len() + n),
            };
            let mut places: Vec<usize> = order.into_iter().filter_map(place).collect();
            let mut told = BTreeSet::new();
            places.retain(|at| *at < history.len() || told.insert(*at));
            Verdict::Explained(places)
        }
        Verdict::Unexplained(_) => nothing_lost,
        undecided @ Verdict::Undecided { .. } => undecided,
    }
}

/// Whom the replica of the n-th failover may have followed: the server that was the primary by then, or one before it, if the failover
/// from that one was not over yet.
fn followed(failovers: &[Failover], n: usize) -> RangeInclusive<usize> {
    let begun = failovers.get(n).map_or(u64::MAX, |failover| failover.begun);
    let is_over = |failover: &Failover| failover.over.is_some_and(|over| over < begun);
    let first = failovers.iter().take(n).rposition(is_over).map_or(0, |last| last + 1);
    first..=n
}

/// By when so much was written before the failover that nothing from before is lost; `None` where all of it may be.
fn safe_since(history: &[Event<Call, Answer>], begun: u64) -> Option<u64> {
    let writes = |call: &Call| call.steps.iter().any(|step| !matches!(step, Step::Read(_) | Step::User));
    let mut acknowledged: Vec<u64> = history
        .iter()
        .filter(|event| writes(&event.call))
        .filter_map(|event| match &event.answer {
            Some((Answer::Done(_), at)) if *at < begun => Some(*at),
            _ => None,
        })
        .collect();
    acknowledged.sort_unstable_by(|one, other| other.cmp(one));
    acknowledged.get(LAST_WRITES).copied()
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Happening {
    Asked {
        by: Option<usize>,
        call: Call,
    },
    /// The last that the replica of the n-th failover receives, from this server. A guess, which the answers of the new one make good.
    Received {
        n: usize,
        from: usize,
    },
    /// From now on this process asks the server that the n-th of them made the primary. Where nothing was guessed to be received, that one
    /// does not know the session, if it may not.
    ComesOver {
        n: usize,
        process: usize,
        unknown_there: bool,
    },
}

/// Guesses made beforehand, rather than a memory of the last writes: that would tell apart sessions that came about in another order and
/// are the same, and there are as many of them as orders.
struct SessionOnServers {
    processes: usize,
    /// By the replica of each failover.
    followed: Vec<RangeInclusive<usize>>,
}

/// The session as each server has it, and whom each process asks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Servers {
    /// In the order in which they became the primary. Nothing where it has none yet, or nobody asks any more.
    sessions: Vec<Option<Arc<State>>>,
    asked_by: Vec<usize>,
}

impl Servers {
    /// The state after that happened on this one.
    fn step(&mut self, server: usize, call: &Call, answer: Option<&Answer>) -> Option<()> {
        let session = self.sessions.get_mut(server)?.as_mut()?;
        let next = Session.step(session, call, answer)?;
        if **session != next {
            *session = Arc::new(next);
        }
        Some(())
    }

    fn has(&self, server: usize) -> bool {
        self.sessions.get(server).is_some_and(Option::is_some)
    }
}

impl SessionOnServers {
    /// What nobody asks for any more, and no replica receives, makes no difference.
    fn forget(&self, servers: &mut Servers) {
        let first = servers.asked_by.iter().min().copied().unwrap_or(0);
        for server in 0..first {
            let may_follow = |(n, followed): (usize, &RangeInclusive<usize>)| {
                n >= first && followed.contains(&server) && !servers.has(n + 1)
            };
            if !self.followed.iter().enumerate().any(may_follow)
                && let Some(session) = servers.sessions.get_mut(server)
            {
                *session = None;
            }
        }
    }
}

impl Model for SessionOnServers {
    type Call = Happening;
    type Answer = Option<Answer>;
    type State = Servers;

    fn initial(&self) -> Servers {
        let mut sessions = vec![None; self.followed.len() + 1];
        if let Some(first) = sessions.first_mut() {
            *first = Some(Arc::new(Session.initial()));
        }
        Servers { sessions, asked_by: vec![0; self.processes] }
    }

    fn step(&self, servers: &Servers, call: &Happening, answer: Option<&Option<Answer>>) -> Option<Servers> {
        let answer = answer.and_then(Option::as_ref);
        let mut next = servers.clone();
        match call {
            Happening::Asked { by: Some(process), call } => {
                let server = *next.asked_by.get(*process)?;
                next.step(server, call, answer)?;
            }
            Happening::Asked { by: None, call } => {
                for server in (0..next.sessions.len()).filter(|server| servers.has(*server)) {
                    next.step(server, call, answer)?;
                }
            }
            Happening::Received { n, .. } if servers.has(n + 1) => return None,
            Happening::Received { n, from } => {
                let received = servers.sessions.get(*from)?.clone()?;
                *next.sessions.get_mut(n + 1)? = Some(received);
            }
            Happening::ComesOver { n, process, unknown_there } => {
                let asks = next.asked_by.get_mut(*process).filter(|asks| *asks == n)?;
                *asks += 1;
                if !servers.has(n + 1) {
                    let over = State { over: true, ..Session.initial() };
                    *next.sessions.get_mut(n + 1)? = unknown_there.then(|| Arc::new(over));
                }
                if !next.has(n + 1) {
                    return None;
                }
                self.forget(&mut next);
            }
        }
        Some(next)
    }
}
