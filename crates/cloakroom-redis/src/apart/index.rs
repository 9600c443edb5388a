//! The index of a user: announced, read, tidied.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::store::{Ending, Loaded, Snapshot, StoreError, StoreErrorKind, Summary};
use cloakroom::{RecordId, StoreKey, UserId};
use redis::{Pipeline, Value};

use crate::durability::{Kept, Write};
use crate::error::{self, Effect};
use crate::invocation::Invocation;
use crate::layout;
use crate::names::Names;
use crate::scripts;
use crate::sessions::told_time;
use crate::shared::{Deadline, Shared, Spot};
use crate::step::MemberChange;
use crate::together;

/// How long what is announced may become a session.
const ANNOUNCED: Duration = Duration::from_secs(30);
/// How long after it was decided a session may become a user's. Much shorter: the announcement came after that.
pub(crate) const COMMITTED: Duration = Duration::from_secs(10);
/// Ids of one line that are followed from one to the next, at most.
const MOST_HOPS: usize = 16;
/// Sessions that are asked for at once.
pub(super) const AT_ONCE: usize = 64;

/// A user's sessions, and what else is in the index.
pub(super) struct Sessions {
    /// When the index was read, by the clock of its node.
    pub(super) now: Timestamp,
    /// Alive, oldest first.
    pub(super) alive: Vec<Summary>,
    /// Announced, and not there.
    pub(super) announced: Vec<(StoreKey, RecordId)>,
    /// What is no session of the user.
    leftovers: Vec<Vec<u8>>,
}

impl Sessions {
    /// Counts in what was found there, once; whether it is a session of the user.
    fn found(&mut self, user: &UserId, at: StoreKey, there: Loaded) -> bool {
        let Loaded::Live(Snapshot { record, .. }) = there else { return false };
        let is_theirs = record.user.as_ref() == Some(user);
        if is_theirs && !self.alive.iter().any(|known| known.record_id == record.id) {
            self.alive.push(Summary::of(at, &record));
        }
        is_theirs
    }

    pub(super) fn has_leftovers(&self) -> bool {
        !self.leftovers.is_empty()
    }
}

impl Shared {
    /// Announces that a session is about to become its user's. Answers with whether that is kept where it is to be.
    pub(crate) async fn announce(
        &self,
        deadline: Deadline,
        change: &MemberChange,
    ) -> Result<Kept, StoreError> {
        let (Some(until), Some(record)) = (change.until, change.record) else { return Ok(Kept::AsAsked) };
        let names = [self.names.index(&change.user), self.names.announced(&change.user)];
        let mut script = Invocation::new(&scripts::RESERVE, &names);
        script
            .waits(Write::Identity)
            .arg(self.given_time())
            .arg(&change.member)
            .number(layout::millis(until));
        script.arg(record.as_bytes()).number(u64::try_from(ANNOUNCED.as_millis()).unwrap_or(u64::MAX));
        match self.run(deadline, Effect::Writes, &script).await {
            // An announcement that nobody keeps to does no harm: whether it was made does not matter where nothing follows.
            Err(error) if error.kind() == StoreErrorKind::Unknown => {
                Err(StoreError::new(StoreErrorKind::Unavailable, error.to_string()))
            }
            told => told.map(|announced| announced.kept),
        }
    }

    /// Takes out of the indexes what these changes say, and what has come true out of what is announced.
    pub(crate) async fn tidy(self: Arc<Self>, changes: Vec<MemberChange>) {
        let mut of_users: HashMap<UserId, Vec<(&str, Vec<u8>)>> = HashMap::new();
        for change in changes {
            let sign = if change.until.is_some() { "+" } else { "-" };
            of_users.entry(change.user).or_default().push((sign, change.member));
        }
        for (user, members) in of_users {
            self.tidy_one(&user, members).await;
        }
    }

    /// Takes out of an index what was seen to be no session of the user.
    pub(super) async fn take_out(self: Arc<Self>, user: UserId, sessions: Sessions) {
        let members = sessions.leftovers.into_iter().map(|member| ("?", member)).collect();
        self.tidy_one(&user, members).await;
    }

    async fn tidy_one(&self, user: &UserId, members: Vec<(&str, Vec<u8>)>) {
        let names = [self.names.index(user), self.names.announced(user)];
        let mut script = Invocation::new(&scripts::TIDY, &names);
        script.arg(self.given_time());
        for (sign, member) in members {
            script.arg(sign).arg(member);
        }
        let _ = self.run(self.deadline(), Effect::Writes, &script).await;
    }

