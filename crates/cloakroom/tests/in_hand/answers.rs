//! Nobody answers for what is in hand before the store does, and nobody waits for it for ever.

use super::*;

#[tokio::test(start_paused = true)]
async fn c9_what_is_buffered_is_acknowledged_by_nobody_before_the_commit_that_took_it_along_is_answered() {
    for (takes, calls) in
        [("a save", &CALLS[..]), ("the head", &["save", "lock", "put over a clear"]), ("the body", &["save"])]
    {
        for &which in calls {
            for refused in [false, true] {
                let house = Arc::new(House::new(SessionConfig::new()));
                let id = house.newcomer().await;
                let handle = house.arrive(&[&id]);
                let session = handle.open().await.unwrap();
                if takes == "the body" {
                    house.leave(&handle, StatusCode::OK).await;
                }
                buffer(&session, which);
                let gate = Gate::new();
                house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
                let taking = match takes {
                    "a save" => begin(&session, "save").await,
                    _ => end(&house, &handle, takes == "the body"),
                };
                gate.arrived().await;
                if refused {
                    house.visit(Some(&id), |s| async move { s.set("n", 100) }).await;
                }
                let asked = begin(&session, which).await;
                assert!(!asked.is_finished(), "{which}, beside {takes}: nobody knows yet");
                gate.open();
                drop(taking.await.unwrap());
                let came = refused.then_some(ErrorKind::Conflict);
                assert_eq!(kind(asked).await, came, "{which}, beside {takes}");
                let now = house.arrive(&[session.id().unwrap().expose()]).read_only().await.unwrap();
                assert_eq!(now.has("order"), !refused, "{which}, beside {takes}");
            }
        }
    }
}

/// Whoever set it before comes before, whatever took it along and however long that takes.
#[tokio::test(start_paused = true)]
async fn c1_an_awaited_write_is_not_overwritten_by_what_was_buffered_under_its_key_before() {
    for takes in ["a save", "the head", "a clear"] {
        let house = Arc::new(House::new(SessionConfig::new()));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let session = handle.open().await.unwrap();
        if takes == "a clear" {
            session.clear().unwrap();
        }
        session.set("later", 0).unwrap();
        let gate = Gate::new();
        house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
        let taking = match takes {
            "the head" => end(&house, &handle, false),
            _ => begin(&session, "save").await,
        };
        gate.arrived().await;
        let put = begin(&session, "put").await;
        gate.open();
        taking.await.unwrap().unwrap();
        assert_eq!(kind(put).await, None);
        let now = house.arrive(&[&id]).read_only().await.unwrap();
        assert_eq!(now.get::<u32>("later").unwrap(), Some(1), "{takes}");
    }
}

/// A `put` waits for what changes its key; then another task clears everything and sets the key.
#[tokio::test(start_paused = true)]
async fn c1_an_awaited_write_is_not_undone_by_a_clear_that_was_buffered_while_it_waited() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    session.set("later", 0).unwrap();
    let gate = Gate::new();
    house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
    let saving = begin(&session, "save").await;
    gate.arrived().await;
    let put = begin(&session, "put").await;
    session.clear().unwrap();
    session.set("later", 5).unwrap();
    gate.open();
    assert_eq!((kind(saving).await, kind(put).await), (None, None));
    house.leave(&handle, StatusCode::OK).await;
    assert_eq!((stored(&house, &id, "later").await, stored(&house, &id, "n").await), (Some(1), None));
}

