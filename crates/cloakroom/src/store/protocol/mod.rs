//! The rules of compare-and-commit, as plain functions over a [`Table`].
//!
//! Each function is one atomic step of a store: it reads entries, decides, writes entries, and answers. A store
//! that can run it inside a transaction (or under a lock) gets versions, leases, markers, aliases, idempotence
//! and the user index right without deciding anything itself. Stores that must express the step in another
//! language (a script in a server) are held to the same rules by the conformance suite.
//!
//! The order of checks is part of the contract: *ended* before *already done* before *lease* before *version*.

mod change;
mod create;
mod end;
mod entry;
mod lease;
mod load;
mod rename;
mod user;

pub use change::{commit, touch};
pub use create::create;
pub use end::end;
pub use entry::{Entry, Lease, RECEIPT_SESSIONS, Table};
pub use lease::{acquire, release, renew};
pub use load::load;
pub use rename::rename;
pub use user::{list_user, revoke};
