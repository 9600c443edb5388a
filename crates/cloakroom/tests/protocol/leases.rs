//! C5: locks exclude, and stale holders are fenced in the step that writes.

use cloakroom::store::*;

use crate::store_requests::{commit, end, rename};
use crate::table::{World, key, secs};

fn shown(owner: u128, hold: u64) -> Option<LeaseRef> {
    Some(LeaseRef { owner: LeaseOwner(owner), hold })
}

#[test]
fn c5_a_lease_keeps_others_from_writing_and_nobody_from_reading() {
    let (mut world, record) = World::with_session();
    let until = world.now.after(secs(10));
    let Acquired::Acquired { snapshot, until: told } = world.acquire(0, 1) else { panic!() };
    assert_eq!((snapshot.record.clone(), told), (record.clone(), until));
    let now = world.now;
    assert_eq!(world.commit(commit(key(0), record.version)), Committed::Locked { until, now });
    assert_eq!(world.rename(rename(key(0), key(1), record.version)), Renamed::Locked { until, now });
    assert_eq!(world.acquire(0, 2), Acquired::Locked { until, now });
    assert_eq!(world.live(0), record);
    let held = Commit { lease: shown(1, 0), ..commit(key(0), record.version) };
    assert!(matches!(world.commit(held), Committed::Committed(_)));
}

#[test]
fn c5_a_lease_is_void_at_its_end() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    world.wait(10);
    let late = Commit { lease: shown(1, 0), ..commit(key(0), record.version) };
    assert_eq!(world.commit(late), Committed::LeaseLost);
    assert_eq!(world.renew(0, 1), Renewed::LeaseLost);
    assert_eq!(world.release(0, 1), Released::NotHeld);
    assert!(matches!(world.acquire(0, 2), Acquired::Acquired { .. }));
}

#[test]
fn c5_a_holder_whose_lease_went_to_another_is_refused() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    world.wait(10);
    world.acquire(0, 2);
    let before = world.clone();
    let stale = Commit { lease: shown(1, 0), ..commit(key(0), record.version) };
    assert_eq!(world.commit(stale), Committed::LeaseLost);
    let stale = Rename { lease: shown(1, 0), ..rename(key(0), key(1), record.version) };
    assert_eq!(world.rename(stale), Renamed::LeaseLost);
    assert_eq!(world.renew(0, 1), Renewed::LeaseLost);
    assert_eq!(world.release(0, 1), Released::NotHeld);
    assert_eq!(world, before);
}

#[test]
fn c5_a_write_of_an_earlier_hold_cannot_land_after_a_later_ones() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    let second = Commit { lease: shown(1, 1), ..commit(key(0), record.version) };
    let Committed::Committed(s) = world.commit(second) else { panic!() };
    let first = Commit { lease: shown(1, 0), ..commit(key(0), s.record.version) };
    assert_eq!(world.commit(first), Committed::LeaseLost);
    let second = Commit { lease: shown(1, 1), ..commit(key(0), s.record.version) };
    assert!(matches!(world.commit(second), Committed::Committed(_)));
}

#[test]
fn a_lease_can_be_renewed_kept_and_given_back() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    world.wait(9);
    let until = world.now.after(secs(10));
    assert_eq!(world.renew(0, 1), Renewed::Renewed { until });
    world.wait(9);
    let until = world.now.after(secs(10));
    assert!(matches!(world.acquire(0, 1), Acquired::Acquired { until: u, .. } if u == until), "asked again");
    assert_eq!(world.release(0, 2), Released::NotHeld, "by somebody else");
    assert_eq!(world.release(0, 1), Released::Released);
    assert_eq!(world.release(0, 1), Released::NotHeld);
    assert!(matches!(world.commit(commit(key(0), record.version)), Committed::Committed(_)));
}

/// Asking again must not reset what is known of later holds.
#[test]
fn acquiring_again_keeps_the_fence() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    let third = Commit { lease: shown(1, 3), ..commit(key(0), record.version) };
    let Committed::Committed(s) = world.commit(third) else { panic!() };
    world.acquire(0, 1);
    world.renew(0, 1);
    let second = Commit { lease: shown(1, 2), ..commit(key(0), s.record.version) };
    assert_eq!(world.commit(second), Committed::LeaseLost);
}

#[test]
fn a_commit_can_give_the_lease_back_in_the_same_step() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    let last = Commit { lease: shown(1, 0), release: true, ..commit(key(0), record.version) };
    let Committed::Committed(s) = world.commit(last.clone()) else { panic!() };
    assert!(matches!(world.acquire(0, 2), Acquired::Acquired { .. }));
    // Repeated, it takes nothing from the next holder.
    assert_eq!(world.commit(last), Committed::Committed(s));
    assert!(matches!(world.acquire(0, 3), Acquired::Locked { .. }));
}

#[test]
fn a_refused_commit_keeps_the_lease() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    let held = Commit { lease: shown(1, 0), ..commit(key(0), record.version) };
    world.commit(held);
    let stale = Commit { lease: shown(1, 0), release: true, ..commit(key(0), record.version) };
    assert!(matches!(world.commit(stale), Committed::Conflict(_)));
    assert!(matches!(world.acquire(0, 2), Acquired::Locked { .. }));
}

#[test]
fn a_lease_moves_along_with_the_record() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    let held = Rename { lease: shown(1, 0), ..rename(key(0), key(1), record.version) };
    let Renamed::Renamed { snapshot, .. } = world.rename(held) else { panic!() };
    assert!(matches!(world.acquire(1, 2), Acquired::Locked { .. }));
    let held = Commit { lease: shown(1, 0), ..commit(key(1), snapshot.record.version) };
    assert!(matches!(world.commit(held), Committed::Committed(_)));
}

#[test]
fn a_lease_survives_a_touch() {
    let (mut world, _) = World::with_session();
    world.acquire(0, 1);
    world.touch(0, secs(3000));
    assert!(matches!(world.acquire(0, 2), Acquired::Locked { .. }));
}

#[test]
fn a_lease_does_not_protect_from_the_end() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    assert!(matches!(world.end(end(key(0))), Ended::Ended(Some(_))));
    let held = Commit { lease: shown(1, 0), ..commit(key(0), record.version) };
    assert_eq!(world.commit(held), Committed::Ended(Ending::Destroyed));
    assert_eq!(world.renew(0, 1), Renewed::LeaseLost);
}
