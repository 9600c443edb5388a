//! One request on its way through the writer: run inside a transaction, answered after it is committed.

use std::time::Instant;

use cloakroom::clock::Timestamp;
use cloakroom::store::StoreError;
use tokio::sync::oneshot;

use crate::batch::{Batch, StepError};

/// A request of any kind, as the writer sees it.
pub(crate) trait Step: Send {
    /// Runs it inside the transaction and keeps the answer. Called again when the transaction had to be abandoned.
    ///
    /// A request that fails by itself keeps its error as its answer, and leaves no trace in the batch.
    fn run(&mut self, batch: &mut Batch<'_>, now: Timestamp);

    /// When it was asked for.
    fn asked(&self) -> Instant;

    /// Nobody waits for the answer any more. Its caller has told the client that the write was refused: running it now
    /// would store what was refused.
    fn is_abandoned(&self) -> bool;

    /// The transaction is committed: gives the answer. Nobody may be there any more to take it.
    fn answer(self: Box<Self>);

    /// The transaction failed: says so.
    fn fail(self: Box<Self>, error: StoreError);
}

/// What is to be done with a request inside a transaction.
pub(crate) type Run<R, A> = fn(&mut Batch<'_>, Timestamp, R) -> Result<A, StepError>;

pub(crate) struct Pending<R, A> {
    request: R,
    run: Run<R, A>,
    outcome: Option<Result<A, StoreError>>,
    asked: Instant,
    reply: oneshot::Sender<Result<A, StoreError>>,
}

impl<R, A> Pending<R, A> {
    pub(crate) fn new(request: R, run: Run<R, A>) -> (Self, oneshot::Receiver<Result<A, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Pending { request, run, outcome: None, asked: Instant::now(), reply }, answer)
    }
}

impl<R: Clone + Send, A: Send> Step for Pending<R, A> {
    fn run(&mut self, batch: &mut Batch<'_>, now: Timestamp) {
        let outcome = (self.run)(batch, now, self.request.clone());
        self.outcome = Some(match outcome {
            Ok(answer) => {
                batch.keep();
                Ok(answer)
            }
            Err(error) => {
                batch.discard();
                Err(batch.explain(error))
            }
        });
    }

    fn asked(&self) -> Instant {
        self.asked
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            let _ = self.reply.send(outcome);
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        // A request that had failed by itself knows better why.
        let _ = self.reply.send(match self.outcome {
            Some(Err(own)) => Err(own),
            _ => Err(error),
        });
    }
}
