//! Calls of the move that fail or are late, and what PHP and other processes do meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::store::{Loaded, Store};
use cloakroom::{ErrorKind, Session};
use cloakroom_php::layout::Stage;
use cloakroom_testing::fault::{Fault, FaultStore, Gate};
use cloakroom_testing::{ManualClock, Op, ReferenceStore};

use super::{Application, Instance, Visitor, basket, number};

pub async fn c1_c2_a_move_that_breaks_off_anywhere_is_gone_on_with_and_loses_and_doubles_nothing(
    application: &impl Application,
) {
    let service = Instance::at(application, Stage::Move).await;
    for fault in [Fault::Unavailable, Fault::LoseRequest, Fault::LoseAnswer] {
        for meanwhile in ["nothing", "php writes", "php logs out", "php logs in"] {
            for call in 1..=6 {
                let at = format!("{}: {fault:?}, call {call}, {meanwhile}", service.called);
                let visitor = Visitor::new(application, &basket(7, 1)).await;
                let faulty = FaultStore::new(application.place().await);
                faulty.at(call, fault.clone());
                let broken = Instance::over(application, Stage::Move, Arc::new(faulty)).await;
                let _ = broken.request(&visitor.cookie).open().await;
                let had = visitor.php_has();
                let expected = match meanwhile {
                    "php writes" if had => {
                        visitor.php_writes(&basket(7, 40));
                        Some(41)
                    }
                    "php logs in" if had => {
                        visitor.php_writes(&basket(9, 60));
                        Some(61)
                    }
                    "php logs out" if had => {
                        visitor.php_ends();
                        None
                    }
                    _ => Some(2),
                };
                let Some(n) = expected else {
                    assert_eq!(service.n(&visitor.cookie).await, None, "{at}");
                    continue;
                };
                assert_eq!(service.add(&visitor.cookie).await.unwrap(), n, "{at}");
                assert!(!visitor.php_has(), "{at}");
                let user = async |session: &Session| {
                    assert!(session.get::<bool>("\0moving").unwrap_or_default().is_none(), "{at}");
                    Ok(session.user().map(|user| user.as_str().to_owned()))
                };
                let user = service.serve(&visitor.cookie, user).await.unwrap().0;
                assert_eq!(user.as_deref(), Some(if n == 61 { "9" } else { "7" }), "{at}");
            }
        }
    }
}

pub async fn c1_c4_what_is_decided_on_phps_session_is_not_done_to_a_copy_of_it(
    application: &impl Application,
) {
    let (before, service) =
        (Instance::at(application, Stage::Prepare).await, Instance::at(application, Stage::Move).await);
    let called = service.called;
    for changes_id in [false, true] {
        let visitor = Visitor::new(application, &number(1)).await;
        let cookie = visitor.cookie.as_str();
        visitor.breaks_off().await;
        if changes_id {
            let (_, id) = before.serve(cookie, async |session| session.regenerate().await).await.unwrap();
            assert!(!visitor.php_has(), "{called}");
            assert_eq!((service.n(cookie).await, service.n(&id.unwrap()).await), (None, Some(1)), "{called}");
        } else {
            assert_eq!(before.add(cookie).await.unwrap(), 2, "{called}");
            assert!(visitor.php_has(), "{called}: it was written to where it is");
            assert_eq!(service.n(cookie).await, Some(2), "{called}");
            assert!(!visitor.php_has(), "{called}");
            assert_eq!(before.add(cookie).await.unwrap(), 3, "{called}");
        }
    }
}

/// Two processes find a copy of another user's and take it away. The one that is late by whatever time finds that the session has moved.
pub async fn c1_a_copy_that_is_taken_away_late_is_not_the_session_that_has_moved_since(
    application: &impl Application,
) {
    let (late, gate) = (FaultStore::new(application.place().await), Gate::new());
    for op in [Op::End, Op::Rename] {
        late.at_op(op, 1, Fault::Hold(gate.clone()));
    }
    let late = Arc::new(Instance::over(application, Stage::Move, Arc::new(late)).await);
    let service = Instance::at(application, Stage::Move).await;
    let called = service.called;
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    visitor.breaks_off().await;
    visitor.php_writes(&basket(9, 1));
    let (adds, cookie) = (late.clone(), visitor.cookie.clone());
    let adding = tokio::spawn(async move { adds.add(&cookie).await });
    gate.arrived().await;
    assert_eq!(service.add(&visitor.cookie).await.unwrap(), 2, "{called}");
    assert!(!visitor.php_has(), "{called}");
    gate.open();
    assert_eq!(adding.await.unwrap().unwrap(), 3, "{called}");
    assert_eq!(service.n(&visitor.cookie).await, Some(3), "{called}");
}

