//! Live sessions on their way out of PHP's layout, into a store that PHP knows nothing of.
//!
//! A session moves when a request asks for it, and in an order that survives the end of this process anywhere in it:
//!
//! 1. PHP's value is looked at. While somebody holds PHP's lock it stays where it is, and is served from there.
//! 2. A copy goes to the other store, with a flag in it: nobody is served a flagged copy, nobody writes to one.
//! 3. PHP's value is deleted if it is still the same to the byte and nobody holds the lock, and a mark is left in its place. That is the
//!    instant at which the session has moved.
//! 4. The flag is taken off. Whoever finds one begins again at 1: the mark tells whether 3 was reached. At
//!    [`Done`](Stage::Done) nobody looks for it: a copy that still has its flag is over.
//!
//! The mark outlives whatever a late request of PHP's may yet write under the id: that is never loaded.

mod aside;
mod carry;
mod flag;
mod store;
#[cfg(feature = "config")]
mod table;
mod whole;

use std::future::Future;
use std::sync::Arc;

#[cfg(doc)]
use cloakroom::store::Handover;
use cloakroom::store::{Store, StoreError, StoreFuture};

use super::ground::Ground;
use super::store::PhpSessions;
#[cfg(feature = "config")]
pub use table::Move;

/// How far the move is. Every instance of a service goes from one to the next before any goes one further.
///
/// By name, in the order in which they come: `prepare`, `move`, `done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Nothing moves, and whatever has moved is found: for the time in which other instances may be a stage further. PHP serves its
    /// routes.
    Prepare,
    /// PHP has no routes with sessions any more. Sessions move as they are asked for; new ones are begun in the new place.
    Move,
    /// What has not moved is over: PHP's sessions are not looked for any more. New ids and values are this library's own.
    Done,
}

impl std::str::FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(name: &str) -> Result<Self, UnknownStage> {
        match name {
            "prepare" => Ok(Stage::Prepare),
            "move" => Ok(Stage::Move),
            "done" => Ok(Stage::Done),
            _ => Err(UnknownStage),
        }
    }
}

/// A name that is none of [`Stage`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown stage of a move; accepted: prepare, move, done")]
pub struct UnknownStage;

/// The sessions of a PHP application that is on its way out, together with the store that they move to.
///
/// A session that moves keeps its id and its values as PHP had them, so that every visitor keeps the cookie; the configuration is that of the
/// [`Layout`](super::Layout). From [`Done`](Stage::Done) on, sessions that begin or get a new id have ids and values of this library's own, and
/// both sorts are read at every stage: see [`Handover`].
/// Opening a session that has moved costs one call of the other store. One that stays where it is costs one more at
/// `prepare` and two more at `move`; a session that moves costs seven in all, and an id that neither place knows four at `prepare` and five at
/// `move`.
///
/// A session in which a value refers to another value or object, or a name is not UTF-8, does not move: that is PHP's alone. It is served from where it is until it ends.
///
/// While sessions move, `list_user`, `revoke` and caps are refused as PHP's layout refuses them; once it is [done](Stage::Done) they are the
/// other store's.
pub struct Moving<G>(Arc<Parts<G>>);

struct Parts<G> {
    php: PhpSessions<G>,
    new: Arc<dyn Store>,
    stage: Stage,
}

impl<G> Clone for Moving<G> {
    fn clone(&self) -> Self {
        Moving(Arc::clone(&self.0))
    }
}

impl<G: Ground> Moving<G> {
    /// From PHP's sessions to this store: any but one in a Redis Cluster.
    ///
    /// Such a store wants a session's new id in the slot of the old one, which one by PHP's rules cannot say. So until the stage is
    /// [`Done`](Stage::Done), every change of an id there (login, `regenerate`, renewal) is refused as unavailable. Nothing is asked of the
    /// store here, and so nothing is refused here either.
    pub fn new(php: PhpSessions<G>, new: Arc<dyn Store>, stage: Stage) -> Self {
        Moving(Arc::new(Parts { php, new, stage }))
    }

    fn ask<A, F>(&self, ask: impl FnOnce(Arc<Parts<G>>) -> F) -> StoreFuture<A>
    where
        F: Future<Output = Result<A, StoreError>> + Send + 'static,
    {
        StoreFuture::boxed(ask(self.0.clone()))
    }
}

impl<G: Ground> std::fmt::Debug for Moving<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Parts { php, new, stage } = &*self.0;
        f.debug_struct("Moving").field("from", php).field("to", &new.name()).field("stage", stage).finish()
    }
}
