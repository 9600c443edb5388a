//! Sessions that reach their deadline, as the server tells (`notify-keyspace-events`), where that was asked for.
//!
//! A server tells of a key that it removed at its deadline by name only, and a session and what is left of one have the same name.
//! So each script that puts what is left in the place of a session takes the key's expiry away for a moment (`PERSIST`): that is told
//! as well, nothing else of ours does it, and it makes no key go away. Whoever listens remembers those names until they expire in
//! their turn, however late (a million at most): a server removes what nobody asks for by looking here and there, which takes it minutes where few of very
//! many keys are past their time. What was missed of that cannot be made up for, so that after each new connection nothing is told
//! for as long as what is left of a session may be kept; what the server is later with than that is taken for a session.
//!
//! In a cluster each node tells of its own keys.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::clock::deadline_after;
use cloakroom::store::ExpiryListener;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tokio::runtime::Handle;

use crate::link::{Link, OnPush};
use crate::names::Names;
use crate::node::Node;
use crate::permissions;
use crate::pipe::Unanswered;
use crate::shared::Shared;

/// Between two looks at who is to be listened to.
const ROUND: Duration = Duration::from_secs(1);
/// How long a subscription may take to be confirmed.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much later than its deadline a server removes a key, as a rule.
const SLACK: Duration = Duration::from_secs(1);
/// Names that are remembered, at most.
const MOST: usize = 1_000_000;
/// What is listened for, the first of them first: what is left of a session; what expired.
const LEFT: &str = "persist";
const EXPIRED: &str = "expired";

/// Who is told, and what is known not to be a session.
pub(crate) struct Expiry {
    names: Names,
    database: u32,
    /// For people.
    place: Arc<str>,
    listening: AtomicBool,
    told_deaf: AtomicBool,
    state: Mutex<State>,
}

struct State {
    listeners: Vec<Weak<dyn ExpiryListener>>,
    /// How long what is left of a session may be kept.
    remembered: Duration,
    /// Until then something may have been missed.
    quiet_until: Instant,
    left: Remembered,
}

/// What is left of sessions, until it is told that it expired too. Of some that is never told: while nobody listened, or because they
/// were evicted. So of too many the older half is forgotten.
struct Remembered {
    /// At most half of what may be remembered, each.
    half: usize,
    young: HashSet<StoreKey>,
    old: HashSet<StoreKey>,
    /// Not before the last of the old ones came.
    turned: Instant,
}

impl Remembered {
    fn up_to(most: usize, now: Instant) -> Self {
        Remembered { half: most / 2, young: HashSet::new(), old: HashSet::new(), turned: now }
    }
}

/// A node's part in it: the connection on which it tells.
pub(crate) struct Watch {
    link: Link,
    hears: Arc<AtomicBool>,
}

impl Expiry {
    pub(crate) fn new(names: Names, database: u32, place: Arc<str>) -> Arc<Self> {
        let now = Instant::now();
        let left = Remembered::up_to(MOST, now);
        let state = State { listeners: Vec::new(), remembered: Duration::ZERO, quiet_until: now, left };
        Arc::new(Expiry {
            names,
            database,
            place,
            listening: AtomicBool::new(false),
            told_deaf: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// The part of one more node, over a connection that is made like this.
    pub(crate) fn watch(self: &Arc<Self>, link: impl FnOnce(OnPush) -> Link) -> Watch {
        let hears = Arc::new(AtomicBool::new(false));
        let (expiry, hearing) = (self.clone(), hears.clone());
        let link = link(Arc::new(move |push: PushInfo| match push.kind {
            PushKind::Message => expiry.told(&push.data),
            PushKind::Disconnection => hearing.store(false, Ordering::Release),
            _ => {}
        }));
        Watch { link, hears }
    }

    fn channel(&self, event: &str) -> String {
        format!("__keyevent@{}__:{event}", self.database)
    }

    /// An event: a channel, and the name of a key.
    fn told(&self, event: &[Value]) {
        let [Value::BulkString(channel), Value::BulkString(name)] = event else { return };
        // Another application's, or an index of ours.
        let Some(key) = self.names.of_entry(name) else { return };
        let now = Instant::now();
        let listeners = {
            let mut state = self.state.lock();
            if channel.ends_with(LEFT.as_bytes()) {
                return state.is_left(key, now);
            }
            if !channel.ends_with(EXPIRED.as_bytes()) || state.was_left(&key) || now < state.quiet_until {
                return;
            }
            state.listeners.retain(|listener| listener.strong_count() > 0);
            state.listeners.clone()
        };
        // Outside of the lock: it is somebody else's code.
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.expired(key);
        }
    }

    fn is_wanted(&self) -> bool {
        self.state.lock().listeners.iter().any(|listener| listener.strong_count() > 0)
    }

    /// Said once.
    fn deaf(&self, why: &str) {
        if !self.told_deaf.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "cloakroom", "nobody is told of sessions that expire: {} {why}", self.place);
        }
    }
}

