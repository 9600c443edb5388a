//! One connection to the server: made when first needed, made again when lost, refused at once while the server is away.
//!
//! ```text
//! idle ──call──▶ connecting ──▶ up ──lost──▶ connecting      calls wait
//!                    │ failed                     │ failed
//!                    └───────────▶ away ◀─────────┘          calls are refused at once
//! ```
//!
//! While the server is away, a task tries to connect every now and then; nobody's request does. It stops when nobody has
//! asked for a minute, and the next call begins anew: see `connecting`.
//!
//! A connection retries nothing, and hands what was sent to the server exactly once. What a lost connection means for a call
//! that was on its way is told by [`Effect`](crate::error::Effect): a read is asked again here, a write never.

mod connecting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom::store::StoreError;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind};
use tokio::runtime::Handle;
use tokio::sync::watch;

use self::connecting::{Trying, keep_connecting};
use crate::error;
use crate::greeting::Greeting;
use crate::pipe::{News, OnNews};
use crate::route::{Connection, GivenUp, Opening, Route};
use crate::shared::Deadline;
use crate::standstill::Standstill;
use crate::tracking::Line;

/// A connection younger than this is not made anew because its server refuses writes.
const OLD_ENOUGH: Duration = Duration::from_secs(1);

/// What becomes of what the server pushes on its own accord.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

/// A connection that is up, and which one: told when it turns out to be lost.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) connection: Connection,
    /// Reads may opt in to being told of changes.
    pub(crate) tracks: bool,
    epoch: u64,
    since: Instant,
}

struct Inner {
    route: Arc<Route>,
    /// For people.
    place: Arc<str>,
    connect_timeout: Duration,
    on_push: Option<OnPush>,
    /// Where what is read over it may be told of.
    line: Option<Line>,
    /// Of its server, where another one may take its place without anybody's telling.
    standstill: Option<Arc<Standstill>>,
    state: Mutex<State>,
    /// Connections that were left, and on which calls may be waiting still.
    left: Mutex<Vec<GivenUp>>,
    /// Moves with each change of the state that somebody may wait for.
    changed: watch::Sender<()>,
}

struct State {
    phase: Phase,
    /// Counts connections.
    epoch: u64,
    /// When somebody last asked and found no connection, or lost one.
    asked: Instant,
}

enum Phase {
    Idle,
    Connecting,
    /// And since when.
    Up(Connection, Instant, Tracks),
    /// And why.
    Away(Arc<str>),
}

fn silent() -> Phase {
    Phase::Away("does not answer".into())
}

/// Whether a connection tells of changes to what is read over it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracks {
    Yes,
    /// The server does not let it.
    Refused,
    /// Nobody wanted it when it was made.
    Unasked,
}

