//! A step of the rules over sessions as PHP has them.
//!
//! Everything under the keys of a session is read at one moment, the rules of [`protocol`](cloakroom::store::protocol) decide on it,
//! and a script makes the changes if every value is still the same, to the byte. Else it is read and decided anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::record::{RecentOps, Record, Version};
use cloakroom::store::protocol::{Entry, Lease, Table};
use cloakroom::store::{Ending, LeaseOwner, StoreError, StoreErrorKind};
use cloakroom::{OpId, PlainId, RecordId, StoreKey, UserId};
use cloakroom_php::DecodeError;
use rand::RngExt;
use redis::Value;

use super::beside::{self, Beside};
use super::store::Inner;
use super::variables::{self, WriteError};
use crate::error::{self, Effect};
use crate::invocation::Invocation;
use crate::scripts;
use crate::shared::Deadline;

/// Who we are, in a lock: behind it the owner and the number of the hold.
const OURS: &str = "cloakroom|rust-";
/// What is beside a session is kept this much longer than the session: PHP may keep a session alive without telling.
const SPARE: Duration = Duration::from_secs(24 * 3600);

/// Sessions at one moment of the server's clock.
struct Picture {
    now: Timestamp,
    seats: Vec<Seat>,
}

/// Everything under one id.
struct Seat {
    id: PlainId,
    data: Option<Vec<u8>>,
    lock: Option<Vec<u8>>,
    beside: Option<Vec<u8>>,
    entry: Result<Option<Entry>, DecodeError>,
    /// The lock, as the rules see it, whatever else is there.
    lease: Option<Lease>,
}

impl Seat {
    fn record(&self) -> Option<&Arc<Record>> {
        match &self.entry {
            Ok(Some(Entry::Live { record, .. })) => Some(record),
            _ => None,
        }
    }

    fn is_locked_by_others(&self) -> bool {
        self.lease.is_some() && !is_ours(self.lock.as_deref())
    }
}

/// Why the rules stopped.
pub(super) enum Stop {
    /// They looked for a session that was not read.
    Unread(StoreKey),
    Unreadable(DecodeError),
    NoIndex,
}

/// The entries of a picture, and what is put over them.
pub(super) struct Drafts<'p> {
    picture: &'p Picture,
    puts: Vec<(StoreKey, Entry)>,
}

impl Table for Drafts<'_> {
    type Error = Stop;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Stop> {
        if let Some((_, entry)) = self.puts.iter().find(|(put, _)| put == key) {
            return Ok(Some(entry.clone()));
        }
        let seat = self.picture.seat(key).ok_or(Stop::Unread(*key))?;
        seat.entry.clone().map_err(Stop::Unreadable)
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Stop> {
        if self.picture.seat(key).is_none() {
            return Err(Stop::Unread(*key));
        }
        self.puts.retain(|(put, _)| put != key);
        self.puts.push((*key, entry));
        Ok(())
    }

    fn keys_of(&mut self, _: &UserId) -> Result<Vec<StoreKey>, Stop> {
        Err(Stop::NoIndex)
    }
}

impl Picture {
    fn seat(&self, key: &StoreKey) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.id.key() == *key)
    }
}

/// A change that the script makes.
struct Change {
    what: &'static str,
    key: String,
    value: Vec<u8>,
    expiry: u64,
}

/// What a step is about.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub(super) key: StoreKey,
    /// Another id that takes over the variables of the first.
    pub(super) heir: Option<StoreKey>,
    /// Wait a moment for whoever holds the lock.
    pub(super) patient: bool,
}

