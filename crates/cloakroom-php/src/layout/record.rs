//! From PHP's value and what is beside it to an entry of the rules, and back to changes of the two.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::record::{RecentOps, Record, Version};
use cloakroom::store::protocol::{Entry, Lease};
use cloakroom::store::{Ending, StoreError, StoreErrorKind};
use cloakroom::{OpId, PlainId, RecordId, StoreKey, UserId};

use super::beside::{self, Beside, Digest};
use super::ground::{Change, DataChange, Ground, LockChange, Seen};
use super::picture::Picture;
use super::store::Inner;
use super::variables::{self, WriteError};
use crate::DecodeError;

/// What stands for the value of a session that PHP does not store, for it has no variables.
const EMPTY: &[u8] = b"";

/// What is beside a session is kept this much longer than the session: PHP may keep a session alive without telling.
const SPARE: Duration = Duration::from_secs(24 * 3600);

impl<G: Ground> Inner<G> {
    /// What PHP's value and what is beside it amount to.
    pub(super) fn entry(&self, seen: &Seen, now: Timestamp) -> Result<Option<Entry>, DecodeError> {
        let beside = seen.beside.as_deref().and_then(|bytes| beside::decode(&seen.id.key(), bytes));
        let known = match beside {
            Some(Beside { entry: Entry::Live { record, .. }, digest, .. }) => Some((record, digest)),
            Some(Beside { entry, successor, .. }) if now < entry.purge_at() => {
                // Whoever is told where the session went can be told its id as well.
                if let Some(id) = successor {
                    self.moment.lock().keep(self.ids.hold(id.as_bytes()).ok());
                }
                return Ok(Some(entry));
            }
            _ => None,
        };
        let data = match (&seen.data, &known) {
            (Some(data), _) => data.as_slice(),
            (None, Some((record, digest))) if self.was_emptied(digest) && !record.is_expired(now) => EMPTY,
            (None, _) => {
                // Past its deadline; what is gone before that, PHP has deleted.
                let expired = known.filter(|(record, _)| record.is_expired(now));
                return Ok(expired.map(|(record, _)| Entry::Live { record, lease: None }));
            }
        };
        let record = self.record(seen, data, known, now)?;
        Ok(Some(Entry::Live { record: Arc::new(record), lease: seen.lock.as_ref().map(|held| held.lease) }))
    }

    /// Whether the value that belongs to this is none: the session has no variables, and PHP does not store it then.
    fn was_emptied(&self, digest: &Digest) -> bool {
        !self.layout.coding.form.stores_empty() && *digest == beside::digest(EMPTY)
    }

