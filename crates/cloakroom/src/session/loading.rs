//! Who loads a request's session: one of the futures that ask for it, whichever comes first.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use crate::engine::FirstLoad;
use crate::error::SessionError;

/// Whose turn it is to load the session.
enum Turn<'s> {
    Own(Loading<'s>),
    Others,
    /// It was loaded.
    Over,
}

/// The session is being loaded, until this is dropped.
struct Loading<'s>(&'s Shared);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.state.lock().loading = false;
        // Who has not begun to wait by now sees it in the state.
        if let Some(waiting) = self.0.waiting.get() {
            waiting.loaded.notify_waiters();
        }
    }
}

impl Shared {
    /// Loads it unless that was done: at most once, however many ask. Whoever comes while another one is at it waits, and
    /// tries in its place where that one fails or is dropped.
    pub(super) async fn load_once(
        self: &Arc<Self>,
        exclusive: bool,
        first: Option<Box<FirstLoad>>,
    ) -> Result<(), SessionError> {
        let turn = match self.turn() {
            Turn::Others => Box::pin(self.own_turn()).await,
            turn => turn,
        };
        match turn {
            Turn::Own(_until_done) => self.load(exclusive, first).await,
            Turn::Over | Turn::Others => Ok(()),
        }
    }

    fn turn(&self) -> Turn<'_> {
        let mut state = self.state.lock();
        if state.opened {
            return Turn::Over;
        }
        if std::mem::replace(&mut state.loading, true) {
            return Turn::Others;
        }
        // Whoever could load it at once sees that somebody is at it: what that one buffers meanwhile would be forgotten.
        self.asked.store(true, Ordering::Release);
        Turn::Own(Loading(self))
    }

    /// As [`turn`](Self::turn), once it is nobody else's.
    async fn own_turn(&self) -> Turn<'_> {
        loop {
            // Registered before it is looked whose turn it is: nobody's end is missed.
            let mut loaded = pin!(self.waiting().loaded.notified());
            loaded.as_mut().enable();
            match self.turn() {
                Turn::Others => loaded.await,
                turn => return turn,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::opening::AtOnce;
    use super::*;
    use crate::{MemoryStore, SessionManager};

    #[test]
    fn nobody_loads_it_at_once_while_another_one_is_about_to() {
        let sessions = SessionManager::with_defaults(Arc::new(MemoryStore::new()));
        let handle = sessions.open(&http::Request::new(()), None);
        let turn = handle.0.turn();
        assert!(matches!(turn, Turn::Own(_)));
        assert!(matches!(handle.0.open_at_once(false), AtOnce::Wait(None)));
        drop(turn);
    }
}
