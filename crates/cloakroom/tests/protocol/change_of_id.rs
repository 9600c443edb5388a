//! C4: what moves, what stays under the old key, and for how long.

use cloakroom::OpId;
use cloakroom::clock::Timestamp;
use cloakroom::record::Lifetime;
use cloakroom::store::protocol::Entry;
use cloakroom::store::*;

use crate::store_requests::{IDLE, LIFETIME, MARKER, bind, commit, create, end, payload, record_id, rename};
use crate::table::{World, key, secs};

fn sealed() -> SealedId {
    SealedId(Box::new([1, 2, 3]))
}

fn alias(grace: u64) -> OldId {
    OldId::Alias { sealed: sealed(), grace: secs(grace) }
}

fn moved(n: u32, user_changed: bool) -> Ending {
    Ending::Moved { to: key(n), user_changed }
}

/// Moves and answers with the record as it then is.
fn done(world: &mut World, request: Rename) -> std::sync::Arc<cloakroom::record::Record> {
    match world.rename(request) {
        Renamed::Renamed { snapshot, .. } => snapshot.record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn c4_a_moved_session_is_under_its_new_key_only() {
    let (mut world, old) = World::with_session();
    world.wait(10);
    let request = Rename { payload: payload(b"new"), epoch: 5, ..rename(key(0), key(1), old.version) };
    let record = done(&mut world, request.clone());
    assert_eq!(world.live(1), record);
    assert_eq!((record.id, record.created), (old.id, old.created));
    assert_eq!(record.version, old.version.next(request.op));
    assert_eq!((record.payload.clone(), record.epoch), (payload(b"new"), 5));
    assert_eq!(record.absolute_deadline, old.absolute_deadline, "survives every change of id");
    assert_eq!(record.idle_deadline, world.now.after(IDLE));
    assert_eq!(world.load(0), Loaded::Ended(moved(1, false)));
    assert_eq!(world.commit(commit(key(0), old.version)), Committed::Ended(moved(1, false)));
    assert_eq!(world.acquire(0, 1), Acquired::Ended(moved(1, false)));
    assert_eq!(world.touch(0, IDLE), Touched::NotLive);
    world.wait(MARKER.as_secs());
    assert_eq!(world.load(0), Loaded::Missing);
}

#[test]
fn c4_of_two_who_move_one_record_one_succeeds() {
    let (mut world, old) = World::with_session();
    done(&mut world, rename(key(0), key(1), old.version));
    let before = world.clone();
    assert_eq!(world.rename(rename(key(0), key(2), old.version)), Renamed::Ended(moved(1, false)));
    assert_eq!(world, before);
}

#[test]
fn a_stale_version_or_a_taken_key_moves_nothing() {
    let (mut world, old) = World::with_session();
    world.session(1);
    let before = world.clone();
    assert_eq!(world.rename(rename(key(0), key(1), old.version)), Renamed::Exists);
    assert_eq!(world.rename(rename(key(0), key(0), old.version)), Renamed::Exists);
    let stale = old.version.next(OpId::generate());
    assert!(matches!(world.rename(rename(key(0), key(2), stale)), Renamed::Conflict(s) if s.record == old));
    assert_eq!(world, before);
}

#[test]
fn moving_twice_has_one_effect_and_one_answer() {
    for old_id in [OldId::Dead, alias(30), OldId::Copy { record_id: record_id(9), keep: secs(30) }] {
        let (mut world, old) = World::with_session();
        let request = Rename { old: old_id, ..rename(key(0), key(1), old.version) };
        let first = world.rename(request.clone());
        let after = world.clone();
        assert_eq!(world.rename(request), first);
        assert_eq!(world, after);
    }
}

/// The marker names the operation; that the record has forgotten it over later commits takes nothing from that.
#[test]
fn moving_again_is_recognised_over_any_number_of_commits_since() {
    let (mut world, old) = World::with_session();
    let request = rename(key(0), key(1), old.version);
    let mut record = done(&mut world, request.clone());
    for _ in 0..5 {
        let Committed::Committed(s) = world.commit(commit(key(1), record.version)) else { panic!() };
        record = s.record;
    }
    assert_eq!(done(&mut world, request.clone()), record);
    // But only to where it went.
    world.session(2);
    let elsewhere = Rename { to: key(2), ..request.clone() };
    assert_eq!(world.rename(elsewhere), Renamed::Ended(moved(1, false)));
    // And ended comes before already done.
    world.end(end(key(1)));
    assert_eq!(world.rename(request), Renamed::Ended(moved(1, false)));
}

#[test]
fn an_alias_leads_to_the_successor_for_its_grace_and_is_a_marker_then() {
    let (mut world, old) = World::with_session();
    let record = done(&mut world, Rename { old: alias(30), ..rename(key(0), key(1), old.version) });
    world.wait(29);
    let Loaded::Alias { successor, sealed: told, snapshot } = world.load(0) else { panic!() };
    assert_eq!((successor, told, snapshot.record), (key(1), sealed(), record));
    // It is for finding the way, not for writing.
    assert_eq!(world.commit(commit(key(0), old.version)), Committed::Ended(moved(1, false)));
    assert_eq!(world.acquire(0, 1), Acquired::Ended(moved(1, false)));
    assert_eq!(world.touch(0, IDLE), Touched::NotLive);
    world.wait(1);
    assert_eq!(world.load(0), Loaded::Ended(moved(1, false)));
    world.wait(MARKER.as_secs() - 1);
    assert_eq!(world.load(0), Loaded::Ended(moved(1, false)));
    world.wait(1);
    assert_eq!(world.load(0), Loaded::Missing);
}

#[test]
fn c4_a_second_change_of_id_kills_the_alias_of_the_first() {
    for second in [OldId::Dead, alias(30)] {
        let (mut world, old) = World::with_session();
        let record = done(&mut world, Rename { old: alias(30), ..rename(key(0), key(1), old.version) });
        done(&mut world, Rename { old: second, ..rename(key(1), key(2), record.version) });
        assert!(matches!(world.load(0), Loaded::Ended(Ending::Moved { .. })), "{:?}", world.load(0));
    }
}

#[test]
fn c2_an_end_or_expiry_of_the_successor_kills_the_alias() {
    let (mut world, old) = World::with_session();
    done(&mut world, Rename { old: alias(30), ..rename(key(0), key(1), old.version) });
    world.end(end(key(1)));
    assert_eq!(world.load(0), Loaded::Ended(Ending::Destroyed));
    let (mut world, old) = World::with_session();
    done(&mut world, Rename { old: alias(30), slide: None, ..rename(key(0), key(1), old.version) });
    world.entries.remove(&key(1));
    assert_eq!(world.load(0), Loaded::Ended(moved(1, false)), "the successor was purged");
}

/// C3, C4: whoever planted an id before the login is not told the id after it.
#[test]
fn c3_no_alias_leads_across_a_change_of_user() {
    let (mut world, old) = World::with_session();
    let login =
        Rename { old: alias(30), bind: Some(bind("ann", None)), ..rename(key(0), key(1), old.version) };
    done(&mut world, login);
    assert_eq!(world.load(0), Loaded::Ended(moved(1, true)));
}

#[test]
fn a_marker_tells_whether_the_user_changed() {
    let (mut world, old) = World::with_session();
    let login =
        |from, to, version| Rename { bind: Some(bind("ann", None)), ..rename(key(from), key(to), version) };
    let record = done(&mut world, login(0, 1, old.version));
    assert_eq!(record.user.as_ref().map(|u| u.as_str()), Some("ann"));
    assert!(record.device.is_some());
    assert_eq!(world.load(0), Loaded::Ended(moved(1, true)));
    let record = done(&mut world, login(1, 2, record.version));
    assert_eq!(world.load(1), Loaded::Ended(moved(2, false)), "the same user again");
    let record = done(&mut world, rename(key(2), key(3), record.version));
    assert_eq!(world.load(2), Loaded::Ended(moved(3, false)));
    assert_eq!(record.user.as_ref().map(|u| u.as_str()), Some("ann"), "a regenerate leaves the user");
}

#[test]
fn login_restarts_the_deadlines_and_regenerate_the_renewal_only() {
    let (mut world, old) = World::with_session();
    world.wait(100);
    let keep = Deadlines::Keep { renewal: Some(secs(50)) };
    let request = Rename { deadlines: keep, slide: None, ..rename(key(0), key(1), old.version) };
    let record = done(&mut world, request);
    assert_eq!(record.idle_deadline, old.idle_deadline);
    assert_eq!(record.renew_at, world.now.after(secs(50)));
    let lifetime = Lifetime { idle: secs(20), absolute: secs(40), renewal: None };
    let request =
        Rename { deadlines: Deadlines::Restart(lifetime), ..rename(key(1), key(2), record.version) };
    let record = done(&mut world, request);
    assert_eq!(record.idle_deadline, world.now.after(secs(20)));
    assert_eq!(record.absolute_deadline, world.now.after(secs(40)));
    assert_eq!((record.renew_at, record.created), (Timestamp::NEVER, old.created));
}

#[test]
fn a_copy_goes_its_own_way() {
    let (mut world, old) = World::with_session();
    world.acquire(0, 1);
    let request = Rename {
        old: OldId::Copy { record_id: record_id(9), keep: secs(30) },
        lease: Some(LeaseRef { owner: LeaseOwner(1), hold: 0 }),
        ..rename(key(0), key(1), old.version)
    };
    let record = done(&mut world, request);
    let copy = world.live(0);
    assert_eq!((copy.id, record.id), (record_id(9), old.id));
    assert_eq!(copy.payload, old.payload);
    assert_eq!(copy.deadline(), world.now.after(secs(30)));
    assert_ne!(copy.version, old.version, "who read it before the copy was made is told so");
    assert!(matches!(world.acquire(0, 2), Acquired::Acquired { .. }), "the lease went with the record");
    world.wait(30);
    assert_eq!(world.load(0), Loaded::Ended(Ending::Expired));
    assert_eq!(world.live(1), record);
    assert!(LIFETIME.idle > secs(30));
}

#[test]
fn c4_a_destroy_on_an_old_id_follows_to_the_successor() {
    for old_id in [OldId::Dead, alias(30)] {
        let (mut world, mut record) = World::with_session();
        // However often it moved.
        const MOVES: u32 = 100;
        for n in 0..MOVES {
            record = done(
                &mut world,
                Rename { old: old_id.clone(), ..rename(key(n), key(n + 1), record.version) },
            );
        }
        let Ended::Ended(Some(summary)) = world.end(end(key(0))) else { panic!() };
        assert_eq!((summary.key, summary.record_id), (key(MOVES), record.id));
        assert_eq!(world.load(MOVES), Loaded::Ended(Ending::Destroyed));
    }
}

#[test]
fn a_circle_of_ids_that_only_damage_can_make_has_an_end() {
    let mut world = World::new();
    for (n, to) in [(0, 1), (1, 2), (2, 1)] {
        let ending = Ending::Moved { to: key(to), user_changed: false };
        world
            .entries
            .insert(key(n), Entry::Marker { ending, op: OpId::from_u64(1), until: Timestamp::NEVER });
    }
    assert_eq!(world.end(end(key(0))), Ended::NotLive);
}

#[test]
fn a_destroy_on_a_copy_ends_the_copy_alone() {
    let (mut world, old) = World::with_session();
    let request = Rename {
        old: OldId::Copy { record_id: record_id(9), keep: secs(30) },
        ..rename(key(0), key(1), old.version)
    };
    done(&mut world, request);
    let Ended::Ended(Some(summary)) = world.end(end(key(0))) else { panic!() };
    assert_eq!(summary.key, key(0));
    world.live(1);
    assert_eq!(world.create(create(key(0))), Created::Exists);
}
