//! Ids that no request holds any more and that are asked for all the same.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cloakroom::{PlainId, StoreKey};

/// How long an id is remembered that only the store needs, since it was last asked for: longer than any lease is without being
/// renewed, and than anybody who waits for the end of a session goes without looking.
const MOMENT: Duration = Duration::from_secs(60);
/// Fewer are not worth a look for those whose time is over.
const FEW: usize = 64;

/// Ids that are held for a moment. No more than there are sessions that were locked or moved in the last minute.
#[derive(Default)]
pub(super) struct Moment {
    ids: HashMap<StoreKey, (Instant, PlainId)>,
    sweep_at: usize,
}

impl Moment {
    pub(super) fn keep(&mut self, id: Option<PlainId>) {
        if self.ids.len() >= self.sweep_at.max(FEW) {
            self.ids.retain(|_, (since, _)| since.elapsed() < MOMENT);
            self.sweep_at = self.ids.len().saturating_mul(2);
        }
        if let Some(id) = id {
            self.ids.insert(id.key(), (Instant::now(), id));
        }
    }

    /// It was asked for again.
    pub(super) fn refresh(&mut self, key: &StoreKey) {
        if let Some((since, _)) = self.ids.get_mut(key) {
            *since = Instant::now();
        }
    }
}
