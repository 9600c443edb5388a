//! What is written down of a session's life, for the checker: requests and answers, and what may have happened to it meanwhile
//! that is nobody's error. And for people who have to find out why there is no explanation: when, and through which process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_testing::history::failover::{self, Failover};
use cloakroom_testing::history::session::{Answer, Call, Step};
use cloakroom_testing::history::{Pending, Recorder, Verdict};

use super::chronicle::Chronicle;
use super::ground::Ground;

pub struct Notes {
    history: Recorder<Call, Answer>,
    ground: Arc<dyn Ground>,
    chronicle: Arc<Chronicle>,
    failovers: Mutex<Failovers>,
    /// Of each event of the history.
    circumstances: Mutex<Vec<Circumstances>>,
}

struct Failovers {
    /// Of all that there were, those that were over before.
    before: u64,
    /// When the others began, and were over.
    since: Vec<Failover>,
}

struct Circumstances {
    /// Which process was asked.
    process: Option<usize>,
    called: Duration,
    answered: Option<Duration>,
}

/// A request that is under way. Dropped, it counts as never answered.
#[must_use = "dropped, it counts as never answered"]
pub struct Asked<'n> {
    notes: &'n Notes,
    pending: Pending<Call, Answer>,
    at: usize,
}

/// What the checker makes of it.
pub struct Judged {
    pub verdict: Verdict,
    /// Only a loss to asynchronous replication explains it.
    pub lost_writes: bool,
}

impl Notes {
    /// Of a session that does not exist yet.
    pub fn on(ground: &Arc<dyn Ground>, chronicle: &Arc<Chronicle>) -> Self {
        // One that goes on may take back what happens from now on.
        let failovers = Failovers { before: ground.failovers_over(), since: Vec::new() };
        Notes {
            history: Recorder::new(),
            ground: ground.clone(),
            chronicle: chronicle.clone(),
            failovers: Mutex::new(failovers),
            circumstances: Mutex::default(),
        }
    }

    /// Of this process, or of nobody.
    pub fn call(&self, step: Step, process: Option<usize>) -> Asked<'_> {
        // Both under one lock, so that they stay side by side.
        let mut circumstances = self.circumstances.lock().unwrap();
        let at = circumstances.len();
        circumstances.push(Circumstances { process, called: self.chronicle.now(), answered: None });
        Asked { notes: self, pending: self.history.call(Call::one(1, step)), at }
    }

    /// Before an answer is written down: whether a replica may have taken over by the time it was given.
    pub fn notice(&self) {
        let mut failovers = self.failovers.lock().unwrap();
        // In this order: one that is over has begun.
        let (over, begun) = (self.ground.failovers_over(), self.ground.failovers());
        let (over, begun) = (over - failovers.before, begun - failovers.before);
        for _ in failovers.since.len() as u64..begun {
            failovers.since.push(Failover { begun: self.history.now(), over: None });
        }
        for failover in failovers.since.iter_mut().take(over as usize).filter(|known| known.over.is_none()) {
            failover.over = Some(self.history.now());
        }
    }

    /// Whether something may have been lost so far.
    pub fn may_have_lost(&self) -> bool {
        self.notice();
        !self.failovers.lock().unwrap().since.is_empty()
    }

    pub fn judge(&self) -> Judged {
        let events = self.history.history();
        let failovers = self.failovers.lock().unwrap().since.clone();
        let by: Vec<_> = self.circumstances.lock().unwrap().iter().map(|when| when.process).collect();
        let verdict = failover::check(&events, &by, &failovers);
        let beyond = |order: &Vec<usize>| order.iter().any(|at| *at >= events.len());
        let lost_writes = matches!(&verdict, Verdict::Explained(order) if beyond(order));
        Judged { verdict, lost_writes }
    }

    /// All of it in the order in which it began, with what the servers suffered meanwhile: a line each.
    pub fn story(&self) -> String {
        let circumstances = self.circumstances.lock().unwrap();
        let events = self.history.history();
        let mut lines: Vec<(Duration, String)> = Vec::new();
        for (at, (event, when)) in events.iter().zip(&*circumstances).enumerate() {
            let process = when.process.map_or_else(|| "-".to_owned(), |process| process.to_string());
            let took = when.answered.map(|answered| answered.saturating_sub(when.called).as_millis());
            let took = took.map_or_else(|| "nobody knows".to_owned(), |took| format!("{took} ms"));
            let answer = event.answer.as_ref().map(|(answer, _)| answer);
            let line = format!(
                "{:8.3} s  [{at}] process {process}: {:?} -> {answer:?}, {took}",
                when.called.as_secs_f64(),
                event.call.steps
            );
            lines.push((when.called, line));
        }
        let first = lines.first().map_or(Duration::ZERO, |(called, _)| *called);
        lines
            .extend(self.chronicle.since(first).iter().map(|trouble| (trouble.began(), trouble.to_string())));
        lines.sort_by_key(|(began, _)| *began);
        let times = &self.failovers.lock().unwrap().since;
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        format!("{}\nreplicas may have taken over: {times:?}", lines.join("\n"))
    }
}

impl Asked<'_> {
    pub fn answered(self, answer: Answer) {
        self.pending.answered(answer);
        let now = self.notes.chronicle.now();
        if let Some(when) = self.notes.circumstances.lock().unwrap().get_mut(self.at) {
            when.answered = Some(now);
        }
    }
}

#[test]
fn a_story_tells_what_the_servers_suffered_where_it_happened() {
    struct Nowhere;
    impl Ground for Nowhere {
        fn troubles(&self) -> &'static [&'static str] {
            &[]
        }
        fn happen(&self, _: &str, _: &dyn Fn(String)) {}
        fn kept(&self) -> Option<super::ground::Kept> {
            None
        }
    }
    let ground: Arc<dyn Ground> = Arc::new(Nowhere);
    let chronicle = Arc::new(Chronicle::new());
    let notes = Notes::on(&ground, &chronicle);
    notes.call(Step::put("k", 7), Some(1)).answered(Answer::done());
    chronicle.begins("nodes stopped");
    chronicle.hits("node 4".to_owned());
    drop(notes.call(Step::read("k"), Some(0)));
    let story = notes.story();
    let lines: Vec<&str> = story.lines().collect();
    assert!(lines[0].contains("[0] process 1: [Put(\"k\", 7)] -> Some(Done([]))"), "{story}");
    assert!(lines[1].contains("and not over  *** nodes stopped: node 4 at "), "{story}");
    assert!(lines[2].contains("[1] process 0: [Read(\"k\")] -> None, nobody knows"), "{story}");
}
