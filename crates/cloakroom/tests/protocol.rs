//! The rules of the store, as such: the protocol's functions over the plainest table there is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "protocol/table.rs"]
mod table;

#[path = "protocol/change_of_id.rs"]
mod change_of_id;
#[path = "protocol/ending.rs"]
mod ending;
#[path = "protocol/leases.rs"]
mod leases;
#[path = "protocol/users.rs"]
mod users;
#[path = "protocol/writing.rs"]
mod writing;

mod store_requests;
