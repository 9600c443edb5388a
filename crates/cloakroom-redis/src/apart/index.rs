//! The index of a user: announced, read, tidied.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::store::{StoreError, StoreErrorKind, Summary};
use cloakroom::{RecordId, StoreKey, UserId};
use redis::{Pipeline, Value};

use super::line::There;
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
/// Sessions that are asked for at once.
pub(super) const AT_ONCE: usize = 64;
/// Members that are taken out of an index at once: the server does nothing else meanwhile.
const TAKEN_OUT: usize = 1000;

/// A user's sessions, and what else is in the index.
pub(super) struct Sessions {
    /// When the index was read, by the clock of its node.
    pub(super) now: Timestamp,
    /// Alive, oldest first.
    pub(super) alive: Vec<Summary>,
    /// Announced, and not there.
    pub(super) announced: Vec<(StoreKey, RecordId)>,
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
    async fn take_out(self: Arc<Self>, user: UserId, leftovers: Vec<Vec<u8>>) {
        for some in leftovers.chunks(TAKEN_OUT) {
            self.tidy_one(&user, some.iter().map(|member| ("?", member.clone())).collect()).await;
        }
    }

    async fn tidy_one(&self, user: &UserId, members: Vec<(&str, Vec<u8>)>) {
        let mut names = vec![self.names.index(user)];
        names.extend(self.nodes.cluster().map(|_| self.names.announced(user)));
        let mut script = Invocation::new(&scripts::TIDY, &names);
        script.arg(self.given_time());
        for (sign, member) in members {
            script.arg(sign).arg(member);
        }
        let _ = self.run(self.deadline(), Effect::Writes, &script).await;
    }

    /// The sessions of a user, each from where it is. What else is in the index is taken out beside that.
    pub(super) async fn sessions_of(
        self: &Arc<Self>,
        deadline: Deadline,
        user: &UserId,
    ) -> Result<Sessions, StoreError> {
        let (now, members, announced) = self.members_of(deadline, user).await?;
        let mut sessions = Sessions { now, alive: Vec::new(), announced: Vec::new() };
        let (mut known, mut leftovers, mut failed) = (HashSet::new(), Vec::new(), None);
        for some in members.chunks(AT_ONCE) {
            let asked = some.iter().map(|member| async move {
                match Names::of_member(member) {
                    Some(key) => Some((key, self.whereabouts(deadline, user, key).await)),
                    None => None,
                }
            });
            for (member, found) in some.iter().zip(together::all(asked).await) {
                let Some((key, found)) = found else {
                    leftovers.push(member.clone());
                    continue;
                };
                let found = match found {
                    Ok(found) => found,
                    // Trouble for itself, not for its user's other sessions. It stays: it may be looked into.
                    Err(error) if error.kind() == StoreErrorKind::Corrupt => continue,
                    Err(error) => {
                        failed = Some(error);
                        continue;
                    }
                };
                let is_here = found.as_ref().is_some_and(|session| session.key == key);
                sessions.alive.extend(found.filter(|session| known.insert(session.record_id)));
                match announced.get(member) {
                    _ if is_here => {}
                    Some(record) => sessions.announced.push((key, *record)),
                    None => leftovers.push(member.clone()),
                }
            }
            if failed.is_some() {
                break;
            }
        }
        if !leftovers.is_empty() {
            // Nobody waits for an index to be tidied. Also where time was up in the midst of it: the next one that looks has less to look at.
            tokio::spawn(self.clone().take_out(user.clone(), leftovers));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        sessions.alive.sort_by_key(|session| (session.created, session.record_id));
        Ok(sessions)
    }

    /// A session of the user, also where its id has changed since the index was read: the next one was announced after that.
    async fn whereabouts(
        self: &Arc<Self>,
        deadline: Deadline,
        user: &UserId,
        key: StoreKey,
    ) -> Result<Option<Summary>, StoreError> {
        let reached = self.look_along(deadline, key).await?;
        Ok(match reached.there {
            There::Alive(record) if record.user.as_ref() == Some(user) => {
                Some(Summary { size: reached.size, ..Summary::of(reached.key, &record) })
            }
            _ => None,
        })
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
        reading.cmd("TIME");
        if self.nodes.cluster().is_some() {
            // Behind the index: what is announced between both is in the second one.
            reading.cmd("HGETALL").arg(self.names.announced(user));
        }
        let told = self.read_all(deadline, Spot::of(&index), &reading).await?;
        let mut answers = told.value.into_iter();
        let Some(Value::Array(in_index)) = answers.next() else { return Err(strange()) };
        let time = answers.next().and_then(told_time);
        let now = self.given().or(time).ok_or_else(strange)?;
        let in_list = match answers.next() {
            Some(Value::Map(pairs)) => pairs,
            Some(Value::Array(all)) if all.is_empty() => Vec::new(),
            None => Vec::new(),
            _ => return Err(strange()),
        };
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