impl Inner {
    /// Runs a step of the rules.
    pub(super) async fn step<A>(
        &self,
        about: About,
        rules: impl Fn(&mut Drafts<'_>, Timestamp) -> Result<A, Stop>,
    ) -> Result<A, StoreError> {
        let deadline = self.shared.deadline();
        let patience = deadline.began + deadline.ends.saturating_duration_since(deadline.began) / 2;
        let mut ids = vec![self.id_of(&about.key)?];
        if let Some(heir) = &about.heir {
            ids.push(self.id_of(heir)?);
        }
        loop {
            let picture = self.look(deadline, &ids).await?;
            let locked = picture.seats.iter().any(Seat::is_locked_by_others);
            if about.patient && locked && Instant::now() < patience {
                pause(3..15).await;
                continue;
            }
            let mut drafts = Drafts { picture: &picture, puts: Vec::new() };
            let decided = rules(&mut drafts, picture.now);
            let puts = drafts.puts;
            match decided {
                Ok(answer) => {
                    let changes = self.changes(&picture, puts, &about.key)?;
                    if changes.is_empty() || self.apply(deadline, &picture, &changes).await? {
                        return Ok(answer);
                    }
                    if deadline.is_past() {
                        let why = "is asked for the same session by too many at once; nothing was done";
                        return Err(error::unavailable(&self.shared.place, why));
                    }
                    pause(0..3).await;
                }
                // A successor: whoever is followed there is known by what the old id left behind.
                Err(Stop::Unread(key)) => match self.ids.resolve(&key) {
                    Some(id) if ids.len() < 20 && !ids.iter().any(|known| known.key() == key) => ids.push(id),
                    _ => {
                        return Err(error::unavailable(
                            &self.shared.place,
                            "has a line of sessions without an end",
                        ));
                    }
                },
                Err(Stop::Unreadable(why)) => return Err(self.unreadable(&about.key, &why)),
                Err(Stop::NoIndex) => return Err(no_index()),
            }
        }
    }

    /// Runs rules that only look, over several sessions.
    pub(super) async fn inspect<A>(
        &self,
        keys: &[StoreKey],
        rules: impl Fn(&mut Drafts<'_>, Timestamp, &StoreKey) -> Result<A, Stop>,
    ) -> Result<Vec<A>, StoreError> {
        let deadline = self.shared.deadline();
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            let id = self.id_of(key)?;
            if !ids.iter().any(|known: &PlainId| known.key() == *key) {
                ids.push(id);
            }
        }
        'again: loop {
            let picture = self.look(deadline, &ids).await?;
            let mut answers = Vec::with_capacity(keys.len());
            for key in keys {
                let mut drafts = Drafts { picture: &picture, puts: Vec::new() };
                match rules(&mut drafts, picture.now, key) {
                    Ok(answer) => answers.push(answer),
                    Err(Stop::Unread(key)) => match self.ids.resolve(&key) {
                        Some(id) if ids.len() < 20 => {
                            ids.push(id);
                            continue 'again;
                        }
                        _ => {
                            return Err(error::unavailable(
                                &self.shared.place,
                                "has a line of sessions without an end",
                            ));
                        }
                    },
                    Err(Stop::Unreadable(why)) => return Err(self.unreadable(key, &why)),
                    Err(Stop::NoIndex) => return Err(no_index()),
                }
            }
            return Ok(answers);
        }
    }

    fn id_of(&self, key: &StoreKey) -> Result<PlainId, StoreError> {
        self.moment.lock().refresh(key);
        self.ids.resolve(key).ok_or_else(|| {
            let why = format!("was asked for {key:?}, whose id no request holds any more");
            StoreError::new(StoreErrorKind::Refused, format!("the PHP layout {} {why}", self.layout.name))
        })
    }

    fn unreadable(&self, key: &StoreKey, why: &DecodeError) -> StoreError {
        tracing::error!(target: "cloakroom", session = ?key, %why, "a session that PHP stored cannot be read");
        let what = format!(
            "a session that PHP stored in {} cannot be read: {why}; it was left as it is",
            self.shared.place
        );
        StoreError::new(StoreErrorKind::Corrupt, what)
    }

