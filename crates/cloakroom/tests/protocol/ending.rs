//! C2: the end of a session is final, is remembered for a while, and says how it came about.

use cloakroom::store::*;

use crate::store_requests::{LIFETIME, MARKER, end};
use crate::table::{World, key};

#[test]
fn an_ended_session_leaves_a_marker_that_no_cookie_loads() {
    for (cause, ending) in [(EndCause::Destroyed, Ending::Destroyed), (EndCause::Revoked, Ending::Revoked)] {
        let (mut world, record) = World::with_session();
        let Ended::Ended(Some(summary)) = world.end(End { cause, ..end(key(0)) }) else { panic!() };
        assert_eq!((summary.key, summary.record_id), (key(0), record.id));
        assert_eq!(world.load(0), Loaded::Ended(ending));
        world.wait(MARKER.as_secs() - 1);
        assert_eq!(world.load(0), Loaded::Ended(ending));
        world.wait(1);
        assert_eq!(world.load(0), Loaded::Missing);
    }
}

#[test]
fn ending_twice_has_one_effect_and_says_it_was_done() {
    let (mut world, _) = World::with_session();
    let request = end(key(0));
    world.end(request);
    let after = world.clone();
    world.wait(5);
    assert_eq!(world.end(request), Ended::Ended(None));
    assert_eq!(world.entries, after.entries, "the marker lasts no longer for it");
    assert_eq!(world.end(end(key(0))), Ended::NotLive, "somebody else finds nothing to end");
}

#[test]
fn there_is_nothing_to_end_where_nothing_lives() {
    let mut world = World::new();
    assert_eq!(world.end(end(key(0))), Ended::NotLive);
    world.session(0);
    world.wait(LIFETIME.idle.as_secs());
    let before = world.clone();
    assert_eq!(world.end(end(key(0))), Ended::NotLive);
    assert_eq!(world, before, "an expired session is not made a destroyed one");
}
