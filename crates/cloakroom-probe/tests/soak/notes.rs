//! What is written down of a session's life, for the checker: requests and answers, and what may have happened to it meanwhile
//! that is nobody's error.

use std::sync::{Arc, Mutex};

use cloakroom_testing::history::session::{Answer, Call, Step};
use cloakroom_testing::history::{Pending, Recorder, Verdict, failover};

use super::ground::Ground;

pub type History = Recorder<Call, Answer>;

pub struct Notes {
    pub history: History,
    ground: Arc<dyn Ground>,
    failovers: Mutex<Failovers>,
}

struct Failovers {
    /// Of all that have begun, those that are written down.
    noticed: u64,
    /// When they were.
    times: Vec<u64>,
}

/// What the checker makes of it.
pub struct Judged {
    pub verdict: Verdict,
    /// Only a loss to asynchronous replication explains it.
    pub lost_writes: bool,
}

impl Notes {
    /// Of a session that does not exist yet.
    pub fn on(ground: &Arc<dyn Ground>) -> Self {
        // One that goes on may take back what happens from now on.
        let failovers = Failovers { noticed: ground.failovers_over(), times: Vec::new() };
        Notes { history: History::new(), ground: ground.clone(), failovers: Mutex::new(failovers) }
    }

    pub fn call(&self, step: Step) -> Pending<Call, Answer> {
        self.history.call(Call::one(1, step))
    }

    /// Before an answer is written down: whether a replica may have taken over by the time it was given.
    pub fn notice(&self) {
        let mut failovers = self.failovers.lock().unwrap();
        let begun = self.ground.failovers();
        for _ in failovers.noticed..begun {
            failovers.times.push(self.history.now());
        }
        failovers.noticed = begun;
    }

    /// Whether something may have been lost so far.
    pub fn may_have_lost(&self) -> bool {
        self.notice();
        !self.failovers.lock().unwrap().times.is_empty()
    }

    pub fn judge(&self) -> Judged {
        let events = self.history.history();
        let times = self.failovers.lock().unwrap().times.clone();
        let verdict = failover::check(&events, &times);
        let beyond = |order: &Vec<usize>| order.iter().any(|at| *at >= events.len());
        let lost_writes = matches!(&verdict, Verdict::Explained(order) if beyond(order));
        Judged { verdict, lost_writes }
    }
}
