//! What is in hand is seen by its own request, and can be changed over.

use super::*;

/// While what was buffered is on its way to the store, its request sees it, and what it writes over it comes after it.
#[tokio::test(start_paused = true)]
async fn c1_what_is_in_hand_is_seen_by_its_own_request() {
    for which in ["save", "login", "lock", "put over a clear", "the head"] {
        for written in ["meanwhile", "afterwards"] {
            if (which, written) == ("login", "meanwhile") {
                continue; // What was decided before somebody is signed in conflicts with that, whatever its key.
            }
            let house = Arc::new(House::new(SessionConfig::new()));
            let id = house.newcomer().await;
            let handle = house.arrive(&[&id]);
            let session = handle.open().await.unwrap();
            buffer(&session, which);
            let gate = Gate::new();
            let op = if which == "login" { Op::Rename } else { Op::Commit };
            house.faults.at_op(op, 1, Fault::HoldAnswer(gate.clone()));
            let taking = match which {
                "the head" => end(&house, &handle, false),
                _ => begin(&session, which).await,
            };
            gate.arrived().await;
            let seen = session.get::<i64>("n").unwrap();
            assert_eq!((seen, session.has("order")), (Some(2), true), "{which}");
            let mut keys = session.keys();
            keys.sort();
            assert_eq!(keys, ["n", "order"], "{which}");
            if written == "meanwhile" {
                session.set("n", 3).unwrap();
                session.remove("order").unwrap();
                assert_eq!((session.get("n").unwrap(), session.len()), (Some(3), 1), "{which}");
            }
            gate.open();
            taking.await.unwrap().unwrap();
            if written == "afterwards" {
                session.set("n", 3).unwrap();
                session.remove("order").unwrap();
            }
            let id = session.id().unwrap().expose().to_owned();
            if which == "the head" {
                end(&house, &handle, true).await.unwrap().unwrap();
            } else {
                assert_eq!(
                    house.leave(&handle, StatusCode::OK).await.status,
                    StatusCode::OK,
                    "{which}, {written}"
                );
            }
            let now = (stored(&house, &id, "n").await, stored(&house, &id, "order").await);
            assert_eq!(now, (Some(3), None), "{which}, written {written}");
        }
    }
}

/// The same where what is in hand starts the session; also when all is cleared over it.
#[tokio::test(start_paused = true)]
async fn c1_what_is_starting_a_session_is_seen_by_its_own_request() {
    for cleared in [false, true] {
        let house = House::new(SessionConfig::new());
        let handle = house.arrive(&[]);
        let session = handle.open().await.unwrap();
        assert_eq!(session.get::<i64>("n").unwrap(), None);
        session.set("n", 2).unwrap();
        let gate = Gate::new();
        house.faults.at_op(Op::Create, 1, Fault::HoldAnswer(gate.clone()));
        let saving = begin(&session, "save").await;
        gate.arrived().await;
        assert_eq!(session.get("n").unwrap(), Some(2));
        if cleared {
            session.clear().unwrap();
        } else {
            session.set("n", 3).unwrap();
        }
        gate.open();
        assert_eq!(kind(saving).await, None);
        let left = house.leave(&handle, StatusCode::OK).await;
        assert_eq!(left.status, StatusCode::OK);
        let id = session.id().unwrap().expose().to_owned();
        assert_eq!(stored(&house, &id, "n").await, (!cleared).then_some(3));
    }
}

/// What is written over it rests on what it rested on, and on itself once it is stored: another request's change is not written over.
#[tokio::test(start_paused = true)]
async fn c1_what_is_written_over_what_is_in_hand_is_held_against_others() {
    for (others, written) in
        [("before", "meanwhile"), ("before", "afterwards"), ("after", "meanwhile"), ("after", "afterwards")]
    {
        let house = House::new(SessionConfig::new());
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let session = handle.open().await.unwrap();
        buffer(&session, "save");
        let gate = Gate::new();
        // Before it is stored, it is refused; after it was stored, that is asked of what was written over it.
        let held = if others == "before" { Fault::Hold } else { Fault::HoldAnswer };
        house.faults.at_op(Op::Commit, 1, held(gate.clone()));
        let other = || house.visit(Some(&id), |s| async move { s.set("n", 100) });
        let saving = begin(&session, "save").await;
        gate.arrived().await;
        let seen: i64 = session.get("n").unwrap().unwrap();
        if written == "meanwhile" {
            session.set("n", seen + 1).unwrap();
        }
        if others == "before" {
            other().await;
        }
        gate.open();
        let came = (others == "before").then_some(ErrorKind::Conflict);
        assert_eq!(kind(saving).await, came, "{others}, {written}");
        if others == "after" {
            other().await;
        }
        if written == "afterwards" {
            session.set("n", seen + 1).unwrap();
        }
        let left = house.leave(&handle, StatusCode::OK).await;
        assert_eq!(left.status, StatusCode::CONFLICT, "{others}, {written}");
        assert_eq!(stored(&house, &id, "n").await, Some(100));
    }
}

/// A `lock` that fails gives it back to the buffer, under what was written since.
#[tokio::test(start_paused = true)]
async fn c1_what_is_written_over_what_is_in_hand_stays_over_it_where_that_is_buffered_again() {
    let house = House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)));
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    buffer(&session, "lock");
    // Not answered, and refused when asked again.
    house.faults.at_op(Op::Commit, 1, Fault::Hang);
    house.faults.at_op(Op::Commit, 2, Fault::Unavailable);
    let locking = begin(&session, "lock").await;
    session.set("n", session.get::<i64>("n").unwrap().unwrap() + 1).unwrap();
    assert_eq!(kind(locking).await, Some(ErrorKind::Unknown));
    let now = || (session.get::<i64>("n").unwrap(), session.get::<i64>("order").unwrap());
    assert_eq!(now(), (Some(3), Some(7)));
    assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::OK);
    assert_eq!((stored(&house, &id, "n").await, stored(&house, &id, "order").await), (Some(3), Some(7)));
}
