//! What was stored along and may yet be undone is told to somebody who answers for it.

use super::*;

/// A call of a task has taken along what the handler had buffered, and is answered while the response waits for that.
#[tokio::test(start_paused = true)]
async fn c9_what_a_response_acknowledges_and_may_be_undone_is_no_success_whoever_stored_it() {
    for which in ["save", "put"] {
        for body in [false, true] {
            let (house, id) = undurable_at(Op::Commit).await;
            let handle = house.arrive(&[&id]);
            let session = handle.open().await.unwrap();
            if body {
                house.leave(&handle, StatusCode::OK).await;
            }
            session.set("later", 0).unwrap();
            let taking = begin(&session, which).await;
            if body {
                let mut body = Box::pin(house.manager.wrap_body(&handle, Body::from("text")));
                let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
                assert!(frame.expect("its text").is_err(), "{which}: the end of the body");
            } else {
                let left = house.leave(&handle, StatusCode::OK).await.status;
                assert_eq!(left, StatusCode::SERVICE_UNAVAILABLE, "{which}");
            }
            assert_eq!(kind(taking).await, Some(ErrorKind::Undurable), "{which}, a body: {body}");
            assert!(stored(&house, &id, "later").await.is_some());
            session.save().await.expect("everybody was told");
        }
    }
}

/// Nobody awaits the call any more by the time it is answered: whoever answers for what was buffered next is told, and nobody after that.
#[tokio::test(start_paused = true)]
async fn c9_what_may_be_undone_is_told_to_the_next_where_nobody_awaits_it_any_more() {
    for which in ["save", "login", "put"] {
        for next in ["the head", "save", "lock", "nobody cares"] {
            let op = if which == "login" { Op::Rename } else { Op::Commit };
            let (house, id) = undurable_at(if which == "put" { Op::Create } else { op }).await;
            let ids: &[&str] = if which == "put" { &[] } else { &[&id] };
            let handle = house.arrive(ids);
            let session = handle.open().await.unwrap();
            session.set("later", 0).unwrap();
            {
                let mut given_up = Box::pin(call(&session, which));
                assert!(tokio::time::timeout(Duration::from_millis(1), given_up.as_mut()).await.is_err());
            }
            // Long past the last answer.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let told = match next {
                "the head" => Ok(()),
                "nobody cares" => session.destroy().await,
                _ => call(&session, next).await,
            };
            let undurable = !matches!(next, "the head" | "nobody cares");
            let came = undurable.then_some(ErrorKind::Undurable);
            assert_eq!(told.err().map(|error| error.kind()), came, "{which}, then {next}");
            let left = house.leave(&handle, StatusCode::OK).await.status;
            assert_eq!(left.is_server_error(), next == "the head", "{which}, then {next}");
        }
    }
}

/// A visitor with a session, and the next calls of this sort are made, and are answered as ones that may be undone, after a moment.
async fn undurable_at(op: Op) -> (House, String) {
    let house = House::new(SessionConfig::new().deadlines(Duration::from_secs(5), Duration::from_millis(20)));
    let id = house.newcomer().await;
    for (n, fault) in (1..).zip([Fault::Hang, Fault::Undurable, Fault::Undurable]) {
        house.faults.at_op(op, n, fault);
    }
    (house, id)
}
