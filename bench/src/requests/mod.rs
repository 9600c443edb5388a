//! Requests in process, through a finished axum router that each subject wraps from outside: no sockets, one thread.
//!
//! Every scenario is a route. The bare subject answers it without a session, under a layer that does nothing, in the
//! place where the others have theirs: what a subject needs beyond that is the price of its session.

mod bare;
mod cloakroom;
mod scenario;
mod subject;
mod tower_sessions;

use std::time::Duration;

use serde::Serialize;

pub use scenario::{BASKET_ITEMS, Item, Scenario, USUAL, basket, profile};
use subject::Subject;
pub use subject::Taken;

use crate::stats::Spread;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Rounds; each runs one batch of every subject.
    pub rounds: usize,
    /// Requests in a batch.
    pub batch: usize,
}

/// One row of the table.
#[derive(Serialize)]
pub struct Row {
    /// What the requests do.
    pub scenario: &'static str,
    /// The bare route, nanoseconds for each request.
    pub bare_ns: Spread,
    /// Cloakroom on its memory store.
    pub cloakroom: Cost,
    /// `tower-sessions` on its memory store.
    pub tower_sessions: Cost,
    /// Cloakroom's net time as a part of `tower-sessions`'.
    pub ratio: f64,
    /// What the ratio is to be at most, where that is promised.
    pub ratio_at_most: Option<f64>,
    /// What Cloakroom's allocations are to be at most, where that is promised.
    pub allocations_at_most: Option<f64>,
}

impl Row {
    /// Whether the row is as it is to be.
    pub fn holds(&self) -> bool {
        self.ratio_at_most.is_none_or(|most| self.ratio <= most)
            && self.allocations_at_most.is_none_or(|most| self.cloakroom.allocations <= most)
    }
}

/// What a session costs over the bare route.
#[derive(Serialize)]
pub struct Cost {
    /// Nanoseconds for each request: differences to the bare route within the same round.
    pub net_ns: Spread,
    /// Allocations for each request, over those of the bare route.
    pub allocations: f64,
}

/// Measures every scenario.
pub fn run(effort: Effort) -> Vec<Row> {
    Scenario::ALL.iter().map(|scenario| measure(*scenario, effort)).collect()
}

/// Runs one scenario on one subject, for a profiler; `None` where there is no such scenario or subject.
pub fn one(scenario: &str, subject: &str, requests: usize) -> Option<Taken> {
    let scenario = *Scenario::ALL.iter().find(|known| known.name() == scenario)?;
    let mut subject = match subject {
        "bare" => bare::subject(scenario),
        "cloakroom" => cloakroom::subject(scenario),
        "tower-sessions" => tower_sessions::subject(scenario),
        _ => return None,
    };
    let mut total = Taken { elapsed: Duration::ZERO, allocations: 0 };
    // In batches as they are measured: all requests at once would not fit the caches.
    for begun in (0..requests).step_by(500) {
        let taken = subject.batch(500.min(requests - begun));
        total.elapsed += taken.elapsed;
        total.allocations += taken.allocations;
    }
    Some(total)
}

fn measure(scenario: Scenario, effort: Effort) -> Row {
    eprintln!("requests: {} …", scenario.name());
    let mut subjects: [Box<dyn Subject>; 3] =
        [bare::subject(scenario), cloakroom::subject(scenario), tower_sessions::subject(scenario)];

    // Caches, branch predictors and the stores' tables get warm.
    let mut allocations = [0.0; 3];
    for (subject, allocations) in subjects.iter_mut().zip(&mut allocations) {
        subject.batch(effort.batch);
        *allocations = subject.batch(effort.batch).allocations as f64 / effort.batch as f64;
    }

    let mut times: [Vec<f64>; 3] = Default::default();
    for round in 0..effort.rounds {
        // Each subject is first, second and third equally often.
        for turn in 0..subjects.len() {
            let who = (round + turn) % subjects.len();
            let taken = subjects[who].batch(effort.batch).elapsed;
            times[who].push(taken.as_nanos() as f64 / effort.batch as f64);
        }
    }
    for subject in &mut subjects {
        subject.check();
    }

    let [bare, cloakroom, tower_sessions] = times;
    let [bare_allocations, rest @ ..] = allocations;
    let [cloakroom, tower_sessions] = [cloakroom, tower_sessions]
        .map(|times| times.iter().zip(&bare).map(|(time, bare)| time - bare).collect::<Vec<_>>())
        .map(Spread::of);
    Row {
        scenario: scenario.name(),
        bare_ns: Spread::of(bare),
        ratio: cloakroom.median / tower_sessions.median,
        cloakroom: Cost { net_ns: cloakroom, allocations: rest[0] - bare_allocations },
        tower_sessions: Cost { net_ns: tower_sessions, allocations: rest[1] - bare_allocations },
        ratio_at_most: scenario.ratio_at_most(),
        allocations_at_most: scenario.allocations_at_most(),
    }
}
