//! Tells long-lived connections that their session ended, or is another user's now.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Effect, Engine, timer};
use crate::ids::{RecordId, StoreKey, UserId};
use crate::store::{Ending, Loaded};

/// Who waits for which record to end, in this process.
#[derive(Debug, Default)]
pub(crate) struct EndedBoard(Mutex<Board>);

#[derive(Debug, Default)]
struct Board {
    watched: HashMap<RecordId, Arc<Notify>>,
    /// So many make it worth a look for those that nobody waits on any more.
    sweep_at: usize,
}

/// Fewer are not worth a look.
const FEW: usize = 64;

impl EndedBoard {
    fn watch(&self, id: RecordId) -> Arc<Notify> {
        let mut board = self.0.lock();
        // Those that nobody waits on any more are dropped as new ones come. Not until there are twice as many as were left
        // the last time: thousands of connections look again every few seconds, and must not all pass over all of them.
        if board.watched.len() >= board.sweep_at.max(FEW) {
            board.watched.retain(|_, notify| Arc::strong_count(notify) > 1);
            board.sweep_at = board.watched.len().saturating_mul(2);
        }
        Arc::clone(board.watched.entry(id).or_default())
    }

    /// The record ended, or passed to another user.
    pub(crate) fn announce(&self, id: RecordId) {
        if let Some(notify) = self.0.lock().watched.remove(&id) {
            notify.notify_waiters();
        }
    }

    /// Some record ended, and it is not known which: everyone looks.
    pub(crate) fn announce_all(&self) {
        for notify in self.0.lock().watched.values() {
            notify.notify_waiters();
        }
    }
}

impl Engine {
    /// Completes when the record under `key` has ended, wherever it moved to meanwhile, or is not this user's any more. Nobody's
    /// is that of whoever logs in.
    ///
    /// At once for an end in this process; for one elsewhere, at the next of the regular looks. While the store
    /// cannot be asked, the session is taken to live on.
    pub(crate) async fn has_ended(
        self: Arc<Self>,
        id: RecordId,
        mut key: StoreKey,
        mut user: Option<UserId>,
    ) {
        let mut was_somebodys = user.is_some();
        loop {
            let notify = self.ended.watch(id);
            let announced = notify.notified();
            tokio::pin!(announced);
            announced.as_mut().enable();
            match self.call(Effect::Reads, self.store.load(key)).await {
                Ok(Loaded::Live(snapshot)) => {
                    if user.is_some() && snapshot.record.user != user {
                        return;
                    }
                    user.clone_from(&snapshot.record.user);
                    was_somebodys = user.is_some();
                }
                Err(_) => {}
                // A grace leads nobody to another user.
                Ok(Loaded::Alias { successor, .. }) => key = successor,
                Ok(Loaded::Ended(Ending::Moved { user_changed: true, .. })) if was_somebodys => return,
                Ok(Loaded::Ended(Ending::Moved { to, user_changed })) => {
                    was_somebodys |= user_changed;
                    key = to;
                    continue;
                }
                Ok(Loaded::Ended(_) | Loaded::Missing) => return,
            }
            match timer(|| tokio::time::sleep(self.settings.ended_poll)) {
                Ok(next_look) => {
                    tokio::select! { () = announced => {} () = next_look => {} }
                }
                // Nothing can wake it for another look: what ends in this process is told all the same.
                Err(_) => announced.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_the_board_forgets_whom_nobody_waits_for() {
        let board = EndedBoard::default();
        let kept: Vec<_> = (0..100).map(|_| board.watch(RecordId::generate())).collect();
        for _ in 0..10_000 {
            drop(board.watch(RecordId::generate()));
        }
        let board = board.0.lock();
        assert!((100..=2 * kept.len().max(FEW)).contains(&board.watched.len()), "{}", board.watched.len());
    }

    #[test]
    fn looking_again_does_not_pass_over_all_that_others_wait_for() {
        let board = EndedBoard::default();
        let ids: Vec<_> = (0..10_000).map(|_| RecordId::generate()).collect();
        let mut kept = Vec::new();
        let mut sweeps = 0;
        for id in ids.iter().chain(&ids).chain(&ids) {
            let before = board.0.lock().sweep_at;
            kept.push(board.watch(*id));
            sweeps += usize::from(board.0.lock().sweep_at != before);
        }
        let next = board.0.lock().sweep_at;
        assert!(sweeps < 20 && next > ids.len(), "{sweeps} sweeps, the next one at {next}");
    }
}
