//! PHP's place, of which calls are late or fail.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use cloakroom::PlainId;
use cloakroom::clock::Timestamp;
use cloakroom::store::{Purged, StoreError, StoreErrorKind};
use cloakroom_php::layout::{Change, Ground, Layout, Matter, View};
use cloakroom_testing::fault::Fault;

/// What goes wrong with calls of PHP's place. Clones are of the same plan.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<Option<(u64, Fault)>>>);

impl Calls {
    /// At the `n`-th call from now.
    pub fn at(&self, n: u64, fault: Fault) {
        *self.0.lock().unwrap() = Some((n, fault));
    }

    /// Takes that back.
    pub fn heal(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Whether there were not as many calls.
    pub fn is_due(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    fn next(&self) -> Option<Fault> {
        let mut plan = self.0.lock().unwrap();
        let (left, _) = plan.as_mut()?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        plan.take().map(|(_, fault)| fault)
    }

    async fn run<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let failed = |kind, what| Err(StoreError::new(kind, what));
        match self.next() {
            None => call.await,
            Some(Fault::Hold(gate)) => {
                gate.pass().await;
                call.await
            }
            Some(Fault::HoldAnswer(gate)) => {
                let answer = call.await;
                gate.pass().await;
                answer
            }
            Some(Fault::Unavailable) => {
                failed(StoreErrorKind::Unavailable, "injected fault: PHP's place is away")
            }
            Some(Fault::LoseRequest) => {
                failed(StoreErrorKind::Unknown, "injected fault: the request was lost")
            }
            Some(Fault::LoseAnswer) => {
                let _ = call.await;
                failed(StoreErrorKind::Unknown, "injected fault: the answer was lost")
            }
            Some(other) => panic!("{} is no fault of PHP's place", other.name()),
        }
    }
}

/// A place, and what goes wrong with it.
pub struct Late<G> {
    ground: G,
    calls: Calls,
}

impl<G> Late<G> {
    pub fn new(ground: G, calls: Calls) -> Self {
        Late { ground, calls }
    }
}

impl<G: Ground> Ground for Late<G> {
    fn place(&self) -> &str {
        self.ground.place()
    }

    fn deadline(&self) -> Instant {
        self.ground.deadline()
    }

    async fn look(&self, deadline: Instant, layout: &Layout, ids: &[PlainId]) -> Result<View, StoreError> {
        self.calls.run(self.ground.look(deadline, layout, ids)).await
    }

    async fn apply(
        &self,
        deadline: Instant,
        layout: &Layout,
        view: &View,
        changes: Vec<Change>,
        matter: Matter,
    ) -> Result<bool, StoreError> {
        self.calls.run(self.ground.apply(deadline, layout, view, changes, matter)).await
    }

    fn confirms(&self, matter: Matter) -> bool {
        self.ground.confirms(matter)
    }

    async fn purge(&self, layout: &Layout, limit: usize) -> Result<Purged, StoreError> {
        self.ground.purge(layout, limit).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.ground.now().await
    }
}
