use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// No call is so long on its way, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stops a call until the test opens it: for interleavings that happen in one way and no other. Clones are the
/// same gate.
#[derive(Clone)]
pub struct Gate(Arc<Posts>);

struct Posts {
    waiting: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Gate(Arc::new(Posts { waiting: watch::Sender::new(0), open: watch::Sender::new(false) }))
    }

    /// Lets everything through, now and from here on.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Completes once a call has arrived at the gate; panics as [`arrivals`](Self::arrivals) does.
    pub async fn arrived(&self) {
        self.arrivals(1).await;
    }

    /// Completes once `calls` calls have arrived at the gate since it was made.
    ///
    /// # Panics
    /// Where they do not within a minute by the runtime's timers: a test that waits for ever says nothing. So it does where there are no timers.
    pub async fn arrivals(&self, calls: usize) {
        let mut waiting = self.0.waiting.subscribe();
        // The sender lives in `self`: the channel cannot be closed.
        let arrived = tokio::time::timeout(PATIENCE, waiting.wait_for(|arrived| *arrived >= calls)).await;
        assert!(arrived.is_ok(), "in vain: {calls} calls at the {self:?}");
    }

    /// Arrives, and completes once the gate is open: for a test that holds calls of something else than a store.
    pub async fn pass(&self) {
        self.0.waiting.send_modify(|arrived| *arrived += 1);
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if *self.0.open.borrow() { "open" } else { "closed" };
        write!(f, "Gate({state}, {} arrived)", *self.0.waiting.borrow())
    }
}
