//! Buffered changes that are being stored, as their own request goes on seeing them: it has made them, whoever took them along.
//!
//! No two of these change one key, and one that clears everything is alone: whoever takes changes waits for what is in hand of the same.

use std::ops::Deref;
use std::sync::Arc;

use smallvec::SmallVec;

use super::changes::{Change, Changes};
use super::hands::Ticket;

/// What a request has in hand of its own changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Underneath(SmallVec<[One; 1]>);

#[derive(Debug, Clone)]
struct One {
    ticket: Ticket,
    changes: Arc<Changes>,
    goes: Goes,
}

/// What becomes of changes that are in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    /// They are stored as they are.
    AsTheyAre,
    /// An awaited write of the same key is stored in their place.
    UnderAnother,
}

/// Changes that were taken out of the buffer.
#[derive(Debug)]
pub(crate) enum TakenOut {
    /// Nobody looks at them meanwhile.
    Unseen(Changes),
    /// Their request sees them.
    Lent(Arc<Changes>),
}

impl Default for TakenOut {
    fn default() -> Self {
        TakenOut::Unseen(Changes::default())
    }
}

impl Deref for TakenOut {
    type Target = Changes;

    fn deref(&self) -> &Changes {
        match self {
            TakenOut::Unseen(changes) => changes,
            TakenOut::Lent(changes) => changes,
        }
    }
}

impl TakenOut {
    pub(super) fn into_changes(self) -> Changes {
        match self {
            TakenOut::Unseen(changes) => changes,
            TakenOut::Lent(changes) => Arc::unwrap_or_clone(changes),
        }
    }
}

impl Underneath {
    pub(super) fn lend(&mut self, ticket: Ticket, changes: &Arc<Changes>, goes: Goes) {
        self.0.push(One { ticket, changes: Arc::clone(changes), goes });
    }

    /// They are in hand no longer.
    pub(super) fn end(&mut self, ticket: Option<Ticket>) {
        self.0.retain(|one| Some(one.ticket) != ticket);
    }

    /// These very changes are stored; whether they were lent until now.
    pub(super) fn stored(&mut self, written: &Changes) -> bool {
        let before = self.0.len();
        self.0.retain(|one| !std::ptr::eq(&raw const *one.changes, written));
        self.0.len() < before
    }

    /// All that go as they are, which are stored: the session was started with them.
    pub(super) fn started(&mut self) -> Underneath {
        let (stored, left) =
            std::mem::take(&mut self.0).into_iter().partition(|one| one.goes == Goes::AsTheyAre);
        self.0 = left;
        Underneath(stored)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(&self, key: &str) -> Option<&Change> {
        self.0.iter().find_map(|one| one.changes.of(key))
    }

    /// Whether everything was cleared in them.
    pub(super) fn is_cleared(&self) -> bool {
        self.0.iter().any(|one| one.changes.is_cleared())
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Changes> {
        self.0.iter().map(|one| &*one.changes)
    }
}
