//! C9: sessions that vanish from the store before their deadline, behind everybody's back: never in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;
mod store_requests;

use std::time::Duration;

use cloakroom::store::{Committed, End, EndCause, Loaded, ScanFrom, Store};
use cloakroom::{ErrorKind, Event, Mode, OpId, Session, SessionConfig, StoreKey};
use cloakroom_testing::{Fault, FaultStore, Gate, Op, requests};
use house::{Answer, House};
use http::StatusCode;
use store_requests::now;

const MINUTE: Duration = Duration::from_secs(60);

impl House {
    /// The keys of the live sessions.
    fn keys(&self) -> Vec<StoreKey> {
        let page = now(self.faults.scan(ScanFrom { after: None, limit: 100 })).unwrap();
        page.sessions.iter().map(|session| session.key).collect()
    }

    /// Whatever lives is gone, and nothing tells that it ever was.
    fn lose_everything(&self) {
        for key in self.keys() {
            let op = OpId::generate();
            let unmarked = End { key, op, cause: EndCause::Destroyed, marker: Duration::ZERO };
            now(self.faults.end(unmarked)).unwrap();
            assert!(matches!(now(self.faults.load(key)).unwrap(), Loaded::Missing));
        }
    }

    fn was_lost(&self, times: u64) {
        let metrics = self.manager.metrics();
        assert_eq!((metrics.lost_records, metrics.resurrections_prevented), (times, 0));
        let told = self.events().into_iter().filter(|event| matches!(event, Event::Lost(_))).count();
        assert_eq!(told as u64, times);
    }
}

/// Another request writes the session, whatever this one is about to do.
fn interfere(store: &FaultStore, key: StoreKey) {
    let Loaded::Live(current) = now(store.load(key)).unwrap() else { panic!("it lives") };
    let mut commit = requests::commit(key, current.record.version, current.record.payload.clone());
    commit.slide = None;
    assert!(matches!(now(store.commit(commit)).unwrap(), Committed::Committed(_)));
}

fn refused(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status);
    assert!(!answer.has_cookie());
}

#[tokio::test]
async fn c9_a_late_write_whose_successor_vanished_is_lost_and_not_dropped_under_a_success() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let late = house.arrive(&[&id]);
    let session = late.open().await.unwrap();
    session.set("k", 1).unwrap();
    house.visit(Some(&id), |s| async move { s.regenerate().await }).await;
    house.lose_everything();
    refused(&house.leave(&late, StatusCode::OK).await, StatusCode::SERVICE_UNAVAILABLE);
    house.was_lost(1);
}

#[tokio::test]
async fn c2_a_late_write_whose_successor_ended_is_dropped() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let late = house.arrive(&[&id]);
    late.open().await.unwrap().set("k", 1).unwrap();
    let next = house.visit(Some(&id), |s| async move { s.regenerate().await }).await.id().unwrap();
    house.visit(Some(&next), |s| async move { s.destroy().await }).await;
    refused(&house.leave(&late, StatusCode::OK).await, StatusCode::OK);
    let metrics = house.manager.metrics();
    assert_eq!((metrics.lost_records, metrics.resurrections_prevented), (0, 1));
}

#[tokio::test]
async fn c9_the_lock_of_a_session_that_vanished_is_lost_and_counted() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    house.lose_everything();
    assert_eq!(session.lock().await.unwrap_err().kind(), ErrorKind::Lost);
    house.was_lost(1);
}

#[tokio::test]
async fn c2_the_lock_of_a_session_that_ended_or_expired_is_gone_and_counted() {
    let house = House::new(SessionConfig::new().purge_every(None));
    for expires in [false, true] {
        let id = house.newcomer().await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        let before = house.manager.metrics().resurrections_prevented;
        match expires {
            true => house.pass(7 * 24 * 3600),
            false => drop(house.visit(Some(&id), |s| async move { s.destroy().await }).await),
        }
        assert_eq!(session.lock().await.unwrap_err().kind(), ErrorKind::Gone, "expires: {expires}");
        let metrics = house.manager.metrics();
        assert_eq!((metrics.lost_records, metrics.resurrections_prevented), (0, before + 1));
    }
}

/// An awaited write loses three races and asks for the lease: `meanwhile` something happens to the session.
async fn after_three_lost_races<F, Fut>(
    house: &House,
    id: &str,
    meanwhile: F,
) -> (Result<u32, ErrorKind>, Answer)
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = ()>,
{
    let key = house.keys()[0];
    let handle = house.arrive(&[id]);
    let session: Session = handle.open().await.unwrap();
    let gate = Gate::new();
    house.faults.at_op(Op::Acquire, 1, Fault::Hold(gate.clone()));
    let others = house.faults.clone();
    let writing = tokio::spawn(async move {
        let mut tries = 0;
        let written = session.update("n", |n: Option<u32>| {
            tries += 1;
            if tries <= 3 {
                interfere(&others, key);
            }
            n.unwrap_or(0) + 1
        });
        written.await.map_err(|error| error.kind())
    });
    gate.arrived().await;
    meanwhile().await;
    gate.open();
    let written = writing.await.unwrap();
    (written, house.leave(&handle, StatusCode::OK).await)
}

