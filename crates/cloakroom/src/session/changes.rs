//! The changes that a request has made to a session: what each rests on, and how they are put on a record that may have changed since.

use std::ops::Range;

use compact_str::CompactString;
use smallvec::{SmallVec, smallvec};

use super::reads::Task;
use crate::payload::{Payload, PayloadWriter, entry_len};

/// Buffered changes, at most one for each key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// Everything was cleared before the other changes; the payload that was cleared.
    pub(super) cleared: Option<Payload>,
    /// Most requests that write change one key.
    pub(super) list: SmallVec<[Change; 1]>,
    /// The task that awaits their being written, and so knows of it. `None`: they were buffered, and are every task's.
    pub(super) awaited_by: Option<Task>,
}

/// A buffered change of one key.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: CompactString,
    /// The new value; `None` removes.
    pub(crate) value: Option<Vec<u8>>,
    /// The payload this change was decided on.
    pub(super) seen: Payload,
    /// Whether the key's value in `seen` was read before it was changed.
    pub(super) read: bool,
}

/// How strictly changes are held against what they were decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MergeRule {
    /// Read-then-written keys must be unchanged; blind changes apply.
    CheckRead,
    /// Every changed key must be unchanged: the record moved to a successor meanwhile.
    CheckAll,
    /// Last write wins.
    Overwrite,
}

/// A key that was changed by somebody else meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyConflict {
    /// The key, or `None` when the whole session was cleared meanwhile.
    pub(crate) key: Option<CompactString>,
}

/// The outcome of a merge.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) payload: Payload,
    pub(crate) epoch: u32,
    /// Keys that were overwritten although they had changed ([`MergeRule::Overwrite`]).
    pub(crate) overwritten: usize,
}

impl Change {
    /// Whether the key still has the value this change rests on, if it rests on one.
    pub(crate) fn fits(&self, current: &Payload) -> bool {
        !self.read || self.is_unchanged(current)
    }

    fn is_unchanged(&self, current: &Payload) -> bool {
        self.seen.is_same(current) || self.seen.get(&self.key) == current.get(&self.key)
    }

    /// Takes over what another change of the same key rests on, which this one replaces.
    pub(super) fn rest_on(&mut self, replaced: &Change) {
        self.seen = replaced.seen.clone();
        self.read |= replaced.read;
    }

    pub(crate) fn conflict(&self) -> KeyConflict {
        KeyConflict { key: Some(self.key.clone()) }
    }
}

impl Changes {
    pub(crate) fn of(&self, key: &str) -> Option<&Change> {
        self.list.iter().find(|c| c.key == key)
    }

    /// Whether everything was cleared before the other changes.
    pub(crate) fn is_cleared(&self) -> bool {
        self.cleared.is_some()
    }

    /// Whether this key is among what they change.
    pub(super) fn touch(&self, key: &str) -> bool {
        self.is_cleared() || self.of(key).is_some()
    }