impl Link {
    pub(crate) fn new(
        route: Arc<Route>,
        place: Arc<str>,
        connect_timeout: Duration,
        on_push: Option<OnPush>,
        line: Option<Line>,
        standstill: Option<Arc<Standstill>>,
    ) -> Self {
        let state = State { phase: Phase::Idle, epoch: 0, asked: Instant::now() };
        let inner = Arc::new(Inner {
            route,
            place,
            connect_timeout,
            on_push,
            line,
            standstill,
            state: Mutex::new(state),
            left: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let weak = Arc::downgrade(&inner);
        inner.route.tell(Box::new(move || weak.upgrade().map(|inner| inner.follow()).is_some()));
        Link(inner)
    }

    /// Whether the server on the other end may be another one with the next connection.
    pub(crate) fn may_turn(&self) -> bool {
        self.0.route.may_turn()
    }

    /// What the server on the other end said of itself; nothing without a connection.
    pub(crate) fn greeting(&self) -> Greeting {
        match &self.0.state.lock().phase {
            Phase::Up(connection, ..) => connection.greeting(),
            _ => Greeting::default(),
        }
    }

    /// The connection, or why there is none; `None` where it has to be waited for. An error means that nothing was sent.
    pub(crate) fn ready(&self) -> Option<Result<Open, StoreError>> {
        let mut state = self.0.state.lock();
        if let Phase::Up(connection, since, tracks) = &state.phase {
            let (connection, since) = (connection.clone(), *since);
            let tracks = *tracks == Tracks::Yes;
            return Some(Ok(Open { connection, tracks, epoch: state.epoch, since }));
        }
        state.asked = Instant::now();
        match &state.phase {
            Phase::Up(..) => None,
            Phase::Away(why) => Some(Err(error::unavailable(&self.0.place, why))),
            Phase::Connecting => None,
            Phase::Idle => {
                state.phase = Phase::Connecting;
                drop(state);
                let connects = Inner::start_connecting(&self.0);
                (!connects)
                    .then(|| Err(error::unavailable(&self.0.place, "needs a tokio runtime to connect in")))
            }
        }
    }

    /// The connection, once it is up. An error means that nothing was sent.
    pub(crate) async fn open(&self) -> Result<Open, StoreError> {
        let mut changed = self.0.changed.subscribe();
        loop {
            if let Some(ready) = self.ready() {
                return ready;
            }
            if changed.changed().await.is_err() {
                return Err(error::unavailable(&self.0.place, "is not asked any more"));
            }
        }
    }

    /// That connection ended: a new one is made right away, and calls wait for it.
    pub(crate) fn lost(&self, open: &Open) {
        self.0.leave(open.epoch, Phase::Connecting);
    }

    /// That connection leads to a server that is not the right one any more: it is made anew, though not for every call.
    pub(crate) fn misled(&self, open: &Open) {
        if open.since.elapsed() > OLD_ENOUGH {
            self.lost(open);
        }
    }

    /// The server is not the right one any more, and what it acknowledges from now on will be undone: connections to it end, with
    /// what is under way on them.
    pub(crate) fn cut(&self) {
        self.0.left.lock().drain(..).for_each(|connection| connection.cut());
        let up = {
            let state = self.0.state.lock();
            match &state.phase {
                Phase::Up(connection, ..) => Some((connection.clone(), state.epoch)),
                _ => None,
            }
        };
        if let Some((connection, epoch)) = up {
            self.0.leave(epoch, Phase::Away("does not serve these sessions any more".into()));
            connection.cut();
        }
    }

    /// Changes are to be told of from now on: a connection that was made before is made anew.
    pub(crate) fn track(&self) {
        let epoch = {
            let state = self.0.state.lock();
            match state.phase {
                Phase::Up(_, _, Tracks::Unasked) => state.epoch,
                _ => return,
            }
        };
        self.0.leave(epoch, Phase::Connecting);
    }

    /// That connection does not answer: calls are refused until a new one does.
    pub(crate) fn silent(&self, open: &Open) {
        self.0.leave(open.epoch, silent());
    }
}

impl Inner {
    /// Gives up the connection if its server is not the right one any more, with what is under way on it: what such a server
    /// acknowledges will be undone.
    fn follow(self: &Arc<Self>) {
        // Those too that were left because they do not answer: it may yet wake up, and acknowledge what it was sent.
        self.left.lock().retain(|connection| {
            let stays = self.route.led_to(connection);
            if !stays {
                connection.cut();
            }
            stays
        });
        let stray = {
            let state = self.state.lock();
            match &state.phase {
                Phase::Up(connection, ..) if !self.route.leads_to(connection) => {
                    Some((connection.clone(), state.epoch))
                }
                _ => None,
            }
        };
        if let Some((connection, epoch)) = stray {
            tracing::info!(target: "cloakroom", "{} has another primary now", self.place);
            self.leave(epoch, Phase::Connecting);
            connection.cut();
        }
    }

    /// Gives up the connection of this epoch, unless that was done before.
    fn leave(self: &Arc<Self>, epoch: u64, phase: Phase) {
        {
            let mut state = self.state.lock();
            if state.epoch != epoch {
                return;
            }
            let Phase::Up(connection, ..) = &state.phase else { return };
            let mut left = self.left.lock();
            left.retain(|connection| !connection.is_over());
            left.push(connection.given_up());
            drop(left);
            state.phase = phase;
            state.asked = Instant::now();
            if let Some(line) = &self.line {
                line.down();
            }
        }
        Self::start_connecting(self);
        // However it ends: its subscriptions end with it.
        if let Some(on_push) = &self.on_push {
            on_push(PushInfo { kind: PushKind::Disconnection, data: Vec::new() });
        }
    }

    fn start_connecting(self: &Arc<Self>) -> bool {
        let trying = Trying { inner: self.clone(), done: false };
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(keep_connecting(trying));
                true
            }
            // `trying` is dropped, and whoever asks next begins anew.
            Err(_) => false,
        }
    }

    /// Makes the connection of that epoch, and says in `ended` when it ends, before anything else is told of that.
    async fn connect(
        self: &Arc<Self>,
        epoch: u64,
        ended: Arc<AtomicBool>,
    ) -> Result<(Connection, Tracks), Arc<str>> {
        let weak = Arc::downgrade(self);
        let on_push = self.on_push.clone();
        let line = self.line.clone();
        let standstill = self.standstill.clone();
        let leave = move |phase| weak.upgrade().map_or((), |inner| inner.leave(epoch, phase));
        let on_news: OnNews = Arc::new(move |news| match news {
            News::Push(push) => {
                if let Some(line) = &line {
                    line.pushed(&push);
                }
                if let Some(on_push) = &on_push {
                    on_push(push);
                }
            }
            News::Silent => leave(silent()),
            News::Awake => standstill.iter().for_each(|standstill| standstill.ended()),
            News::Over => {
                ended.store(true, Ordering::Release);
                leave(Phase::Connecting);
            }
        });
        let ends = Deadline::within(self.connect_timeout).ends;
        let connecting = async {
            let tells_of_standstills = self.standstill.is_some();
            let connection = self.route.connect(&Opening { on_news, ends, tells_of_standstills }).await?;
            let tracks = match &self.line {
                Some(line) if line.is_wanted() => match line.set_up(&connection, ends).await? {
                    true => Tracks::Yes,
                    false => Tracks::Refused,
                },
                _ => Tracks::Unasked,
            };
            Ok::<_, String>((connection, tracks))
        };
        match tokio::time::timeout_at(ends.into(), connecting).await {
            Ok(connected) => connected.map_err(Arc::from),
            Err(_) => Err(self.route.too_slow().into()),
        }
    }
}
