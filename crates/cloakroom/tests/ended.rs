//! Connections that outlive their request: they are told that their session ended, or is another user's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{MemoryStore, Session, SessionConfig};
use cloakroom_testing::ManualClock;
use house::{House, quiet};

/// Two processes on one store.
fn two() -> [House; 2] {
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
    [0, 1].map(|_| House::over(Arc::clone(&store), clock.clone(), SessionConfig::new()))
}

/// The next of the regular looks, and time to make it.
async fn next_look() {
    tokio::time::sleep(Duration::from_secs(2)).await;
    quiet().await;
}

async fn becomes(house: &House, id: &str, user: &'static str) -> String {
    house.visit(Some(id), |s| async move { s.login(user).await }).await.id().unwrap()
}

async fn watched(house: &House, id: &str) -> tokio::task::JoinHandle<()> {
    let session: Session = house.arrive(&[id]).open().await.unwrap();
    let watching = tokio::spawn(session.ended());
    quiet().await;
    watching
}

#[tokio::test(start_paused = true)]
async fn c7_a_session_that_passes_to_another_user_has_ended_for_the_first_ones_connections() {
    for elsewhere in [false, true] {
        let houses = two();
        let (here, there) = (&houses[0], &houses[usize::from(elsewhere)]);
        let id = becomes(here, &here.newcomer().await, "ada").await;
        let connection = watched(here, &id).await;
        // The same one again, after a second factor, and another id of theirs.
        let id = becomes(there, &id, "ada").await;
        let id = there.visit(Some(&id), |s| async move { s.regenerate().await }).await.id().unwrap();
        next_look().await;
        assert!(!connection.is_finished());
        becomes(there, &id, "bob").await;
        if elsewhere {
            next_look().await;
        } else {
            quiet().await;
        }
        assert!(connection.is_finished(), "it goes on under bob (elsewhere: {elsewhere})");
    }
}

/// Between two looks, and with another id on top: the first one's is not there to be looked at any more.
#[tokio::test(start_paused = true)]
async fn c7_a_change_of_user_is_seen_behind_other_changes_of_id() {
    let [here, there] = two();
    let anonymous = here.newcomer().await;
    let connection = watched(&here, &anonymous).await;
    let id = becomes(&there, &anonymous, "ada").await;
    let id = becomes(&there, &id, "bob").await;
    there.visit(Some(&id), |s| async move { s.regenerate().await }).await;
    next_look().await;
    assert!(connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn c7_a_connection_of_nobodys_goes_on_when_somebody_logs_in_and_ends_with_them() {
    let [here, there] = two();
    let anonymous = here.newcomer().await;
    let connection = watched(&here, &anonymous).await;
    let id = becomes(&there, &anonymous, "ada").await;
    next_look().await;
    assert!(!connection.is_finished(), "a login ends nothing");
    becomes(&there, &id, "bob").await;
    next_look().await;
    assert!(connection.is_finished());
}
