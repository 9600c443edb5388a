//! What was buffered and came to nothing with the response, or with the client. Nobody awaited it, so nobody was told but the
//! client: a task of the handler that saves afterwards is told then.

use super::hands::{Came, Telling};
use super::shared::State;
use crate::error::{ErrorKind, SessionError};

impl State {
    /// Discards what is buffered, because it goes with the response, or with a client that has gone.
    pub(super) fn discard(&mut self) {
        if self.view.has_changes() {
            self.went_with_response();
        }
        self.view.discard_changes();
        // What is on its way to the store may get there, and who asks for nothing is told nothing of what did.
        self.hands.go_with_response(true);
        self.hands.forget_untold();
    }

    /// Something that was buffered is discarded with the response.
    pub(super) fn went_with_response(&mut self) {
        self.unsaved.get_or_insert(ErrorKind::HeadSent);
    }

    /// What was buffered is discarded because the session is read anew: nobody asks for it any more.
    pub(super) fn start_anew(&mut self) {
        self.view.discard_changes();
        self.hands.go_with_response(false);
        self.hands.forget_untold();
        self.unsaved = None;
    }

    /// The request's own commit, which had taken along what was buffered, came to this.
    #[must_use = "to be told when the state is not locked"]
    pub(super) fn committed(&mut self, came: Came) -> Telling {
        // What is undurable is made.
        if let Err(kind) = came
            && kind != ErrorKind::Undurable
        {
            self.unsaved = Some(kind);
        }
        let committing = self.committing.take();
        self.view.lent.end(committing);
        self.hands.put_down(committing, came)
    }

    /// Refuses to acknowledge what was buffered where some of it is lost.
    pub(super) fn check_kept(&self) -> Result<(), SessionError> {
        match self.unsaved {
            None => Ok(()),
            Some(kind @ ErrorKind::HeadSent) => {
                Err(SessionError::because(kind, "what was buffered was discarded with the response"))
            }
            Some(kind) => Err(SessionError::because(
                kind,
                "that is what the request's own commit came to, and it had taken along what was buffered",
            )),
        }
    }
}