impl State {
    fn quiet(&mut self, now: Instant) {
        self.quiet_until = deadline_after(now, self.remembered.saturating_add(SLACK));
    }

    fn is_left(&mut self, key: StoreKey, now: Instant) {
        let left = &mut self.left;
        if left.young.len() >= left.half {
            let forgotten = std::mem::replace(&mut left.old, std::mem::take(&mut left.young));
            let last_came = std::mem::replace(&mut left.turned, now);
            // Some of those that are not past their time may yet expire.
            if !forgotten.is_empty() && now.duration_since(last_came) <= self.remembered.saturating_add(SLACK)
            {
                self.quiet(now);
            }
        }
        self.left.young.insert(key);
    }

    fn was_left(&mut self, key: &StoreKey) -> bool {
        // Both: it may be in either.
        self.left.young.remove(key) | self.left.old.remove(key)
    }
}

impl Shared {
    /// Tells this listener of sessions that expire, if the store was told to.
    pub(crate) fn tell_expired(self: &Arc<Self>, listener: Weak<dyn ExpiryListener>, remembered: Duration) {
        let Some(expiry) = &self.expiry else { return };
        {
            let mut state = expiry.state.lock();
            state.listeners.push(listener);
            state.remembered = state.remembered.max(remembered);
            state.quiet(Instant::now());
        }
        if let Ok(runtime) = Handle::try_current()
            && !expiry.listening.swap(true, Ordering::AcqRel)
        {
            runtime.spawn(listen(Arc::downgrade(self)));
        }
    }

    /// Listens to every server that sessions are on and that is not listened to.
    async fn listen_for_expiry(&self, expiry: &Expiry) {
        let Ok(nodes) = self.primaries(self.deadline()).await else { return };
        for node in nodes {
            let Some(watch) = node.watch.as_ref().filter(|watch| !watch.hears.load(Ordering::Acquire)) else {
                continue;
            };
            if !self.subscribe_to_expiry(expiry, &node, watch).await
                && let Some(cluster) = self.nodes.cluster()
            {
                // Another one may be in its place by now.
                cluster.look_again();
            }
        }
    }

    /// Answers with whether that node is there.
    async fn subscribe_to_expiry(&self, expiry: &Expiry, node: &Node, watch: &Watch) -> bool {
        let Ok(Ok(open)) = tokio::time::timeout(PATIENCE, watch.link.open()).await else { return false };
        // Before the answers: a connection that is lost behind them is to be found lost.
        watch.hears.store(true, Ordering::Release);
        for event in [LEFT, EXPIRED] {
            let mut subscribe = redis::cmd("SUBSCRIBE");
            subscribe.arg(expiry.channel(event));
            match open.connection.confirm(&subscribe, Instant::now() + PATIENCE).await {
                Ok(Value::ServerError(told)) => {
                    let why = permissions::refused(told.code(), told.details(), Some("__keyevent@"));
                    expiry.deaf(&why.unwrap_or_else(|| "refuses a subscription".to_owned()));
                }
                Ok(_) => {}
                Err(why) => {
                    // Of one that is silent the link has been told. One may have ended with its runtime, and told nobody.
                    if why == Unanswered::Lost {
                        watch.link.lost(&open);
                    }
                    watch.hears.store(false, Ordering::Release);
                    return false;
                }
            }
        }
        expiry.state.lock().quiet(Instant::now());
        // Who may not look has to know.
        let mut asking = redis::cmd("CONFIG");
        asking.arg("GET").arg("notify-keyspace-events");
        if let Ok(told) = open.connection.ask(&asking, Instant::now() + PATIENCE).await
            && let Some(switched_on) = switched_on(&told)
            && !tells(&switched_on)
        {
            expiry.deaf(&format!(
                "has its keyspace events off: CONFIG SET notify-keyspace-events Egx ({})",
                node.place
            ));
        }
        true
    }
}

