use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

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

    /// Completes once a call has arrived at the gate.
    pub async fn arrived(&self) {
        self.arrivals(1).await;
    }

    /// Completes once `calls` calls have arrived at the gate since it was made.
    pub async fn arrivals(&self, calls: usize) {
        // The sender lives in `self`: the channel cannot be closed.
        let _ = self.0.waiting.subscribe().wait_for(|arrived| *arrived >= calls).await;
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
