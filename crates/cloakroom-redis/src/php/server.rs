//! Redis as a place of PHP's sessions: three keys for each, looked at and changed by one script.

use std::sync::Arc;
use std::time::Instant;

use cloakroom::PlainId;
use cloakroom::clock::Timestamp;
use cloakroom::store::{StoreError, StoreErrorKind};
use cloakroom_php::layout::{Change, DataChange, Ground, Layout, LockChange, Matter, Seen, View};
use redis::Value;

use super::lock;
use crate::cluster::tag_beside;
use crate::durability::Write;
use crate::error::{self, Effect};
use crate::invocation::{Evaluated, Invocation};
use crate::scripts;
use crate::shared::{Deadline, Shared};
use crate::{BuildError, RedisBuilder};

/// A Redis in which a PHP application keeps sessions.
///
/// Lazy as [`RedisStore`](crate::RedisStore) is, and as quick to say that the server is away. Every operation is one script to look and, where something
/// changes, one to write.
pub struct PhpServer {
    shared: Arc<Shared>,
}

impl PhpServer {
    /// This server. Connects to nothing yet.
    ///
    /// The builder's prefix is that of our own keys, beside PHP's; the layout has PHP's.
    ///
    /// # Errors
    /// [`BuildError`]: which setting does not fit; a cluster is [`PhpServers`](super::PhpServers).
    pub fn new(server: RedisBuilder) -> Result<Self, BuildError> {
        let server = Self::anywhere(server)?;
        if server.is_cluster() { Err(BuildError::PhpInCluster) } else { Ok(server) }
    }

    /// One server or a cluster. In a cluster it is not asked for ids of different slots at once.
    pub(super) fn anywhere(server: RedisBuilder) -> Result<Self, BuildError> {
        let server = PhpServer { shared: server.build()?.into_shared() };
        if server.is_cluster() && server.confirms(Matter::Identity) {
            return Err(BuildError::PhpDurabilityInCluster);
        }
        Ok(server)
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.shared.nodes.cluster().is_some()
    }

    /// What is under a key, as PHP wrote it: for looking at one. Nothing is changed, no lock is asked for.
    ///
    /// # Errors
    /// The server cannot be asked, or what is there is no string. The text does not repeat the key, which has a session's id in it.
    pub async fn value(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let script = Invocation::new(&scripts::PHP_LOOK, &[key.to_owned()]);
        let deadline = Deadline::until(self.deadline());
        let answer = self.shared.evaluate(deadline, Effect::Reads, &script).await?.told.value;
        match answer {
            Value::Array(parts) => match parts.into_iter().nth(1) {
                Some(Value::BulkString(value)) => Ok(value.strip_prefix(b"+").map(<[u8]>::to_vec)),
                _ => Err(error::strange(&self.shared.place, Effect::Reads)),
            },
            _ => Err(error::strange(&self.shared.place, Effect::Reads)),
        }
    }

    /// The keys of a session: PHP's value, the lock (ours, where PHP takes none), what is beside. In a cluster all are in one slot.
    fn keys_of(&self, layout: &Layout, id: &PlainId) -> [String; 3] {
        let digest = data_encoding::BASE64URL_NOPAD.encode(id.key().as_bytes());
        let data = layout.data_name(id);
        let tag = if self.is_cluster() { tag_beside(data.as_bytes()) } else { String::new() };
        let ours = |what: &str| format!("{}{what}:{tag}{digest}", self.shared.names.prefix());
        let lock = layout.lock_name(id).unwrap_or_else(|| ours("php-lock"));
        [data, lock, ours("php")]
    }

    /// A lock of PHP's would be in another slot than the session.
    fn fits(&self, layout: &Layout, ids: &[PlainId]) -> Result<(), StoreError> {
        if !self.is_cluster() || ids.iter().all(|id| layout.lock_name(id).is_none()) {
            return Ok(());
        }
        let why = format!(
            "the PHP layout {} is one for single servers, and {} is a cluster: take it with Layout::in_cluster",
            layout.name(),
            self.shared.place
        );
        Err(StoreError::new(StoreErrorKind::Refused, why))
    }
}

/// Which of a session's keys.
#[derive(Clone, Copy)]
enum Key {
    Data,
    Lock,
    Beside,
}

/// The kind of write that is waited for, if any is.
fn write(matter: Matter) -> Option<Write> {
    match matter {
        Matter::Passing => None,
        Matter::Data => Some(Write::Data),
        Matter::Identity => Some(Write::Identity),
    }
}

