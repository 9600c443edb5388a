//! Create, commit, touch: versions, idempotence, deadlines, and the order in which a write is checked.

use cloakroom::OpId;
use cloakroom::clock::Timestamp;
use cloakroom::record::{Lifetime, Version};
use cloakroom::store::*;

use crate::store_requests::{IDLE, LIFETIME, MARKER, commit, create, end, payload, rename};
use crate::table::{World, key, secs};

#[test]
fn a_created_session_is_there_as_asked_for() {
    let mut world = World::new();
    let request = Create {
        lifetime: Lifetime { idle: secs(90), absolute: secs(60), renewal: Some(secs(5)) },
        ..create(key(0))
    };
    let Created::Created { snapshot, evicted } = world.create(request.clone()) else { panic!() };
    assert!(evicted.is_empty());
    let record = world.live(0);
    assert_eq!(record, snapshot.record);
    assert_eq!(record.version, Version::first(request.op));
    assert_eq!((record.id, record.epoch, record.user.as_ref()), (request.record_id, 0, None));
    assert_eq!(record.absolute_deadline, world.now.after(secs(60)));
    assert_eq!(record.idle_deadline, record.absolute_deadline, "idle never reaches past absolute");
    assert_eq!(record.renew_at, world.now.after(secs(5)));
}

#[test]
fn creating_twice_has_one_effect_and_one_answer() {
    let mut world = World::new();
    let request = create(key(0));
    let first = world.create(request.clone());
    let after = world.clone();
    assert_eq!(world.create(request), first);
    assert_eq!(world, after);
}

#[test]
fn creating_again_is_recognised_over_the_commits_since() {
    let (mut world, mut record) = World::with_session();
    let created = record.version.op;
    for _ in 0..3 {
        let Committed::Committed(s) = world.commit(commit(key(0), record.version)) else { panic!() };
        record = s.record;
    }
    let Created::Created { snapshot, .. } = world.create(Create { op: created, ..create(key(0)) }) else {
        panic!()
    };
    assert_eq!(snapshot.record, record, "the answer is the record as it is now");
}

#[test]
fn a_key_in_use_is_refused_whatever_is_under_it() {
    let (mut world, record) = World::with_session();
    assert_eq!(world.create(create(key(0))), Created::Exists);
    let Renamed::Renamed { .. } = world.rename(rename(key(0), key(1), record.version)) else { panic!() };
    assert_eq!(world.create(create(key(0))), Created::Exists, "a marker");
    assert_eq!(world.create(Create { op: record.version.op, ..create(key(0)) }), Created::Exists, "a marker");
    world.end(end(key(1)));
    assert_eq!(world.create(create(key(1))), Created::Exists, "a marker");
}

/// As it is for whoever loads it.
#[test]
fn a_key_whose_past_is_forgotten_is_free() {
    let (mut world, record) = World::with_session();
    let Renamed::Renamed { .. } = world.rename(rename(key(0), key(1), record.version)) else { panic!() };
    world.end(end(key(1)));
    let marker = end(key(1)).marker.max(rename(key(0), key(1), record.version).marker);
    world.wait(marker.as_secs());
    for n in [0, 1] {
        assert_eq!(world.load(n), Loaded::Missing);
        let Created::Created { .. } = world.create(create(key(n))) else { panic!() };
        world.live(n);
    }
}

/// Ended before already done: an operation is not told it succeeded when what it made is dead since.
#[test]
fn creating_again_after_expiry_does_not_hand_out_an_expired_record() {
    let mut world = World::new();
    let request = create(key(0));
    world.create(request.clone());
    world.wait(LIFETIME.idle.as_secs());
    assert_eq!(world.create(request), Created::Exists);
}

#[test]
fn c1_a_commit_replaces_the_version_it_names_and_no_other() {
    let (mut world, record) = World::with_session();
    let first = Commit { payload: payload(b"first"), epoch: 3, ..commit(key(0), record.version) };
    let Committed::Committed(done) = world.commit(first.clone()) else { panic!() };
    assert_eq!(done.record.version, record.version.next(first.op));
    assert_eq!((done.record.payload.clone(), done.record.epoch), (first.payload, 3));
    assert_eq!(world.live(0), done.record);

    let before = world.clone();
    let Committed::Conflict(told) = world.commit(commit(key(0), record.version)) else { panic!() };
    assert_eq!(told.record, done.record, "a conflict tells the record as it is");
    assert_eq!(world, before);
}

/// After a restored backup, "version 1" may be another one than was read.
#[test]
fn c1_the_number_alone_is_not_the_version() {
    let (mut world, record) = World::with_session();
    let other = Version { op: OpId::generate(), ..record.version };
    assert!(matches!(world.commit(commit(key(0), other)), Committed::Conflict(_)));
}

#[test]
fn committing_twice_has_one_effect_and_one_answer() {
    let (mut world, record) = World::with_session();
    let request = commit(key(0), record.version);
    let first = world.commit(request.clone());
    let after = world.clone();
    assert_eq!(world.commit(request), first);
    assert_eq!(world, after);
}