#[tokio::test]
async fn c9_a_session_that_vanished_while_a_write_queued_for_its_lease_is_lost() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let (written, _) = after_three_lost_races(&house, &id, async || house.lose_everything()).await;
    assert_eq!(written, Err(ErrorKind::Lost));
    house.was_lost(1);
}

#[tokio::test]
async fn c4_a_write_that_queued_for_the_lease_goes_to_the_successor_in_the_grace_of_its_id() {
    let house = House::new(SessionConfig::new().renewal(MINUTE, MINUTE / 2));
    let id = house.newcomer().await;
    let renew = async || {
        house.pass(61);
        assert!(house.visit(Some(&id), |s| async move { s.get::<u32>("n").map(drop) }).await.has_cookie());
    };
    let (written, answer) = after_three_lost_races(&house, &id, renew).await;
    assert_eq!(written, Ok(2));
    let successor = answer.id().expect("the response tells the new id");
    let stored = house.arrive(&[&successor]).read_only().await.unwrap().get::<u32>("n").unwrap();
    assert_eq!(stored, Some(2));
}

#[tokio::test]
async fn c2_a_write_that_queued_for_the_lease_of_a_session_that_ended_is_gone() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let end = async || drop(house.visit(Some(&id), |s| async move { s.destroy().await }).await);
    let (written, _) = after_three_lost_races(&house, &id, end).await;
    assert_eq!(written, Err(ErrorKind::Gone));
}

/// Exclusive mode, opened again after its lease was given back; what became of what was buffered in between.
async fn opened_again(meanwhile: impl AsyncFnOnce(&House, &str)) -> (House, Option<ErrorKind>, Answer) {
    let house = House::new(SessionConfig::new().mode(Mode::Exclusive));
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    session.release();
    session.set("order", 7).unwrap();
    meanwhile(&house, &id).await;
    let refused = handle.open().await.err().map(|error| error.kind());
    assert_eq!(session.has("order"), refused.is_some(), "buffered as long as it may yet be stored");
    if refused.is_none() {
        assert_eq!(session.save().await.unwrap_err().kind(), ErrorKind::Gone, "it was not stored");
    }
    let answer = house.leave(&handle, StatusCode::OK).await;
    (house, refused, answer)
}

#[tokio::test]
async fn c9_exclusive_mode_that_opens_a_vanished_session_again_does_not_drop_what_is_buffered() {
    let (house, opened, answer) = opened_again(async |house, _| house.lose_everything()).await;
    assert_eq!(opened, Some(ErrorKind::Lost));
    refused(&answer, StatusCode::SERVICE_UNAVAILABLE);
    house.was_lost(2);
}

#[tokio::test]
async fn c9_nor_of_one_that_got_another_id() {
    let mut successor = None;
    let regenerate = async |house: &House, id: &str| {
        successor = house.visit(Some(id), |s| async move { s.regenerate().await }).await.id();
    };
    let (house, opened, answer) = opened_again(regenerate).await;
    assert_eq!(opened, Some(ErrorKind::Gone));
    refused(&answer, StatusCode::OK);
    let now = house.arrive(&[&successor.unwrap()]).read_only().await.unwrap();
    assert_eq!(now.get::<u32>("order").unwrap(), Some(7), "it reaches the successor");
}

#[tokio::test]
async fn c2_of_one_that_ended_it_is_ordered_before_the_end() {
    let destroy = async |house: &House, id: &str| {
        house.visit(Some(id), |s| async move { s.destroy().await }).await;
    };
    let (_, opened, answer) = opened_again(destroy).await;
    assert_eq!(opened, None);
    refused(&answer, StatusCode::OK);
}

/// A logout by it has to find where it went, however the request came to know.
#[tokio::test]
async fn c4_a_logout_follows_a_session_whose_move_exclusive_mode_or_a_commit_came_upon() {
    for mode in [Mode::Exclusive, Mode::Merge] {
        let house = House::new(SessionConfig::new().mode(mode));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        handle.read_only().await.unwrap();
        let next = house.visit(Some(&id), |s| async move { s.regenerate().await }).await.id().unwrap();
        // In exclusive mode, asks for the lease and learns of the move.
        let session = handle.open().await.unwrap();
        if mode == Mode::Merge {
            // Its commit does, and follows.
            session.set("k", 1).unwrap();
            assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::OK);
            assert!(house.arrive(&[&next]).read_only().await.unwrap().has("k"));
        }
        assert!(!session.exists());
        session.destroy().await.unwrap();
        assert_eq!(house.who(&next).await, None, "{mode:?}: it lives on after the logout");
    }
}
