//! Sessions that expire in a store which removes them by itself and tells of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Engine, Event};
use crate::ids::StoreKey;
use crate::store::ExpiryListener;

/// Whether the engine listens.
#[derive(Debug, Default)]
pub(crate) struct Listening(AtomicBool);

impl Engine {
    /// Listens, once, where anybody wants to be told; called when a session is first asked for, so that a store is not connected
    /// to before.
    pub(crate) fn start_listening(self: &Arc<Self>) {
        if self.events.0.is_empty() || self.listening.0.load(Ordering::Relaxed) {
            return;
        }
        if !self.listening.0.swap(true, Ordering::Relaxed) {
            let engine = Arc::downgrade(self);
            // An alias is an alias through its grace, and a marker after that.
            self.store.tell_expired(engine, self.settings.marker.saturating_add(self.settings.grace));
        }
    }
}

impl ExpiryListener for Engine {
    fn expired(&self, key: StoreKey) {
        self.events.emit(Event::Expired(key));
    }
}
