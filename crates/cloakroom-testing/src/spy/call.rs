use std::fmt;

use cloakroom::StoreKey;
use cloakroom::payload::Payload;
use cloakroom::store::{Acquired, Committed, Created, Loaded, Renamed, StoreError, StoreErrorKind};

/// The kinds of store calls: one for each method of [`Store`](cloakroom::store::Store).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Op {
    /// `load`
    Load,
    /// `load_many`: one call, however many keys.
    LoadMany,
    /// `create`
    Create,
    /// `commit`
    Commit,
    /// `rename`
    Rename,
    /// `touch`
    Touch,
    /// `end`
    End,
    /// `acquire`
    Acquire,
    /// `renew`
    Renew,
    /// `release`
    Release,
    /// `list_user`
    ListUser,
    /// `revoke`
    Revoke,
    /// `scan`
    Scan,
    /// `purge`
    Purge,
    /// `stats`
    Stats,
    /// `now`: asked when a record is gone without a marker.
    Now,
    /// `released`: listening for a lease to become free; recorded only where the store has such a signal.
    Watch,
}

impl Op {
    /// All of them, in the order of the trait.
    pub const ALL: [Op; 17] = [
        Op::Load,
        Op::LoadMany,
        Op::Create,
        Op::Commit,
        Op::Rename,
        Op::Touch,
        Op::End,
        Op::Acquire,
        Op::Renew,
        Op::Release,
        Op::ListUser,
        Op::Revoke,
        Op::Scan,
        Op::Purge,
        Op::Stats,
        Op::Now,
        Op::Watch,
    ];

    /// Done for the house and not for a request: `purge`, `stats`, and listening for signals.
    pub fn is_housekeeping(self) -> bool {
        matches!(self, Op::Purge | Op::Stats | Op::Watch)
    }
}

/// One call of a store.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// Position in the log, from 0; goes on counting through a `clear`.
    pub number: u64,
    /// What was asked.
    pub op: Op,
    /// Of which sessions: none for calls by user or over all, old and new key for a rename.
    pub keys: Vec<StoreKey>,
    /// The answer in brief; `None` while there is none, and for ever where the caller dropped the future first.
    pub answer: Option<Answer>,
    /// For `create`, `commit` and `rename`: which entries the new data adds, changes and removes, against the data
    /// last seen of this session. `None` where no data was seen before.
    pub changes: Option<KeyChanges>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.number, self.op)?;
        self.keys.iter().try_for_each(|key| write!(f, " {key:?}"))?;
        match &self.answer {
            Some(answer) => write!(f, " -> {answer:?}")?,
            None => f.write_str(" -> (no answer)")?,
        }
        if let Some(changes) = &self.changes {
            write!(f, " {changes:?}")?;
        }
        Ok(())
    }
}

/// An answer in brief: the variant of the outcome, without the data.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// A live record.
    Live,
    /// An old id in its grace, with the successor's record.
    Alias,
    /// It ended, or was ended by this call.
    Ended,
    /// Nothing is known under this key.
    Missing,
    /// `load_many`: one for each key.
    Many(Vec<Answer>),
    /// Stored as new.
    Created,
    /// The key is taken.
    Exists,
    /// Stored.
    Committed,
    /// Another version is there.
    Conflict,
    /// Somebody else holds the lease.
    Locked,
    /// The lease that was shown is not in force.
    LeaseLost,
    /// Moved.
    Renamed,
    /// The idle deadline slid.
    Touched,
    /// Nothing alive was there.
    NotLive,
    /// The lease is held.
    Acquired,
    /// The lease goes on.
    Renewed,
    /// The lease was given back.
    Released,
    /// There was no such lease.
    NotHeld,
    /// This many sessions were listed or ended.
    Sessions(usize),
    /// This many entries were removed.
    Purged(usize),
    /// Statistics.
    Stats,
    /// The store's clock.
    Time,
    /// An error of this kind.
    Failed(StoreErrorKind),
}

impl Answer {
    pub(super) fn of<T>(answer: &Result<T, StoreError>, brief: impl FnOnce(&T) -> Answer) -> Answer {
        match answer {
            Ok(answer) => brief(answer),
            Err(error) => Answer::Failed(error.kind()),
        }
    }

    pub(super) fn of_loaded(loaded: &Loaded) -> Answer {
        match loaded {
            Loaded::Live(_) => Answer::Live,
            Loaded::Alias { .. } => Answer::Alias,
            Loaded::Ended(_) => Answer::Ended,
            Loaded::Missing => Answer::Missing,
        }
    }

    pub(super) fn of_created(created: &Created) -> Answer {
        match created {
            Created::Created { .. } => Answer::Created,
            Created::Exists => Answer::Exists,
        }
    }

    pub(super) fn of_committed(committed: &Committed) -> Answer {
        match committed {
            Committed::Committed(_) => Answer::Committed,
            Committed::Conflict(_) => Answer::Conflict,
            Committed::Locked { .. } => Answer::Locked,
            Committed::LeaseLost => Answer::LeaseLost,
            Committed::Ended(_) => Answer::Ended,
            Committed::Missing => Answer::Missing,
        }
    }

    pub(super) fn of_renamed(renamed: &Renamed) -> Answer {
        match renamed {
            Renamed::Renamed { .. } => Answer::Renamed,
            Renamed::Exists => Answer::Exists,
            Renamed::Conflict(_) => Answer::Conflict,
            Renamed::Locked { .. } => Answer::Locked,
            Renamed::LeaseLost => Answer::LeaseLost,
            Renamed::Ended(_) => Answer::Ended,
            Renamed::Missing => Answer::Missing,
        }
    }

    pub(super) fn of_acquired(acquired: &Acquired) -> Answer {
        match acquired {
            Acquired::Acquired { .. } => Answer::Acquired,
            Acquired::Locked { .. } => Answer::Locked,
            Acquired::Ended(_) => Answer::Ended,
            Acquired::Missing => Answer::Missing,
        }
    }
}

/// Which entries of the session data a write touches. Names in order, each once.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeyChanges {
    /// Not there before.
    pub added: Vec<String>,
    /// There before with another value.
    pub changed: Vec<String>,
    /// There before, and not any more.
    pub removed: Vec<String>,
}

impl KeyChanges {
    /// What has to happen to `old` for it to become `new`.
    pub fn between(old: &Payload, new: &Payload) -> Self {
        let mut changes = KeyChanges::default();
        for (key, value) in new.iter() {
            match old.get(key) {
                None => changes.added.push(key.to_owned()),
                Some(before) if before != value => changes.changed.push(key.to_owned()),
                Some(_) => {}
            }
        }
        let gone = old.iter().map(|(key, _)| key).filter(|key| new.get(key).is_none());
        changes.removed.extend(gone.map(str::to_owned));
        for names in [&mut changes.added, &mut changes.changed, &mut changes.removed] {
            names.sort();
        }
        changes
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}