    async fn look(&self, deadline: Deadline, ids: &[PlainId]) -> Result<Picture, StoreError> {
        let names: Vec<String> = ids.iter().flat_map(|id| self.keys_of(id)).collect();
        let script = Invocation::new(&scripts::PHP_LOOK, &names);
        let answer = self.shared.evaluate(deadline, Effect::Reads, &script).await?.told.value;
        let strange = || error::strange(&self.shared.place, Effect::Reads);
        let Value::Array(parts) = answer else { return Err(strange()) };
        let mut parts = parts.into_iter().map(|part| match part {
            Value::BulkString(bytes) => Ok(bytes),
            _ => Err(strange()),
        });
        let mut next = || parts.next().ok_or_else(strange)?;
        let number = |bytes: Vec<u8>| -> Result<i64, StoreError> {
            std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(strange)
        };
        let now = Timestamp::from_millis(u64::try_from(number(next()?)?).map_err(|_| strange())?);
        let mut picture = Picture { now, seats: Vec::with_capacity(ids.len()) };
        for id in ids {
            let mut read = || -> Result<(Option<Vec<u8>>, Timestamp), StoreError> {
                let (value, expires) = (next()?, number(next()?)?);
                let until = u64::try_from(expires).map_or(Timestamp::NEVER, Timestamp::from_millis);
                Ok((value.strip_prefix(b"+").map(<[u8]>::to_vec), until))
            };
            let (data, idle_deadline) = read()?;
            let (lock, locked_until) = read()?;
            let (beside, _) = read()?;
            let lease = lock.as_deref().map(|lock| lease_of(lock, locked_until));
            let entry = self.entry(id, data.as_deref(), idle_deadline, lease, beside.as_deref(), now);
            picture.seats.push(Seat { id: id.clone(), data, lock, beside, entry, lease });
        }
        Ok(picture)
    }

