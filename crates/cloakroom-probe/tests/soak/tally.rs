//! What happened, counted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// Failures that are told in full.
const TOLD: usize = 3;

#[derive(Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// Requests by what came of them.
    requests: BTreeMap<String, u64>,
    /// Sessions by how they ended.
    ended: BTreeMap<&'static str, u64>,
    troubles: BTreeMap<&'static str, u64>,
    undecided: u64,
    outages: u64,
    lost_writes: u64,
    wrong: Vec<String>,
    slowest: Duration,
}

impl Tally {
    pub fn request(&self, outcome: &str, took: Duration) {
        let mut counts = self.0.lock().unwrap();
        match counts.requests.get_mut(outcome) {
            Some(n) => *n += 1,
            None => drop(counts.requests.insert(outcome.to_owned(), 1)),
        }
        counts.slowest = counts.slowest.max(took);
    }

    pub fn ended(&self, how: &'static str) {
        *self.0.lock().unwrap().ended.entry(how).or_default() += 1;
    }

    pub fn trouble(&self, trouble: &'static str) {
        *self.0.lock().unwrap().troubles.entry(trouble).or_default() += 1;
    }

    /// The checker gave up on a history.
    pub fn undecided(&self) {
        self.0.lock().unwrap().undecided += 1;
    }

    /// A session that the server was away from for so long that it may have expired meanwhile.
    pub fn outage(&self) {
        self.0.lock().unwrap().outages += 1;
    }

    /// A session that is explained by what asynchronous replication may lose, and by nothing less.
    pub fn lost_writes(&self) {
        self.0.lock().unwrap().lost_writes += 1;
    }

    /// Said at once as well: a long run may be looked into while it goes on.
    pub fn went_wrong(&self, what: String) {
        eprintln!("went wrong: {what}");
        self.0.lock().unwrap().wrong.push(what);
    }

    /// Sessions, requests, troubles, and what went wrong: so far.
    pub fn line(&self) -> String {
        let counts = self.0.lock().unwrap();
        format!(
            "{} sessions, {} requests, {} faults, {} wrong",
            total(&counts.ended),
            total(&counts.requests),
            total(&counts.troubles),
            counts.wrong.len()
        )
    }

    pub fn summary(&self, name: &str, length: Duration, seed: u64) -> String {
        let counts = self.0.lock().unwrap();
        format!(
            "soak on {name}, {} s, seed {seed}\n  \
             {} requests: {}; the slowest took {} ms\n  \
             {} sessions: {}; {} may have expired before their time, while the server was away; {} lost their last writes to a failover\n  \
             {} faults: {}\n  \
             histories: {} without an explanation, {} undecided",
            length.as_secs(),
            total(&counts.requests),
            listed(&counts.requests),
            counts.slowest.as_millis(),
            total(&counts.ended),
            listed(&counts.ended),
            counts.outages,
            counts.lost_writes,
            total(&counts.troubles),
            listed(&counts.troubles),
            counts.wrong.len(),
            counts.undecided,
        )
    }

    /// What must not be: also that too little happened to show anything.
    pub fn wrong(&self, length: Duration) -> Vec<String> {
        let counts = self.0.lock().unwrap();
        let mut wrong: Vec<String> = counts.wrong.iter().take(TOLD).cloned().collect();
        if counts.wrong.len() > TOLD {
            wrong.push(format!("and {} more", counts.wrong.len() - TOLD));
        }
        let sessions = total(&counts.ended);
        if counts.outages * 10 > sessions {
            wrong.push(format!("{} of {sessions} sessions lost their server for seconds", counts.outages));
        }
        if counts.undecided * 20 > sessions {
            wrong.push(format!("{} of {sessions} histories are undecided", counts.undecided));
        }
        // Ten live at a time, and on a busy machine a failover comes with each few of them.
        if counts.lost_writes * 4 > sessions {
            wrong.push(format!("{} of {sessions} sessions lost writes to failovers", counts.lost_writes));
        }
        if sessions < 8 || total(&counts.troubles) < length.as_secs() / 6 {
            wrong.push("too little happened to show anything".to_owned());
        }
        wrong
    }
}

fn total<K>(counts: &BTreeMap<K, u64>) -> u64 {
    counts.values().sum()
}

fn listed<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let each: Vec<String> = counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
    each.join(", ")
}
