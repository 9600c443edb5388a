//! What concerns one session only, each in one round trip: reading it, and the scripts of the hot path.
//!
//! A script does what it is asked to where nothing is in the way. Where something is, it changes nothing and answers with what
//! is there, and the rules of [`protocol`] are applied to that here: a refusal is worded in one place, for all stores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::record::{RecentOps, Version};
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, Loaded, Release, Released, Renew, Renewed,
    Snapshot, StoreError, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};
use redis::{Pipeline, Value};

use crate::durability::Write;
use crate::error::{self, Effect};
use crate::invocation::Invocation;
use crate::layout::{self, Malformed};
use crate::scripts;
use crate::shared::{Deadline, Shared, Spot, Told};
use crate::together;

impl Shared {
    pub(crate) async fn load(&self, key: StoreKey) -> Result<Loaded, StoreError> {
        let deadline = self.deadline();
        if self.known(self.spot(&key)).is_some_and(|node| node.time.at(deadline.began).is_some()) {
            let told = self.look_up(deadline, &key, News::Wanted).await?;
            let there = match told.value {
                Value::BulkString(bytes) => self.there(&key, &bytes)?,
                Value::Nil => return Ok(Loaded::Missing),
                _ => return Err(error::strange(&self.place, Effect::Reads)),
            };
            // Another one answered than was thought to, and its time is not known yet: asked again, along with the time.
            let Some(now) = told.by.time.estimate() else {
                return Box::pin(self.load_one(deadline, key)).await;
            };
            match there {
                // Most reads end here.
                Some(Entry::Live { record, .. }) if !record.is_expired(now) => {
                    return Ok(Loaded::Live(Snapshot { record, now }));
                }
                // The way of many leads on to the successor.
                Some(Entry::Alias { .. }) => {}
                there => {
                    let mut known = Known(vec![(key, there)]);
                    return protocol::load(&mut known, now, key)
                        .map_err(|stopped| self.contradiction(stopped));
                }
            }
        }
        Box::pin(self.load_one(deadline, key)).await
    }

    async fn load_one(&self, deadline: Deadline, key: StoreKey) -> Result<Loaded, StoreError> {
        let mut loaded = self.load_together(deadline, vec![key], News::Wanted).await?;
        loaded.pop().ok_or_else(|| error::strange(&self.place, Effect::Reads))
    }

