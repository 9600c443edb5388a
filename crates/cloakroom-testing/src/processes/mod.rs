//! For stores that several processes use: whether they exclude each other, and whether one that is killed takes anything along.
//!
//! The processes are the test program itself, started again to run one of its tests, which is [`child`]:
//!
//! ```
//! # type MyStore = cloakroom_testing::ReferenceStore;
//! use std::path::Path;
//!
//! use cloakroom_testing::processes::{self, Place};
//!
//! struct Mine;
//!
//! impl Place for Mine {
//!     type Store = MyStore;
//!
//!     async fn open(path: &Path) -> MyStore {
//! #       let _ = path;
//! #       MyStore::new() /*
//!         MyStore::open(path).await.unwrap()
//! #       */
//!     }
//!
//!     async fn close(_: MyStore) {}
//! }
//!
//! # #[allow(dead_code)]
//! // #[test]
//! fn child() {
//!     processes::child::<Mine>();
//! }
//!
//! # #[allow(dead_code)]
//! // #[test]
//! fn kill_9_loses_nothing_that_was_acknowledged() {
//!     processes::one_is_killed::<Mine>(10);
//! }
//! ```
//!
//! Everything here panics where a store does what it must not: these are tests.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod counting;
mod file_layer;
mod killing;
mod lines;
mod program;

use std::future::Future;
use std::path::Path;

use cloakroom::store::Store;

pub use counting::{an_end_is_seen_at_once, count_by_commit, count_under_lease};
pub use file_layer::{FileLayer, Switch};
pub use killing::{one_is_killed, one_of_two_is_killed};
pub use lines::{Line, Progress, acknowledged};
pub use program::{command, end, role, tell, told};

/// A store that keeps its sessions under a path.
pub trait Place: 'static {
    /// The store.
    type Store: Store + Clone + 'static;

    /// Opens it, whatever a killed process left there.
    fn open(path: &Path) -> impl Future<Output = Self::Store> + Send;

    /// Closes it in good order.
    fn close(store: Self::Store) -> impl Future<Output = ()> + Send;

    /// What else must be so after a process was killed, with these lines as far as each was acknowledged, and the store open.
    fn look_around(store: &Self::Store, found: &[(Line, u64)]) -> impl Future<Output = ()> + Send {
        let _ = (store, found);
        async {}
    }

    /// The same, with nothing open.
    fn look_at_path(path: &Path) {
        let _ = path;
    }
}

/// What a process does that one of the other functions started; returns at once in one that nobody started. To be called from a test with the name
/// `child`.
pub fn child<P: Place>() {
    let Some((role, path)) = role() else { return };
    match role.as_str() {
        counting::BY_COMMIT | counting::UNDER_LEASE => counting::work::<P>(&role, &path),
        lines => killing::work::<P>(lines, &path),
    }
}

/// How many rounds: the second number when `CLOAKROOM_LONG` is set.
pub fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("CLOAKROOM_LONG").is_some() { long } else { short }
}
