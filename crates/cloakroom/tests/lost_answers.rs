//! Writes whose answers get lost on the way back from the store: they are asked for again, and were made once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use cloakroom::{Mode, SessionConfig};
use cloakroom_testing::{Fault, Op};
use house::House;

/// The closure draws a value of its own each time, as one that makes a token does.
#[tokio::test]
async fn c1_update_returns_what_was_stored_also_where_the_answer_got_lost() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        let house = House::new(SessionConfig::new().mode(mode));
        let id = house.newcomer().await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        house.faults.at_op(Op::Commit, 1, Fault::LoseAnswer);
        let mut drawn = 0;
        let returned = session.update("token", |_: Option<u32>| {
            drawn += 1;
            drawn
        });
        let returned = returned.await.unwrap();
        assert_eq!(house.faults.injected().len(), 1);
        assert_eq!(session.get::<u32>("token").unwrap(), Some(returned), "{mode:?}: in this request");
        let stored = house.arrive(&[&id]).read_only().await.unwrap().get::<u32>("token").unwrap();
        assert_eq!(stored, Some(returned), "{mode:?}: in the store");
    }
}
