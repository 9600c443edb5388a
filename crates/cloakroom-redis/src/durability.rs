//! Writes that are waited for until they are kept elsewhere as well: by `WAIT`, or by `WAITAOF` where disks count.
//!
//! Both wait for what their own connection has written, and keep it from doing anything else meanwhile. So such a write goes over one
//! of a few connections kept for that, one at a time, with the wait right behind it in the same packet. A write that was made before
//! and is only recognised now writes nothing; an `SPUBLISH` that nobody hears stands between the two, for it is replicated, and whoever has
//! it has what came before.
//!
//! In a cluster that does not hold, for nodes hand such messages to one another past replication. There a script stands between the
//! two that gives the key of the write the expiry that it has. A write that is sent on to another node is sent there with all that
//! stands behind it, and what the node that sent it on waited for does not count. What concerns a user is kept in two places, and
//! waited for in both: see `apart`.
//!
//! An answer that comes with too few confirmations is no failure of the write: [`StoreError::undurable`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::store::StoreError;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::Semaphore;

use crate::asking::Asking;
use crate::error::{self, Effect};
use crate::invocation::{Evaluated, Invocation};
use crate::link::Link;
use crate::node::{Node, Nodes};
use crate::permissions;
use crate::scripts;
use crate::shared::{Deadline, Shared, Told};

/// Connections for such writes, made as they are needed. As many writes wait at once.
const CONNECTIONS: usize = 16;
/// What is left of a call's time for the answer to come in.
const MARGIN: Duration = Duration::from_millis(200);
/// What there must be left of it, for a write to be sent that had to wait for its turn.
const TOO_LATE: Duration = Duration::from_millis(400);

/// What a write is waited for, before it is acknowledged.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_redis::{Durability, RedisStore};
///
/// let store = RedisStore::builder("redis://localhost")?
///     .durability(Durability::replicas(1).within(Duration::from_millis(500)))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    pub(crate) replicas: u32,
    pub(crate) disk: bool,
    pub(crate) within: Duration,
    pub(crate) all: bool,
}

impl Durability {
    /// So many replicas have it (`WAIT`).
    #[must_use]
    pub fn replicas(replicas: u32) -> Self {
        Durability { replicas, disk: false, within: Duration::from_secs(1), all: true }
    }

    /// It is on the server's own disk (`WAITAOF`), which must keep an append-only file.
    #[must_use]
    pub fn disk() -> Self {
        Durability { disk: true, ..Self::replicas(0) }
    }

    /// It is on the disks of the server and of so many replicas (`WAITAOF`, with Redis 7.2 or Valkey).
    #[must_use]
    pub fn on_disk(mut self) -> Self {
        self.disk = true;
        self
    }

    /// How long that may take; 1 s unless told. The deadline of the call ends it before.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Only what must not come undone: logins and other changes of id, ends, revocations. Other writes are acknowledged as without
    /// it.
    #[must_use]
    pub fn only_logins_and_ends(mut self) -> Self {
        self.all = false;
        self
    }

    fn is_for(&self, write: Write) -> bool {
        self.all || write == Write::Identity
    }

    /// What the answers to that mean.
    fn kept(&self, place: &str, noticed: &Value, waited: &Value, prefix: &str) -> Kept {
        let Durability { replicas, disk, .. } = *self;
        for answer in [noticed, waited] {
            let Value::ServerError(told) = answer else { continue };
            let why =
                permissions::refused(told.code(), told.details(), Some(prefix)).unwrap_or_else(
                    || {
                        match disk {
                true => "cannot wait for its disk: that takes an append-only file, and Redis 7.2 or Valkey"
                    .to_owned(),
                false => format!("refused to wait for {replicas} replicas"),
            }
                    },
                );
            return Kept::Fewer(format!("{place} made the write, and {why}"));
        }
        let (here, elsewhere) = match waited {
            Value::Int(replicas) => (0, *replicas),
            Value::Array(counts) => match counts.as_slice() {
                [Value::Int(here), Value::Int(replicas)] => (*here, *replicas),
                _ => (0, 0),
            },
            _ => (0, 0),
        };
        if elsewhere >= i64::from(replicas) && (!disk || here >= 1) {
            return Kept::AsAsked;
        }
        let disk = if disk && here < 1 { ", and it is not on its own disk" } else { "" };
        Kept::Fewer(format!(
            "{place} made the write, and {elsewhere} of {replicas} replicas confirmed it in time{disk}"
        ))
    }
}

