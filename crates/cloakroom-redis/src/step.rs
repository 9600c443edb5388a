//! What concerns several entries at once: changes of id, ends, everything about a user's sessions.
//!
//! The rules of [`protocol`] are run here, over entries as the server told them, and what they would write is sent along
//! with all that was read. One script applies it if every entry still holds exactly those bytes, every index those
//! members, and no time that the decision rests on has come; else it changes nothing and answers with how things are,
//! and the rules are run again over that. So a step is atomic although it is decided here, and it is two round trips long
//! where nobody else is at the same sessions.
//!
//! Not everything has to be the same. Where a session is ended, or was only counted among its user's, what counts is
//! that it is still there, alive and the same user's: it may be written and touched meanwhile. So a logout comes through
//! however busy a session is. What is told of a session that was ended is how it was when that was decided.
//!
//! The entries of one line are in one slot of a cluster, and so in one step. A user's index lies apart there: see `apart`.

mod changes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::{Entry, Table};
use cloakroom::store::{Ending, StoreError, StoreErrorKind};
use cloakroom::{StoreKey, UserId};
use rand::RngExt;
use redis::Value;

pub(crate) use self::changes::MemberChange;
use self::changes::{Changes, Check};
use crate::apart::COMMITTED;
use crate::durability::{Kept, Write};
use crate::error::{self, Effect};
use crate::invocation::{Evaluated, Invocation};
use crate::layout::{self, Malformed};
use crate::names::Names;
use crate::scripts;
use crate::shared::{Deadline, Shared, Told};

/// Tries in a row before the next one waits a little, so that of many who are at the same index one gets through.
const EAGER: u32 = 3;
/// Rounds in which a step may ask for more to read: a long line of successors is followed one by one.
const ROUNDS: u32 = 64;

/// Things as they were at one moment of the server's clock.
struct Picture {
    now: Timestamp,
    entries: HashMap<StoreKey, Held>,
    indexes: HashMap<UserId, Index>,
}

/// What is under a key: the bytes, and what they say.
struct Held {
    bytes: Vec<u8>,
    entry: Result<Option<Entry>, Malformed>,
}

struct Index {
    generation: Vec<u8>,
    members: Vec<StoreKey>,
    /// Members that are no keys of ours, by their names.
    strange: Vec<Vec<u8>>,
}

/// What a step needs to look at.
#[derive(Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) keys: Vec<StoreKey>,
    pub(crate) users: Vec<UserId>,
}

/// Why the rules stopped before they had an answer.
pub(crate) enum Stop {
    /// They looked for an entry that was not read.
    Entry(StoreKey),
    /// Or for an index.
    Index(UserId),
    /// What they looked at cannot be read.
    Malformed(StoreKey, Malformed),
}

/// The entries of a picture, and what is to be put over them.
pub(crate) struct Drafts<'p> {
    picture: &'p Picture,
    puts: Vec<(StoreKey, Entry)>,
}

