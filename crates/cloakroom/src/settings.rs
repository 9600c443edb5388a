//! What can be set, with the defaults.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::codec::{Codec, Values};
use crate::ids::IdFormat;
use crate::record::Lifetime;

/// Whether requests of one session wait for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They do not; their changes are merged key by key. A key that was read and then written is never
    /// overwritten unseen.
    #[default]
    Merge,
    /// They do, as in PHP: opening the session takes its lease, the response's head gives it back.
    Exclusive,
}

/// What happens to a key that this request read and then wrote, and another request changed in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// The request is answered 409 and nothing of what it buffered is committed.
    #[default]
    Refuse,
    /// The last write wins; counted and traced.
    Overwrite,
}

/// What a request gets when the store cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnavailable {
    /// An error: 503 unless the handler does otherwise.
    #[default]
    Fail,
    /// An empty session that cannot be written to. No cookie is set or deleted.
    Anonymous,
}

/// What happens when somebody presents an id that was replaced and is past its grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnObsoleteId {
    /// An event is emitted; the request is anonymous.
    #[default]
    Report,
    /// As well, the session that came of it is ended, and all others of the same user. Note that a slow but honest
    /// request that was under way when its id was replaced looks the same as a thief.
    RevokeUser,
}

/// Bounds. A session that would exceed one is refused with [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) before anything is
/// written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole session, keys included. 64 KiB.
    pub session_bytes: usize,
    /// Keys in a session. 256.
    pub keys: usize,
    /// Bytes in a key. 256.
    pub key_bytes: usize,
    /// Flash messages waiting to be shown; the oldest give way. 32.
    pub flashes: usize,
    /// Pieces of work that are under way in this process for requests that need not be there any more: commits, changes of id,
    /// leases taken and given back, revocations, touches. 16,384.
    ///
    /// Only a store that is slow or away brings so many together. What is asked for beyond is not begun: it waits for room, as
    /// long as a call of the store may take, and is then [`Unavailable`](crate::ErrorKind::Unavailable). A due touch is left out,
    /// and so is the rest of a commit whose client has gone. A lease is given back all the same, but it is not waited for whether
    /// that happened: where it did not, the lease runs out by itself.
    pub background: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { session_bytes: 64 * 1024, keys: 256, key_bytes: 256, flashes: 32, background: 16_384 }
    }
}

/// How leases are taken and waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locking {
    /// A holder that neither renews nor releases loses the lease after this long. 10 s.
    pub lease: Duration,
    /// A request waits for a lease at most this long. 10 s.
    pub wait: Duration,
    /// Requests of this process that wait for one session, at most. 128.
    pub waiters: usize,
    /// Holders in a row that take the lease over within the process before other processes get their chance. 16.
    pub handovers: u32,
}

impl Default for Locking {
    fn default() -> Self {
        Locking { lease: Duration::from_secs(10), wait: Duration::from_secs(10), waiters: 128, handovers: 16 }
    }
}

/// Everything about sessions that is not about HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) lifetime: Lifetime,
    /// How long the old id stays an alias after an automatic renewal.
    pub(crate) grace: Duration,
    /// The part of the idle time after which a mere read slides the deadline.
    pub(crate) touch_after: f64,
    pub(crate) locking: Locking,
    pub(crate) commit_deadline: Duration,
    pub(crate) call_deadline: Duration,
    pub(crate) limits: Limits,
    pub(crate) sessions_per_user: Option<NonZeroU32>,
    pub(crate) marker: Duration,
    pub(crate) mode: Mode,
    pub(crate) on_conflict: OnConflict,
    pub(crate) on_unavailable: OnUnavailable,
    pub(crate) on_obsolete_id: OnObsoleteId,
    pub(crate) commit_on_5xx: bool,
    pub(crate) codec: Values,
    /// How ids are read and made.
    pub(crate) ids: IdFormat,
    /// How often the engine asks the store to remove what is past its time.
    pub(crate) purge_every: Option<Duration>,
    /// How often `ended` asks the store.
    pub(crate) ended_poll: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            lifetime: Lifetime {
                idle: Duration::from_secs(3 * 3600),
                absolute: Duration::from_secs(7 * 24 * 3600),
                renewal: None,
            },
            grace: Duration::from_secs(30),
            touch_after: 0.1,
            locking: Locking::default(),
            commit_deadline: Duration::from_secs(5),
            call_deadline: Duration::from_secs(2),
            limits: Limits::default(),
            sessions_per_user: None,
            marker: Duration::from_secs(60),
            mode: Mode::default(),
            on_conflict: OnConflict::default(),
            on_unavailable: OnUnavailable::default(),
            on_obsolete_id: OnObsoleteId::default(),
            commit_on_5xx: false,
            codec: Values::own(Codec::default()),
            ids: IdFormat::Own,
            purge_every: Some(Duration::from_secs(30)),
            ended_poll: Duration::from_secs(2),
        }
    }
}

impl Settings {
    /// The idle time that must have passed before a read touches the record.
    pub(crate) fn touch_threshold(&self) -> Duration {
        let seconds = self.lifetime.idle.as_secs_f64() * self.touch_after.clamp(0.0, 1.0);
        // The largest of durations is rounded up to more than a duration can be.
        Duration::try_from_secs_f64(seconds).unwrap_or(self.lifetime.idle)
    }

    /// The idle time that must have passed before a write slides the deadline: a tenth of what a read waits for, because it is written
    /// anyway, and no more than a second, as exact as a cookie is about its own.
    pub(crate) fn seen_threshold(&self) -> Duration {
        (self.touch_threshold() / 10).min(Duration::from_secs(1))
    }
}
