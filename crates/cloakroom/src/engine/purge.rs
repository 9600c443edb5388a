//! Asks the store now and then to remove what is past its time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::{Effect, Engine, overdue, timer};
use crate::clock::deadline_in;

/// Entries in one step of a purge: a step holds the store up for as long as this takes.
const BATCH: usize = 500;

/// Whether the purging of an engine was started.
#[derive(Debug, Default)]
pub(crate) struct Purging(AtomicBool);

impl Engine {
    /// Starts the purging, once; called from wherever there is a runtime.
    pub(crate) fn start_purging(self: &Arc<Self>) {
        let Some(every) = self.settings.purge_every else { return };
        if self.purging.0.load(Ordering::Relaxed) || self.purging.0.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            self.purging.0.store(false, Ordering::Relaxed);
            return;
        };
        match timer(|| interval_at(deadline_in(every).into(), every)) {
            Ok(rounds) => drop(runtime.spawn(purge(Arc::downgrade(self), rounds))),
            Err(missing) => {
                tracing::error!(target: "cloakroom", error = %missing, "nothing is purged: what expired stays in the store");
            }
        }
    }
}

/// Runs for as long as the engine lives. An error ends a round, never the purging; nor does a store that never answers,
/// which would keep the engine alive besides.
async fn purge(engine: Weak<Engine>, mut rounds: Interval) {
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        loop {
            let Some(engine) = engine.upgrade() else { return };
            let within = engine.settings.call_deadline;
            let answer = tokio::time::timeout(within, engine.store.purge(BATCH)).await;
            match answer.unwrap_or_else(|_| Err(overdue(Effect::Writes, within))) {
                Ok(purged) => {
                    engine.metrics.purged.add(u64::try_from(purged.removed).unwrap_or(0));
                    if !purged.more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(target: "cloakroom", %error, "a purge failed; it is tried again later");
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
