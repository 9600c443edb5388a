//! HTTP sessions that are correct under concurrency, safe by default and nearly free.

pub mod clock;
#[cfg(feature = "config")]
pub mod config;
mod ids;
pub mod payload;
pub mod record;
pub mod store;

pub use ids::{Candidate, ID_LEN, MalformedId, OpId, RecordId, SessionId, StoreKey, UserId};
