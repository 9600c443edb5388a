//! What was taken out of the buffer and is being stored. Whoever stores what is buffered meanwhile would have stored that as well, and
//! answers with what becomes of it; whoever writes one of the same keys comes after it.
//!
//! Nobody waits for ever. Who waits has nothing in hand, no turn to issue an id and no write under the lease, and counts as no change of
//! id: nothing waits for it in turn. What it waits for is at the store, or queues for a lease of another request's, or for a `lock` of
//! its own that does: all of them have deadlines, and none runs code of the handler's but the closure of an `update`. A guard's commit
//! shows the request's own lease, as the writes here do; neither waits for the other to give it back. Nearly all of that goes on by
//! itself. What stands still where nobody polls it is a `put` or an `update` that took a change along, and the response itself; whoever
//! keeps one of those and waits here in the same task has to be told in the end, so waiting has a deadline as well.

use std::hash::{DefaultHasher, Hash, Hasher};

use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::changes::Changes;
use super::shared::State;
use crate::clock::deadline_after;
use crate::engine::timer;
use crate::error::{ErrorKind, SessionError};

/// All that a request has in hand.
#[derive(Default)]
pub(super) struct Hands {
    last: Ticket,
    open: SmallVec<[Open; 1]>,
    /// These are stored and may yet be undone, of which nobody was told.
    untold: SmallVec<[Ticket; 1]>,
}

/// Names what is in hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ticket(u32);

struct Open {
    ticket: Ticket,
    keys: Keys,
    /// Everything is cleared with it.
    clears: bool,
    /// Where it is not stored, it went with the response: that was given up meanwhile, or failed.
    goes_with_response: bool,
    /// It came to nothing, and whoever awaits it has yet to be told: it is discarded then, or buffered again.
    refused: Option<ErrorKind>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    /// For what becomes of it, and not until it is no longer in hand.
    answers: bool,
    told: oneshot::Sender<Came>,
}

/// What became of it, for those who would have stored it: it was refused for this reason. `Ok`: stored, or dropped with what it was
/// part of, or to be looked up in the state.
pub(super) type Came = Result<(), ErrorKind>;

/// What a write came to, for those who are not told the error.
pub(super) fn came(committed: &Result<(), SessionError>) -> Came {
    committed.as_ref().copied().map_err(SessionError::kind)
}

/// What a call waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// Until it is known what becomes of all that is in hand.
    Answers,
    /// Until nothing is in hand.
    All,
    /// Until nothing is in hand that changes this key.
    Key(&'a str),
    /// Until nothing is in hand that changes a key that these change.
    KeysOf(&'a Changes),
}

/// What a call is told whose changes another one of its request had taken along.
pub(super) fn taken_along(kind: ErrorKind) -> SessionError {
    SessionError::because(
        kind,
        "that is what another call of the same request came to, and it had taken along what was buffered",
    )
}

/// A set of keys, as bits: it may seem to hold one that it does not.
#[derive(Debug, Clone, Copy, Default)]
struct Keys(u64);

impl Keys {
    fn one(key: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Keys(1 << (hasher.finish() % 64))
    }

    fn meets(self, others: Keys) -> bool {
        self.0 & others.0 != 0
    }

    /// Those that these changes change.
    fn changed_by(changes: &Changes) -> Self {
        if changes.is_cleared() {
            return Keys(u64::MAX);
        }
        changes.keys().fold(Keys(0), |all, key| Keys(all.0 | Keys::one(key).0))
    }
}

impl Wanted<'_> {
    fn concerns(self, open: &Open) -> bool {
        match self {
            Wanted::Answers | Wanted::All => true,
            Wanted::Key(key) => open.keys.meets(Keys::one(key)),
            Wanted::KeysOf(changes) => open.keys.meets(Keys::changed_by(changes)),
        }
    }
}

impl Hands {
    pub(super) fn are_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether nothing is or was in hand that a response has to answer for.
    pub(super) fn owe_nothing(&self) -> bool {
        self.are_empty() && self.untold.is_empty()
    }

    /// Whether everything is being cleared.
    pub(super) fn clear(&self) -> bool {
        self.open.iter().any(|open| open.clears)
    }

    /// Takes these changes in hand, if there are any.
    pub(super) fn take_up(&mut self, changes: &Changes) -> Option<Ticket> {
        if changes.is_empty() {
            return None;
        }
        self.last = Ticket(self.last.0.wrapping_add(1));
        let keys = Keys::changed_by(changes);
        let (ticket, clears) = (self.last, changes.is_cleared());
        self.open.push(Open {
            ticket,
            keys,
            clears,
            goes_with_response: false,
            refused: None,
            waiting: Vec::new(),
        });
        Some(self.last)
    }

    /// The response is given up, or has failed: what is not stored of all this is discarded with it. Or all is read anew, and
    /// nobody cares.
    pub(super) fn go_with_response(&mut self, go: bool) {
        self.open.iter_mut().for_each(|open| open.goes_with_response = go);
    }

    /// Whether this goes with the response, where it is not stored.
    pub(super) fn goes_with_response(&self, ticket: Option<Ticket>) -> bool {
        self.open.iter().any(|open| Some(open.ticket) == ticket && open.goes_with_response)
    }

    /// It came to nothing, and is still in hand until somebody was told.
    #[must_use = "to be told when the state is not locked"]
    pub(super) fn refused(&mut self, ticket: Ticket, kind: ErrorKind) -> Telling {
        let Some(open) = self.open.iter_mut().find(|open| open.ticket == ticket) else {
            return Telling::default();
        };
        open.refused = Some(kind);
        let (told, waiting) =
            std::mem::take(&mut open.waiting).into_iter().partition(|waiting| waiting.answers);
        open.waiting = waiting;
        Telling { waiting: told, came: Some(kind) }
    }

