//! Writes that are waited for until they are kept elsewhere as well: by `WAIT`, or by `WAITAOF` where disks count.
//!
//! Both wait for what their own connection has written, and keep it from doing anything else meanwhile. So such a write goes over one
//! of a few connections kept for that, one at a time, with the wait right behind it in the same packet. A write that was made before
//! and is only recognised now writes nothing; an `SPUBLISH` that nobody hears stands between the two, for it is replicated, and whoever has
//! it has what came before.
//!
//! In a cluster that does not hold: nodes hand such messages to one another past replication, and a command may be sent on to
//! another node while the wait behind it is not. So there it is refused when the store is built.
//!
//! An answer that comes with too few confirmations is no failure of the write: [`StoreError::undurable`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::store::StoreError;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::Semaphore;

use crate::error::{self, Effect};
use crate::invocation::Evaluated;
use crate::link::Link;
use crate::node::{Node, Nodes};
use crate::permissions;
use crate::shared::{Asking, Deadline, Shared, Told};

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
    /// The end of a sentence about the server.
    Fewer(String),
}

impl Kept {
    /// An answer to a call, where it says that something was made.
    pub(crate) fn told<A: Send + Sync + 'static>(
        self,
        place: &str,
        answer: A,
        made: impl FnOnce(&A) -> bool,
    ) -> Result<A, StoreError> {
        match self {
            Kept::Fewer(why) if made(&answer) => Err(StoreError::undurable(format!("{place} {why}"), answer)),
            _ => Ok(answer),
        }
    }
}

/// The connections for writes that are waited for.
pub(crate) struct Waiting {
    wanted: Durability,
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
    pub(crate) fn new(wanted: Durability, link: impl Fn() -> Link) -> Self {
        let links: Vec<Link> = (0..CONNECTIONS).map(|_| link()).collect();
        let idle = (0..links.len()).rev().collect();
        Waiting { wanted, free: Semaphore::new(links.len()), links, idle: Mutex::new(idle) }
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

    /// What goes behind a write.
    fn behind(&self, write: &Cmd, channel: &str, deadline: Deadline) -> Pipeline {
        let left = deadline.ends.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
        // 0 would be for ever.
        let millis = u64::try_from(self.wanted.within.min(left).as_millis()).unwrap_or(u64::MAX).max(1);
        let mut all = Pipeline::with_capacity(3);
        all.add_command(write.clone());
        all.cmd("SPUBLISH").arg(channel).arg("");
        match self.wanted.disk {
            false => all.cmd("WAIT").arg(self.wanted.replicas).arg(millis),
            true => all.cmd("WAITAOF").arg(1).arg(self.wanted.replicas).arg(millis),
        };
        all
    }

    /// What the answers to that mean.
    fn kept(&self, published: &Value, waited: &Value, prefix: &str) -> Kept {
        let Durability { replicas, disk, .. } = self.wanted;
        for answer in [published, waited] {
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
            return Kept::Fewer(format!("made the write, and {why}"));
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
            "made the write, and {elsewhere} of {replicas} replicas confirmed it in time{disk}"
        ))
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
    /// Where such a write goes if it is to be waited for, and over which connections.
    pub(crate) fn waiting_for(&self, write: Write) -> Option<(&Arc<Node>, &Waiting)> {
        let Nodes::One(node) = &self.nodes else { return None };
        let waiting = node.waiting.as_ref().filter(|waiting| waiting.wanted.is_for(write))?;
        Some((node, waiting))
    }

    /// Runs a script and waits until what it wrote is kept where it is to be, or until it is too late for that.
    pub(crate) async fn evaluate_waiting(
        &self,
        node: &Arc<Node>,
        waiting: &Waiting,
        deadline: Deadline,
        effect: Effect,
        script: &Cmd,
    ) -> Result<Evaluated, StoreError> {
        let lane = waiting.lane(deadline).await;
        let Some(link) = lane.as_ref().and_then(Lane::link) else {
            let why = "has every connection for writes that wait for replicas waiting: nothing was sent";
            return Err(error::unavailable(&node.place, why));
        };
        let channel = self.names.notice();
        let all = waiting.behind(script, &channel, deadline);
        let told = self.ask_over(Some(link), node.clone(), deadline, effect, &Asking::Many(&all)).await?;
        let parts: Option<[Value; 3]> = match told.value {
            Value::Array(parts) => parts.try_into().ok(),
            _ => None,
        };
        let [value, published, waited] = parts.ok_or_else(|| error::strange(&node.place, effect))?;
        Ok(Evaluated {
            told: Told { value, ..told },
            kept: waiting.kept(&published, &waited, self.names.prefix()),
        })
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiting({:?})", self.wanted)
    }
}