    /// What PHP's value and what is beside it amount to.
    fn entry(
        &self,
        id: &PlainId,
        data: Option<&[u8]>,
        idle_deadline: Timestamp,
        lease: Option<Lease>,
        beside: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Option<Entry>, DecodeError> {
        let beside = beside.and_then(|bytes| beside::decode(&id.key(), bytes));
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
        let Some(data) = data else {
            // Past its deadline; what is gone before that, PHP has deleted.
            let expired = known.filter(|(record, _)| record.is_expired(now));
            return Ok(expired.map(|(record, _)| Entry::Live { record, lease: None }));
        };
        let digest = beside::digest(data);
        let no_entries = Payload::empty();
        let ours = known.as_ref().map_or(&no_entries, |(record, _)| &record.payload);
        let mut payload = variables::read(self.layout.format, data, ours)?;
        let user =
            self.layout.user_variable.as_ref().and_then(|variable| variables::user(&payload, variable));
        let [a, b, c, d, e, f, g, h, ..] = digest;
        let by_php = OpId::from_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1));
        // What was decided before somebody logged in, or out, is not to be mixed with what comes after.
        let epoch_of =
            |user: Option<&UserId>| user.map_or(0, |user| crc32fast::hash(user.as_str().as_bytes()));
        let record = match known {
            Some((known, of)) => {
                let mut record = Record::clone(&known);
                if of != digest {
                    let [recent, older, _] = *record.recent.as_ops();
                    record.recent = RecentOps::from_ops([record.version.op, recent, older]);
                    record.version = record.version.next(by_php);
                }
                if record.user != user {
                    record.epoch = epoch_of(user.as_ref()).wrapping_add(record.epoch).wrapping_add(1);
                    record.device = None;
                    payload = variables::read(self.layout.format, data, &no_entries)?;
                }
                record.idle_deadline = idle_deadline.min(record.absolute_deadline);
                record.user = user;
                record.payload = payload;
                record
            }
            None => Record {
                id: record_id(id),
                version: Version::first(by_php),
                recent: RecentOps::default(),
                epoch: epoch_of(user.as_ref()),
                created: now,
                last_seen: now,
                idle_deadline,
                absolute_deadline: Timestamp::NEVER,
                renew_at: Timestamp::NEVER,
                user,
                device: None,
                payload,
            },
        };
        Ok(Some(Entry::Live { record: Arc::new(record), lease }))
    }

    /// What the script is to change.
    fn changes(
        &self,
        picture: &Picture,
        puts: Vec<(StoreKey, Entry)>,
        source: &StoreKey,
    ) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        for (key, entry) in &puts {
            let Some(seat) = picture.seat(key) else { continue };
            let [data_key, lock_key, beside_key] = self.keys_of(&seat.id);
            let mut change = |what, key: &String, value: Vec<u8>, until: Timestamp| {
                let what = if what == "S" && until == Timestamp::NEVER { "N" } else { what };
                changes.push(Change {
                    what,
                    key: key.clone(),
                    value,
                    expiry: until.as_millis().min(1 << 52),
                });
            };
            let mut wanted = None;
            match entry {
                Entry::Live { record, lease } => {
                    wanted = *lease;
                    let was = seat.record();
                    let beside_until = if record.absolute_deadline == Timestamp::NEVER {
                        picture.now.after(picture.now.until(record.idle_deadline).min(SPARE) + SPARE)
                    } else {
                        record.absolute_deadline.after(SPARE)
                    };
                    let moved = was.is_none_or(|was| was.version != record.version);
                    let digest = if moved {
                        let source =
                            seat.data.is_none().then(|| picture.seat(source)).flatten().unwrap_or(seat);
                        let value = self.value(source, record)?;
                        let digest = beside::digest(&value);
                        change("S", &data_key, value, record.deadline());
                        Some(digest)
                    } else if was.is_some_and(|was| was.idle_deadline != record.idle_deadline) {
                        change("X", &data_key, Vec::new(), record.deadline());
                        seat.data.as_deref().map(beside::digest)
                    } else {
                        None
                    };
                    if let Some(digest) = digest {
                        let mut kept = Record::clone(record);
                        kept.payload = variables::beside(&record.payload);
                        let kept = Entry::Live { record: Arc::new(kept), lease: None };
                        change("S", &beside_key, beside::encode(key, &digest, None, &kept), beside_until);
                    }
                }
                ended => {
                    let to = match ended {
                        Entry::Alias { successor, .. } => Some(*successor),
                        Entry::Marker { ending: Ending::Moved { to, .. }, .. } => Some(*to),
                        _ => None,
                    };
                    let successor = to.and_then(|to| self.ids.resolve(&to));
                    let kept = beside::encode(key, &[0; 32], successor.as_ref().map(PlainId::expose), ended);
                    change("D", &data_key, Vec::new(), picture.now);
                    change("S", &beside_key, kept, ended.purge_at());
                }
            }
            match wanted {
                Some(lease) if Some(lease) != seat.lease => {
                    change("S", &lock_key, token(&lease).into_bytes(), lease.until);
                }
                // As phpredis releases: what is not ours stays.
                None if is_ours(seat.lock.as_deref()) => change("D", &lock_key, Vec::new(), picture.now),
                _ => {}
            }
        }
        Ok(changes)
    }

    /// PHP's value for a record, over what PHP has.
    fn value(&self, source: &Seat, record: &Record) -> Result<Vec<u8>, StoreError> {
        let format = self.layout.format;
        // Cleared, or somebody else's now: nothing is left of it, not even what is not shown here.
        let afresh = source.record().is_some_and(|was| {
            let user = self.layout.user_variable.as_deref();
            let stays = |key: &str| {
                Some(key) != user && !variables::is_reserved(key) && record.payload.get(key).is_some()
            };
            was.epoch != record.epoch && !was.payload.iter().any(|(key, _)| stays(key))
        });
        variables::write(format, source.data.as_deref(), &record.payload, afresh).map_err(|why| match why {
            WriteError::Read(why) => self.unreadable(&source.id.key(), &why),
            WriteError::Write(why) => {
                let what = format!("the session was not written, for PHP could not read it so: {why}");
                StoreError::new(StoreErrorKind::Refused, what)
            }
        })
    }

    /// Makes the changes; answers with whether everything was still as in the picture.
    async fn apply(
        &self,
        deadline: Deadline,
        picture: &Picture,
        changes: &[Change],
    ) -> Result<bool, StoreError> {
        let names: Vec<String> = picture.seats.iter().flat_map(|seat| self.keys_of(&seat.id)).collect();
        let mut script = Invocation::new(&scripts::PHP_APPLY, &names);
        script.number(names.len() as u64);
        for value in picture.seats.iter().flat_map(|seat| [&seat.data, &seat.lock, &seat.beside]) {
            match value {
                Some(value) => script.arg([b"+", value.as_slice()].concat()),
                None => script.arg("-"),
            };
        }
        for change in changes {
            let at = names.iter().position(|name| *name == change.key).unwrap_or_default();
            script.arg(change.what).number(at as u64 + 1).arg(&change.value).number(change.expiry);
        }
        match self.shared.evaluate(deadline, Effect::Writes, &script).await?.told.value {
            Value::BulkString(told) if told == b"done" => Ok(true),
            Value::BulkString(told) if told == b"changed" => Ok(false),
            _ => Err(error::strange(&self.shared.place, Effect::Writes)),
        }
    }

    /// The keys of a session: PHP's value, PHP's lock, what is beside.
    fn keys_of(&self, id: &PlainId) -> [String; 3] {
        let digest = data_encoding::BASE64URL_NOPAD.encode(id.key().as_bytes());
        let beside = format!("{}php:{digest}", self.shared.names.prefix());
        [self.layout.data_key(id.expose()), self.layout.lock_key(id.expose()), beside]
    }
}

