//! What a store keeps of a session.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::{OpId, RecordId, UserId};
use crate::payload::Payload;

/// The state of a record after one particular operation. Never reused.
///
/// The counter orders, the operation id makes it unique: after a restored backup or a failover, an old
/// "version 7" is not the new "version 7".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Version {
    /// One more than the version this one replaced.
    pub counter: u64,
    /// The operation that produced it.
    pub op: OpId,
}

impl Version {
    /// The version of a record that `op` has just created.
    pub const fn first(op: OpId) -> Self {
        Version { counter: 1, op }
    }

    /// The version after `op` was applied to this one.
    #[must_use]
    pub const fn next(self, op: OpId) -> Self {
        Version { counter: self.counter.saturating_add(1), op }
    }
}

/// The operations that came just before the one in the record's [`Version`], newest first; zero where none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecentOps([OpId; 3]);

impl RecentOps {
    /// As read back from a store.
    pub const fn from_ops(ops: [OpId; 3]) -> Self {
        RecentOps(ops)
    }

    /// As a store keeps them.
    pub const fn as_ops(&self) -> &[OpId; 3] {
        &self.0
    }

    fn pushed(self, op: OpId) -> Self {
        let RecentOps([a, b, _]) = self;
        RecentOps([op, a, b])
    }
}

/// Where and with what a user signed in, for a "your devices" page. Both are what the client claims.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Device {
    /// The peer's address, or what a trusted proxy reported, as text.
    pub address: String,
    /// The `User-Agent`, cut to 256 bytes.
    pub agent: String,
}

/// How long a session may live. All in wall-clock time, kept to the millisecond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// Without a request for this long, the session ends. Slides.
    pub idle: Duration,
    /// The session ends this long after it began, whatever happens. Survives every change of id.
    pub absolute: Duration,
    /// The id is replaced this long after it was issued; `None`: never by itself.
    pub renewal: Option<Duration>,
}

/// One session as a store holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Stable through every change of id.
    pub id: RecordId,
    /// Changes with every commit; not with a touch or a lease.
    pub version: Version,
    /// Operations before the last one, so that a repeated one is recognised.
    pub recent: RecentOps,
    /// Goes up when the data was cleared or the user changed: what was read before is not comparable any more.
    pub epoch: u32,
    /// When the session began.
    pub created: Timestamp,
    /// The last commit or touch that slid the idle deadline. A commit soon after it
    /// ([`Commit::unless_seen_within`](crate::store::Commit::unless_seen_within)), or of a background request, is not noted.
    pub last_seen: Timestamp,
    /// Ends here unless somebody comes.
    pub idle_deadline: Timestamp,
    /// Ends here in any case.
    pub absolute_deadline: Timestamp,
    /// The id is due for replacement from here on.
    pub renew_at: Timestamp,
    /// Who is logged in.
    pub user: Option<UserId>,
    /// Where they logged in.
    pub device: Option<Arc<Device>>,
    /// The data.
    pub payload: Payload,
}

impl Record {
    /// Whether the record is past its idle or absolute deadline at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.deadline()
    }

    /// The earlier of the two deadlines.
    pub fn deadline(&self) -> Timestamp {
        self.idle_deadline.min(self.absolute_deadline)
    }

    /// Whether `op` was already applied: it is the last one, or among the few before.
    pub fn knows(&self, op: OpId) -> bool {
        self.version.op == op || self.recent.0.contains(&op)
    }

    pub(crate) fn advance(&mut self, op: OpId) {
        self.recent = self.recent.pushed(self.version.op);
        self.version = self.version.next(op);
    }
}
