//! Wake-ups: whoever waits for a lease is told by the server when it becomes free.
//!
//! A script that ends a lease publishes on the session's own channel, one of those that in a cluster go to the servers of their
//! slot only (Redis 7 and any Valkey have them, in a cluster or not). A process subscribes to a channel when it begins to wait,
//! on a connection kept for that (a subscriber's answers are held to a tighter limit of the server's), and unsubscribes some
//! time after nobody has waited. What could get lost is made up for: once subscribed, the lease is looked at once, in
//! case it became free before; a signal that came between a refused try and the wait for the next one is remembered; and a lost
//! connection wakes everybody. Beyond that the engine tries again by itself every now and then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::store::StoreFuture;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::permissions;
use crate::pipe::Unanswered;
use crate::shared::Shared;

/// A channel that nobody has waited on for so long is left.
const LINGER: Duration = Duration::from_secs(2);
/// Pause between two tries to subscribe while the server is away.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a subscription may take to be confirmed.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Signals {
    board: Mutex<HashMap<StoreKey, Channel>>,
    /// Whether the scripts may tell was found out.
    checked: AtomicBool,
    /// A warning was given.
    told_deaf: AtomicBool,
}

/// What is known of one session's lease.
struct Channel {
    /// How often it was told that the lease may be free.
    heard: watch::Sender<u64>,
    /// What of that had been heard when the lease was last asked for in vain.
    asked_after: u64,
    /// Waiting, and since when not.
    waiting: usize,
    idle_since: Instant,
}

impl Signals {
    /// How often the lease on this session was told to be free, for [`Signals::locked`].
    pub(crate) fn heard(&self, key: &StoreKey) -> u64 {
        self.board.lock().get(key).map_or(0, |channel| *channel.heard.borrow())
    }

    /// The lease was asked for in vain, when so much had been heard: what came since is news.
    pub(crate) fn locked(&self, key: &StoreKey, heard: u64) {
        if let Some(channel) = self.board.lock().get_mut(key) {
            channel.asked_after = heard;
        }
    }

    fn told(&self, key: &StoreKey) {
        if let Some(channel) = self.board.lock().get(key) {
            channel.heard.send_modify(|heard| *heard += 1);
        }
    }

    fn wanted(&self) -> Vec<StoreKey> {
        self.board.lock().keys().copied().collect()
    }

    fn is_wanted(&self, key: &StoreKey) -> bool {
        self.board.lock().contains_key(key)
    }
}

impl Shared {
    /// What the server pushed on the connection that listens.
    pub(crate) fn heard(weak: &Weak<Self>, push: &PushInfo) {
        let Some(shared) = weak.upgrade() else { return };
        match (&push.kind, push.data.first()) {
            (PushKind::SMessage, Some(Value::BulkString(channel))) => {
                if let Some(key) = shared.names.of_channel(channel) {
                    shared.signals.told(&key);
                }
            }
            // The slot went to another node, and the channel with it. Or it was left: then nobody wants it.
            (PushKind::SUnsubscribe, Some(Value::BulkString(channel))) => {
                if let Some(key) =
                    shared.names.of_channel(channel).filter(|key| shared.signals.is_wanted(key))
                {
                    shared.signals.told(&key);
                    shared.subscribe(key);
                }
            }
            (PushKind::Disconnection, _) => {
                shared.listen_anew();
            }
            _ => {}
        }
    }

    /// Something may have been missed: whoever waits looks, and is subscribed again.
    pub(crate) fn listen_anew(self: &Arc<Self>) {
        for key in self.signals.wanted() {
            self.signals.told(&key);
            self.subscribe(key);
        }
    }

    /// Completes when the lease of this session may be free.
    pub(crate) fn released(self: &Arc<Self>, key: StoreKey) -> Option<StoreFuture<()>> {
        Handle::try_current().ok()?;
        let (mut heard, asked_after, new) = {
            let mut board = self.signals.board.lock();
            let first = board.is_empty();
            let new = !board.contains_key(&key);
            let channel = board.entry(key).or_insert_with(|| Channel {
                heard: watch::Sender::new(0),
                asked_after: 0,
                waiting: 0,
                idle_since: Instant::now(),
            });
            channel.waiting += 1;
            let waiter = (channel.heard.subscribe(), channel.asked_after, new);
            if first {
                tokio::spawn(leave_idle(Arc::downgrade(self)));
            }
            waiter
        };
        let waiting = Waiting { shared: self.clone(), key };
        if new {
            self.subscribe(key);
        }
        Some(StoreFuture::boxed(async move {
            let _waiting = waiting;
            // An end of the channel wakes as well: the engine then looks by itself.
            let _ = heard.wait_for(|heard| *heard > asked_after).await;
            Ok(())
        }))
    }