async fn pause(millis: std::ops::Range<u64>) {
    let micros = rand::rng().random_range(millis.start * 1000..millis.end * 1000);
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

pub(super) fn no_index() -> StoreError {
    StoreError::new(
        StoreErrorKind::Refused,
        "a PHP layout keeps no list of a user's sessions: PHP's own logins would not be in it",
    )
}

/// The name of a session that PHP began: the same whenever it is read.
fn record_id(id: &PlainId) -> RecordId {
    let key = id.key();
    let [_, _, _, rest @ ..] = key.as_bytes();
    let digest = beside::digest(rest);
    RecordId::from_bytes(*digest.first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// The lock's value for a lease.
fn token(lease: &Lease) -> String {
    format!("{OURS}{:032x}-{:x}", lease.owner.0, lease.hold)
}

fn is_ours(lock: Option<&[u8]>) -> bool {
    lock.is_some_and(|lock| lock.starts_with(OURS.as_bytes()))
}

/// A lock as a lease: ours says whose it is, and PHP's is somebody's.
fn lease_of(lock: &[u8], until: Timestamp) -> Lease {
    let ours = std::str::from_utf8(lock).ok().and_then(|text| {
        let (owner, hold) = text.strip_prefix(OURS)?.split_once('-')?;
        Some((u128::from_str_radix(owner, 16).ok()?, u64::from_str_radix(hold, 16).ok()?))
    });
    let (owner, hold) = ours.unwrap_or_else(|| {
        let digest = beside::digest(lock);
        (u128::from_le_bytes(*digest.first_chunk::<16>().unwrap_or(&[0; 16])), 0)
    });
    Lease { owner: LeaseOwner(owner), hold, until }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_ours_tells_its_owner_and_hold_and_phps_is_somebody_elses() {
        let lease = Lease { owner: LeaseOwner(7), hold: 300, until: Timestamp::from_millis(5) };
        assert_eq!(lease_of(token(&lease).as_bytes(), lease.until), lease);
        let php = lease_of(b"web-1|4711", Timestamp::NEVER);
        assert_ne!(php.owner, LeaseOwner(7));
        assert_eq!(php, lease_of(b"web-1|4711", Timestamp::NEVER));
        assert!(!is_ours(Some(b"web-1|4711")) && !is_ours(None) && is_ours(Some(token(&lease).as_bytes())));
    }
}