    fn record(
        &self,
        seen: &Seen,
        data: &[u8],
        known: Option<(Arc<Record>, Digest)>,
        now: Timestamp,
    ) -> Result<Record, DecodeError> {
        let coding = &self.layout.coding;
        let idle_deadline = self.idle_deadline(seen, now);
        let digest = beside::digest(data);
        let no_entries = Payload::empty();
        let ours = known.as_ref().map_or(&no_entries, |(record, _)| &record.payload);
        let mut payload = variables::read(coding, data, ours)?;
        let variable = self.layout.user_variable.as_ref();
        let user = variable.and_then(|variable| variables::user(&payload, variable));
        let [a, b, c, d, e, f, g, h, ..] = digest;
        let by_php = OpId::from_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1));
        // What was decided before somebody logged in, or out, is not to be mixed with what comes after.
        let epoch_of =
            |user: Option<&UserId>| user.map_or(0, |user| crc32fast::hash(user.as_str().as_bytes()));
        let Some((known, of)) = known else {
            return Ok(Record {
                id: record_id(&seen.id),
                version: Version::first(by_php),
                recent: RecentOps::default(),
                epoch: epoch_of(user.as_ref()),
                created: now,
                last_seen: self.last_seen(idle_deadline, now),
                idle_deadline,
                absolute_deadline: Timestamp::NEVER,
                renew_at: Timestamp::NEVER,
                user,
                device: None,
                payload,
            });
        };
        let mut record = Record::clone(&known);
        if of != digest {
            let [recent, older, _] = *record.recent.as_ops();
            record.recent = RecentOps::from_ops([record.version.op, recent, older]);
            record.version = record.version.next(by_php);
        }
        if record.user != user {
            record.epoch = epoch_of(user.as_ref()).wrapping_add(record.epoch).wrapping_add(1);
            record.device = None;
            payload = variables::read(coding, data, &no_entries)?;
        }
        if seen.data.is_some() {
            record.idle_deadline = idle_deadline.min(record.absolute_deadline);
        }
        record.user = user;
        record.payload = payload;
        Ok(record)
    }

    /// A key of PHP's that never expires ends here as if it had been used some time ago: using it then gives it an expiry.
    fn idle_deadline(&self, seen: &Seen, now: Timestamp) -> Timestamp {
        match seen.idle_deadline {
            Timestamp::NEVER if self.layout.endless => now.after(self.layout.lifetime / 2),
            deadline => deadline,
        }
    }

    /// When PHP was last asked for a session that ends then: reading it here is to keep it alive as well.
    fn last_seen(&self, idle_deadline: Timestamp, now: Timestamp) -> Timestamp {
        let unused = self.layout.lifetime.saturating_sub(now.until(idle_deadline));
        let unused = u64::try_from(unused.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(now.as_millis().saturating_sub(unused))
    }

    /// What has to be changed for these entries to be there. `source`: the session that a new one takes its variables from.
    pub(super) fn changes(
        &self,
        picture: &Picture,
        puts: Vec<(StoreKey, Entry)>,
        source: &StoreKey,
    ) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        for (key, entry) in &puts {
            let Some((at, seen)) = picture.seen(key) else { continue };
            let mut change = Change::none(at);
            let wanted = match entry {
                Entry::Live { record, lease } => {
                    let digest = self.keep_alive(picture, &mut change, record, source)?;
                    if let Some(digest) = digest {
                        let mut kept = Record::clone(record);
                        kept.payload = variables::beside(&record.payload);
                        let kept = Entry::Live { record: Arc::new(kept), lease: None };
                        let until = beside_until(record, picture.view.now);
                        change.beside = Some((beside::encode(key, &digest, None, &kept), until));
                    }
                    *lease
                }
                ended => {
                    let successor = successor_of(ended).and_then(|to| self.ids.resolve(&to));
                    let successor = successor.as_ref().map(PlainId::expose);
                    let kept = beside::encode(key, &[0; 32], successor, ended);
                    change.data = DataChange::Delete;
                    change.beside = Some((kept, ended.purge_at()));
                    None
                }
            };
            change.lock = lock_change(seen, wanted);
            if !change.is_none() {
                changes.push(change);
            }
        }
        Ok(changes)
    }

    /// The change to PHP's value for a session that lives on. Answers with the digest of the value, where what is beside has to follow.
    fn keep_alive(
        &self,
        picture: &Picture,
        change: &mut Change,
        record: &Record,
        source: &StoreKey,
    ) -> Result<Option<Digest>, StoreError> {
        let was = picture.record(change.at);
        let data = picture.view.sessions.get(change.at).and_then(|seen| seen.data.as_deref());
        if was.is_none_or(|was| was.version != record.version) {
            let source = match data {
                None => picture.seen(source).map_or(change.at, |(at, _)| at),
                Some(_) => change.at,
            };
            let value = self.value(picture, source, record)?;
            let digest = beside::digest(&value);
            change.data = if self.was_emptied(&digest) {
                DataChange::Delete
            } else {
                DataChange::Write(value, record.deadline())
            };
            return Ok(Some(digest));
        }
        if was.is_some_and(|was| was.idle_deadline != record.idle_deadline) {
            if data.is_some() {
                change.data = DataChange::Expire(record.deadline());
            }
            return Ok(Some(beside::digest(data.unwrap_or(EMPTY))));
        }
        Ok(None)
    }

    /// PHP's value for a record, over what PHP has.
    fn value(&self, picture: &Picture, source: usize, record: &Record) -> Result<Vec<u8>, StoreError> {
        // Cleared, or somebody else's now: nothing is left of it, not even what is not shown here.
        let afresh = picture.record(source).is_some_and(|was| {
            let user = self.layout.user_variable.as_deref();
            let stays = |key: &str| {
                Some(key) != user && !variables::is_reserved(key) && record.payload.get(key).is_some()
            };
            was.epoch != record.epoch && !was.payload.iter().any(|(key, _)| stays(key))
        });
        let seen = picture.view.sessions.get(source);
        let bytes = seen.and_then(|seen| seen.data.as_deref());
        let now = picture.view.now;
        variables::write(&self.layout.coding, bytes, &record.payload, afresh, now).map_err(|why| {
            match (why, seen) {
                (WriteError::Read(why), Some(seen)) => self.unreadable(&seen.id.key(), &why),
                (why, _) => {
                    let what = format!("the session was not written, for PHP could not read it so: {why}");
                    StoreError::new(StoreErrorKind::Refused, what)
                }
            }
        })
    }
}

fn beside_until(record: &Record, now: Timestamp) -> Timestamp {
    if record.absolute_deadline == Timestamp::NEVER {
        now.after(now.until(record.idle_deadline).min(SPARE) + SPARE)
    } else {
        record.absolute_deadline.after(SPARE)
    }
}

fn successor_of(ended: &Entry) -> Option<StoreKey> {
    match ended {
        Entry::Alias { successor, .. } => Some(*successor),
        Entry::Marker { ending: Ending::Moved { to, .. }, .. } => Some(*to),
        _ => None,
    }
}

fn lock_change(seen: &Seen, wanted: Option<Lease>) -> LockChange {
    match (wanted, &seen.lock) {
        (Some(lease), held) if held.as_ref().map(|held| held.lease) != Some(lease) => LockChange::Hold(lease),
        // As PHP releases: what is not ours stays.
        (None, Some(held)) if held.ours => LockChange::Free,
        _ => LockChange::Keep,
    }
}

/// The name of a session that PHP began: the same whenever it is read.
fn record_id(id: &PlainId) -> RecordId {
    let key = id.key();
    let [_, _, _, rest @ ..] = key.as_bytes();
    let digest = beside::digest(rest);
    RecordId::from_bytes(*digest.first_chunk::<16>().unwrap_or(&[0; 16]))
}