    /// Subscribes, and looks at the lease once that is confirmed.
    fn subscribe(self: &Arc<Self>, key: StoreKey) {
        let weak = Arc::downgrade(self);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                loop {
                    let Some(shared) = weak.upgrade() else { return };
                    if !shared.signals.is_wanted(&key) {
                        return;
                    }
                    if shared.subscribed(&key).await {
                        if shared.is_free(&key).await {
                            shared.signals.told(&key);
                        }
                        return;
                    }
                    drop(shared);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }

    async fn subscribed(&self, key: &StoreKey) -> bool {
        let Some(node) = self.known(self.spot(key)) else {
            // The look at the lease finds out who has it.
            self.is_free(key).await;
            return false;
        };
        let link = &node.ear;
        let Ok(Ok(open)) = tokio::time::timeout(PATIENCE, link.open()).await else { return false };
        let mut subscribe = redis::cmd("SSUBSCRIBE");
        subscribe.arg(self.names.channel(key));
        let ends = Instant::now() + PATIENCE;
        match open.connection.confirm(&subscribe, PushKind::SSubscribe, ends).await {
            Ok(Value::ServerError(told)) => {
                if let Some(why) =
                    permissions::refused(told.code(), told.details(), Some(self.names.prefix()))
                {
                    self.deaf(&why);
                } else if self.nodes.cluster().is_some() {
                    // Another node has the slot by now: the look at the lease finds out which.
                    self.is_free(key).await;
                }
                false
            }
            Ok(_) => {
                // The scripts tell by courtesy: what keeps them from it shows nowhere else.
                if !self.signals.checked.swap(true, Ordering::Relaxed)
                    && let Some(missing) = self.missing(node.clone(), self.deadline()).await
                    && missing.iter().any(|missing| missing == "+spublish")
                {
                    self.deaf("does not let this user do what the store needs: give it +spublish (ACL SETUSER; NOPERM)");
                }
                true
            }
            Err(Unanswered::Lost) => {
                link.lost(&open);
                false
            }
            Err(Unanswered::Late | Unanswered::Crowded) => false,
        }
    }

    /// Said once: those who wait look by themselves every now and then.
    fn deaf(&self, why: &str) {
        if !self.signals.told_deaf.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "cloakroom", "waiting for a lease is by timed tries only: {} {why}", self.place);
        }
    }

    /// Whether nobody holds the lease, as far as can be told: an error is no reason not to try.
    async fn is_free(&self, key: &StoreKey) -> bool {
        let mut until = redis::cmd("GETRANGE");
        until.arg(self.names.entry(key)).arg(26).arg(33);
        let Ok(told) = self.read(self.deadline(), self.spot(key), &until).await else { return true };
        match told.value {
            Value::BulkString(bytes) => {
                let until = bytes.try_into().map_or(0, u64::from_be_bytes);
                told.by.time.estimate().is_none_or(|now| now.as_millis() >= until)
            }
            _ => true,
        }
    }
}

/// Somebody waits for a lease.
struct Waiting {
    shared: Arc<Shared>,
    key: StoreKey,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(channel) = self.shared.signals.board.lock().get_mut(&self.key) {
            channel.waiting = channel.waiting.saturating_sub(1);
            channel.idle_since = Instant::now();
        }
    }
}

/// Leaves channels that nobody waits on, until there is none.
async fn leave_idle(weak: Weak<Shared>) {
    loop {
        tokio::time::sleep(LINGER / 2).await;
        let Some(shared) = weak.upgrade() else { return };
        let mut left = Vec::new();
        let empty = {
            let mut board = shared.signals.board.lock();
            board.retain(|key, channel| {
                let stays = channel.waiting > 0 || channel.idle_since.elapsed() < LINGER;
                if !stays {
                    left.push(*key);
                }
                stays
            });
            board.is_empty()
        };
        for key in left {
            let Some(node) = shared.known(shared.spot(&key)) else { continue };
            // Where there is no connection, there is nothing to leave.
            let Some(Ok(open)) = node.ear.ready() else { continue };
            let mut leave = redis::cmd("SUNSUBSCRIBE");
            leave.arg(shared.names.channel(&key));
            let ends = Instant::now() + PATIENCE;
            let _ = open.connection.confirm(&leave, PushKind::SUnsubscribe, ends).await;
            // Wanted again meanwhile: whichever of the two the server saw last, now it is subscribed.
            if shared.signals.is_wanted(&key) {
                shared.subscribe(key);
            }
        }
        if empty {
            return;
        }
    }
}