impl Table for Drafts<'_> {
    type Error = Stop;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Stop> {
        if let Some((_, entry)) = self.puts.iter().find(|(put, _)| put == key) {
            return Ok(Some(entry.clone()));
        }
        match self.picture.entries.get(key) {
            Some(held) => held.entry.clone().map_err(|malformed| Stop::Malformed(*key, malformed)),
            None => Err(Stop::Entry(*key)),
        }
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Stop> {
        // What was there decides which index changes, and must not have changed meanwhile.
        if !self.picture.entries.contains_key(key) {
            return Err(Stop::Entry(*key));
        }
        self.puts.retain(|(put, _)| put != key);
        self.puts.push((*key, entry));
        Ok(())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, Stop> {
        let index = self.picture.indexes.get(user).ok_or_else(|| Stop::Index(user.clone()))?;
        // A damaged record is trouble for itself, not for its user's other sessions.
        let readable =
            |key: &&StoreKey| self.picture.entries.get(*key).is_some_and(|held| held.entry.is_ok());
        let mut keys: Vec<StoreKey> = index.members.iter().filter(readable).copied().collect();
        for (key, entry) in &self.puts {
            if entry.user() == Some(user) && !keys.contains(key) {
                keys.push(*key);
            }
        }
        Ok(keys)
    }
}

impl Shared {
    /// Runs a step of the rules: reads what it looks at, decides, and applies what it decided, again and again until nothing
    /// came between.
    pub(crate) async fn step<A: Send + Sync + 'static>(
        self: &Arc<Self>,
        wanted: Wanted,
        rules: impl Fn(&mut Drafts<'_>, Timestamp) -> Result<A, Stop>,
        made: impl Fn(&A) -> bool,
    ) -> Result<A, StoreError> {
        self.step_within(self.deadline(), wanted, rules, made).await
    }

    /// The same, as a part of something.
    pub(crate) async fn step_within<A: Send + Sync + 'static>(
        self: &Arc<Self>,
        deadline: Deadline,
        mut wanted: Wanted,
        rules: impl Fn(&mut Drafts<'_>, Timestamp) -> Result<A, Stop>,
        made: impl Fn(&A) -> bool,
    ) -> Result<A, StoreError> {
        let (mut picture, _) = self.look(deadline, &wanted, None).await?;
        let (mut tries, mut rounds) = (0, 0);
        // Whether what the picture shows is kept where it is to be; unknown unless that was waited for.
        let mut shown: Option<Kept> = None;
        loop {
            let mut drafts = Drafts { picture: &picture, puts: Vec::new() };
            let decided = rules(&mut drafts, picture.now);
            let puts = drafts.puts;
            let more = match decided {
                Ok(answer) => {
                    let mut changes = Changes::of(&picture, puts);
                    if changes.is_empty() && made(&answer) && self.waits_for(Write::Identity) {
                        // It was made before: by whoever asks again now, because it was not waited for to its end.
                        if let Some(kept) = shown {
                            return kept.told(answer, made);
                        }
                        let (picture_now, kept) = self.look(deadline, &wanted, Some(Write::Identity)).await?;
                        let kept = kept.and(self.announced_before(deadline, &picture_now).await?);
                        (picture, shown) = (picture_now, Some(kept));
                        continue;
                    }
                    if changes.is_empty() {
                        return Ok(answer);
                    }
                    shown = None;
                    let (elsewhere, announced) =
                        self.change_indexes_elsewhere(deadline, &mut changes).await?;
                    match self.apply(deadline, &wanted, &picture, &changes).await? {
                        (None, kept) => {
                            if !elsewhere.is_empty() {
                                tokio::spawn(self.clone().tidy(elsewhere));
                            }
                            return kept.and(announced).told(answer, made);
                        }
                        (Some(now_so), _) => picture = now_so,
                    }
                    tries += 1;
                    if deadline.is_past() {
                        let why = "is asked for the same sessions by too many at once; nothing was done";
                        return Err(error::unavailable(&self.place, why));
                    }
                    if tries > EAGER {
                        let pause = rand::rng().random_range(0..200 * u64::from(tries.min(50)));
                        tokio::time::sleep(Duration::from_micros(pause)).await;
                    }
                    // The fresh picture shows what was known before; it may take more now.
                    picture.missing(&wanted)
                }
                Err(Stop::Entry(key)) => Wanted { keys: vec![key], users: Vec::new() },
                Err(Stop::Index(user)) => Wanted { keys: Vec::new(), users: vec![user] },
                Err(Stop::Malformed(key, malformed)) => {
                    tracing::error!(target: "cloakroom", session = ?key, part = malformed.0, "a stored session cannot be read");
                    return Err(error::corrupt(&self.place, malformed));
                }
            };
            if more.keys.is_empty() && more.users.is_empty() {
                continue;
            }
            rounds += 1;
            if rounds > ROUNDS {
                return Err(error::unavailable(&self.place, "holds a line of sessions without an end"));
            }
            // All of it anew: what is decided on has to be of one moment.
            for key in more.keys {
                if !wanted.keys.contains(&key) {
                    wanted.keys.push(key);
                }
            }
            for user in more.users {
                if !wanted.users.contains(&user) {
                    wanted.users.push(user);
                }
            }
            shown = None;
            (picture, _) = self.look(deadline, &wanted, None).await?;
        }
    }

    /// A user's index is in another slot of a cluster than the user's sessions: it is told before the step what is to come, and
    /// after it what became of that. Takes that out of the step.
    async fn change_indexes_elsewhere(
        &self,
        deadline: Deadline,
        changes: &mut Changes,
    ) -> Result<(Vec<MemberChange>, Kept), StoreError> {
        let mut kept = Kept::AsAsked;
        if self.nodes.cluster().is_none() {
            return Ok((Vec::new(), kept));
        }
        let elsewhere = std::mem::take(&mut changes.members);
        for change in &elsewhere {
            if change.until.is_some() {
                kept = kept.and(self.announce(deadline, change).await?);
                changes.announced = true;
            }
        }
        Ok((elsewhere, kept))
    }

    /// Of sessions that were made before: whether they are in their users' indexes where these are to be kept, in a cluster.
    async fn announced_before(&self, deadline: Deadline, picture: &Picture) -> Result<Kept, StoreError> {
        let mut kept = Kept::AsAsked;
        if self.nodes.cluster().is_some() {
            for user in picture.entries.values().filter_map(Held::user) {
                kept = kept.and(self.kept_before(deadline, self.names.index(user)).await?);
            }
        }
        Ok(kept)
    }

    /// A picture of what is wanted; of what it shows, whether it is kept where such a write is to be.
    async fn look(
        &self,
        deadline: Deadline,
        wanted: &Wanted,
        waits: Option<Write>,
    ) -> Result<(Picture, Kept), StoreError> {
        let entries = wanted.keys.iter().map(|key| self.names.entry(key));
        let indexes = wanted.users.iter().map(|user| self.names.index(user));
        let names: Vec<String> = entries.chain(indexes).collect();
        let mut script = Invocation::new(&scripts::STEP, &names);
        script.arg(self.given_time()).arg(self.names.prefix());
        script.number(wanted.keys.len() as u64).number(wanted.users.len() as u64).arg("r");
        if let Some(write) = waits {
            script.waits(write);
        }
        let asked = Instant::now();
        let Evaluated { told, kept } = self.evaluate(deadline, Effect::Reads, &script).await?;
        let strange = || error::strange(&self.place, Effect::Reads);
        match self.picture(told, asked, &wanted.keys, &wanted.users)? {
            Some(picture) => Ok((picture, kept)),
            None => Err(strange()),
        }
    }

    /// Applies what was decided on a picture, or answers with how things are instead.
    async fn apply(
        &self,
        deadline: Deadline,
        wanted: &Wanted,
        picture: &Picture,
        changes: &Changes,
    ) -> Result<(Option<Picture>, Kept), StoreError> {
        let keys: Vec<StoreKey> = picture.entries.keys().copied().collect();
        let users: Vec<UserId> = picture.indexes.keys().cloned().collect();
        let mut names: Vec<String> = keys.iter().map(|key| self.names.entry(key)).collect();
        names.extend(users.iter().map(|user| self.names.index(user)));
        let mut place_of = |name: String| {
            let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            at as u64 + 1
        };
        let puts: Vec<_> = changes
            .puts
            .iter()
            .map(|(key, entry)| {
                (
                    place_of(self.names.entry(key)),
                    layout::encode(key, entry),
                    layout::millis(entry.purge_at()),
                )
            })
            .collect();
        let members: Vec<_> =
            changes.members.iter().map(|change| (place_of(self.names.index(&change.user)), change)).collect();

        let mut script = Invocation::new(&scripts::STEP, &names);
        script.arg(self.given_time()).arg(self.names.prefix());
        script.number(keys.len() as u64).number(users.len() as u64).arg("w");
        let checks: Vec<Check> = keys.iter().map(|key| picture.check(key, &changes.puts, wanted)).collect();
        let mut until = picture.holds_until(&keys, &checks);
        if changes.announced {
            // What was announced after the picture was taken, lasts longer than that.
            until = until.min(picture.now.after(COMMITTED));
        }
        script.number(layout::millis(picture.now)).number(layout::millis(until));
        for (key, check) in keys.iter().zip(checks) {
            match check {
                Check::Alive(identity) => script.arg("~").arg(identity),
                Check::Same => {
                    script.arg("=").arg(picture.entries.get(key).map_or(&[][..], |held| &held.bytes))
                }
            };
        }
        for user in &users {
            script.arg(picture.indexes.get(user).map_or(&[][..], |index| &index.generation));
        }
        script.number(puts.len() as u64);
        for (at, value, until) in puts {
            script.number(at).arg(value).number(until);
        }
        script.number(members.len() as u64);
        for (at, change) in members {
            let (sign, until) = match change.until {
                Some(until) => ("+", layout::millis(until)),
                None => ("-", 0),
            };
            script.number(at).arg(sign).arg(&change.member).number(until);
        }
        script.number(changes.freed.len() as u64);
        for key in &changes.freed {
            script.arg(self.names.channel(key));
        }
        script.waits(Write::Identity);
        let asked = Instant::now();
        let Evaluated { told, kept } = self.evaluate(deadline, Effect::Writes, &script).await?;
        Ok((self.picture(told, asked, &keys, &users)?, kept))
    }

    /// Reads the answer of the script: a picture, or that it did what it was asked to.
    fn picture(
        &self,
        told: Told<Value>,
        asked: Instant,
        keys: &[StoreKey],
        users: &[UserId],
    ) -> Result<Option<Picture>, StoreError> {
        let strange = || error::strange(&self.place, Effect::Writes);
        let Value::Array(parts) = told.value else { return Err(strange()) };
        let mut parts = parts.into_iter();
        let Some(Value::BulkString(head)) = parts.next() else { return Err(strange()) };
        let head = self.answer(head, &told.by, asked, Effect::Writes)?;
        if head.done {
            return Ok(None);
        }
        let mut picture = Picture { now: head.now, entries: HashMap::new(), indexes: HashMap::new() };
        for key in keys {
            let Some(Value::BulkString(bytes)) = parts.next() else { return Err(strange()) };
            picture.entries.insert(*key, Held::read(key, bytes));
        }
        for user in users {
            let Some(Value::Array(index)) = parts.next() else { return Err(strange()) };
            let mut parts = index.into_iter();
            let Some(Value::BulkString(generation)) = parts.next() else { return Err(strange()) };
            let mut index = Index { generation, members: Vec::new(), strange: Vec::new() };
            while let Some(member) = parts.next() {
                let (Value::BulkString(member), Some(Value::BulkString(bytes))) = (member, parts.next())
                else {
                    return Err(strange());
                };
                match Names::of_member(&member) {
                    Some(key) => {
                        index.members.push(key);
                        picture.entries.entry(key).or_insert_with(|| Held::read(&key, bytes));
                    }
                    None => index.strange.push(member),
                }
            }
            picture.indexes.insert(user.clone(), index);
        }
        Ok(Some(picture))
    }

    /// Drops members of a user's index whose session is gone; there is no harm in its not being done.
    pub(crate) async fn heal(self: Arc<Self>, user: UserId) {
        let deadline = self.deadline();
        let wanted = Wanted { keys: Vec::new(), users: vec![user] };
        let Ok((picture, _)) = self.look(deadline, &wanted, None).await else { return };
        let changes = Changes::of(&picture, Vec::new());
        if !changes.members.is_empty() {
            let _ = self.apply(deadline, &wanted, &picture, &changes).await;
        }
    }

    /// Runs a step that only looks. Answers with whether an index was seen that names sessions which are gone.
    pub(crate) async fn inspect<A>(
        &self,
        wanted: Wanted,
        rules: impl Fn(&mut Drafts<'_>, Timestamp) -> Result<A, Stop>,
    ) -> Result<(A, bool), StoreError> {
        let (picture, _) = self.look(self.deadline(), &wanted, None).await?;
        let mut drafts = Drafts { picture: &picture, puts: Vec::new() };
        match rules(&mut drafts, picture.now) {
            Ok(answer) => Ok((answer, !Changes::of(&picture, Vec::new()).members.is_empty())),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{} was not asked for all that an answer takes", self.place),
            )),
        }
    }
}