    /// Reads up to four candidates at once. An alias is followed in a second round trip: what is under an alias does not
    /// change, so both reads together say what held at the time of the second.
    pub(crate) async fn load_many(&self, keys: Vec<StoreKey>) -> Result<Vec<Loaded>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = self.deadline();
        // Nobody keeps what came so.
        if self.nodes.cluster().is_none() || keys.len() == 1 {
            return self.load_together(deadline, keys, News::Unwanted).await;
        }
        // Each from where it is, at once.
        let asked = keys.into_iter().map(|key| self.load_together(deadline, vec![key], News::Unwanted));
        together::all(asked).await.into_iter().try_fold(Vec::new(), |mut all, loaded| {
            all.extend(loaded?);
            Ok(all)
        })
    }

    /// Of sessions that are all in one place: on the one server, or in one slot.
    async fn load_together(
        &self,
        deadline: Deadline,
        keys: Vec<StoreKey>,
        news: News,
    ) -> Result<Vec<Loaded>, StoreError> {
        let mut found = Known::default();
        let mut now = self.fetch(deadline, &keys, news, &mut found).await?;
        let successors: Vec<StoreKey> = found
            .0
            .iter()
            .filter_map(|(_, entry)| match entry {
                Some(Entry::Alias { successor, .. }) => Some(*successor),
                _ => None,
            })
            .filter(|successor| !found.has(successor))
            .collect();
        if !successors.is_empty() {
            now = self.fetch(deadline, &successors, News::Unwanted, &mut found).await?;
        }
        keys.into_iter()
            .map(|key| protocol::load(&mut found, now, key).map_err(|stopped| self.contradiction(stopped)))
            .collect()
    }

    /// What is under a key, as it is.
    async fn look_up(
        &self,
        deadline: Deadline,
        key: &StoreKey,
        news: News,
    ) -> Result<Told<Value>, StoreError> {
        let spot = self.spot(key);
        if news == News::Unwanted || !self.tracking.is_wanted() {
            return self.read_packed(deadline, spot, &self.names.get(key)).await;
        }
        let mut commands = Pipeline::with_capacity(1);
        commands.cmd("GET").arg(self.names.entry(key));
        let Told { mut value, by } = Box::pin(self.read_told(deadline, spot, &commands)).await?;
        let value = value.pop().ok_or_else(|| error::strange(&self.place, Effect::Reads))?;
        Ok(Told { value, by })
    }

    /// Reads entries as they are, and tells the time. Of the first, changes may be told from then on.
    async fn fetch(
        &self,
        deadline: Deadline,
        keys: &[StoreKey],
        news: News,
        into: &mut Known,
    ) -> Result<Timestamp, StoreError> {
        let spot = keys.first().map_or(Spot(0), |key| self.spot(key));
        let mut pipeline = Pipeline::with_capacity(keys.len() + 1);
        for key in keys {
            pipeline.cmd("GET").arg(self.names.entry(key));
        }
        let known = self.known(spot).is_some_and(|node| node.time.now().is_some());
        if !known {
            pipeline.cmd("TIME");
        }
        let asked = Instant::now();
        let Told { value: mut answers, by } = match news {
            News::Wanted => self.read_told(deadline, spot, &pipeline).await?,
            News::Unwanted => self.read_all(deadline, spot, &pipeline).await?,
        };
        if !known {
            let told = answers.pop().and_then(told_time);
            let told = told.ok_or_else(|| error::strange(&self.place, Effect::Reads))?;
            by.time.observe(asked, Instant::now(), told);
        }
        // The time of the answer, not of the question: what is in it may be younger than that.
        let now = match by.time.estimate() {
            Some(now) => now,
            // Another one answered than was thought to.
            None => self.ask_time(deadline, spot).await?,
        };
        for (key, answer) in keys.iter().zip(answers) {
            let entry = match answer {
                Value::Nil => None,
                Value::BulkString(bytes) => Some(self.decode(key, &bytes)?),
                _ => return Err(error::strange(&self.place, Effect::Reads)),
            };
            into.0.push((*key, entry));
        }
        Ok(now)
    }

    /// The server's clock, asked for.
    pub(crate) async fn tell_time(self: Arc<Self>) -> Result<Timestamp, StoreError> {
        self.ask_time(self.deadline(), Spot(0)).await
    }

    async fn ask_time(&self, deadline: Deadline, spot: Spot) -> Result<Timestamp, StoreError> {
        if let Some(now) = self.given() {
            return Ok(now);
        }
        let asked = Instant::now();
        let told = self.read(deadline, spot, &redis::cmd("TIME")).await?;
        let now = told_time(told.value).ok_or_else(|| error::strange(&self.place, Effect::Reads))?;
        told.by.time.observe(asked, Instant::now(), now);
        Ok(now)
    }

    /// Stores a new session that nobody is logged in to.
    pub(crate) async fn create(self: Arc<Self>, request: Create) -> Result<Created, StoreError> {
        // What stands around the times is the same whenever it is stored: written as if it were now, and the times
        // are put in by the script.
        let written = |now| protocol::create(&mut Known(vec![(request.key, None)]), now, request.clone());
        let Ok(Created::Created { snapshot, .. }) = written(Timestamp::default()) else {
            return Err(error::strange(&self.place, Effect::Reads));
        };
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        layout::before_times(&mut before, Version::first(request.op), RecentOps::default(), None);
        layout::after_times(&mut behind, &request.key, &snapshot.record);
        let mut script = Invocation::new(&scripts::CREATE, &[self.names.entry(&request.key)]);
        script.waits(Write::Data).arg(self.given_time()).arg(before);
        script.number(span(request.lifetime.idle)).number(span(request.lifetime.absolute));
        script.arg(request.lifetime.renewal.map(|d| span(d).to_string()).unwrap_or_default()).arg(behind);
        let answer = self.run(self.deadline(), Effect::Writes, &script).await?;
        let known = if answer.done { None } else { self.there(&request.key, answer.rest())? };
        let mut known = Known(vec![(request.key, known)]);
        let created = protocol::create(&mut known, answer.now, request);
        let created = created.map_err(|stopped| self.contradiction(stopped))?;
        answer.kept.told(created, |created| matches!(created, Created::Created { .. }))
    }

    pub(crate) async fn commit(self: Arc<Self>, request: Commit) -> Result<Committed, StoreError> {
        let deadline = self.deadline();
        let made = |committed: &Committed| matches!(committed, Committed::Committed(_));
        if let Some((committed, kept)) = self.replace(deadline, &request).await? {
            return kept.told(committed, made);
        }
        // On the heap, because it is large and hardly a commit takes it.
        Box::pin(self.commit_by_rules(deadline, request)).await
    }

    /// As the server's own clock and the lease that is there demand.
    async fn commit_by_rules(&self, deadline: Deadline, request: Commit) -> Result<Committed, StoreError> {
        let made = |committed: &Committed| matches!(committed, Committed::Committed(_));
        let key = request.key;
        let mut fixed = Vec::with_capacity(64);
        fixed.extend(layout::version_bytes(request.expected.next(request.op)));
        fixed.extend(layout::version_bytes(request.expected));
        fixed.extend(layout::epoch_and_checksum(&key, request.epoch, &request.payload));
        if let Some(lease) = request.lease {
            fixed.extend(layout::owner(lease.owner));
            fixed.extend(lease.hold.to_be_bytes());
        }
        let mut script = Invocation::new(&scripts::COMMIT, &[self.names.entry(&key)]);
        script.waits(Write::Data).arg(self.given_time()).arg(fixed);
        match request.slide {
            Some(idle) => script.number(span(idle)),
            None => script.arg(""),
        };
        script.number(span(request.unless_seen_within));
        // Whom to tell, where the lease is given back.
        match (request.release, request.lease) {
            (true, Some(_)) => script.arg(self.names.channel(&key)),
            _ => script.arg(""),
        };
        script.arg(request.payload.as_bytes());
        let answer = self.run(deadline, Effect::Writes, &script).await?;
        if answer.done {
            let record = layout::decode_around(answer.rest(), request.payload)
                .map_err(|malformed| error::corrupt(&self.place, malformed))?;
            let committed = Committed::Committed(Snapshot { record: Arc::new(record), now: answer.now });
            return answer.kept.told(committed, made);
        }
        let mut known = Known(vec![(key, self.there(&key, answer.rest())?)]);
        let told = protocol::commit(&mut known, answer.now, request);
        let told = told.map_err(|stopped| self.contradiction(stopped))?;
        answer.kept.told(told, made)
    }

    pub(crate) async fn acquire(self: Arc<Self>, request: Acquire) -> Result<Acquired, StoreError> {
        let key = request.key;
        let mut script = Invocation::new(&scripts::ACQUIRE, &[self.names.entry(&key)]);
        script.arg(self.given_time()).arg(layout::owner(request.owner)).number(span(request.lease));
        let heard = self.signals.heard(&key);
        let answer = self.run(self.deadline(), Effect::Writes, &script).await?;
        let there = self.there(&key, answer.rest())?;
        if !answer.done {
            let mut known = Known(vec![(key, there)]);
            let told = protocol::acquire(&mut known, answer.now, request);
            let told = told.map_err(|stopped| self.contradiction(stopped))?;
            if let Acquired::Locked { .. } = told {
                self.signals.locked(&key, heard);
            }
            return Ok(told);
        }
        match there {
            Some(Entry::Live { record, lease: Some(lease) }) => {
                Ok(Acquired::Acquired { snapshot: Snapshot { record, now: answer.now }, until: lease.until })
            }
            _ => Err(error::strange(&self.place, Effect::Writes)),
        }
    }

    pub(crate) async fn renew(self: Arc<Self>, request: Renew) -> Result<Renewed, StoreError> {
        let mut script = Invocation::new(&scripts::RENEW, &[self.names.entry(&request.key)]);
        script.arg(self.given_time()).arg(layout::owner(request.owner)).number(span(request.lease));
        let answer = self.run(self.deadline(), Effect::Writes, &script).await?;
        match self.told_time(&answer)? {
            Some(until) => Ok(Renewed::Renewed { until }),
            None => Ok(Renewed::LeaseLost),
        }
    }

    pub(crate) async fn release(self: Arc<Self>, request: Release) -> Result<Released, StoreError> {
        let mut script = Invocation::new(&scripts::RELEASE, &[self.names.entry(&request.key)]);
        script.arg(self.given_time()).arg(layout::owner(request.owner)).arg(self.names.channel(&request.key));
        let answer = self.run(self.deadline(), Effect::Writes, &script).await?;
        if answer.done {
            return Ok(Released::Released);
        }
        self.readable(answer.rest())?;
        Ok(Released::NotHeld)
    }

    pub(crate) async fn touch(self: Arc<Self>, request: Touch) -> Result<Touched, StoreError> {
        let mut script = Invocation::new(&scripts::TOUCH, &[self.names.entry(&request.key)]);
        script.arg(self.given_time()).number(span(request.idle));
        let answer = self.run(self.deadline(), Effect::Writes, &script).await?;
        match self.told_time(&answer)? {
            Some(idle_deadline) => Ok(Touched::Touched { idle_deadline }),
            None => Ok(Touched::NotLive),
        }
    }

    /// The time in an answer, where the script did what it was asked to.
    fn told_time(&self, answer: &crate::invocation::Answer) -> Result<Option<Timestamp>, StoreError> {
        if !answer.done {
            self.readable(answer.rest())?;
            return Ok(None);
        }
        match answer.rest().try_into() {
            Ok(bytes) => Ok(Some(layout::time(u64::from_be_bytes(bytes)))),
            Err(_) => Err(error::strange(&self.place, Effect::Writes)),
        }
    }

    /// What a script found in its way, by its first bytes: nothing, or something that can be read.
    fn readable(&self, first: &[u8]) -> Result<(), StoreError> {
        match first {
            [] | [layout::FORMAT, ..] => Ok(()),
            _ => Err(error::corrupt(&self.place, Malformed("format"))),
        }
    }

    /// What a script found under a key; nothing is told as no bytes.
    fn there(&self, key: &StoreKey, bytes: &[u8]) -> Result<Option<Entry>, StoreError> {
        (!bytes.is_empty()).then(|| self.decode(key, bytes)).transpose()
    }

    pub(crate) fn decode(&self, key: &StoreKey, bytes: &[u8]) -> Result<Entry, StoreError> {
        layout::decode(key, bytes).map_err(|malformed| self.unreadable(key, malformed))
    }

    /// What is stored under a key cannot be read.
    pub(crate) fn unreadable(&self, key: &StoreKey, malformed: Malformed) -> StoreError {
        tracing::error!(target: "cloakroom", session = ?key, part = malformed.0, "a stored session cannot be read");
        error::corrupt(&self.place, malformed)
    }

    /// A script refused what the rules allow, or the rules looked for something that was not read. Nothing was done.
    fn contradiction(&self, Stopped: Stopped) -> StoreError {
        error::unavailable(
            &self.place,
            "and this program do not agree on what a session may: run one version of it",
        )
    }
}

