//! PHP, and services of ours beside it.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod both;
pub mod fpm;
pub mod service;
pub mod shop;
