use std::sync::Arc;
use std::time::Duration;

use super::NearCache;
use super::cache::{Cache, Limits, Watch};
use crate::clock::Clock;
use crate::store::PushStore;

/// Settings of a [`NearCache`].
pub struct NearCacheBuilder<S> {
    store: S,
    limits: Limits,
    watch: Watch,
}

impl<S: PushStore> NearCacheBuilder<S> {
    pub(super) fn new(store: S) -> Self {
        let limits = Limits { entries: 50_000, bytes: 64 * 1024 * 1024, lifetime: Duration::from_secs(2) };
        NearCacheBuilder { store, limits, watch: Watch::running() }
    }

    /// Sessions that are kept, at most; default 50,000. The oldest make room.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.limits.entries = entries;
        self
    }

    /// Bytes that the kept sessions take, at most, their data and some 300 bytes for each; default 64 MiB. The oldest make
    /// room. A session that alone is too large is not kept.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// How long a session is served from memory after it was asked for; default 2 s. This is how outdated a read can be when
    /// the connection to the server is cut and neither side notices: choose it no longer than a revoked session may go on.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.limits.lifetime = lifetime;
        self
    }

    /// Takes the passing of time from this clock instead of the machine's monotonic one: for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.watch = Watch::Clock(Arc::new(clock));
        self
    }

    /// The cache, which has the store tell it of changes from now on.
    pub fn build(self) -> NearCache<S> {
        NearCache::over(self.store, Cache::new(self.limits, self.watch))
    }
}

impl<S> std::fmt::Debug for NearCacheBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NearCacheBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
