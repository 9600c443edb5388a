//! What the engine keeps beside an application's values is not there for the application.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use cloakroom::store::{Loaded, ScanFrom, Store};
use cloakroom::{ErrorKind, Session, SessionConfig};
use house::House;
use http::StatusCode;

/// The keys of everything that is stored in the only session there is.
async fn stored(house: &House) -> Vec<String> {
    let page = house.manager.scan(ScanFrom { after: None, limit: 1 }).await.unwrap();
    let Loaded::Live(snapshot) = house.faults.load(page.sessions[0].key).await.unwrap() else {
        panic!("no session");
    };
    snapshot.record.payload.iter().map(|(key, _)| key.to_owned()).collect()
}

#[tokio::test]
async fn flash_messages_are_out_of_reach_of_keys_also_under_the_lock() {
    let house = House::new(SessionConfig::new());
    let flash = |s: Session| async move { s.set("n", 1).and_then(|()| s.flash("Hello.")) };
    let id = house.visit(None, flash).await.id().unwrap();
    let keys = stored(&house).await;
    let ours = keys.iter().find(|key| *key != "n").unwrap().as_str();

    let read_only = house.arrive(&[&id]).read_only().await.unwrap();
    assert!(!read_only.has(ours) && read_only.has("n") && read_only.keys() == ["n"]);
    assert_eq!(read_only.get::<String>(ours).unwrap(), None);
    let session = house.arrive(&[&id]).open().await.unwrap();
    assert!(!session.has(ours));
    assert_eq!(session.get::<String>(ours).unwrap(), None);
    assert_eq!(session.set(ours, 1).unwrap_err().kind(), ErrorKind::InvalidKey);

    let mut guard = session.lock().await.unwrap();
    assert!(!guard.has(ours) && guard.has("n"));
    assert_eq!(guard.get::<String>(ours).unwrap(), None);
    assert_eq!(guard.set(ours, 1).unwrap_err().kind(), ErrorKind::InvalidKey);
    guard.remove(ours);
    guard.remove("n");
    guard.commit().await.unwrap();
    assert_eq!(stored(&house).await, [ours]);
    let session = house.arrive(&[&id]).open().await.unwrap();
    assert_eq!(session.flashes::<String>().unwrap(), ["Hello."]);
}

#[tokio::test]
async fn asking_whether_a_key_is_there_is_a_read_also_of_a_session_for_reading() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    if !handle.read_only().await.unwrap().has("once") {
        handle.open().await.unwrap().set("once", 1).unwrap();
    }
    house.visit(Some(&id), |s| async move { s.put("once", 2).await }).await;
    assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::CONFLICT);
}
