use std::sync::Arc;

use parking_lot::Mutex;

/// One operation: what was asked, when, and what came back.
///
/// Times are positions in one order, not durations: events of one recorder have different ones. Where a history
/// comes from several processes, any common clock does, as long as it errs towards calls that are early and answers
/// that are late.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event<C, A> {
    /// What was asked.
    pub call: C,
    /// When.
    pub called: u64,
    /// What came back, and when. `None`: nothing did, or nothing that tells whether it happened.
    pub answer: Option<(A, u64)>,
}

/// Notes what is called and answered, from any number of tasks and threads. Clones write to the same history.
#[derive(Debug)]
pub struct Recorder<C, A>(Arc<Mutex<Tape<C, A>>>);

#[derive(Debug)]
struct Tape<C, A> {
    time: u64,
    events: Vec<Event<C, A>>,
}

impl<C, A> Recorder<C, A> {
    /// An empty history.
    pub fn new() -> Self {
        Recorder(Arc::new(Mutex::new(Tape { time: 0, events: Vec::new() })))
    }

    /// Notes that an operation is called now: do it right after, and tell the answer to what this gives. Dropped
    /// instead, it stays without an answer.
    pub fn call(&self, call: C) -> Pending<C, A> {
        let mut tape = self.0.lock();
        tape.time += 1;
        let (called, at) = (tape.time, tape.events.len());
        tape.events.push(Event { call, called, answer: None });
        Pending { recorder: self.clone(), at }
    }

    /// This moment: later than everything so far, and earlier than whatever comes.
    pub fn now(&self) -> u64 {
        let mut tape = self.0.lock();
        tape.time += 1;
        tape.time
    }

    /// Everything so far, in the order of the calls.
    pub fn history(&self) -> Vec<Event<C, A>>
    where
        C: Clone,
        A: Clone,
    {
        self.0.lock().events.clone()
    }
}

impl<C, A> Clone for Recorder<C, A> {
    fn clone(&self) -> Self {
        Recorder(Arc::clone(&self.0))
    }
}

impl<C, A> Default for Recorder<C, A> {
    fn default() -> Self {
        Self::new()
    }
}

/// An operation that was called and not answered yet.
#[derive(Debug)]
#[must_use = "dropped, the operation counts as never answered"]
pub struct Pending<C, A> {
    recorder: Recorder<C, A>,
    at: usize,
}

impl<C, A> Pending<C, A> {
    /// Notes the answer, which is there now.
    pub fn answered(self, answer: A) {
        let mut tape = self.recorder.0.lock();
        tape.time += 1;
        let time = tape.time;
        if let Some(event) = tape.events.get_mut(self.at) {
            event.answer = Some((answer, time));
        }
    }
}