impl Held {
    fn read(key: &StoreKey, bytes: Vec<u8>) -> Self {
        let entry = (!bytes.is_empty()).then(|| layout::decode(key, &bytes)).transpose();
        Held { bytes, entry }
    }

    fn user(&self) -> Option<&UserId> {
        self.entry.as_ref().ok().and_then(Option::as_ref).and_then(Entry::user)
    }
}

impl Picture {
    /// What of an entry the decision rests on.
    fn check(&self, key: &StoreKey, puts: &[(StoreKey, Entry)], wanted: &Wanted) -> Check {
        let ends = match puts.iter().find(|(put, _)| put == key) {
            Some((_, Entry::Marker { ending: Ending::Destroyed | Ending::Revoked, .. })) => true,
            Some(_) => false,
            None => !wanted.keys.contains(key),
        };
        match self.entries.get(key) {
            Some(Held { bytes, entry: Ok(Some(Entry::Live { record, .. })) })
                if ends && !record.is_expired(self.now) =>
            {
                layout::identity(bytes).map_or(Check::Same, Check::Alive)
            }
            _ => Check::Same,
        }
    }

    /// The first moment at which one of the entries begins to mean something else.
    fn holds_until(&self, keys: &[StoreKey], checks: &[Check]) -> Timestamp {
        // Those that have to be alive are asked whether they are.
        let same = keys.iter().zip(checks).filter(|(_, check)| matches!(check, Check::Same));
        let held = same.filter_map(|(key, _)| self.entries.get(key));
        let moments =
            held.filter_map(|held| held.entry.as_ref().ok()?.as_ref()).flat_map(|entry| match entry {
                Entry::Live { record, lease } => [Some(record.deadline()), lease.map(|lease| lease.until)],
                Entry::Alias { grace_until, until, .. } => [Some(*grace_until), Some(*until)],
                Entry::Marker { until, .. } | Entry::Receipt { until, .. } => [Some(*until), None],
            });
        moments.flatten().filter(|moment| *moment > self.now).min().unwrap_or(Timestamp::NEVER)
    }

    /// What of this is not in the picture.
    fn missing(&self, wanted: &Wanted) -> Wanted {
        let mut missing = wanted.clone();
        missing.keys.retain(|key| !self.entries.contains_key(key));
        missing.users.retain(|user| !self.indexes.contains_key(user));
        missing
    }
}
