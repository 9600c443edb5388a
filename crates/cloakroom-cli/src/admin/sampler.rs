//! The last minute and a half of the shop's counters, a sample each second.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloakroom::{MetricsSnapshot, SessionManager};
use tokio::task::AbortHandle;

/// One more than there are points in a chart: each point is the difference of two.
const KEPT: usize = 91;

/// The counters at one second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) metrics: MetricsSnapshot,
    /// Live sessions, where the store could tell.
    pub(super) live: Option<u64>,
    /// What the store occupies, where it could tell.
    pub(super) bytes: Option<u64>,
}

/// Takes a sample every second, as long as it runs.
pub(super) struct Sampler {
    samples: Arc<Mutex<VecDeque<Sample>>>,
    task: AbortHandle,
}

impl Sampler {
    pub(super) fn start(shop: SessionManager) -> Self {
        let samples: Arc<Mutex<VecDeque<Sample>>> = Arc::default();
        let kept = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                seconds.tick().await;
                let sample = take(&shop).await;
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() >= KEPT {
                    kept.pop_front();
                }
                kept.push_back(sample);
            }
        });
        Sampler { samples, task: task.abort_handle() }
    }

    pub(super) fn stop(&self) {
        self.task.abort();
    }

    /// What was sampled, oldest first, and this very moment last.
    pub(super) async fn history(&self, shop: &SessionManager) -> Vec<Sample> {
        let now = take(shop).await;
        let kept = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().copied().chain([now]).collect()
    }
}

/// Asking the store for its size is a store call like any other, and is counted as one.
async fn take(shop: &SessionManager) -> Sample {
    let stats = shop.store_stats().await.unwrap_or_default();
    Sample { metrics: shop.metrics(), live: stats.live, bytes: stats.bytes }
}
