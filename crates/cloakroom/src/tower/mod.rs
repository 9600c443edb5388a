//! The tower layer: sessions around any service that takes and gives `http` messages.
//!
//! It opens a [`SessionHandle`](crate::SessionHandle) for every request, hands it on in the request's extensions and as the
//! task's [`current`](crate::current) one, and closes it before the response's head leaves. A request that never asks
//! for its session costs one allocation here and no store call.
//!
//! A panic of the handler is answered with 500: what was buffered is discarded, the lease is given back, and an id that was
//! changed for good is still told to the client. Put a layer that reports panics *inside* this one.

mod future;
mod hand_on;
mod layer;
mod replay;
mod service;

pub use future::ResponseFuture;
pub use layer::SessionLayer;
pub use replay::{ReplayBody, ReplayFuture, ReplayLayer, ReplayService};
pub use service::SessionService;
