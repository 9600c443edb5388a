//! A session, as if its requests came one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::Event;
use super::search::{self, Model, Verdict};

/// States that [`check`] looks at for one session, at most.
pub const BOUND: usize = 200_000;

/// A value of a session, as a test tells values apart.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// A counter.
    Number(i64),
    /// Anything else.
    Text(Arc<str>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// What is done to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Reads an entry; sees its value, nothing where there is none or the session is over.
    Read(String),
    /// Sets an entry.
    Put(String, Value),
    /// Removes an entry.
    Remove(String),
    /// Adds to a number, from 0 where there is none; sees the sum.
    Increment(String, i64),
    /// Removes all entries.
    Clear,
    /// Logs a user in. Over a different user the session starts empty.
    Login(String),
    /// Reads who is logged in.
    User,
    /// Ends the session. Ending it again does nothing.
    Destroy,
}

impl Step {
    /// Reads an entry.
    pub fn read(key: &str) -> Self {
        Step::Read(key.to_owned())
    }

    /// Sets an entry.
    pub fn put(key: &str, value: impl Into<Value>) -> Self {
        Step::Put(key.to_owned(), value.into())
    }

    /// Removes an entry.
    pub fn remove(key: &str) -> Self {
        Step::Remove(key.to_owned())
    }

    /// Adds to a number.
    pub fn increment(key: &str, by: i64) -> Self {
        Step::Increment(key.to_owned(), by)
    }

    /// Logs a user in.
    pub fn login(user: &str) -> Self {
        Step::Login(user.to_owned())
    }

    /// The one entry it is about; `None` where it is about the whole session.
    fn key(&self) -> Option<&str> {
        match self {
            Step::Read(key) | Step::Put(key, _) | Step::Remove(key) | Step::Increment(key, _) => Some(key),
            Step::Clear | Step::Login(_) | Step::User | Step::Destroy => None,
        }
    }
}

/// An operation: steps on one session that happen together or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Which session. Sessions have nothing to do with each other.
    pub session: u64,
    /// The steps, in their order.
    pub steps: Vec<Step>,
}

impl Call {
    /// One step.
    pub fn one(session: u64, step: Step) -> Self {
        Call { session, steps: vec![step] }
    }

    /// Several at once.
    pub fn together(session: u64, steps: impl Into<Vec<Step>>) -> Self {
        Call { session, steps: steps.into() }
    }
}

/// What an operation came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It happened. What `Read`, `Increment` and `User` saw, in the order of the steps; other steps see nothing.
    Done(Vec<Option<Value>>),
    /// It did not happen, because the session was over.
    Gone,
    /// It did not happen, for a reason that is not the session's: a conflict, a time-out, a store that is away.
    Refused,
}

impl Answer {
    /// Done, with nothing to see.
    pub fn done() -> Self {
        Answer::Done(Vec::new())
    }

    /// Done; the one step that sees something saw this.
    pub fn seen(value: impl Into<Value>) -> Self {
        Answer::Done(vec![Some(value.into())])
    }

    /// Done; the one step that sees something saw nothing.
    pub fn seen_nothing() -> Self {
        Answer::Done(vec![None])
    }
}

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session;

/// A session between two operations.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// It was destroyed.
    pub over: bool,
    /// Who is logged in.
    pub user: Option<String>,
    /// The entries.
    pub values: BTreeMap<String, Value>,
}

impl Model for Session {
    type Call = Call;
    type Answer = Answer;
    type State = State;

    fn initial(&self) -> State {
        State { over: false, user: None, values: BTreeMap::new() }
    }

    fn step(&self, state: &State, call: &Call, answer: Option<&Answer>) -> Option<State> {
        match answer {
            Some(Answer::Refused) => return Some(state.clone()),
            Some(Answer::Gone) => return state.over.then(|| state.clone()),
            Some(Answer::Done(_)) | None => {}
        }
        let mut next = state.clone();
        let mut seen = Vec::new();
        for step in &call.steps {
            next.apply(step, &mut seen)?;
        }
        match answer {
            Some(Answer::Done(told)) if *told != seen => None,
            _ => Some(next),
        }
    }
}

impl State {
    /// Applies a step and notes what it sees; `None` where it cannot happen.
    fn apply(&mut self, step: &Step, seen: &mut Vec<Option<Value>>) -> Option<()> {
        match step {
            Step::Read(key) => seen.push(self.values.get(key).cloned()),
            Step::User => seen.push(self.user.as_deref().map(Value::from)),
            Step::Destroy => {
                self.over = true;
                self.user = None;
                self.values.clear();
            }
            // Nothing else succeeds on a session that is over.
            _ if self.over => return None,
            Step::Put(key, value) => drop(self.values.insert(key.clone(), value.clone())),
            Step::Remove(key) => drop(self.values.remove(key)),
            Step::Increment(key, by) => {
                let sum = match self.values.get(key) {
                    None => *by,
                    Some(Value::Number(number)) => number.checked_add(*by)?,
                    Some(Value::Text(_)) => return None,
                };
                self.values.insert(key.clone(), Value::Number(sum));
                seen.push(Some(Value::Number(sum)));
            }
            Step::Clear => self.values.clear(),
            Step::Login(user) => {
                if self.user.as_ref().is_some_and(|before| before != user) {
                    self.values.clear();
                }
                self.user = Some(user.clone());
            }
        }
        Some(())
    }
}

/// Checks a history of sessions. Each session is checked on its own; and each entry of it on its own, where no
/// operation touches several or the whole (an order for each then gives an order for all: linearizability composes).
///
/// Positions in the verdict are positions in `history`. The order in [`Verdict::Explained`] is one for each part, one
/// part after the other.
pub fn check(history: &[Event<Call, Answer>]) -> Verdict {
    let mut order = Vec::new();
    let mut undecided = None;
    for part in parts(history) {
        let events: Vec<_> = part.iter().filter_map(|&at| history.get(at).cloned()).collect();
        let whole = |positions: Vec<usize>| -> Vec<usize> {
            positions.into_iter().filter_map(|at| part.get(at).copied()).collect()
        };
        match search::check(&Session, &events, BOUND) {
            Verdict::Explained(positions) => order.extend(whole(positions)),
            Verdict::Unexplained(mut stuck) => {
                stuck.explained = whole(stuck.explained);
                stuck.next = whole(stuck.next);
                return Verdict::Unexplained(stuck);
            }
            verdict @ Verdict::Undecided { .. } => undecided = Some(verdict),
        }
    }
    undecided.unwrap_or(Verdict::Explained(order))
}

/// Positions of the events that have to be explained together.
fn parts(history: &[Event<Call, Answer>]) -> Vec<Vec<usize>> {
    let mut sessions: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, event) in history.iter().enumerate() {
        // What did not happen needs no explanation.
        if event.answer.as_ref().is_none_or(|(answer, _)| *answer != Answer::Refused) {
            sessions.entry(event.call.session).or_default().push(at);
        }
    }
    sessions.into_values().flat_map(|session| by_key(history, session)).collect()
}

fn by_key(history: &[Event<Call, Answer>], session: Vec<usize>) -> Vec<Vec<usize>> {
    let mut keys: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &at in &session {
        let Some(event) = history.get(at) else { continue };
        let touched: BTreeSet<Option<&str>> = event.call.steps.iter().map(Step::key).collect();
        let gone = matches!(event.answer, Some((Answer::Gone, _)));
        match touched.first() {
            Some(Some(key)) if touched.len() == 1 && !gone => keys.entry(key).or_default().push(at),
            _ => return vec![session],
        }
    }
    keys.into_values().collect()
}