/// A duration in whole milliseconds that a script can add to a time.
fn span(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(layout::NEVER)
}

/// The answer to `TIME`: seconds and microseconds.
pub(crate) fn told_time(answer: Value) -> Option<Timestamp> {
    let Value::Array(parts) = answer else { return None };
    let number = |part: &Value| match part {
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    let [seconds, micros] = parts.as_slice() else { return None };
    Some(Timestamp::from_millis(number(seconds)?.saturating_mul(1000).saturating_add(number(micros)? / 1000)))
}

/// Whether the server is to tell of changes to what was read, where somebody keeps such things.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    Wanted,
    Unwanted,
}

/// Entries that were read, for the rules to look at.
#[derive(Default)]
pub(crate) struct Known(pub(crate) Vec<(StoreKey, Option<Entry>)>);

/// The rules looked for something that was not read, or would write where the script did not.
pub(crate) struct Stopped;

impl Known {
    fn has(&self, key: &StoreKey) -> bool {
        self.0.iter().any(|(known, _)| known == key)
    }
}

impl Table for Known {
    type Error = Stopped;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Stopped> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, entry)| entry.clone()).ok_or(Stopped)
    }

    /// The only write that follows from nothing being in the way is that of a create, which the script made.
    fn put(&mut self, key: &StoreKey, _: Entry) -> Result<(), Stopped> {
        match self.get(key)? {
            None => Ok(()),
            Some(_) => Err(Stopped),
        }
    }

    fn keys_of(&mut self, _: &UserId) -> Result<Vec<StoreKey>, Stopped> {
        Err(Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_as_the_time_is_read_however_far_off() {
        let told = |seconds: &str, micros: &str| {
            let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
            told_time(Value::Array(vec![text(seconds), text(micros)]))
        };
        assert_eq!(told("1800000000", "999999"), Some(Timestamp::from_millis(1_800_000_000_999)));
        for (seconds, micros) in [
            ("18446744073709551615", "0"),
            ("18446744073709551", "18446744073709551615"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert!(told(seconds, micros).is_some_and(|time| time > Timestamp::from_millis(1 << 62)));
        }
        assert_eq!(told("-1", "0"), None);
        assert_eq!(told_time(Value::Nil), None);
    }
}
