//! Wake-ups: whoever waits for a lease is told by the server when it becomes free.
//!
//! A script that ends a lease publishes on the session's own channel, one of those that in a cluster go to the servers of their
//! slot only (Redis 7 and any Valkey have them, in a cluster or not). A process subscribes to a channel when it begins to wait,
//! on a connection kept for that (a subscriber's answers are held to a tighter limit of the server's), and unsubscribes some
//! time after nobody has waited. What could get lost is made up for: once subscribed, the lease is looked at once, in
//! case it became free before; a signal that came between a refused try and the wait for the next one is remembered; and a lost
//! connection wakes everybody. Whether it leads anywhere still is asked once a second while somebody waits. Beyond that the engine tries
//! again by itself every now and then.

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

use crate::node::Node;
use crate::permissions;
use crate::pipe::Unanswered;
use crate::shared::Shared;
use crate::together;

/// A channel that nobody has waited on for so long is left.
const LINGER: Duration = Duration::from_secs(2);
/// Pause between two tries to subscribe while the server is away.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a subscription may take to be confirmed.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Signals {
    board: Mutex<Board>,
    /// Whether the scripts may tell was found out.
    checked: AtomicBool,
    /// A warning was given.
    told_deaf: AtomicBool,
}

/// The sessions whose leases are waited for.
#[derive(Default)]
struct Board {
    channels: HashMap<StoreKey, Channel>,
    /// How often it was told of any of them that its lease may be free. Never less than before, so that what was counted of a channel that was
    /// left since is not more than what is counted of the one in its place.
    told: u64,
    /// A task tends to them.
    tended: bool,
}

/// What is known of one session's lease.
struct Channel {
    /// When it was last told that the lease may be free: the board's count.
    heard: watch::Sender<u64>,
    /// What of that had been heard when the lease was last asked for in vain.
    asked_after: u64,
    /// Waiting, and since when not.
    waiting: usize,
    idle_since: Instant,
}

/// One more that waits.
struct Entered {
    heard: watch::Receiver<u64>,
    asked_after: u64,
    /// Nobody listens to the channel yet.
    is_new: bool,
    /// Nobody tends to the channels, not even to older ones: whoever entered has to.
    untended: bool,
}

impl Signals {
    /// What has been told of the lease on this session, for [`Signals::locked`].
    pub(crate) fn heard(&self, key: &StoreKey) -> u64 {
        let board = self.board.lock();
        board.channels.get(key).map_or(board.told, |channel| *channel.heard.borrow())
    }

    /// The lease was asked for in vain, when so much had been heard: what came since is news.
    pub(crate) fn locked(&self, key: &StoreKey, heard: u64) {
        if let Some(channel) = self.board.lock().channels.get_mut(key) {
            channel.asked_after = heard;
        }
    }

    fn told(&self, key: &StoreKey) {
        let mut board = self.board.lock();
        board.told += 1;
        let told = board.told;
        if let Some(channel) = board.channels.get(key) {
            channel.heard.send_replace(told);
        }
    }

    fn enter(&self, key: StoreKey) -> Entered {
        let mut board = self.board.lock();
        let (told, untended) = (board.told, !std::mem::replace(&mut board.tended, true));
        let is_new = !board.channels.contains_key(&key);
        let channel = board.channels.entry(key).or_insert_with(|| Channel {
            heard: watch::Sender::new(told),
            asked_after: told,
            waiting: 0,
            idle_since: Instant::now(),
        });
        channel.waiting += 1;
        Entered { heard: channel.heard.subscribe(), asked_after: channel.asked_after, is_new, untended }
    }

    fn wanted(&self) -> Vec<StoreKey> {
        self.board.lock().channels.keys().copied().collect()
    }