/// A write that is waited for.
pub(crate) struct Waited<'a> {
    wanted: Durability,
    write: &'a Cmd,
    /// What is replicated whatever the write was.
    notice: &'a Cmd,
}

impl Waited<'_> {
    /// For how long it is to be waited for: of what is left now, when it is sent. A connection may have been waited for.
    pub(crate) fn time(&self, ends: Instant) -> Duration {
        let left = ends.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
        // 0 would be for ever.
        self.wanted.within.min(left).max(Duration::from_millis(1))
    }

    /// The write and what goes behind it.
    pub(crate) fn words(&self, time: Duration) -> Pipeline {
        let Durability { replicas, disk, .. } = self.wanted;
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut words = Pipeline::with_capacity(3);
        words.add_command(self.write.clone());
        words.add_command(self.notice.clone());
        match disk {
            false => words.cmd("WAIT").arg(replicas).arg(millis),
            true => words.cmd("WAITAOF").arg(1).arg(replicas).arg(millis),
        };
        words
    }
}

/// What a write is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// The data of a session.
    Data,
    /// Under which id it goes, whose it is, whether it is over.
    Identity,
}

/// Whether a write is kept where it is to be.
#[derive(Clone)]
pub(crate) enum Kept {
    AsAsked,
    /// A sentence about the server.
    Fewer(String),
}

impl Kept {
    /// An answer to a call, where it says that something was made.
    pub(crate) fn told<A: Send + Sync + 'static>(
        self,
        answer: A,
        made: impl FnOnce(&A) -> bool,
    ) -> Result<A, StoreError> {
        match self {
            Kept::Fewer(why) if made(&answer) => Err(StoreError::undurable(why, answer)),
            _ => Ok(answer),
        }
    }

    /// The same of an answer that there may be none of: whoever is told that something was made and is not kept finds the answer
    /// itself in the error.
    pub(crate) fn told_if_any<A: Send + Sync + 'static>(
        told: Result<Option<A>, StoreError>,
        made: impl FnOnce(&A) -> bool,
    ) -> Result<Option<A>, StoreError> {
        match Self::apart(told)? {
            (Some(answer), kept) => kept.told(answer, made).map(Some),
            (None, _) => Ok(None),
        }
    }

    /// Of what was made in two places.
    pub(crate) fn and(self, other: Self) -> Self {
        match self {
            Kept::AsAsked => other,
            fewer @ Kept::Fewer(_) => fewer,
        }
    }

    /// Takes an answer apart: what was made, and whether that is kept where it is to be.
    pub(crate) fn apart<A: 'static>(told: Result<A, StoreError>) -> Result<(A, Self), StoreError> {
        match told {
            Ok(answer) => Ok((answer, Kept::AsAsked)),
            Err(mut error) => match error.take_made() {
                Some(answer) => Ok((answer, Kept::Fewer(error.to_string()))),
                None => Err(error),
            },
        }
    }
}

/// The connections for writes that are waited for.
pub(crate) struct Waiting {
    links: Vec<Link>,
    free: Semaphore,
    /// Those that were used last are last.
    idle: Mutex<Vec<usize>>,
}

/// One of them, for as long as it is used.
struct Lane<'w> {
    waiting: &'w Waiting,
    number: usize,
    _permit: tokio::sync::SemaphorePermit<'w>,
}

impl Waiting {
    pub(crate) fn new(link: impl Fn() -> Link) -> Self {
        let links: Vec<Link> = (0..CONNECTIONS).map(|_| link()).collect();
        let idle = (0..links.len()).rev().collect();
        Waiting { free: Semaphore::new(links.len()), links, idle: Mutex::new(idle) }
    }

