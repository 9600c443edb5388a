use std::collections::BTreeSet;

use cloakroom::StoreKey;
use parking_lot::Mutex;

use super::Fault;
use crate::Op;
use crate::rng::Rng;

/// A fault that was injected.
#[derive(Clone, Debug)]
pub struct Injected {
    /// The call it befell, counted from 1 since the store was made, over all kinds.
    pub call: u64,
    /// The kind of the call.
    pub op: Op,
    /// What was done to it.
    pub fault: Fault,
}

/// Which calls get which fault.
#[derive(Default)]
pub(super) struct Plan(Mutex<State>);

#[derive(Default)]
struct State {
    calls: u64,
    rules: Vec<Rule>,
    chance: Option<Chance>,
    injected: Vec<Injected>,
}

struct Rule {
    /// Only calls of this kind; `None`: of any.
    op: Option<Op>,
    /// Only calls that name this session.
    key: Option<StoreKey>,
    /// Calls that matched so far.
    seen: u64,
    when: When,
    fault: Fault,
}

enum When {
    Nth(u64),
    Always,
}

/// Faults drawn at random, reproducible from the seed as long as the calls come in the same order.
struct Chance {
    rng: Rng,
    per_mille: u32,
    ops: BTreeSet<Op>,
    faults: Vec<Fault>,
}

impl Plan {
    pub(super) fn nth(&self, op: Option<Op>, key: Option<StoreKey>, n: u64, fault: Fault) {
        self.0.lock().rules.push(Rule { op, key, seen: 0, when: When::Nth(n.max(1)), fault });
    }

    pub(super) fn always(&self, op: Option<Op>, fault: Fault) {
        self.0.lock().rules.push(Rule { op, key: None, seen: 0, when: When::Always, fault });
    }

    pub(super) fn chance(&self, seed: u64, per_mille: u32, ops: &[Op], faults: Vec<Fault>) {
        let ops = ops.iter().copied().collect();
        self.0.lock().chance = Some(Chance { rng: Rng::new(seed), per_mille, ops, faults });
    }

    pub(super) fn heal(&self) {
        let mut state = self.0.lock();
        state.rules.clear();
        state.chance = None;
    }

    pub(super) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    pub(super) fn injected(&self) -> Vec<Injected> {
        self.0.lock().injected.clone()
    }

    /// Counts the call and says what is to go wrong with it. All rules count it; the first that is due wins.
    pub(super) fn next(&self, op: Op, keys: &[StoreKey]) -> Option<Fault> {
        let mut state = self.0.lock();
        state.calls += 1;
        let mut due = None;
        state.rules.retain_mut(|rule| {
            let matches =
                rule.op.is_none_or(|only| only == op) && rule.key.is_none_or(|key| keys.contains(&key));
            if !matches {
                return true;
            }
            rule.seen += 1;
            match rule.when {
                When::Always => {
                    due.get_or_insert_with(|| rule.fault.clone());
                    true
                }
                When::Nth(n) if n == rule.seen => {
                    due.get_or_insert_with(|| rule.fault.clone());
                    false
                }
                When::Nth(_) => true,
            }
        });
        let fault = due.or_else(|| state.chance.as_mut().and_then(|chance| chance.draw(op)))?;
        let call = state.calls;
        state.injected.push(Injected { call, op, fault: fault.clone() });
        Some(fault)
    }
}

impl Chance {
    fn draw(&mut self, op: Op) -> Option<Fault> {
        if !self.ops.is_empty() && !self.ops.contains(&op) {
            return None;
        }
        // Two numbers for each call, whether used or not: the n-th call's fate depends on the seed and n alone.
        let strike = self.rng.below(1000);
        let fault = self.rng.pick(&self.faults);
        fault.filter(|_| strike < u64::from(self.per_mille)).cloned()
    }
}