/// What the script does to one key.
struct Step {
    what: &'static str,
    key: Key,
    value: Vec<u8>,
    until: Timestamp,
}

/// The steps of the script that make a change.
fn steps(change: &Change, now: Timestamp) -> Vec<Step> {
    let set = |key, value: Vec<u8>, until: Timestamp| {
        let what = if until == Timestamp::NEVER { "N" } else { "S" };
        Step { what, key, value, until }
    };
    let delete = |key| Step { what: "D", key, value: Vec::new(), until: now };
    let mut steps = Vec::with_capacity(3);
    match &change.data {
        DataChange::Keep => {}
        DataChange::Write(value, until) => steps.push(set(Key::Data, value.clone(), *until)),
        DataChange::Expire(until) => {
            steps.push(Step { what: "X", key: Key::Data, value: Vec::new(), until: *until });
        }
        DataChange::Delete => steps.push(delete(Key::Data)),
    }
    if let Some((value, until)) = &change.beside {
        steps.push(set(Key::Beside, value.clone(), *until));
    }
    match change.lock {
        LockChange::Keep => {}
        LockChange::Hold(lease) => {
            steps.push(set(Key::Lock, lock::token(&lease).into_bytes(), lease.until));
        }
        LockChange::Free => steps.push(delete(Key::Lock)),
    }
    steps
}

impl Ground for PhpServer {
    fn place(&self) -> &str {
        &self.shared.place
    }

    fn deadline(&self) -> Instant {
        self.shared.deadline().ends
    }

    async fn look(&self, deadline: Instant, layout: &Layout, ids: &[PlainId]) -> Result<View, StoreError> {
        self.fits(layout, ids)?;
        let names: Vec<String> = ids.iter().flat_map(|id| self.keys_of(layout, id)).collect();
        let script = Invocation::new(&scripts::PHP_LOOK, &names);
        let answer =
            self.shared.evaluate(Deadline::until(deadline), Effect::Reads, &script).await?.told.value;
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
        let mut view = View { now, sessions: Vec::with_capacity(ids.len()) };
        for id in ids {
            let mut read = || -> Result<(Option<Vec<u8>>, Timestamp), StoreError> {
                let (value, expires) = (next()?, number(next()?)?);
                let until = u64::try_from(expires).map_or(Timestamp::NEVER, Timestamp::from_millis);
                Ok((value.strip_prefix(b"+").map(<[u8]>::to_vec), until))
            };
            let (data, idle_deadline) = read()?;
            let (token, locked_until) = read()?;
            let (beside, _) = read()?;
            let lock = token.map(|token| lock::held(token, locked_until));
            view.sessions.push(Seen { id: id.clone(), data, idle_deadline, lock, beside });
        }
        Ok(view)
    }

    async fn apply(
        &self,
        deadline: Instant,
        layout: &Layout,
        view: &View,
        changes: Vec<Change>,
        matter: Matter,
    ) -> Result<bool, StoreError> {
        let names: Vec<String> =
            view.sessions.iter().flat_map(|seen| self.keys_of(layout, &seen.id)).collect();
        let mut script = Invocation::new(&scripts::PHP_APPLY, &names);
        script.number(names.len() as u64);
        for seen in &view.sessions {
            let token = seen.lock.as_ref().map(|held| &held.token);
            for value in [seen.data.as_ref(), token, seen.beside.as_ref()] {
                match value {
                    Some(value) => script.arg([b"+", value.as_slice()].concat()),
                    None => script.arg("-"),
                };
            }
        }
        for change in &changes {
            for step in steps(change, view.now) {
                let key = 3 * change.at + step.key as usize + 1;
                script.arg(step.what).number(key as u64).arg(step.value);
                script.number(step.until.as_millis().min(1 << 52));
            }
        }
        if let Some(write) = write(matter) {
            script.waits(write);
        }
        let effect = if changes.is_empty() { Effect::Reads } else { Effect::Writes };
        let Evaluated { told, kept } =
            self.shared.evaluate(Deadline::until(deadline), effect, &script).await?;
        match told.value {
            Value::BulkString(told) if told == b"done" => kept.told(true, |_| true),
            Value::BulkString(told) if told == b"changed" => Ok(false),
            _ => Err(error::strange(&self.shared.place, effect)),
        }
    }

    fn confirms(&self, matter: Matter) -> bool {
        write(matter).is_some_and(|write| self.shared.waits_for(write))
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.shared.clone().tell_time().await
    }
}

/// Where, not as whom.
impl std::fmt::Debug for PhpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhpServer").field("place", &self.shared.place).finish_non_exhaustive()
    }
}