/// The answer to `CONFIG GET`, where that is allowed.
fn switched_on(told: &Value) -> Option<String> {
    let value = match told {
        Value::Map(pairs) => &pairs.first()?.1,
        Value::Array(parts) => parts.get(1)?,
        _ => return None,
    };
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

/// Whether that is enough: events by their names, of generic commands and of keys that expire.
fn tells(switched_on: &str) -> bool {
    let has = |class: char| switched_on.contains(class);
    has('E') && (has('A') || (has('g') && has('x')))
}

/// For as long as the store lives and somebody wants to be told.
async fn listen(weak: Weak<Shared>) {
    loop {
        let Some(shared) = weak.upgrade() else { return };
        let Some(expiry) = &shared.expiry else { return };
        if !expiry.is_wanted() {
            expiry.listening.store(false, Ordering::Release);
            return;
        }
        shared.listen_for_expiry(expiry).await;
        drop(shared);
        tokio::time::sleep(ROUND).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Heard(Mutex<Vec<StoreKey>>);

    impl ExpiryListener for Heard {
        fn expired(&self, key: StoreKey) {
            self.0.lock().push(key);
        }
    }

    fn key(n: u8) -> StoreKey {
        StoreKey::from_bytes([n; StoreKey::LEN])
    }

    fn event(expiry: &Expiry, name: &str, key: &str) {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        expiry.told(&[text(&expiry.channel(name)), text(key)]);
    }

    fn heard_by(names: &Names) -> (Arc<Expiry>, Arc<Heard>) {
        let expiry = Expiry::new(names.clone(), 0, "here".into());
        let heard = Arc::new(Heard(Mutex::default()));
        let listener: Arc<dyn ExpiryListener> = heard.clone();
        expiry.state.lock().listeners.push(Arc::downgrade(&listener));
        (expiry, heard)
    }

    #[test]
    fn what_was_a_session_up_to_its_deadline_is_told_and_nothing_else() {
        let names = Names::new("shop:");
        let (expiry, heard) = heard_by(&names);
        event(&expiry, LEFT, &names.entry(&key(1)));
        for name in [names.entry(&key(1)), names.entry(&key(2)), names.channel(&key(3)), "other".to_owned()] {
            event(&expiry, EXPIRED, &name);
        }
        event(&expiry, "set", &names.entry(&key(4)));
        expiry.told(&[Value::Nil]);
        assert_eq!(*heard.0.lock(), [key(2)]);
    }

    #[test]
    fn where_something_may_have_been_missed_nothing_is_told_for_a_while() {
        let names = Names::new("shop:");
        let (expiry, heard) = heard_by(&names);
        expiry.state.lock().quiet_until = Instant::now() + Duration::from_secs(60);
        event(&expiry, EXPIRED, &names.entry(&key(1)));
        assert!(heard.0.lock().is_empty());
        expiry.state.lock().quiet_until = Instant::now();
        event(&expiry, EXPIRED, &names.entry(&key(2)));
        assert_eq!(*heard.0.lock(), [key(2)]);
    }

    fn remembering(most: usize, remembered: Duration, now: Instant) -> State {
        State { listeners: Vec::new(), remembered, quiet_until: now, left: Remembered::up_to(most, now) }
    }

    #[test]
    fn what_is_left_is_remembered_until_it_is_told_that_it_expired() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut state = remembering(MOST, Duration::from_secs(60), now);
        for n in 0..100 {
            state.is_left(key(n), later(u64::from(n) * 62));
        }
        for n in 0..100 {
            assert!(state.was_left(&key(n)) && !state.was_left(&key(n)), "{n}");
        }
        assert_eq!(state.quiet_until, now);
    }

    #[test]
    fn of_too_much_the_older_half_is_forgotten_and_nothing_told_where_it_may_yet_expire() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut state = remembering(4, Duration::from_secs(60), now);
        (1..=4).for_each(|n| state.is_left(key(n), later(0)));
        assert_eq!(state.quiet_until, now, "there is room");
        // All of them past their time, and never told of.
        (5..=6).for_each(|n| state.is_left(key(n), later(62)));
        assert!(state.quiet_until == now && state.was_left(&key(4)) && !state.was_left(&key(1)));
        // Two that are not.
        state.is_left(key(7), later(63));
        state.is_left(key(8), later(64));
        state.is_left(key(9), later(65));
        assert_eq!(state.quiet_until, later(65 + 60 + 1));
        assert!(!state.was_left(&key(5)) && state.was_left(&key(7)) && state.was_left(&key(9)));
        // As applications write "never".
        state.remembered = Duration::MAX;
        state.quiet(later(248));
        assert!(state.quiet_until > later(3600));
    }

    #[test]
    fn what_a_server_has_to_have_on_is_known() {
        for enough in ["Egx", "xgE", "AKE", "KEgx$"] {
            assert!(tells(enough), "{enough}");
        }
        for too_little in ["", "E", "Ex", "gx", "Kgx", "AK"] {
            assert!(!tells(too_little), "{too_little}");
        }
    }
}
