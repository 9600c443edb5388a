use std::collections::HashMap;
use std::ops::Deref;

use cloakroom::StoreKey;
use cloakroom::payload::Payload;
use cloakroom::store::{Loaded, Snapshot};
use parking_lot::Mutex;

use super::{Answer, Call, KeyChanges, Op};

/// A place in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mark(u64);

impl Mark {
    pub(super) const START: Mark = Mark(0);
}

/// Some calls, in the order they were made. Derefs to a slice of [`Call`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Calls(Vec<Call>);

impl Calls {
    /// How many of this kind.
    pub fn count(&self, op: Op) -> usize {
        self.iter().filter(|call| call.op == op).count()
    }

    /// The kinds, in order: `assert_eq!(calls.ops(), [Op::Load, Op::Commit])`.
    pub fn ops(&self) -> Vec<Op> {
        self.iter().map(|call| call.op).collect()
    }

    /// Only what was asked for a request, without `purge`, `stats` and listening for signals.
    #[must_use]
    pub fn without_housekeeping(mut self) -> Self {
        self.0.retain(|call| !call.op.is_housekeeping());
        self
    }

    /// Only calls that name this session.
    #[must_use]
    pub fn of(mut self, key: StoreKey) -> Self {
        self.0.retain(|call| call.keys.contains(&key));
        self
    }

    /// Reads, writes and locks of one session.
    pub fn counts_of(&self, key: StoreKey) -> KeyCounts {
        let mut counts = KeyCounts::default();
        for call in self.iter().filter(|call| call.keys.contains(&key)) {
            match call.op {
                Op::Load | Op::LoadMany => counts.reads += 1,
                Op::Create | Op::Commit | Op::Rename | Op::End => counts.writes += 1,
                Op::Touch => counts.touches += 1,
                Op::Acquire => counts.locks += 1,
                Op::Renew | Op::Release => counts.lease_upkeep += 1,
                Op::ListUser | Op::Revoke | Op::Scan | Op::Purge | Op::Stats | Op::Now | Op::Watch => {}
            }
        }
        counts
    }
}

impl Deref for Calls {
    type Target = [Call];

    fn deref(&self) -> &[Call] {
        &self.0
    }
}

impl IntoIterator for Calls {
    type Item = Call;
    type IntoIter = std::vec::IntoIter<Call>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// How often one session was read, written and locked. Calls are counted, not their success.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyCounts {
    /// `load` and `load_many`.
    pub reads: usize,
    /// `create`, `commit`, `rename` (from or to this key) and `end`.
    pub writes: usize,
    /// `touch`.
    pub touches: usize,
    /// `acquire`, which reads in the same step: not counted as a read again.
    pub locks: usize,
    /// `renew` and `release`.
    pub lease_upkeep: usize,
}

#[derive(Default)]
pub(super) struct Log(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    calls: Vec<Call>,
    /// The data last seen of each session: what changes are told from.
    seen: HashMap<StoreKey, Payload>,
}

impl Log {
    pub(super) fn begin(&self, op: Op, keys: Vec<StoreKey>) -> u64 {
        self.0.lock().push(op, keys, None)
    }

    /// A call that writes `payload` over what was last seen under `over`. What is `new` is told from nothing.
    pub(super) fn begin_write(
        &self,
        op: Op,
        keys: Vec<StoreKey>,
        over: &StoreKey,
        payload: &Payload,
        new: bool,
    ) -> u64 {
        let mut state = self.0.lock();
        let changes = if new {
            Some(KeyChanges::between(&Payload::empty(), payload))
        } else {
            state.seen.get(over).map(|seen| KeyChanges::between(seen, payload))
        };
        state.push(op, keys, changes)
    }

    pub(super) fn answered(&self, number: u64, answer: Answer) {
        let mut state = self.0.lock();
        // Not there any more when the log was cleared in the meantime.
        if let Ok(at) = state.calls.binary_search_by_key(&number, |call| call.number)
            && let Some(call) = state.calls.get_mut(at)
        {
            call.answer = Some(answer);
        }
    }

    pub(super) fn learn(&self, key: StoreKey, snapshot: &Snapshot) {
        self.0.lock().seen.insert(key, snapshot.record.payload.clone());
    }

    pub(super) fn learn_loaded(&self, key: StoreKey, loaded: &Loaded) {
        match loaded {
            Loaded::Live(snapshot) => self.learn(key, snapshot),
            Loaded::Alias { successor, snapshot, .. } => self.learn(*successor, snapshot),
            Loaded::Ended(_) | Loaded::Missing => {}
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.0.lock().next)
    }

    pub(super) fn since(&self, mark: Mark) -> Calls {
        let state = self.0.lock();
        Calls(state.calls.iter().filter(|call| call.number >= mark.0).cloned().collect())
    }

    pub(super) fn clear(&self) {
        self.0.lock().calls.clear();
    }
}

impl State {
    fn push(&mut self, op: Op, keys: Vec<StoreKey>, changes: Option<KeyChanges>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.calls.push(Call { number, op, keys, answer: None, changes });
        number
    }
}