    fn is_wanted(&self, key: &StoreKey) -> bool {
        self.board.lock().channels.contains_key(key)
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
                shared.listen_anew(|_| true);
            }
            _ => {}
        }
    }

    /// Something may have been missed: whoever waits for one of these looks, and is subscribed again.
    pub(crate) fn listen_anew(self: &Arc<Self>, among: impl Fn(&StoreKey) -> bool) {
        for key in self.signals.wanted().into_iter().filter(among) {
            self.signals.told(&key);
            self.subscribe(key);
        }
    }

    /// Completes when the lease of this session may be free.
    pub(crate) fn released(self: &Arc<Self>, key: StoreKey) -> Option<StoreFuture<()>> {
        Handle::try_current().ok()?;
        let Entered { mut heard, asked_after, is_new, untended } = self.signals.enter(key);
        let waiting = Waiting { shared: self.clone(), key };
        if is_new {
            self.subscribe(key);
        }
        if untended {
            tokio::spawn(tend(Tending { store: Arc::downgrade(self), done: false }));
            // Those that the one before left as they were.
            self.listen_anew(|other| !is_new || *other != key);
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
        match open.connection.confirm(&subscribe, ends).await {
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
            Err(Unanswered::Late | Unanswered::Unattended | Unanswered::Crowded) => false,
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
        if let Some(channel) = self.shared.signals.board.lock().channels.get_mut(&self.key) {
            channel.waiting = channel.waiting.saturating_sub(1);
            channel.idle_since = Instant::now();
        }
    }
}

/// The task that tends to the channels. However it ends, the next one that waits begins another.
struct Tending {
    store: Weak<Shared>,
    /// There is nothing to tend to; whether somebody does is no longer this task's to say.
    done: bool,
}

impl Drop for Tending {
    fn drop(&mut self) {
        if !self.done
            && let Some(shared) = self.store.upgrade()
        {
            shared.signals.board.lock().tended = false;
        }
    }
}

/// Leaves channels that nobody waits on, until there is none, and sees to it that the others can be heard.
async fn tend(mut tending: Tending) {
    loop {
        tokio::time::sleep(LINGER / 2).await;
        let Some(shared) = tending.store.upgrade() else { return };
        let mut left = Vec::new();
        let wanted: Vec<StoreKey> = {
            let mut board = shared.signals.board.lock();
            board.channels.retain(|key, channel| {
                let stays = channel.waiting > 0 || channel.idle_since.elapsed() < LINGER;
                if !stays {
                    left.push(*key);
                }
                stays
            });
            board.tended = !board.channels.is_empty();
            tending.done = !board.tended;
            board.channels.keys().copied().collect()
        };
        for key in left {
            shared.leave(key).await;
        }
        if tending.done {
            return;
        }
        shared.listen_for_silence(&wanted).await;
    }
}

impl Shared {
    async fn leave(self: &Arc<Self>, key: StoreKey) {
        let Some(node) = self.known(self.spot(&key)) else { return };
        // Where there is no connection, there is nothing to leave.
        let Some(Ok(open)) = node.ear.ready() else { return };
        let mut leave = redis::cmd("SUNSUBSCRIBE");
        leave.arg(self.names.channel(&key));
        let _ = open.connection.confirm(&leave, Instant::now() + PATIENCE).await;
        // Wanted again meanwhile: whichever of the two the server saw last, now it is subscribed.
        if self.signals.is_wanted(&key) {
            self.subscribe(key);
        }
    }

    /// Asks something on each connection that is listened on. Nothing else is ever said there while nothing is told, and one that leads nowhere
    /// any more would never be found out.
    async fn listen_for_silence(&self, wanted: &[StoreKey]) {
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        for node in wanted.iter().filter_map(|key| self.known(self.spot(key))) {
            if !nodes.iter().any(|known| Arc::ptr_eq(known, &node)) {
                nodes.push(node);
            }
        }
        let asked = nodes.iter().map(|node| async {
            let Some(Ok(open)) = node.ear.ready() else { return };
            let answer = open.connection.ask(&redis::cmd("PING"), Instant::now() + PATIENCE).await;
            // Of one that is silent the link has been told.
            if let Err(Unanswered::Lost) = answer {
                node.ear.lost(&open);
            }
        });
        together::all(asked).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c5_what_was_counted_of_a_channel_that_was_left_hides_nothing_that_is_told_later() {
        let (signals, key) = (Signals::default(), StoreKey::from_bytes([7; StoreKey::LEN]));
        signals.enter(key);
        (0..5).for_each(|_| signals.told(&key));
        let before = signals.heard(&key);
        // While the lease is asked for the channel is left, and entered by another one.
        signals.board.lock().channels.clear();
        signals.enter(key);
        signals.locked(&key, before);
        let waiting = signals.enter(key);
        assert!(*waiting.heard.borrow() <= waiting.asked_after, "nothing was told");
        signals.told(&key);
        assert!(*waiting.heard.borrow() > waiting.asked_after);
    }
}
