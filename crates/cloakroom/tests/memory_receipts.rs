//! What a memory store keeps of a revocation: never so much that revoking would be refused, or that it would weigh.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;
mod store_requests;

use cloakroom::store::protocol::RECEIPT_SESSIONS;
use cloakroom::store::{Create, Created, Ending, Loaded, Revoke, RevokeWhich, Store, StoreErrorKind};
use cloakroom::{Event, MemoryStore, SessionConfig};
use cloakroom_testing::{Fault, ManualClock, Op};
use house::House;
use store_requests::*;

fn begin(store: &MemoryStore, n: u32, name: &str) {
    let request = Create { bind: Some(bind(name, None)), ..create(key(n, n)) };
    assert!(matches!(now(store.create(request)).unwrap(), Created::Created { .. }));
}

fn revoke_all(name: &str) -> Revoke {
    Revoke { user: user(name), op: cloakroom::OpId::generate(), which: RevokeWhich::All, marker: MARKER }
}

fn bytes(store: &MemoryStore) -> u64 {
    now(store.stats()).unwrap().bytes.unwrap()
}

#[test]
fn c13_a_store_without_room_for_a_receipt_revokes_all_the_same() {
    let clock = ManualClock::new();
    let store = MemoryStore::builder().max_sessions(4).clock(clock.clone()).build();
    // As many endings are remembered as there may be sessions, and as many sessions live.
    for n in 0..4 {
        begin(&store, n, "bob");
        now(store.end(end(key(n, n)))).unwrap();
    }
    for n in 4..8 {
        begin(&store, n, "ann");
    }
    let first = revoke_all("ann");
    let revoked = now(store.revoke(first.clone())).unwrap();
    assert_eq!((revoked.count, revoked.ended.len()), (4, 4));
    for n in 4..8 {
        assert_eq!(now(store.load(key(n, n))).unwrap(), Loaded::Ended(Ending::Revoked));
    }
    // There was indeed no room for one entry more: neither for a session nor for the receipt.
    let refused = now(store.create(create(key(9, 9)))).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Full);
    assert_eq!(now(store.revoke(first)).unwrap().count, 0, "a receipt was kept");
    // The sessions that it ended are counted as ended once.
    clock.advance(MARKER * 2);
    while now(store.purge(100)).unwrap().more {}
    assert_eq!((10..30).filter(|n| now(store.create(create(key(*n, *n)))).is_ok()).count(), 4);
}

#[test]
fn c13_the_receipt_of_very_many_sessions_is_small() {
    const MANY: u32 = 10_000;
    let [revoked, ended] = [(); 2].map(|()| {
        let store = MemoryStore::builder().build();
        (0..MANY).for_each(|n| begin(&store, n, "ann"));
        store
    });
    let request = revoke_all("ann");
    assert_eq!(now(revoked.revoke(request.clone())).unwrap().ended.len(), MANY as usize);
    for n in 0..MANY {
        now(ended.end(end(key(n, n)))).unwrap();
    }
    // Both remember as many endings; one has the receipt besides.
    let receipt = bytes(&revoked) - bytes(&ended);
    assert!((1..256 << 10).contains(&receipt), "{receipt} bytes");
    assert_eq!(now(revoked.revoke(request)).unwrap().count, MANY as usize);
}

#[tokio::test]
async fn a_revocation_whose_answer_got_lost_tells_how_many_sessions_it_ended() {
    let house = House::new(SessionConfig::new());
    let many = RECEIPT_SESSIONS + 44;
    for n in 0..many {
        let n = u32::try_from(n).unwrap();
        let request = Create { bind: Some(bind("ann", None)), ..create(key(n, n)) };
        now(house.faults.create(request)).unwrap();
    }
    house.events();
    house.faults.at_op(Op::Revoke, 1, Fault::LoseAnswer);
    assert_eq!(house.manager.revoke_user("ann").await.unwrap(), many);
    assert_eq!(house.manager.metrics().sessions_ended, many as u64);
    let told = house.events().iter().filter(|event| matches!(event, Event::Revoked(_))).count();
    assert_eq!(told, RECEIPT_SESSIONS, "those that the receipt tells of");
}