    /// The sessions of a user, each from where it is.
    pub(super) async fn sessions_of(
        &self,
        deadline: Deadline,
        user: &UserId,
    ) -> Result<Sessions, StoreError> {
        let (now, members, announced) = self.members_of(deadline, user).await?;
        let mut sessions = Sessions { now, alive: Vec::new(), announced: Vec::new(), leftovers: Vec::new() };
        for some in members.chunks(AT_ONCE) {
            let asked = some.iter().map(|member| async move {
                match Names::of_member(member) {
                    Some(key) => Some((key, self.load_wherever(deadline, key).await)),
                    None => None,
                }
            });
            for (member, found) in some.iter().zip(together::all(asked).await) {
                let Some((key, found)) = found else {
                    sessions.leftovers.push(member.clone());
                    continue;
                };
                match found {
                    Ok((at, there)) => {
                        let is_here = sessions.found(user, at, there) && at == key;
                        match announced.get(member) {
                            _ if is_here => {}
                            Some(record) => sessions.announced.push((key, *record)),
                            None => sessions.leftovers.push(member.clone()),
                        }
                    }
                    // Trouble for itself, not for its user's other sessions. It stays: it may be looked into.
                    Err(error) if error.kind() == StoreErrorKind::Corrupt => {}
                    Err(error) => return Err(error),
                }
            }
        }
        sessions.alive.sort_by_key(|session| (session.created, session.record_id));
        Ok(sessions)
    }

    /// A session, also where its id has changed since the index was read: the next one was announced after that.
    async fn load_wherever(
        &self,
        deadline: Deadline,
        key: StoreKey,
    ) -> Result<(StoreKey, Loaded), StoreError> {
        let mut at = key;
        for _ in 0..MOST_HOPS {
            match self.load_at(deadline, at).await? {
                Loaded::Ended(Ending::Moved { to, user_changed: false }) => at = to,
                Loaded::Alias { successor, snapshot, .. } => return Ok((successor, Loaded::Live(snapshot))),
                there => return Ok((at, there)),
            }
        }
        Err(error::unavailable(&self.place, "holds a session whose id changes all the time"))
    }

    /// What is in the index or announced; of the announced, their records.
    #[allow(clippy::type_complexity, reason = "taken apart where it is asked for")]
    async fn members_of(
        &self,
        deadline: Deadline,
        user: &UserId,
    ) -> Result<(Timestamp, Vec<Vec<u8>>, HashMap<Vec<u8>, RecordId>), StoreError> {
        let strange = || error::strange(&self.place, Effect::Reads);
        let index = self.names.index(user);
        let mut reading = Pipeline::with_capacity(3);
        reading.cmd("ZRANGE").arg(&index).arg(0).arg(-1);
        // Behind the index: what is announced between both is in the second one.
        reading.cmd("HGETALL").arg(self.names.announced(user));
        reading.cmd("TIME");
        let told = self.read_all(deadline, Spot::of(&index), &reading).await?;
        let mut answers = told.value.into_iter();
        let Some(Value::Array(in_index)) = answers.next() else { return Err(strange()) };
        let in_list = match answers.next() {
            Some(Value::Map(pairs)) => pairs,
            Some(Value::Array(all)) if all.is_empty() => Vec::new(),
            _ => return Err(strange()),
        };
        let now = self.given().or_else(|| answers.next().and_then(told_time)).ok_or_else(strange)?;
        let mut members = Vec::with_capacity(in_index.len());
        for member in in_index {
            let Value::BulkString(member) = member else { return Err(strange()) };
            members.push(member);
        }
        let mut announced = HashMap::new();
        for pair in in_list {
            let (Value::BulkString(member), Value::BulkString(what)) = pair else { return Err(strange()) };
            let Some((until, record)) = what.split_first_chunk::<8>() else { continue };
            let Ok(record) = record.try_into() else { continue };
            if layout::millis(now) <= u64::from_be_bytes(*until) {
                if !members.contains(&member) {
                    members.push(member.clone());
                }
                announced.insert(member, RecordId::from_bytes(record));
            }
        }
        Ok((now, members, announced))
    }
}
