//! Being told of changes: what [`PushStore`](cloakroom::store::PushStore) promises, by the server's client tracking.
//!
//! A connection that tracks is sent the name of a key that it read as soon as somebody changes what is there: a push, between
//! the answers, in the order in which the server did things. From a connection's own task it goes straight to the listeners, so
//! it is heard before any answer behind it is handed to whoever asked. An answer *before* it may reach its reader later than the
//! push does, and a push may come over another connection than the answer: that is the listener's business
//! ([`ChangeListener`]), and a near cache drops such an answer by its generations.
//!
//! Of the server's three ways to track, reads opt in one by one (`OPTIN`, and `CLIENT CACHING YES` in the same packet, before a
//! lookup that a cache may keep the answer of):
//!
//! - *By default* it remembers whatever the connection reads, also inside of scripts: the indexes of users, which change all the
//!   time, markers, receipts, and each session that a commit looked at. Its table, and the news, would mostly be of things that no
//!   cache has.
//! - *By prefix* (`BCAST`) it remembers nothing, and tells every process of every write to any session. With P processes that is P
//!   messages for each write, where a session is in the cache of one or two of them.
//! - *Opted in*, it remembers what is in a cache, and sends one message for each process that has it. The price is a second
//!   command for each miss, without a round trip of its own.
//!
//! Not `NOLOOP`: changes made over the same connection are told as well. The cache knows its own writes, but not what is written
//! past it, through another handle on the same store.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cloakroom::store::ChangeListener;
use parking_lot::Mutex;
use redis::{Pipeline, PushInfo, PushKind, Value};

use crate::names::Names;
use crate::pipe::Pipe;
use crate::{error, permissions};

/// Who is told, and over which connections.
pub(crate) struct Tracking {
    /// For people.
    place: Arc<str>,
    names: Names,
    wanted: AtomicBool,
    state: Mutex<State>,
}

struct State {
    listeners: Vec<Weak<dyn ChangeListener>>,
    /// Connections that are read from, and how many of them track now.
    lines: usize,
    tracking: usize,
}

impl State {
    fn all_track(&self) -> bool {
        self.lines > 0 && self.tracking == self.lines
    }

    /// Changes what tracks, and tells what follows from that.
    fn turn(&mut self, turn: impl FnOnce(&mut Self)) {
        let before = self.all_track();
        turn(self);
        match (before, self.all_track()) {
            (false, true) => self.each(|listener| listener.connected()),
            (true, false) => self.each(|listener| listener.disconnected()),
            _ => {}
        }
    }

    fn start_anew(&mut self) {
        if self.all_track() {
            self.each(|listener| {
                listener.disconnected();
                listener.connected();
            });
        }
    }

    /// Under the lock, so that whoever listens hears things in their order.
    fn each(&mut self, tell: impl Fn(&dyn ChangeListener)) {
        self.listeners.retain(|listener| listener.upgrade().inspect(|listener| tell(&**listener)).is_some());
    }
}

impl Tracking {
    /// Over no connection yet.
    pub(crate) fn new(place: Arc<str>, names: Names) -> Arc<Self> {
        let state = State { listeners: Vec::new(), lines: 0, tracking: 0 };
        Arc::new(Tracking { place, names, wanted: AtomicBool::new(false), state: Mutex::new(state) })
    }

    /// The part of one more connection, which is not up yet.
    pub(crate) fn line(self: &Arc<Self>) -> Line {
        self.state.lock().turn(|state| state.lines += 1);
        Line(Arc::new(Part { tracking: self.clone(), tracks: AtomicBool::new(false) }))
    }

    /// Somebody listens. Until then no connection tracks, and nothing is paid for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Something may have been missed, and nothing will be from now on.
    pub(crate) fn start_anew(&self) {
        self.state.lock().start_anew();
    }

    /// Tells this listener from now on. Connections that do not track yet are to be made anew.
    pub(crate) fn tell(&self, listener: Weak<dyn ChangeListener>) {
        let mut state = self.state.lock();
        if state.all_track()
            && let Some(listener) = listener.upgrade()
        {
            listener.connected();
        }
        state.listeners.push(listener);
        self.wanted.store(true, Ordering::Release);
    }
}

/// One connection's part in it. Its calls come under the lock of its link, and so in their order.
#[derive(Clone)]
pub(crate) struct Line(Arc<Part>);

struct Part {
    tracking: Arc<Tracking>,
    /// Changed under the lock of `tracking` only.
    tracks: AtomicBool,
}

impl Part {
    /// It is up and tracks, or is given up: what was read over it is not told of any more.
    fn turn(&self, state: &mut State, tracks: bool) {
        if self.tracks.swap(tracks, Ordering::Relaxed) != tracks {
            state.turn(|state| match tracks {
                true => state.tracking += 1,
                false => state.tracking -= 1,
            });
        }
    }
}

/// Its server is not asked any more.
impl Drop for Part {
    fn drop(&mut self) {
        let mut state = self.tracking.state.lock();
        self.turn(&mut state, false);
        state.turn(|state| state.lines -= 1);
    }
}

impl Line {
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.tracking.is_wanted()
    }

    /// Has the server track what is read over a new connection, before anything is. Answers with whether it does: sessions are
    /// served without a cache rather than not at all. An error says why there is no connection yet.
    pub(crate) async fn set_up(&self, pipe: &Pipe, ends: Instant) -> Result<bool, String> {
        let mut asking = Pipeline::with_capacity(3);
        asking.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN");
        // Whether reads may opt in is found out here too, and not by a session's first one. It is the ping that does.
        opt_in(&mut asking);
        asking.cmd("PING");
        let answers = pipe.ask_all(&asking, ends).await;
        let answers = answers.map_err(|unanswered| error::no_login(&pipe.ended(unanswered), false))?;
        for answer in answers.into_sequence().unwrap_or_default() {
            let Value::ServerError(told) = answer else { continue };
            // For now only, as while it loads its data: it is tried again.
            if !matches!(told.code(), "NOPERM" | "ERR") {
                return Err(error::no_login(&told.into(), false));
            }
            let why = permissions::refused(told.code(), told.details(), None).map_or_else(
                || error::refused(&self.0.tracking.place, told.code()).to_string(),
                |why| format!("{} {why}", self.0.tracking.place),
            );
            tracing::warn!(target: "cloakroom", "the near cache keeps nothing, for want of client tracking: {why}");
            return Ok(false);
        }
        Ok(true)
    }

    /// It is up, and tracks.
    pub(crate) fn up(&self) {
        self.0.turn(&mut self.0.tracking.state.lock(), true);
    }

    /// It is given up. What was read over it is not told of any more.
    pub(crate) fn down(&self) {
        self.0.turn(&mut self.0.tracking.state.lock(), false);
    }

    /// What the server pushed over it.
    pub(crate) fn pushed(&self, push: &PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        let mut state = self.0.tracking.state.lock();
        match push.data.first() {
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(|name| match name {
                    Value::BulkString(name) => self.0.tracking.names.of_entry(name),
                    _ => None,
                });
                for key in names {
                    state.each(|listener| listener.changed(key));
                }
            }
            // Everything was flushed.
            _ => state.start_anew(),
        }
    }
}

/// The read that comes next is told of.
pub(crate) fn opt_in(commands: &mut Pipeline) {
    commands.cmd("CLIENT").arg("CACHING").arg("YES");
}
