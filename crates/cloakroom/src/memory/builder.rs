use std::fmt;
use std::sync::Arc;

use super::MemoryStore;
use crate::clock::{Clock, SystemClock};

/// Sets up a [`MemoryStore`]; from [`MemoryStore::builder`].
#[derive(Clone)]
pub struct MemoryStoreBuilder {
    pub(super) max_sessions: usize,
    pub(super) max_bytes: usize,
    pub(super) clock: Arc<dyn Clock>,
}

impl MemoryStoreBuilder {
    pub(super) fn new() -> Self {
        MemoryStoreBuilder {
            max_sessions: 1_000_000,
            max_bytes: if usize::BITS > 32 { 1 << 30 } else { 1 << 28 },
            clock: Arc::new(SystemClock),
        }
    }

    /// The store holds this many sessions at most; default 1,000,000. The endings and old ids it remembers, each
    /// for about a minute, are bounded by twice this number together with the sessions.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// The store takes this many bytes of memory at most, by its own account, which counts each session's data
    /// and what the store keeps with it (some 220 bytes, more for one with a user); default 1 GiB (256 MiB where
    /// addresses have 32 bits).
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Takes the time from this clock; default [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The store. An empty one takes some 220 KiB; up to 180 KiB come on top of what it holds, for the records that were read last.
    pub fn build(self) -> MemoryStore {
        MemoryStore::from_builder(self)
    }
}

impl fmt::Debug for MemoryStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStoreBuilder")
            .field("max_sessions", &self.max_sessions)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}
