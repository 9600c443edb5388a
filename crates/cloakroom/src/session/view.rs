//! What a request sees of a session: the record as loaded, and this request's own changes over it.
//!
//! The view is plain data. It remembers which keys were read, and at what value, so that a merge can tell a
//! *blind* write from one that rests on what was read: the first may be applied to any version of the record, the
//! second only where the value is still the one that was read.

use compact_str::CompactString;
use smallvec::smallvec;

use super::changes::{Change, Changes};
use super::reads::{ReadIn, Reads};
use super::underneath::{TakenOut, Underneath};
use crate::key::is_reserved;
use crate::payload::{Payload, entry_len};

/// Reads and buffered changes over a payload.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The newest payload this request knows of.
    payload: Payload,
    /// Its epoch: see [`Record::epoch`](crate::record::Record::epoch).
    epoch: u32,
    /// How often what was buffered was discarded: changes that were taken out before do not come back then.
    discards: u32,
    /// What was read, where, and by whom.
    reads: Reads,
    /// What is being stored of what was buffered, under what was buffered since.
    pub(super) lent: Underneath,
    changes: Changes,
}

/// Changes that were taken out of the buffer to be stored, and that go back into it unless they were.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) changes: TakenOut,
    /// The epoch they were decided at.
    pub(crate) epoch: u32,
    discards: u32,
}

impl View {
    pub(crate) fn new(payload: Payload, epoch: u32) -> Self {
        View {
            payload,
            epoch,
            discards: 0,
            reads: Reads::default(),
            lent: Underneath::default(),
            changes: Changes::default(),
        }
    }

    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The encoded value of `key`, noting the read.
    pub(crate) fn read(&mut self, key: &str) -> Option<&[u8]> {
        let stored = self.changes.of(key).is_none() && self.changes.cleared.is_none();
        if stored {
            // What is in hand rests on an earlier one, perhaps, and whoever read it does so too, until it is stored.
            let lent = self.lent.of(key);
            let there = || lent.map_or(ReadIn::Newest, |lent| ReadIn::Earlier(lent.seen.clone()));
            if self.reads.note(key, there) && self.lent.is_empty() {
                return self.payload.get(key);
            }
        }
        self.peek(key)
    }

    /// What this request has made of `key`, if it has changed it.
    fn own(&self, key: &str) -> Option<Option<&[u8]>> {
        if let Some(change) = self.changes.of(key) {
            return Some(change.value.as_deref());
        }
        if self.changes.cleared.is_some() {
            return Some(None);
        }
        match self.lent.of(key) {
            Some(change) => Some(change.value.as_deref()),
            None => self.lent.is_cleared().then_some(None),
        }
    }

    /// What a change of `key` made now rests on, and whether that was read.
    fn ground(&self, key: &str) -> (Payload, bool) {
        let known_in = self.reads.known_in(key, &self.payload);
        if let Some(lent) = self.lent.of(key) {
            return (lent.seen.clone(), lent.read || known_in.is_some());
        }
        match known_in {
            Some(payload) => (payload.clone(), true),
            None => (self.payload.clone(), false),
        }
    }

    /// The encoded value of `key` without noting a read.
    pub(crate) fn peek(&self, key: &str) -> Option<&[u8]> {
        match self.own(key) {
            Some(own) => own,
            None => self.reads.seen_in(key, &self.payload).unwrap_or(&self.payload).get(key),
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: Vec<u8>) {
        self.change(key, Some(value));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.change(key, None);
    }

    /// Removes everything, the engine's own entries included.
    pub(crate) fn clear(&mut self) {
        self.discard_changes();
        // A key that was read and is now cleared rests on what was read, like any other removal.
        for (key, known_in) in self.reads.known(&self.payload) {
            let seen = self.lent.of(key).map_or(known_in, |lent| &lent.seen).clone();
            self.changes.list.push(Change { key: key.clone(), value: None, seen, read: true });
        }
        self.changes.cleared = Some(self.payload.clone());
    }

    fn change(&mut self, key: &str, value: Option<Vec<u8>>) {
        if let Some(change) = self.changes.list.iter_mut().find(|c| c.key == key) {
            change.value = value;
            return;
        }
        let (seen, read) = self.ground(key);
        self.changes.list.push(Change { key: CompactString::from(key), value, seen, read });
    }

    /// Keys in order of insertion, this request's own at the end.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let stored = !self.nothing_left();
        let kept = self.payload.iter().map(|(k, _)| k).filter(move |k| stored && self.own(k) != Some(None));
        let lent = self.lent.each().flat_map(Changes::keys).filter(|k| self.changes.of(k).is_none());
        let own = lent.chain(self.changes.keys()).filter(|k| matches!(self.own(k), Some(Some(_))));
        kept.chain(own.filter(move |k| !stored || self.payload.get(k).is_none()))
    }

    /// Whether this request has cleared all that is in the payload.
    fn nothing_left(&self) -> bool {
        self.changes.cleared.is_some() || self.lent.is_cleared()
    }

    /// Bytes the session would take with `key` set to `value`; exact only where the cheap upper bound is over `limit`.
    pub(crate) fn size_with(&self, key: &str, value: &[u8], limit: usize) -> usize {
        let stored = if self.nothing_left() { 0 } else { self.payload.len() };
        let lent: usize = self.lent.each().map(Changes::added).sum();
        let bound = stored + lent + self.changes.added() + entry_len(key, value);
        if bound <= limit {
            return bound;
        }
        // What was read of the key may be longer than what is there by now, or be gone.
        let below = self.lent.each().fold(self.payload.clone(), |below, lent| lent.apply(&below));
        let others = self.changes.apply(&below);
        others.len() - others.get(key).map_or(0, |old| entry_len(key, old)) + entry_len(key, value)
    }