    /// The keys that are changed, besides that.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|change| change.key.as_str())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cleared.is_none() && self.list.is_empty()
    }

    /// Bytes of the entries that the changes write.
    pub(super) fn added(&self) -> usize {
        self.list.iter().filter_map(|c| c.value.as_ref().map(|v| entry_len(&c.key, v))).sum()
    }

    /// Changes rest on whatever those rested on that they replace.
    pub(crate) fn rest_on(&mut self, replaced: &Changes) {
        for change in &mut self.list {
            if let Some(replaced) = replaced.of(&change.key) {
                change.rest_on(replaced);
            }
        }
    }

    /// The epoch of a record at `epoch` once these changes are in it.
    pub(crate) fn epoch_after(&self, epoch: u32) -> u32 {
        if self.cleared.is_some() { epoch.wrapping_add(1) } else { epoch }
    }

    /// A change that rests on nothing, as an awaited write makes it.
    pub(crate) fn blind(key: &str, value: Option<Vec<u8>>) -> Changes {
        let change = Change { key: CompactString::from(key), value, seen: Payload::empty(), read: false };
        Changes { cleared: None, list: smallvec![change], awaited_by: None }.awaited_here()
    }

    /// The calling task awaits their being written.
    pub(super) fn awaited_here(self) -> Self {
        Changes { awaited_by: Some(Task::current()), ..self }
    }

    /// Applies the changes to `current`, which is at `current_epoch`; they were decided at `epoch`.
    pub(crate) fn merge(
        &self,
        current: &Payload,
        current_epoch: u32,
        epoch: u32,
        rule: MergeRule,
    ) -> Result<Merged, KeyConflict> {
        if current_epoch != epoch {
            return Err(KeyConflict { key: None });
        }
        let mut overwritten = 0;
        if rule == MergeRule::CheckAll
            && let Some(seen) = &self.cleared
            && seen != current
        {
            return Err(KeyConflict { key: None });
        }
        for change in &self.list {
            if !(change.read || rule == MergeRule::CheckAll) {
                continue;
            }
            if !change.is_unchanged(current) {
                if rule != MergeRule::Overwrite {
                    return Err(KeyConflict { key: Some(change.key.clone()) });
                }
                overwritten += 1;
            }
        }
        Ok(Merged { payload: self.apply(current), epoch: self.epoch_after(epoch), overwritten })
    }

    /// Applies the changes whatever is there: stored entries keep their places, new ones follow. What lies between changed
    /// entries is copied as it is, without a look at it. Where they change nothing, it is the very same payload.
    pub(crate) fn apply(&self, current: &Payload) -> Payload {
        let empty = Payload::empty();
        let current = if self.cleared.is_some() { &empty } else { current };
        let mut stored: SmallVec<[(Range<usize>, &Change); 4]> = SmallVec::new();
        let mut new: SmallVec<[&Change; 4]> = SmallVec::new();
        let mut same = self.cleared.is_none();
        for change in &self.list {
            match current.entry(&change.key) {
                Some((place, value)) => {
                    same &= change.value.as_deref() == Some(value);
                    stored.push((place, change));
                }
                None => {
                    same &= change.value.is_none();
                    new.push(change);
                }
            }
        }
        if same {
            return current.clone();
        }
        stored.sort_unstable_by_key(|(place, _)| place.start);
        let gone: usize = stored.iter().map(|(place, _)| place.len()).sum();
        Payload::written(current.len() - gone + self.added(), |out| {
            let mut at = 0;
            for (place, change) in &stored {
                out.copy(current, at..place.start);
                at = place.end;
                push(out, change);
            }
            out.copy(current, at..current.len());
            new.into_iter().for_each(|change| push(out, change));
        })
    }
}

/// Keys and sizes are within the session's limits, which are far below those of the format. A removal writes nothing.
fn push(out: &mut PayloadWriter<'_>, change: &Change) {
    if let Some(value) = &change.value {
        let fits = out.push(&change.key, value);
        debug_assert!(fits, "limits are checked before values are buffered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::PayloadBuilder;

    fn of(changes: &[(&str, Option<&[u8]>)]) -> Changes {
        let list =
            changes.iter().flat_map(|(key, value)| Changes::blind(key, value.map(<[u8]>::to_vec)).list);
        Changes { list: list.collect(), ..Changes::default() }
    }

    #[test]
    fn changes_that_change_nothing_leave_the_very_same_payload_and_no_others_do() {
        let mut entries = PayloadBuilder::default();
        assert!(entries.push("a", b"1") && entries.push("b", b"22"));
        let stored = entries.finish();
        for same in [
            of(&[]),
            of(&[("a", Some(b"1"))]),
            of(&[("b", Some(b"22")), ("a", Some(b"1"))]),
            of(&[("absent", None)]),
        ] {
            assert!(same.apply(&stored).is_same(&stored), "{same:?}");
        }
        for other in [
            of(&[("a", Some(b"2"))]),
            of(&[("a", Some(b"11")), ("b", Some(b"2"))]),
            of(&[("a", None)]),
            of(&[("a", Some(b"1")), ("new", Some(b""))]),
            // The epoch is another one then, so that it is to be stored in any case.
            Changes { cleared: Some(stored.clone()), ..of(&[("a", Some(b"1")), ("b", Some(b"22"))]) },
        ] {
            assert!(!other.apply(&stored).is_same(&stored), "{other:?}");
        }
    }
}
