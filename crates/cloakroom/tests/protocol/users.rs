//! S46 to S49: a user's sessions, their listing, their revocation, their cap.

use cloakroom::store::*;

use crate::store_requests::{IDLE, MARKER, bind, create, end, rename};
use crate::table::{World, key, places, revoke};

#[test]
fn s46_a_listing_shows_the_living_sessions_of_the_user_oldest_first() {
    let mut world = World::new();
    for n in [2, 0, 1] {
        world.session_of(n, "ann");
    }
    world.session_of(3, "bob");
    world.session(4);
    assert_eq!(places(&world.list("ann")), [key(2), key(0), key(1)]);
    assert_eq!(places(&world.list("bob")), [key(3)]);
    assert!(world.list("cy").is_empty());
    let [first, ..] = &world.list("ann")[..] else { panic!() };
    assert_eq!(first.user.as_ref().map(|u| u.as_str()), Some("ann"));
    assert!(first.device.is_some());
}

#[test]
fn s47_a_listing_never_shows_a_dead_session() {
    let mut world = World::new();
    let old = world.session_of(0, "ann");
    world.wait(IDLE.as_secs() - 10);
    let moved = world.session_of(1, "ann");
    world.session_of(2, "ann");
    world.end(end(key(2)));
    world.rename(rename(key(1), key(3), moved.version));
    assert_eq!(places(&world.list("ann")), [key(0), key(3)]);
    world.now = old.idle_deadline;
    assert_eq!(places(&world.list("ann")), [key(3)]);
}

#[test]
fn s46_one_others_or_all_are_revoked() {
    let mut world = World::new();
    let records: Vec<_> = (0..4).map(|n| world.session_of(n, "ann")).collect();
    let bobs = world.session_of(9, "bob");
    assert_eq!(places(&world.revoke("ann", RevokeWhich::One(records[1].id))), [key(1)]);
    assert_eq!(world.load(1), Loaded::Ended(Ending::Revoked));
    assert!(world.revoke("ann", RevokeWhich::One(bobs.id)).is_empty(), "somebody else's is left alone");
    assert_eq!(places(&world.revoke("ann", RevokeWhich::Others(records[2].id))), [key(0), key(3)]);
    assert_eq!(places(&world.list("ann")), [key(2)]);
    assert_eq!(places(&world.revoke("ann", RevokeWhich::All)), [key(2)]);
    assert!(world.revoke("ann", RevokeWhich::All).is_empty());
    world.live(9);
}

/// Its answer got lost, or an earlier copy of it arrives late: a login since the first time is not among those it ends.
#[test]
fn s46_a_revocation_executed_again_ends_nothing_more_and_answers_the_same() {
    for already_there in [0, 2] {
        let mut world = World::new();
        for n in 0..already_there {
            world.session_of(n, "ann");
        }
        let request = revoke("ann", RevokeWhich::All);
        let first = world.revoke_as(request.clone());
        assert_eq!(first.len(), already_there as usize);
        world.session_of(5, "ann");
        world.wait(MARKER.as_secs() - 2);
        assert_eq!(places(&world.revoke_as(request.clone())), places(&first));
        assert_eq!(places(&world.list("ann")), [key(5)]);
        // Another one is another one.
        assert_eq!(places(&world.revoke("ann", RevokeWhich::All)), [key(5)]);
    }
}

#[test]
fn s48_a_login_over_the_cap_ends_the_oldest() {
    let mut world = World::new();
    for n in 0..4 {
        world.session_of(n, "ann");
    }
    world.session_of(8, "bob");
    let request = Create { bind: Some(bind("ann", Some(2))), ..create(key(5)) };
    let Created::Created { evicted, .. } = world.create(request.clone()) else { panic!() };
    assert_eq!(places(&evicted), [key(0), key(1), key(2)]);
    assert_eq!(world.load(0), Loaded::Ended(Ending::Revoked));
    let mut left = places(&world.list("ann"));
    left.sort();
    let mut expected = [key(3), key(5)];
    expected.sort();
    assert_eq!(left, expected);
    world.live(8);
    // Repeated, it ends no more.
    let after = world.clone();
    assert!(matches!(world.create(request), Created::Created { evicted, .. } if evicted.is_empty()));
    assert_eq!(world, after);
}

#[test]
fn s48_a_change_of_id_does_not_count_its_own_session_twice() {
    let mut world = World::new();
    world.session_of(0, "ann");
    let record = world.session_of(1, "ann");
    let again = Rename { bind: Some(bind("ann", Some(2))), ..rename(key(1), key(2), record.version) };
    let Renamed::Renamed { evicted, .. } = world.rename(again) else { panic!() };
    assert!(evicted.is_empty());
    let record = world.session(3);
    let login = Rename { bind: Some(bind("ann", Some(2))), ..rename(key(3), key(4), record.version) };
    let Renamed::Renamed { evicted, .. } = world.rename(login) else { panic!() };
    assert_eq!(places(&evicted), [key(0)]);
}

/// A login that is refused has thrown nobody out.
#[test]
fn a_refused_login_evicts_nobody() {
    let mut world = World::new();
    world.session_of(0, "ann");
    let record = world.session(1);
    let before = world.clone();
    let login = Rename { bind: Some(bind("ann", Some(1))), ..rename(key(1), key(0), record.version) };
    assert_eq!(world.rename(login), Renamed::Exists);
    let login = Create { bind: Some(bind("ann", Some(1))), ..create(key(1)) };
    assert_eq!(world.create(login), Created::Exists);
    assert_eq!(world, before);
}
