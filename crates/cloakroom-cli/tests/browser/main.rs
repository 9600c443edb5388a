//! The shop and the admin page as a browser sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod admin;
mod demo;
mod driver;
#[path = "../../../cloakroom-redis/tests/support/mod.rs"]
mod servers;
mod shop;
#[path = "../support/mod.rs"]
mod support;
