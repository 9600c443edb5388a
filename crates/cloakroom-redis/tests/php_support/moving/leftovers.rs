//! Copies that a move left behind when it broke off, beside sessions that are used where they are.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::{Loaded, Store, Touch, Touched};
use cloakroom::{Mode, Session, StoreKey};
use cloakroom_php::layout::Stage;
use cloakroom_testing::{ManualClock, ReferenceStore};

use super::{Application, Instance, Visitor, basket, config};

/// PHP has logged the visitor out since.
pub async fn c2_a_copy_that_is_over_is_not_opened_with_its_lock_either(application: &impl Application) {
    for stage in [Stage::Prepare, Stage::Move, Stage::Done] {
        let visitor = Visitor::new(application, &basket(7, 1)).await;
        visitor.breaks_off().await;
        visitor.php_ends();
        let config = config(application).mode(Mode::Exclusive);
        let service = Instance::with(application, stage, application.place().await, config).await;
        assert_eq!(service.n(&visitor.cookie).await, None, "{}: {stage:?}", service.called);
    }
}

pub async fn a_session_that_is_used_beside_a_copy_of_it_is_what_lives_on(application: &impl Application) {
    let called = application.layout().name();
    let store = application.moving(Stage::Prepare, application.place().await).await;
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    visitor.breaks_off().await;
    let held = store.conventions().unwrap().ids.hold(visitor.id.as_bytes()).unwrap();
    let key = StoreKey::of_plain(visitor.id.as_bytes());
    let ends = async || match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot.record.idle_deadline,
        other => panic!("{called}: {other:?}"),
    };
    let before = ends().await;
    let touched = store.touch(Touch { key, idle: Duration::from_secs(30_000) }).await.unwrap();
    assert!(matches!(touched, Touched::Touched { .. }), "{called}");
    assert!(before.until(ends().await) > Duration::from_secs(10_000), "{called}");
    drop(held);
}

/// The session goes on being used, and is never moved, for longer than a copy lives.
pub async fn c1_a_copy_past_its_deadline_is_no_end_of_the_session(application: &impl Application) {
    let clock = ManualClock::new();
    let new: Arc<dyn Store> = Arc::new(ReferenceStore::with_clock(clock.clone()));
    let (before, service) = (
        Instance::over(application, Stage::Prepare, new.clone()).await,
        Instance::over(application, Stage::Move, new.clone()).await,
    );
    let called = service.called;
    let exclusive = config(application).mode(Mode::Exclusive);
    let exclusive = Instance::with(application, Stage::Move, new.clone(), exclusive).await;
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    let cookie = visitor.cookie.as_str();
    // Decided before, and written after it.
    let handle = before.request(cookie);
    let session = handle.open().await.unwrap();
    visitor.breaks_off_into(new.clone()).await;
    clock.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(session.update("n", |n: Option<i64>| n.unwrap() + 1).await.unwrap(), 2, "{called}");
    assert_eq!(exclusive.add(cookie).await.unwrap(), 3, "{called}");
    assert_eq!(before.add(cookie).await.unwrap(), 4, "{called}");
    assert_eq!(service.add(cookie).await.unwrap(), 5, "{called}: where it is");
    // The key is free: it moves.
    new.purge(100).await.unwrap();
    assert_eq!(service.add(cookie).await.unwrap(), 6, "{called}");
    assert!(!visitor.php_has(), "{called}");
    // And the id is changed beside such a copy.
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    visitor.breaks_off_into(new.clone()).await;
    clock.advance(Duration::from_secs(8 * 24 * 3600));
    let change = async |session: &Session| session.regenerate().await;
    let (_, id) = service.serve(&visitor.cookie, change).await.unwrap();
    assert_eq!(service.n(&id.unwrap()).await, Some(1), "{called}");
    assert_eq!(service.n(&visitor.cookie).await, None, "{called}");
}