/// Nor is anybody logged out while it is remembered that there was one.
pub async fn c2_a_copy_that_was_taken_away_is_no_end_of_the_session(application: &impl Application) {
    let clock = ManualClock::new();
    let new: Arc<dyn Store> = Arc::new(ReferenceStore::with_clock(clock.clone()));
    let service = Instance::over(application, Stage::Move, new.clone()).await;
    let called = service.called;
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    let cookie = visitor.cookie.as_str();
    visitor.breaks_off_into(new.clone()).await;
    visitor.php_writes(&basket(9, 1));
    // It moves once the key is free: by this store's clock that is not yet.
    assert_eq!(service.n(cookie).await, Some(1), "{called}");
    assert_eq!(service.add(cookie).await.unwrap(), 2, "{called}");
    assert!(visitor.php_has(), "{called}");
    clock.advance(Duration::from_secs(1));
    new.purge(100).await.unwrap();
    assert_eq!(service.add(cookie).await.unwrap(), 3, "{called}");
    assert!(!visitor.php_has(), "{called}");
}

/// The request that takes it away moves the session: it is looked whether the key is free, however quick the new place is.
pub async fn a_session_moves_with_the_request_that_finds_a_copy_of_another_users(
    application: &impl Application,
) {
    for _ in 0..20 {
        let new: Arc<dyn Store> = Arc::new(ReferenceStore::new());
        let service = Instance::over(application, Stage::Move, new.clone()).await;
        let visitor = Visitor::new(application, &basket(7, 1)).await;
        visitor.breaks_off_into(new).await;
        visitor.php_writes(&basket(9, 1));
        assert_eq!(service.n(&visitor.cookie).await, Some(1), "{}", service.called);
        assert!(!visitor.php_has(), "{}: it is where it was", service.called);
    }
}