/// A task of the handler has taken it along into a `put`, which then fails: it is buffered again, and the response stores it.
#[tokio::test(start_paused = true)]
async fn c1_a_response_acknowledges_nothing_that_a_task_of_its_handler_has_in_hand() {
    for body in [false, true] {
        let house = Arc::new(House::new(
            SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)),
        ));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let session = handle.open().await.unwrap();
        if body {
            house.leave(&handle, StatusCode::OK).await;
        }
        session.set("later", 0).unwrap();
        // Not answered, and refused when asked again.
        house.faults.at_op(Op::Commit, 1, Fault::Hang);
        house.faults.at_op(Op::Commit, 2, Fault::Unavailable);
        let put = begin(&session, "put").await;
        let ended = end(&house, &handle, body);
        assert_eq!(kind(put).await, Some(ErrorKind::Unknown));
        ended.await.unwrap().unwrap();
        let now = house.arrive(&[&id]).read_only().await.unwrap();
        assert_eq!(now.get::<u32>("later").unwrap(), Some(0), "a body: {body}");
    }
}

/// The one that would have to go on is kept by the very task that waits.
#[tokio::test(start_paused = true)]
async fn c9_who_waits_for_what_stands_still_is_told_in_the_end() {
    for waits in ["save", "the head"] {
        let house = Arc::new(House::new(SessionConfig::new()));
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let session = handle.open().await.unwrap();
        session.set("n", 2).unwrap();
        house.faults.at_op(Op::Commit, 1, Fault::Hang);
        let mut stands_still = Box::pin(session.increment("n", 1));
        assert!(tokio::time::timeout(Duration::ZERO, stands_still.as_mut()).await.is_err());
        let minute = Duration::from_secs(60);
        if waits == "save" {
            let told = tokio::time::timeout(minute, session.save()).await.expect("it waits for ever");
            assert_eq!(told.unwrap_err().kind(), ErrorKind::Unknown);
        } else {
            let left = tokio::time::timeout(minute, house.leave(&handle, StatusCode::OK)).await;
            assert_eq!(left.expect("it waits for ever").status, StatusCode::SERVICE_UNAVAILABLE);
        }
        drop(stands_still);
        // It may have been stored, for all that the head knew.
        let told = session.save().await.err().map(|error| error.kind());
        assert_eq!(told, (waits == "the head").then_some(ErrorKind::Unknown));
    }
}

/// The first one is answered, and nobody looks.
#[tokio::test(start_paused = true)]
async fn c9_what_a_save_came_to_is_told_to_the_next_one_though_nobody_looks_at_the_first() {
    for (faults, came) in [
        // Not answered, and refused when asked again.
        (vec![Fault::Hang, Fault::Unavailable], ErrorKind::Unknown),
        (vec![Fault::Undurable; 3], ErrorKind::Undurable),
    ] {
        let house =
            House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)));
        let id = house.newcomer().await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        session.set("n", 2).unwrap();
        for (n, fault) in (1..).zip(faults) {
            house.faults.at_op(Op::Commit, n, fault);
        }
        let mut first = Box::pin(session.save());
        assert!(tokio::time::timeout(Duration::ZERO, first.as_mut()).await.is_err());
        for _ in 0..2 {
            let next = tokio::time::timeout(Duration::from_secs(1), session.save()).await;
            assert_eq!(next.expect("it waits for the first").unwrap_err().kind(), came);
            if came == ErrorKind::Undurable {
                break;
            }
        }
        assert_eq!(first.await.unwrap_err().kind(), came);
        // Told, and discarded.
        session.save().await.unwrap();
    }
}

/// A task of the handler logs out while the response is being put together. It waits for that, or has given up waiting.
#[tokio::test(start_paused = true)]
async fn c2_a_logout_ends_the_session_that_the_last_commit_is_starting() {
    for (held, given_up) in [
        (Fault::Hold as fn(Gate) -> Fault, false),
        (Fault::HoldAnswer, false),
        (Fault::Hold, true),
        (Fault::HoldAnswer, true),
    ] {
        let house = Arc::new(House::new(SessionConfig::new()));
        let handle = house.arrive(&[]);
        let session = handle.open().await.unwrap();
        session.set("n", 2).unwrap();
        let gate = Gate::new();
        house.faults.at_op(Op::Create, 1, held(gate.clone()));
        let leaving = tokio::spawn({
            let (house, handle) = (Arc::clone(&house), handle.clone());
            async move { house.leave(&handle, StatusCode::OK).await }
        });
        gate.arrived().await;
        let ending = begin(&session, "destroy").await;
        if given_up {
            ending.abort();
            quiet().await;
        }
        gate.open();
        // Neither waits for the other.
        let told =
            tokio::time::timeout(Duration::from_secs(1), leaving).await.expect("it is held up").unwrap();
        if given_up {
            house.manager.shutdown().await;
        } else {
            assert_eq!(kind(ending).await, None);
        }
        assert!(!session.exists());
        if let Some(id) = told.id() {
            assert_eq!(house.who(&id).await, None, "there is a session after the logout");
        }
        assert_eq!(house.manager.metrics().sessions_created, 1);
    }
}

