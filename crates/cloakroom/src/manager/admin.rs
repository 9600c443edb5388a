//! What an administrator does: look, and end sessions.

use std::sync::Arc;

use super::SessionManager;
use crate::engine::{Effect, MetricsSnapshot};
use crate::error::SessionError;
use crate::ids::{StoreKey, UserId};
use crate::session::DeviceHandle;
use crate::store::{EndCause, Ended, RevokeWhich, ScanFrom, ScanPage, StoreStats, Summary};

/// Pages that are read to find a handle that is not one of a named user's.
const SCAN_PAGE: usize = 500;

impl SessionManager {
    /// The live sessions of a user, oldest first. One store call.
    ///
    /// # Errors
    /// What the store can fail with.
    pub async fn list_user(&self, user: &str) -> Result<Vec<Summary>, SessionError> {
        let Some(user) = UserId::new(user) else { return Ok(Vec::new()) };
        let engine = &self.0.engine;
        Ok(engine.call(Effect::Reads, engine.store.list_user(user)).await?)
    }

    /// Ends all sessions of a user; answers with how many. No request in flight brings one back. One store call.
    ///
    /// # Errors
    /// What the store can fail with.
    pub async fn revoke_user(&self, user: &str) -> Result<usize, SessionError> {
        let Some(user) = UserId::new(user) else { return Ok(0) };
        self.0.engine.revoke(user, RevokeWhich::All).await
    }

    /// Ends the session under a key, as found by [`scan`](SessionManager::scan) or
    /// [`list_user`](SessionManager::list_user), following it where its id changed since. `true` when it was alive. One
    /// store call.
    ///
    /// # Errors
    /// What the store can fail with.
    pub async fn revoke_key(&self, key: StoreKey) -> Result<bool, SessionError> {
        let engine = Arc::clone(&self.0.engine);
        // Once begun it goes on when whoever asked for it is dropped, as every end of a session does.
        let end = async move { engine.end(key, EndCause::Revoked).await };
        Ok(matches!(self.0.engine.tasks.detach(end).await?, Ended::Ended(_)))
    }

    /// Ends the session that a handle names, whoever's it is; `true` when it was found. Reads through the live sessions, 500
    /// with each store call: for an administrator's click, not for a loop.
    ///
    /// # Errors
    /// What the store can fail with.
    pub async fn revoke_handle(&self, handle: &str) -> Result<bool, SessionError> {
        let mut from = ScanFrom { after: None, limit: SCAN_PAGE };
        loop {
            let page = self.scan(from).await?;
            if let Some(session) = page.sessions.iter().find(|s| DeviceHandle::of(s).as_str() == handle) {
                return self.revoke_key(session.key).await;
            }
            match page.next {
                Some(next) => from.after = Some(next),
                None => return Ok(false),
            }
        }
    }

    /// A page of the live sessions, in the store's own order. One store call.
    ///
    /// # Errors
    /// What the store can fail with.
    pub async fn scan(&self, from: ScanFrom) -> Result<ScanPage, SessionError> {
        let engine = &self.0.engine;
        Ok(engine.call(Effect::Reads, engine.store.scan(from)).await?)
    }

    /// What the store says about itself. One store call.
    ///
    /// # Errors
    /// What the store can fail with.
    pub async fn store_stats(&self) -> Result<StoreStats, SessionError> {
        let engine = &self.0.engine;
        Ok(engine.call(Effect::Reads, engine.store.stats()).await?)
    }

    /// The counters, now.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.0.engine.metrics.snapshot()
    }

    /// The counters and histograms in the text format of Prometheus.
    pub fn metrics_text(&self) -> String {
        self.0.engine.metrics.prometheus()
    }

    /// Waits for commits and releases that run detached from their requests. Call it after the server has stopped
    /// taking requests, before the process ends. It takes no longer than the deadlines of what is under way.
    pub async fn shutdown(&self) {
        self.0.engine.tasks.drained().await;
    }
}
