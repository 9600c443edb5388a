//! C13: a store that says no without end is not asked without end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use cloakroom::store::{Rename, Renamed, Store, StoreFuture};
use cloakroom::{ErrorKind, MemoryStore, SessionConfig};
use cloakroom_testing::ManualClock;
use house::House;

/// Says of every id that a session is to be given that it is taken.
struct Taken(MemoryStore);

impl Store for Taken {
    fn name(&self) -> &'static str {
        "taken"
    }

    fn rename(&self, _: Rename) -> StoreFuture<Renamed> {
        StoreFuture::ready(Ok(Renamed::Exists))
    }

    cloakroom_testing::hand_on!(0: load load_many create commit touch end acquire renew release);
    cloakroom_testing::hand_on!(0: list_user revoke scan purge stats now);
}

#[test]
fn c13_a_new_id_is_drawn_a_few_times_and_not_without_end() {
    let (done, outcome) = mpsc::channel();
    // In a thread of its own, which would be left behind.
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let store = Arc::new(Taken(MemoryStore::new()));
            let house = House::over(store, ManualClock::new(), SessionConfig::new());
            let id = house.newcomer().await;
            let session = house.arrive(&[&id]).open().await.unwrap();
            let _ = done.send(session.regenerate().await.map_err(|error| error.kind()));
        });
    });
    let regenerated = outcome.recv_timeout(Duration::from_secs(30)).expect("it asks without end");
    assert_eq!(regenerated, Err(ErrorKind::Unavailable));
}