    /// It is stored and may yet be undone, as whoever awaits it will be told, if that one is still there.
    pub(super) fn undurable(&mut self, ticket: Option<Ticket>) {
        self.untold.extend(ticket);
    }

    /// Whoever awaited it was told.
    pub(super) fn told(&mut self, ticket: Option<Ticket>) {
        self.untold.retain(|untold| Some(*untold) != ticket);
    }

    /// It is no matter any more.
    pub(super) fn forget_untold(&mut self) {
        self.untold.clear();
    }

    /// Tells whoever asks, and nobody after that, whether what was stored may yet be undone.
    pub(super) fn tell_untold(&mut self) -> Result<(), SessionError> {
        if self.untold.is_empty() {
            return Ok(());
        }
        self.untold.clear();
        Err(taken_along(ErrorKind::Undurable))
    }

    /// It is not in hand any more.
    #[must_use = "to be told when the state is not locked"]
    pub(super) fn put_down(&mut self, ticket: Option<Ticket>, came: Came) -> Telling {
        let at = ticket.and_then(|ticket| self.open.iter().position(|open| open.ticket == ticket));
        let waiting = at.map_or_else(Vec::new, |at| self.open.swap_remove(at).waiting);
        Telling { waiting, came: came.err() }
    }

    /// What to wait for, if there is anything.
    pub(super) fn watch(&mut self, wanted: Wanted<'_>) -> Option<Watched> {
        let mut watched = Watched::new();
        for open in self.open.iter_mut().filter(|open| wanted.concerns(open)) {
            let (told, came) = oneshot::channel();
            watched.push(came);
            let answers = matches!(wanted, Wanted::Answers);
            match open.refused {
                Some(kind) if answers => drop(told.send(Err(kind))),
                _ => {
                    open.waiting.retain(|waiting| !waiting.told.is_closed());
                    open.waiting.push(Waiting { answers, told });
                }
            }
        }
        (!watched.is_empty()).then_some(watched)
    }
}

/// What is waited for.
pub(super) type Watched = SmallVec<[oneshot::Receiver<Came>; 1]>;

/// Those who are to be told, when the state is not locked.
#[derive(Default)]
pub(super) struct Telling {
    waiting: Vec<Waiting>,
    came: Option<ErrorKind>,
}

impl Telling {
    pub(super) fn tell(self) {
        for waiting in self.waiting {
            // Who does not wait any more need not be told.
            let _ = waiting.told.send(self.came.map_or(Ok(()), Err));
        }
    }
}

/// How long a call waits for what its request has in hand, however often it has to begin again.
#[derive(Debug, Default)]
pub(super) struct Patience(Option<Instant>);

impl Shared {
    /// What `take` takes out of the state, once nothing is in hand that has to come before; with what became of that.
    pub(super) async fn after_hands<T>(
        &self,
        wanted: Wanted<'_>,
        take: impl FnOnce(&mut State) -> T,
    ) -> Result<(T, Came), SessionError> {
        let (mut patience, mut all) = (Patience::default(), Ok(()));
        loop {
            let watched = {
                let mut state = self.state.lock();
                match state.hands.watch(wanted) {
                    Some(watched) => watched,
                    None => return Ok((take(&mut state), all)),
                }
            };
            // Where it was buffered again, it is there to be taken.
            all = all.and(Box::pin(self.settled(watched, &mut patience)).await?);
        }
    }

    /// What `take` takes out of the state for a commit of the request's own, once nothing is in hand: it answers for all of that as
    /// well. With what became of that, where it was stored.
    pub(super) async fn with_empty_hands<T>(
        &self,
        take: impl FnOnce(&mut State) -> T,
    ) -> Result<(T, Result<(), SessionError>), SessionError> {
        let take = |state: &mut State| (take(state), state.hands.tell_untold());
        // What is in hand may be stored yet.
        let taken = self.after_hands(Wanted::All, take).await.map_err(SessionError::in_doubt);
        let ((taken, untold), came) = taken?;
        // What was refused is buffered again, or whoever awaited it was told.
        let undurable = came.is_err_and(|kind| kind == ErrorKind::Undurable);
        Ok((taken, if undurable { Err(taken_along(ErrorKind::Undurable)) } else { untold }))
    }

    /// Completes when what was watched is known to be stored, or not to be; answers with the first that was refused.
    pub(super) async fn settled(
        &self,
        watched: Watched,
        patience: &mut Patience,
    ) -> Result<Came, SessionError> {
        let settings = &self.engine().settings;
        // As long as the slowest of commits may take.
        let longest = settings.commit_deadline.saturating_add(settings.locking.wait);
        // By the runtime's own clock, which in a test may be another one.
        let begun = Instant::now().into();
        let deadline = *patience.0.get_or_insert_with(|| deadline_after(begun, longest).into());
        let settled = async {
            let mut all = Ok(());
            for one in watched {
                // Where its request has gone, nobody knows.
                all = all.and(one.await.unwrap_or(Err(ErrorKind::Unknown)));
            }
            all
        };
        timer(|| timeout_at(deadline, settled))?.await.map_err(|_| {
            SessionError::because(
                ErrorKind::Unavailable,
                "another call of the same request is storing what this one has to come after, and is not done",
            )
        })
    }
}