/// A task has begun to store it and does not wait for that any more. Then the client hangs up, or the response fails.
#[tokio::test(start_paused = true)]
async fn c9_what_a_call_had_in_hand_that_nobody_awaits_goes_with_the_response_and_is_refused_afterwards() {
    for which in ["save", "lock", "put"] {
        for hung_up in [true, false] {
            for stored in [false, true] {
                let house = House::new(
                    SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)),
                );
                let id = house.newcomer().await;
                let handle = house.arrive(&[&id]);
                let task = handle.open().await.unwrap();
                if which == "put" {
                    // It takes a clear along, in a step of its own.
                    task.clear().unwrap();
                }
                task.set("order", 7).unwrap();
                if !stored {
                    // Not answered, and refused when asked again.
                    house.faults.at_op(Op::Commit, 1, Fault::Hang);
                    house.faults.at_op(Op::Commit, 2, Fault::Unavailable);
                } else {
                    house.faults.at_op(Op::Commit, 1, Fault::DelayAnswer(Duration::from_millis(10)));
                }
                {
                    let mut given_up = Box::pin(call(&task, which));
                    assert!(tokio::time::timeout(Duration::from_millis(1), given_up.as_mut()).await.is_err());
                }
                if hung_up {
                    house.manager.abandon(&handle);
                } else {
                    house.leave(&handle, StatusCode::INTERNAL_SERVER_ERROR).await;
                }
                // Long past the last answer.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let saved = task.save().await;
                let refused = (!stored).then_some(ErrorKind::HeadSent);
                assert_eq!(saved.err().map(|error| error.kind()), refused, "{which}, hung up: {hung_up}");
                assert_eq!(house.arrive(&[&id]).read_only().await.unwrap().has("order"), stored);
                task.reload().await.unwrap();
                task.save().await.unwrap();
            }
        }
    }
}

/// It was buffered, and is being stored, under the same lock.
#[tokio::test(start_paused = true)]
async fn c1_a_guards_commit_is_not_overwritten_by_what_was_buffered_before_it() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        let house = House::new(SessionConfig::new().mode(mode));
        let id = house.newcomer().await;
        let session = house.arrive(&[&id]).open().await.unwrap();
        let mut guard = session.lock().await.unwrap();
        session.set("order", 1).unwrap();
        let gate = Gate::new();
        house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
        let saving = begin(&session, "save").await;
        gate.arrived().await;
        guard.set("order", 2).unwrap();
        let committing = tokio::spawn(guard.commit());
        quiet().await;
        gate.open();
        assert_eq!(kind(committing).await, None, "{mode:?}");
        assert_eq!(kind(saving).await, None, "{mode:?}");
        let now = house.arrive(&[&id]).read_only().await.unwrap();
        assert_eq!(now.get::<u32>("order").unwrap(), Some(2), "{mode:?}");
    }
}

