//! Ids that were changed in PHP's place, whose sessions have moved since.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::{Ending, Loaded};
use cloakroom::{Session, SessionManager, StoreKey};
use cloakroom_php::layout::Stage;
use cloakroom_testing::Op;
use cloakroom_testing::fault::{Fault, FaultStore, Gate};

use super::{Application, Instance, Visitor, basket, config, number};

pub async fn c4_a_logout_follows_an_id_that_was_changed_in_phps_place_and_has_moved_since(
    application: &impl Application,
) {
    let (before, service) =
        (Instance::at(application, Stage::Prepare).await, Instance::at(application, Stage::Move).await);
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    let handle = before.request(&visitor.cookie);
    let session = handle.open().await.unwrap();
    let (_, id) = before.serve(&visitor.cookie, async |session| session.regenerate().await).await.unwrap();
    let id = id.unwrap();
    assert_eq!(service.n(&id).await, Some(1), "{}", service.called);
    session.destroy().await.unwrap();
    assert_eq!((before.n(&id).await, service.n(&id).await), (None, None), "{}", service.called);
}

/// Whoever presents the old id is led to where the session is now, and told its id.
pub async fn c4_an_id_in_its_grace_leads_to_a_session_that_has_moved_since(application: &impl Application) {
    let soon = Instance::renewing(application, Stage::Prepare, Duration::from_millis(50)).await;
    let later = Duration::from_secs(3600);
    let (before, service) = (
        Instance::renewing(application, Stage::Prepare, later).await,
        Instance::renewing(application, Stage::Move, later).await,
    );
    let called = service.called;
    let (_, old) = soon.serve("other=1", async |session| session.set("n", 1)).await.unwrap();
    let old = old.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let handle = before.request(&old);
    let late = handle.open().await.unwrap();
    let n = async |session: &Session| session.get::<i64>("n");
    let (_, new) = before.serve(&old, n).await.unwrap();
    let new = new.unwrap();
    let told = |(n, told): (Option<i64>, Option<String>)| (n, told.is_some());
    assert_eq!(told(before.serve(&old, n).await.unwrap()), (Some(1), true), "{called}: in its grace");
    assert_eq!(service.n(&new).await, Some(1), "{called}");
    for instance in [&before, &service] {
        assert_eq!(told(instance.serve(&old, n).await.unwrap()), (Some(1), true), "{called}: it has moved");
        let lock = async |session: &Session| {
            let mut guard = session.lock().await?;
            let n: i64 = guard.get("n")?.unwrap();
            guard.set("n", n + 1)?;
            guard.commit().await?;
            session.update("n", |n: Option<i64>| n.unwrap() - 1).await
        };
        assert_eq!(instance.serve(&old, lock).await.unwrap().0, 1, "{called}");
    }
    late.destroy().await.unwrap();
    assert_eq!((before.n(&new).await, service.n(&new).await), (None, None), "{called}: it was logged out");
}

/// Another request moves what it finds, before the one that changed the id asks again: the session under its new id, or what was kept under
/// the old one.
pub async fn c4_a_change_of_id_that_was_not_answered_is_known_once_a_session_has_moved(
    application: &impl Application,
) {
    for keep in [Duration::ZERO, Duration::from_secs(60)] {
        let faulty = FaultStore::new(application.moving(Stage::Prepare, application.place().await).await);
        let gate = Gate::new();
        faulty.at_op(Op::Rename, 1, Fault::LoseAnswer);
        faulty.at_op(Op::Rename, 2, Fault::Hold(gate.clone()));
        let sessions = SessionManager::over(Arc::new(faulty), config(application)).unwrap();
        let before = Instance { called: application.layout().name(), sessions };
        let at = format!("{}: kept for {keep:?}", before.called);
        let visitor = Visitor::new(application, &number(1)).await;
        let cookie = visitor.cookie.clone();
        let changing = tokio::spawn(async move {
            before.serve(&cookie, async |session| session.regenerate_keeping_old_for(keep).await).await
        });
        gate.arrived().await;
        let other = application.moving(Stage::Move, application.place().await).await;
        let held = other.conventions().unwrap().ids.hold(visitor.id.as_bytes()).unwrap();
        let moved = match other.load(StoreKey::of_plain(visitor.id.as_bytes())).await.unwrap() {
            Loaded::Ended(Ending::Moved { to, .. }) => other.load(to).await.unwrap(),
            kept => kept,
        };
        assert!(matches!(moved, Loaded::Live(_)) && !visitor.php_has(), "{at}");
        drop(held);
        gate.open();
        let ((), told) = changing.await.unwrap().unwrap();
        let told = told.unwrap_or_else(|| panic!("{at}: nobody is told the new id"));
        let service = Instance::at(application, Stage::Move).await;
        let kept = Some(1).filter(|_| !keep.is_zero());
        assert_eq!((service.n(&told).await, service.n(&visitor.cookie).await), (Some(1), kept), "{at}");
    }
}
