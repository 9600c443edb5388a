//! Tells long-lived connections that their session ended.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Effect, Engine};
use crate::ids::{RecordId, StoreKey};
use crate::store::{Ending, Loaded};

/// Who waits for which record to end, in this process.
#[derive(Debug, Default)]
pub(crate) struct EndedBoard(Mutex<HashMap<RecordId, Arc<Notify>>>);

impl EndedBoard {
    fn watch(&self, id: RecordId) -> Arc<Notify> {
        let mut board = self.0.lock();
        // Those that nobody waits on any more are dropped as new ones come.
        if board.len() > 64 {
            board.retain(|_, notify| Arc::strong_count(notify) > 1);
        }
        Arc::clone(board.entry(id).or_default())
    }

    /// The record ended.
    pub(crate) fn announce(&self, id: RecordId) {
        if let Some(notify) = self.0.lock().remove(&id) {
            notify.notify_waiters();
        }
    }

    /// Some record ended, and it is not known which: everyone looks.
    pub(crate) fn announce_all(&self) {
        for notify in self.0.lock().values() {
            notify.notify_waiters();
        }
    }
}

impl Engine {
    /// Completes when the record under `key` has ended, wherever it moved to meanwhile.
    ///
    /// At once for an end in this process; for one elsewhere, at the next of the regular looks. While the store
    /// cannot be asked, the session is taken to live on.
    pub(crate) async fn has_ended(self: Arc<Self>, id: RecordId, mut key: StoreKey) {
        loop {
            let notify = self.ended.watch(id);
            let announced = notify.notified();
            tokio::pin!(announced);
            announced.as_mut().enable();
            match self.call(Effect::Reads, self.store.load(key)).await {
                Ok(Loaded::Live(_)) | Err(_) => {}
                Ok(Loaded::Alias { successor, .. }) => key = successor,
                Ok(Loaded::Ended(Ending::Moved { to, .. })) => {
                    key = to;
                    continue;
                }
                Ok(Loaded::Ended(_) | Loaded::Missing) => return,
            }
            let _ = tokio::time::timeout(self.settings.ended_poll, announced).await;
        }
    }
}