/// A refused `save` that nobody looks at any more, and nobody drops, is still in hand: the response waits for it, with a deadline.
#[tokio::test(start_paused = true)]
async fn c9_a_response_does_not_wait_for_ever_for_a_save_that_is_kept_unpolled() {
    for status in [StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR] {
        let house = House::new(SessionConfig::new());
        let id = house.newcomer().await;
        let handle = house.arrive(&[&id]);
        let session = handle.open().await.unwrap();
        assert_eq!(session.get::<u32>("n").unwrap(), Some(1));
        session.set("n", 2).unwrap();
        let gate = Gate::new();
        house.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
        let mut save = Box::pin(session.save());
        assert!(tokio::time::timeout(Duration::ZERO, save.as_mut()).await.is_err());
        gate.arrived().await;
        house.visit(Some(&id), |s| async move { s.set("n", 100) }).await;
        gate.open();
        quiet().await;
        let left = tokio::time::timeout(Duration::from_secs(60), house.leave(&handle, status)).await;
        let left = left.expect("the response waits for ever");
        assert!(left.status.is_server_error(), "{}", left.status);
        assert_eq!(save.await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

/// A task's `save` comes when the response is being put together and a session is being started. It is refused; what the
/// handler has buffered is the response's to store.
#[tokio::test(start_paused = true)]
async fn c1_a_save_of_a_task_that_comes_too_late_takes_nothing_from_the_response() {
    let house = Arc::new(House::new(SessionConfig::new()));
    let handle = house.arrive(&[]);
    let session = handle.open().await.unwrap();
    let gate = Gate::new();
    house.faults.at_op(Op::Create, 1, Fault::Hold(gate.clone()));
    let put = tokio::spawn({
        let session = session.clone();
        async move { session.put("beside", 1).await }
    });
    gate.arrived().await;
    session.set("order", 7).unwrap();
    let leaving = tokio::spawn({
        let (house, handle) = (Arc::clone(&house), handle.clone());
        async move { house.leave(&handle, StatusCode::OK).await }
    });
    quiet().await;
    let saved = session.save().await;
    gate.open();
    put.await.unwrap().unwrap();
    let answer = leaving.await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let id = answer.id().unwrap();
    assert_eq!(stored(&house, &id, "beside").await, Some(1));
    assert_eq!(stored(&house, &id, "order").await, Some(7), "acknowledged by the response; save: {saved:?}");
}

/// What was decided under a lost lease and is in hand would be buffered again: no lock is granted beside it, or it would be
/// stored under that.
#[tokio::test]
async fn c5_what_was_in_hand_under_a_lost_lease_is_not_stored_under_another_one() {
    let locking = || Locking { wait: Duration::from_millis(50), ..Locking::default() };
    let (here, there) = House::two(|| SessionConfig::new().mode(Mode::Exclusive).locking(locking()));
    let id = here.newcomer().await;
    here.visit(Some(&id), |s| async move { s.put("credit", 10).await }).await;
    let handle = here.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    assert_eq!(session.get::<i64>("credit").unwrap(), Some(10));
    here.pass(11);
    there.visit(Some(&id), |s| async move { s.put("credit", 0).await }).await;
    assert_eq!(session.put("log", 1).await.unwrap_err().kind(), ErrorKind::LeaseLost);
    session.set("ticket", 1).unwrap();
    // As it is: refused.
    assert_eq!(session.lock().await.unwrap_err().kind(), ErrorKind::LeaseLost);
    let gate = Gate::new();
    here.faults.at_op(Op::Commit, 1, Fault::Hold(gate.clone()));
    let put = tokio::spawn({
        let session = session.clone();
        async move { session.put("ticket", 2).await }
    });
    gate.arrived().await;
    let lock = tokio::spawn({
        let session = session.clone();
        async move { session.lock().await.map(drop) }
    });
    quiet().await;
    gate.open();
    let refused = [put.await.unwrap(), lock.await.unwrap()].map(|came| came.unwrap_err().kind());
    assert_eq!(refused, [ErrorKind::LeaseLost; 2]);
    here.leave(&handle, StatusCode::OK).await;
    assert_eq!(stored(&there, &id, "ticket").await, None, "a ticket for a visitor without credit");
}
