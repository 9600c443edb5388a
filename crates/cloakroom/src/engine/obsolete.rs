//! What came of an id that was used past its grace is ended, and all else of the same user, where the settings say so.
//!
//! One task does it, one line after the other, and a line that is asked for again meanwhile is ended once: an id that somebody
//! presents over and over costs one entry here while the store is slow.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Engine;
use crate::error::{ErrorKind, SessionError};
use crate::ids::StoreKey;
use crate::store::{EndCause, Ended, RevokeWhich};

/// The lines that are to be ended.
#[derive(Debug, Default)]
pub(crate) struct ObsoleteLines(Mutex<Due>);

#[derive(Debug, Default)]
struct Due {
    keys: HashSet<StoreKey>,
    /// A task is at it.
    ending: bool,
}

impl ObsoleteLines {
    /// Notes a line; `true` where a task has to be started for it.
    fn add(&self, key: StoreKey) -> bool {
        let mut due = self.0.lock();
        due.keys.insert(key);
        !std::mem::replace(&mut due.ending, true)
    }

    /// The next one; it is due until [`done`](Self::done). `None`: the task is over.
    fn next(&self) -> Option<StoreKey> {
        let mut due = self.0.lock();
        let next = due.keys.iter().next().copied();
        due.ending = next.is_some();
        next
    }

    fn done(&self, key: StoreKey) {
        self.0.lock().keys.remove(&key);
    }
}

/// The task that ends them. Should it be dropped or panic, the next use of an obsolete id starts another one.
struct AtIt {
    engine: Arc<Engine>,
    over: bool,
}

impl AtIt {
    async fn go_on(mut self) {
        let engine = Arc::clone(&self.engine);
        while let Some(key) = engine.obsolete.next() {
            engine.end_line(key).await;
            engine.obsolete.done(key);
        }
        self.over = true;
    }
}

impl Drop for AtIt {
    fn drop(&mut self) {
        if !self.over {
            self.engine.obsolete.0.lock().ending = false;
        }
    }
}

impl Engine {
    /// Ends what came of an obsolete id, and everything else of the same user. Detached.
    pub(super) fn end_line_of(self: &Arc<Self>, key: StoreKey) {
        if self.obsolete.add(key) {
            let what = "the end of a user's sessions after the use of an obsolete id";
            self.tasks.spawn(what, AtIt { engine: Arc::clone(self), over: false }.go_on());
        }
    }

    async fn end_line(self: &Arc<Self>, key: StoreKey) {
        let ended = match self.end(key, EndCause::Revoked).await {
            Ok(Ended::Ended(Some(session))) => match session.user {
                Some(user) => self.revoke_now(user, RevokeWhich::All).await.map(drop),
                None => Ok(()),
            },
            Ok(Ended::Ended(None)) => {
                let text = "asked again, the store no longer tells whose session it was";
                Err(SessionError::because(ErrorKind::Unknown, text))
            }
            Ok(Ended::NotLive) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::error!(
                target: "cloakroom", ?key, %error,
                "an obsolete id was used, and the sessions of its user were not ended, or not all of them: end them with \
                 `SessionManager::revoke_user`"
            );
        }
    }
}