    /// The server is not the right one any more.
    pub(crate) fn cut(&self) {
        self.links.iter().for_each(Link::cut);
    }

    /// One that nobody uses; nothing when time is up.
    async fn lane(&self, deadline: Deadline) -> Option<Lane<'_>> {
        let last = deadline.ends.checked_sub(TOO_LATE).unwrap_or(deadline.began);
        let permit = tokio::time::timeout_at(last.into(), self.free.acquire()).await.ok()?.ok()?;
        let number = self.idle.lock().pop()?;
        Some(Lane { waiting: self, number, _permit: permit })
    }
}

impl Lane<'_> {
    fn link(&self) -> Option<&Link> {
        self.waiting.links.get(self.number)
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.waiting.idle.lock().push(self.number);
    }
}

impl Shared {
    /// Whether such a write is to be waited for.
    pub(crate) fn waits_for(&self, write: Write) -> bool {
        self.durability.is_some_and(|wanted| wanted.is_for(write))
    }

    /// Runs a script and waits until what it wrote is kept where it is to be, or until it is too late for that.
    pub(crate) async fn evaluate_waiting(
        &self,
        wanted: Durability,
        deadline: Deadline,
        effect: Effect,
        invocation: &Invocation,
        script: &Cmd,
    ) -> Result<Evaluated, StoreError> {
        let notice = self.notice(invocation);
        let waited = Waited { wanted, write: script, notice: &notice };
        let asking = Asking::Waited(&waited);
        let told = match &self.nodes {
            Nodes::One(node) => self.ask_waiting(node.clone(), deadline, effect, &asking).await?,
            Nodes::Cluster(cluster) => {
                self.ask_cluster(cluster, deadline, effect, invocation.spot, &asking, Over::Waiting).await?
            }
        };
        let parts: Option<[Value; 3]> = match told.value {
            Value::Array(parts) => parts.try_into().ok(),
            _ => None,
        };
        let [value, noticed, waited] = parts.ok_or_else(|| error::strange(&told.by.place, effect))?;
        let kept = wanted.kept(&told.by.place, &noticed, &waited, self.names.prefix());
        Ok(Evaluated { told: Told { value, ..told }, kept })
    }

    /// What is replicated whatever the write was, and changes nothing.
    fn notice(&self, invocation: &Invocation) -> Cmd {
        match &self.nodes {
            Nodes::One(_) => {
                let mut publish = redis::cmd("SPUBLISH");
                publish.arg(self.names.notice()).arg("");
                publish
            }
            Nodes::Cluster(_) => {
                let mut note = redis::cmd("EVAL");
                note.arg(&scripts::NOTE.text).arg(1).arg(invocation.first_key());
                note
            }
        }
    }

    /// Whether what was written to this key before is kept where it is to be.
    pub(crate) async fn kept_before(&self, deadline: Deadline, name: String) -> Result<Kept, StoreError> {
        if !self.waits_for(Write::Identity) {
            return Ok(Kept::AsAsked);
        }
        let mut note = Invocation::new(&scripts::NOTE, &[name]);
        note.waits(Write::Identity);
        Ok(self.evaluate(deadline, Effect::Reads, &note).await?.kept)
    }

    /// Asks this node, over a connection that nobody else uses meanwhile.
    pub(crate) async fn ask_waiting(
        &self,
        node: Arc<Node>,
        deadline: Deadline,
        effect: Effect,
        asking: &Asking<'_>,
    ) -> Result<Told<Value>, StoreError> {
        let lane = match &node.waiting {
            Some(waiting) => waiting.lane(deadline).await,
            None => None,
        };
        let Some(link) = lane.as_ref().and_then(Lane::link) else {
            let why = "has every connection for writes that wait for replicas waiting: nothing was sent";
            return Err(error::unavailable(&node.place, why));
        };
        self.ask_over(Some(link), node.clone(), deadline, effect, asking).await
    }
}

/// Over which connections to a node a command goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Those that all share.
    Shared,
    /// Those for writes that are waited for.
    Waiting,
}