    /// Whether there are `n` keys of the application's or more.
    pub(crate) fn count_at_least(&self, n: usize) -> bool {
        // An entry takes more than six bytes: small sessions need not be counted.
        let lent: usize = self.lent.each().map(|lent| lent.list.len()).sum();
        (self.payload.len() / 7 + lent + self.changes.list.len()) >= n
            && self.keys().filter(|k| !is_reserved(k)).count() >= n
    }

    pub(crate) fn has_changes(&self) -> bool {
        self.changes.cleared.is_some() || !self.changes.list.is_empty()
    }

    /// Takes the buffered changes out, for a commit.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Takes everything that is buffered out, for a write that gives it back where it fails.
    pub(crate) fn take(&mut self) -> Taken {
        let changes = TakenOut::Unseen(self.take_changes());
        Taken { changes, epoch: self.epoch, discards: self.discards }
    }

    /// As [`take`](View::take), the change of one key.
    pub(crate) fn take_change(&mut self, key: &str) -> Option<Taken> {
        let at = self.changes.list.iter().position(|c| c.key == key)?;
        let changes = Changes { list: smallvec![self.changes.list.remove(at)], ..Changes::default() };
        Some(Taken { changes: TakenOut::Unseen(changes), epoch: self.epoch, discards: self.discards })
    }

    /// Buffers again what was taken out and not stored: under what was buffered since, and not where everything was
    /// discarded since.
    pub(crate) fn give_back(&mut self, taken: Taken) {
        if taken.discards != self.discards || taken.changes.is_empty() {
            return;
        }
        // Another request may have cleared the session since: what was decided before that must not pass.
        self.epoch = taken.epoch;
        let newer = std::mem::replace(&mut self.changes, taken.changes.into_changes());
        for mut change in newer.list {
            match self.changes.list.iter_mut().find(|c| c.key == change.key) {
                Some(older) => {
                    change.rest_on(older);
                    *older = change;
                }
                None => self.changes.list.push(change),
            }
        }
    }

    /// A change of `key` to `value` as an awaited write makes it: it counts as resting on what was read.
    pub(crate) fn awaited(&self, key: &str, value: Option<Vec<u8>>) -> Changes {
        let (seen, read) = self.ground(key);
        let change = Change { key: CompactString::from(key), value, seen, read };
        Changes { list: smallvec![change], ..Changes::default() }.awaited_here()
    }

    /// Takes buffered removals of keys with this prefix back.
    pub(crate) fn undo_removals(&mut self, prefix: &str) {
        self.changes.list.retain(|c| c.value.is_some() || !c.key.starts_with(prefix));
    }

    pub(crate) fn discard_changes(&mut self) {
        self.discards = self.discards.wrapping_add(1);
        self.changes = Changes::default();
    }

    /// Whether everything was cleared in the buffer: an awaited write must store that first.
    pub(crate) fn is_cleared(&self) -> bool {
        self.changes.cleared.is_some()
    }

    /// The record as it is now. Keys that were read keep the value they were read at, save those just written, for whoever knows
    /// that; what is buffered stays what it was decided at.
    pub(crate) fn refresh(&mut self, payload: Payload, epoch: u32, written: &Changes) {
        if written.cleared.is_some() && written.awaited_by.is_none() {
            self.reads.clear();
        }
        self.over_stored(written, &payload);
        let earlier = std::mem::replace(&mut self.payload, payload);
        self.reads.outdated(written, &earlier);
        // What was buffered over this request's own clear is of the epoch that the clear began.
        if written.cleared.is_some() || !self.has_changes() {
            self.epoch = epoch;
        }
    }

    /// A record that this request has just made, with these changes: no other one can have changed a key that was read before.
    pub(crate) fn began(&mut self, payload: Payload, epoch: u32, written: &Changes) {
        // Hardly ever is anything in hand then, and to look through that takes longer than the rest.
        if !self.lent.is_empty() {
            let started = self.lent.started();
            for change in self.changes.list.iter_mut().filter(|c| started.of(&c.key).is_some()) {
                change.seen = payload.clone();
            }
        }
        let earlier = std::mem::replace(&mut self.payload, payload);
        self.epoch = epoch;
        self.reads.began(written, &earlier);
    }

    /// This was written, and a newer payload is known already.
    pub(crate) fn was_written(&mut self, written: &Changes, payload: &Payload) {
        self.over_stored(written, payload);
        self.reads.written_before(written, payload, &self.payload);
    }

    /// What was in hand is stored: what was buffered over it rests on that now.
    fn over_stored(&mut self, written: &Changes, payload: &Payload) {
        if !self.lent.stored(written) {
            return;
        }
        let cleared = written.cleared.is_some();
        for change in self.changes.list.iter_mut().filter(|c| cleared || written.of(&c.key).is_some()) {
            change.seen = payload.clone();
        }
    }

    /// Nothing that was read before is comparable any more.
    pub(crate) fn forget_reads(&mut self) {
        self.reads.clear();
    }

    /// Forgets reads and what is buffered: `reload`, or a fresh record under a lease. What is in hand may be stored yet.
    pub(crate) fn reset(&mut self, payload: Payload, epoch: u32) {
        let lent = std::mem::take(&mut self.lent);
        *self = View { discards: self.discards.wrapping_add(1), lent, ..View::new(payload, epoch) };
    }

    /// There is no session any more that any of this is of.
    pub(crate) fn emptied(&mut self) {
        self.lent = Underneath::default();
        self.reset(Payload::empty(), 0);
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }
}