#[test]
fn a_repeated_commit_is_recognised_until_three_others_are_on_top_of_it() {
    let (mut world, record) = World::with_session();
    let request = commit(key(0), record.version);
    let Committed::Committed(mut top) = world.commit(request.clone()) else { panic!() };
    for others in 1..=3 {
        let Committed::Committed(s) = world.commit(commit(key(0), top.record.version)) else { panic!() };
        top = s;
        assert_eq!(world.commit(request.clone()), Committed::Committed(top.clone()), "{others} others");
    }
    let Committed::Committed(top) = world.commit(commit(key(0), top.record.version)) else { panic!() };
    // Forgotten: it is then a conflict, never applied a second time.
    assert_eq!(world.commit(request), Committed::Conflict(top));
}

#[test]
fn already_done_comes_before_lease_and_version() {
    let (mut world, record) = World::with_session();
    let request = commit(key(0), record.version);
    let Committed::Committed(done) = world.commit(request.clone()) else { panic!() };
    world.acquire(0, 1);
    assert_eq!(
        world.commit(request.clone()),
        Committed::Committed(done.clone()),
        "somebody has the lease by now"
    );
    let lost = Commit { lease: Some(LeaseRef { owner: LeaseOwner(9), hold: 0 }), ..request };
    assert_eq!(world.commit(lost), Committed::Committed(done), "its own lease is gone by now");
}

#[test]
fn lease_comes_before_version() {
    let (mut world, record) = World::with_session();
    world.acquire(0, 1);
    let stale = record.version.next(OpId::generate());
    let until = world.now.after(secs(10));
    assert_eq!(world.commit(commit(key(0), stale)), Committed::Locked { until, now: world.now });
}

#[test]
fn c2_ended_comes_before_already_done() {
    let (mut world, record) = World::with_session();
    let request = commit(key(0), record.version);
    world.commit(request.clone());
    world.end(end(key(0)));
    assert_eq!(world.commit(request), Committed::Ended(Ending::Destroyed));

    let (mut world, record) = World::with_session();
    let request = commit(key(0), record.version);
    world.commit(request.clone());
    world.wait(IDLE.as_secs());
    assert_eq!(world.commit(request), Committed::Ended(Ending::Expired));
}

#[test]
fn c2_nothing_written_to_the_dead_or_the_unknown_brings_anything_about() {
    let mut world = World::new();
    let version = Version::first(OpId::generate());
    let nothing = world.clone();
    assert_eq!(world.commit(commit(key(0), version)), Committed::Missing);
    assert_eq!(world.touch(0, IDLE), Touched::NotLive);
    assert_eq!(world.rename(rename(key(0), key(1), version)), Renamed::Missing);
    assert_eq!(world.acquire(0, 1), Acquired::Missing);
    assert_eq!(world, nothing);

    let (mut world, record) = World::with_session();
    world.end(end(key(0)));
    let dead = world.clone();
    assert_eq!(world.commit(commit(key(0), record.version)), Committed::Ended(Ending::Destroyed));
    assert_eq!(world.touch(0, IDLE), Touched::NotLive);
    assert_eq!(world.rename(rename(key(0), key(1), record.version)), Renamed::Ended(Ending::Destroyed));
    assert_eq!(world.acquire(0, 1), Acquired::Ended(Ending::Destroyed));
    assert_eq!(world, dead);
    // The marker is forgotten; the session stays dead.
    world.wait(MARKER.as_secs());
    assert_eq!(world.commit(commit(key(0), record.version)), Committed::Missing);
    assert_eq!(world.load(0), Loaded::Missing);
}

#[test]
fn a_session_lives_up_to_its_deadline_and_not_at_it() {
    let (mut world, record) = World::with_session();
    world.now = Timestamp::from_millis(record.idle_deadline.as_millis() - 1);
    assert_eq!(world.live(0), record);
    world.now = record.idle_deadline;
    assert_eq!(world.load(0), Loaded::Ended(Ending::Expired));
}

#[test]
fn idle_slides_with_commits_and_touches_up_to_the_absolute_deadline() {
    let (mut world, record) = World::with_session();
    world.wait(100);
    let Committed::Committed(s) = world.commit(commit(key(0), record.version)) else { panic!() };
    assert_eq!(s.record.idle_deadline, world.now.after(IDLE));
    assert_eq!(s.record.last_seen, world.now);
    world.wait(100);
    let background = Commit { slide: None, ..commit(key(0), s.record.version) };
    let Committed::Committed(quiet) = world.commit(background) else { panic!() };
    assert_eq!(quiet.record.idle_deadline, s.record.idle_deadline, "a background request slides nothing");

    let idle_deadline = world.now.after(IDLE);
    assert_eq!(world.touch(0, IDLE), Touched::Touched { idle_deadline });
    let touched = world.live(0);
    assert_eq!(touched.version, quiet.record.version, "a touch is no version");
    assert_eq!((touched.idle_deadline, touched.last_seen), (idle_deadline, world.now));

    assert_eq!(world.touch(0, secs(1)), Touched::Touched { idle_deadline }, "never backwards");
    let idle_deadline = record.absolute_deadline;
    assert_eq!(world.touch(0, secs(1_000_000)), Touched::Touched { idle_deadline });
}

#[test]
fn time_that_jumps_back_takes_nothing_away() {
    let (mut world, record) = World::with_session();
    world.now = Timestamp::from_millis(record.created.as_millis() - 500_000);
    let Committed::Committed(s) = world.commit(commit(key(0), record.version)) else { panic!() };
    assert_eq!(s.record.idle_deadline, record.idle_deadline);
    assert_eq!(s.record.last_seen, record.last_seen);
}
