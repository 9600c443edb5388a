//! The black-box suite: what can be seen of Cloakroom over HTTP, on every store and through every framework.
//!
//! Each case is one function; `everywhere!` makes a test of it for each combination. Names that begin with a letter and a
//! number are those of the contracts (C), the threat model (S) and the parity list (R, P, X, M) in `docs/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(unreachable_pub)]

mod harness;

mod caching;
mod cookies;
mod counting;
mod cross_site;
mod ending;
mod expiry;
mod failover;
mod fixation;
mod holders;
mod ids;
mod killing;
mod locking;
mod near;
mod parity;
mod peers;
mod robustness;
mod routes;
mod server;
mod start_and_stop;
mod storms;
mod streaming;
mod users;