pub async fn c1_what_php_writes_while_the_copy_is_made_is_what_moves(application: &impl Application) {
    let (slow, gate) = (FaultStore::new(application.place().await), Gate::new());
    // Looked for, then copied.
    slow.at(2, Fault::HoldAnswer(gate.clone()));
    let service = Arc::new(Instance::over(application, Stage::Move, Arc::new(slow)).await);
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    let (adds, cookie) = (service.clone(), visitor.cookie.clone());
    let adding = tokio::spawn(async move { adds.add(&cookie).await });
    let began = Instant::now();
    while !matches!(visitor.moved().await, Loaded::Live(_)) {
        assert!(began.elapsed() < Duration::from_secs(20), "{}: there is no copy", service.called);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    visitor.php_writes(&basket(7, 40));
    gate.open();
    assert_eq!(adding.await.unwrap().unwrap(), 41, "{}", service.called);
    assert!(!visitor.php_has(), "{}", service.called);
}

pub async fn c1_c4_a_request_beside_the_one_that_moves_its_session_finds_it(application: &impl Application) {
    for stage in [Stage::Prepare, Stage::Move] {
        for does in ["adds", "locks", "changes its id", "ends it"] {
            for late in [Fault::Hold, Fault::HoldAnswer] {
                let mut call = 1;
                while beside_a_move(application, stage, does, late, call).await {
                    call += 1;
                }
            }
        }
    }
}

/// A request, of which this call of the new place, or its answer, is so late that another one moves the session meanwhile.
/// False: it asks less often than that.
async fn beside_a_move(
    application: &impl Application,
    stage: Stage,
    does: &'static str,
    late: impl Fn(Gate) -> Fault,
    call: u64,
) -> bool {
    let (slow, gate) = (FaultStore::new(application.place().await), Gate::new());
    let fault = late(gate.clone());
    let at = format!("{}: {stage:?}, {does}, {} at call {call}", application.layout().name(), fault.name());
    slow.at(call, fault);
    let beside = Instance::over(application, stage, Arc::new(slow)).await;
    let service = Arc::new(Instance::at(application, Stage::Move).await);
    let visitor = Visitor::new(application, &number(1)).await;
    let cookie = visitor.cookie.clone();
    let mut asked = tokio::spawn(async move {
        let plus = |n: Option<i64>| n.unwrap_or(0) + 1;
        let handler = async |session: &Session| match does {
            "adds" => session.update("n", plus).await.map(drop),
            "locks" => {
                let mut guard = session.lock().await?;
                guard.set("n", plus(guard.get("n")?))?;
                guard.commit().await
            }
            "changes its id" => {
                session.regenerate().await?;
                session.update("n", plus).await.map(drop)
            }
            _ => session.destroy().await,
        };
        beside.serve(&cookie, handler).await
    });
    tokio::select! {
        () = gate.arrived() => {}
        said = &mut asked => {
            said.unwrap().unwrap();
            return false;
        }
    }
    let (adds, cookie) = (service.clone(), visitor.cookie.clone());
    let mut adding = tokio::spawn(async move { adds.add(&cookie).await });
    // Where the lock is taken by then, it waits for that.
    let first = tokio::time::timeout(Duration::from_millis(100), &mut adding).await;
    gate.open();
    let added = match first {
        Ok(added) => added.unwrap().unwrap(),
        // Or the machine is busy, and the session has another id or an end by the time that it adds: it does nothing, and says so.
        Err(_) => match adding.await.unwrap() {
            Err(error) if error.kind() == ErrorKind::Gone && !["adds", "locks"].contains(&does) => 0,
            added => added.unwrap(),
        },
    };
    let ((), told) = asked.await.unwrap().unwrap_or_else(|error| panic!("{at}: {error}"));
    // The other one says 1 where the id was dead already: it began another session.
    let n = Some(if added <= 1 { 2 } else { 3 });
    let cookie = &visitor.cookie;
    let (by_it, by_new) = match (does, &told) {
        ("ends it", _) => (None, None),
        ("changes its id", Some(new)) => (None, service.n(new).await),
        ("changes its id", None) => panic!("{at}: there is no new id"),
        // It may be told its id once more.
        (_, told) => (n, service.n(told.as_ref().unwrap_or(cookie)).await),
    };
    assert_eq!(service.n(cookie).await, by_it, "{at}: the other one said {added}");
    assert_eq!(by_new, n.filter(|_| does != "ends it"), "{at}: the other one said {added}");
    true
}

pub async fn c1_two_hundred_increments_while_the_session_moves_are_two_hundred(
    application: &impl Application,
) {
    let mut instances = Vec::new();
    for stage in [Stage::Prepare, Stage::Prepare, Stage::Move] {
        instances.push(Instance::at(application, stage).await);
    }
    let instances = Arc::new(instances);
    let visitor = Visitor::new(application, &basket(7, 0)).await;
    let mut tasks = Vec::new();
    for task in 0..20_usize {
        let (instances, cookie) = (instances.clone(), visitor.cookie.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..10_usize {
                // Half of the way only those that move nothing; then the third one as well.
                let which = if round < 5 { task % 2 } else { task % 3 };
                loop {
                    match instances[which].add(&cookie).await {
                        Ok(_) => break,
                        // Not done, and said so.
                        Err(error) if error.kind() == ErrorKind::LockTimeout => {}
                        Err(error) => panic!("{}: {error}", instances[which].called),
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let called = instances[2].called;
    assert_eq!(instances[2].n(&visitor.cookie).await, Some(200), "{called}");
    assert_eq!(instances[0].n(&visitor.cookie).await, Some(200), "{called}");
    assert!(!visitor.php_has(), "{called}");
}

pub async fn c2_a_logout_while_the_session_moves_is_one_on_both_sides(application: &impl Application) {
    let (before, service) =
        (Instance::at(application, Stage::Prepare).await, Instance::at(application, Stage::Move).await);
    for round in 0..40 {
        let visitor = Visitor::new(application, &basket(7, 1)).await;
        let cookie = visitor.cookie.as_str();
        let logout = async |session: &Session| session.destroy().await;
        let (out, _, _) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_micros(150 * (round % 20))).await;
                before.serve(cookie, logout).await
            },
            service.n(cookie),
            service.serve(cookie, async |session| session.put("x", 1).await),
        );
        out.unwrap();
        let seen = (before.n(cookie).await, service.n(cookie).await);
        assert_eq!(seen, (None, None), "{}: round {round}", service.called);
        assert!(!visitor.php_has(), "{}", service.called);
    }
}
