//! The search for an order that explains a history.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use super::Event;

/// What operations do when they come one after the other.
pub trait Model {
    /// What can be asked.
    type Call;
    /// What can come back.
    type Answer;
    /// What is between two operations.
    type State: Clone + Eq + Hash + fmt::Debug;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `call`, if `answer` is what it answers in `state`; `None` if it is not. Without an answer to
    /// compare (nobody was told): the state after `call` where it happened.
    fn step(
        &self,
        state: &Self::State,
        call: &Self::Call,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;
}

/// What the search found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// In this order: positions in the history. Those that are left out never happened.
    Explained(Vec<usize>),
    /// No order explains it.
    Unexplained(Stuck),
    /// The search was given up: raise its bound, or record shorter histories.
    Undecided {
        /// States that were looked at.
        looked_at: usize,
    },
}

impl Verdict {
    /// Whether an order was found.
    pub fn is_explained(&self) -> bool {
        matches!(self, Verdict::Explained(_))
    }

    /// Whether there is none.
    pub fn is_unexplained(&self) -> bool {
        matches!(self, Verdict::Unexplained(_))
    }
}

/// How far the best attempt came: the answer that contradicts the others is near.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stuck {
    /// The longest order that is right as far as it goes; positions in the history.
    pub explained: Vec<usize>,
    /// What could have come next, and does not fit; positions in the history.
    pub next: Vec<usize>,
    /// The state they do not fit to.
    pub state: String,
}

/// Searches for an order of `history` that `model` explains, looking at no more than `bound` states.
///
/// The time it takes grows with how many operations run at once rather than with how many there are, and with how
/// many were never answered; a history without an explanation takes longest.
pub fn check<M: Model>(model: &M, history: &[Event<M::Call, M::Answer>], bound: usize) -> Verdict {
    Search::new(model, history).run(bound)
}

struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Event<M::Call, M::Answer>],
    /// Positions in the history by time of call.
    by_call: Vec<usize>,
    /// Answered operations, each of which an order must contain.
    answered: usize,
}

/// A prefix of an order, and which extension is to be tried next.
struct Frame<S> {
    state: S,
    /// The operation that led here.
    took: Option<usize>,
    candidates: Vec<usize>,
    tried: usize,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, history: &'a [Event<M::Call, M::Answer>]) -> Self {
        let mut by_call: Vec<usize> = (0..history.len()).collect();
        by_call.sort_by_key(|&at| history.get(at).map(|event| event.called));
        let answered = history.iter().filter(|event| event.answer.is_some()).count();
        Search { model, history, by_call, answered }
    }

    /// Depth first, with a stack of its own: histories are longer than threads' stacks are deep.
    fn run(&self, bound: usize) -> Verdict {
        let mut done = Done::new(self.history.len());
        let mut visited = HashSet::new();
        let mut best: Option<Stuck> = None;
        let mut stack = vec![self.frame(self.model.initial(), None, &done)];
        let mut placed = 0;
        if self.answered == 0 {
            return Verdict::Explained(Vec::new());
        }
        while let Some(top) = stack.last_mut() {
            let Some(&at) = top.candidates.get(top.tried) else {
                // A dead end; the first of the deepest ones tells most.
                if best.as_ref().is_none_or(|best| best.explained.len() < stack.len() - 1) {
                    best = Some(self.stuck(&stack));
                }
                if let Some(Frame { took: Some(at), .. }) = stack.pop() {
                    done.remove(at);
                    placed -= usize::from(self.is_answered(at));
                }
                continue;
            };
            top.tried += 1;
            let Some(state) = self.apply(&top.state, at) else { continue };
            done.insert(at);
            if !visited.insert((done.clone(), state.clone())) {
                done.remove(at);
                continue;
            }
            placed += usize::from(self.is_answered(at));
            stack.push(self.frame(state, Some(at), &done));
            if placed == self.answered {
                return Verdict::Explained(stack.iter().filter_map(|frame| frame.took).collect());
            }
            if visited.len() >= bound {
                return Verdict::Undecided { looked_at: visited.len() };
            }
        }
        Verdict::Unexplained(best.unwrap_or_default())
    }

    fn apply(&self, state: &M::State, at: usize) -> Option<M::State> {
        let event = self.history.get(at)?;
        self.model.step(state, &event.call, event.answer.as_ref().map(|(answer, _)| answer))
    }

    fn is_answered(&self, at: usize) -> bool {
        self.history.get(at).is_some_and(|event| event.answer.is_some())
    }

    /// What may come next: everything that was called before the first of the remaining answers came. Answered
    /// operations first: the others need not happen at all.
    fn frame(&self, state: M::State, took: Option<usize>, done: &Done) -> Frame<M::State> {
        let mut first_answer = u64::MAX;
        let mut candidates = Vec::new();
        for &at in self.by_call.iter().filter(|&&at| !done.contains(at)) {
            let Some(event) = self.history.get(at) else { continue };
            if event.called > first_answer {
                break;
            }
            candidates.push(at);
            if let Some((_, answered)) = event.answer {
                first_answer = first_answer.min(answered);
            }
        }
        candidates.retain(|&at| self.history.get(at).is_some_and(|event| event.called < first_answer));
        candidates.sort_by_key(|&at| {
            self.history.get(at).and_then(|event| event.answer.as_ref()).map_or(u64::MAX, |(_, time)| *time)
        });
        Frame { state, took, candidates, tried: 0 }
    }

    fn stuck(&self, stack: &[Frame<M::State>]) -> Stuck {
        let top = stack.last();
        Stuck {
            explained: stack.iter().filter_map(|frame| frame.took).collect(),
            next: top.map(|frame| frame.candidates.clone()).unwrap_or_default(),
            state: top.map(|frame| format!("{:?}", frame.state)).unwrap_or_default(),
        }
    }
}

/// A set of operations.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn new(operations: usize) -> Self {
        Done(vec![0; operations.div_ceil(64)])
    }

    fn contains(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    fn insert(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }
}
