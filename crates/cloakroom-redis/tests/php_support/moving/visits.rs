//! What a visitor sees of it, and what of PHP's moves.

use cloakroom::store::Loaded;
use cloakroom::{ErrorKind, Outcome, Session};
use cloakroom_php::layout::Stage;
use cloakroom_testing::ReferenceStore;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

use super::{Application, Instance, Visitor, basket, number};

pub async fn a_session_moves_with_the_request_that_asks_for_it_and_the_visitor_notices_nothing(
    application: &impl Application,
) {
    let (before, service) =
        (Instance::at(application, Stage::Prepare).await, Instance::at(application, Stage::Move).await);
    let called = service.called;
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    let cookie = visitor.cookie.as_str();
    assert_eq!(before.n(cookie).await, Some(1), "{called}");
    assert!(visitor.php_has(), "{called}: nothing moves while PHP has routes");
    let look = async |session: &Session| {
        let basket: Vec<String> = session.get("basket")?.unwrap();
        Ok((basket, session.user().map(|user| user.as_str().to_owned()), session.get::<i64>("n")?))
    };
    let (seen, told) = service.serve(cookie, look).await.unwrap();
    assert_eq!(seen, (vec!["A1".to_owned()], Some("7".to_owned()), Some(1)), "{called}");
    assert_eq!(told, None, "{called}: the cookie stays");
    assert!(!visitor.php_has(), "{called}");
    // What either instance does from now on, both see.
    assert_eq!(before.add(cookie).await.unwrap(), 2, "{called}");
    assert_eq!(service.add(cookie).await.unwrap(), 3, "{called}");
    let lock = async |session: &Session| {
        let mut guard = session.lock().await?;
        let n: i64 = guard.get("n")?.unwrap();
        guard.set("n", n + 1)?;
        guard.commit().await
    };
    before.serve(cookie, lock).await.unwrap();
    service.serve(cookie, lock).await.unwrap();
    let (_, id) = before.serve(cookie, async |session| session.regenerate().await).await.unwrap();
    let id = id.unwrap();
    assert_eq!((service.n(&id).await, service.n(cookie).await), (Some(5), None), "{called}");
    // PHP is gone, and its layout with it.
    let after = Instance::at(application, Stage::Done).await;
    assert_eq!(after.serve(&id, look).await.unwrap().0.2, Some(5), "{called}");
    after.serve(&id, async |session| session.destroy().await).await.unwrap();
    assert_eq!((before.n(&id).await, service.n(&id).await), (None, None), "{called}");
}

/// Where PHP takes one.
pub async fn while_php_holds_its_lock_a_session_stays_where_it_is_and_is_served_from_there(
    application: &impl Application,
) {
    let service = Instance::at(application, Stage::Move).await;
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    if !application.locks(&visitor.id) {
        return;
    }
    assert_eq!(service.n(&visitor.cookie).await, Some(1), "{}", service.called);
    assert!(visitor.php_has(), "{}", service.called);
    // What PHP's request then writes is what moves.
    visitor.php_writes(&basket(7, 5));
    application.unlocks(&visitor.id);
    assert_eq!(service.add(&visitor.cookie).await.unwrap(), 6, "{}", service.called);
    assert!(!visitor.php_has(), "{}", service.called);
}

pub async fn a_variable_that_another_one_refers_to_keeps_its_session_where_it_is(
    application: &impl Application,
) {
    let service = Instance::at(application, Stage::Move).await;
    let tied = r#"a:3:{s:1:"n";i:1;s:1:"a";a:1:{i:0;i:5;}s:1:"b";R:3;}"#;
    let visitor = Visitor::new(application, tied).await;
    assert_eq!(service.add(&visitor.cookie).await.unwrap(), 2, "{}", service.called);
    assert!(visitor.php_has(), "{}", service.called);
}

/// Some applications do not store such a session at all: then what is kept beside is what there is of it.
pub async fn a_session_without_variables_moves_as_well(application: &impl Application) {
    let (before, service) =
        (Instance::at(application, Stage::Prepare).await, Instance::at(application, Stage::Move).await);
    let visitor = Visitor::new(application, &number(1)).await;
    let empty = async |session: &Session| {
        session.flash("Emptied.")?;
        session.remove("n")
    };
    before.serve(&visitor.cookie, empty).await.unwrap();
    let flashes = async |session: &Session| session.flashes::<String>();
    let (flashes, _) = service.serve(&visitor.cookie, flashes).await.unwrap();
    assert_eq!(flashes, ["Emptied."], "{}", service.called);
    assert!(!visitor.php_has(), "{}", service.called);
    assert!(matches!(visitor.moved().await, Loaded::Live(_)), "{}", service.called);
    assert_eq!(service.add(&visitor.cookie).await.unwrap(), 1, "{}", service.called);
}

pub async fn c2_what_php_writes_after_the_move_is_never_loaded(application: &impl Application) {
    let service = Instance::at(application, Stage::Move).await;
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    let cookie = visitor.cookie.as_str();
    assert_eq!(service.add(cookie).await.unwrap(), 2, "{}", service.called);
    // A request without a lock that had begun before.
    visitor.php_writes(&basket(7, 1));
    assert_eq!(service.n(cookie).await, Some(2), "{}", service.called);
    service.serve(cookie, async |session| session.destroy().await).await.unwrap();
    visitor.php_writes(&basket(7, 1));
    assert_eq!(service.n(cookie).await, None, "{}", service.called);
    // Also once nobody remembers how it ended.
    for stage in [Stage::Move, Stage::Prepare] {
        let forgetful = Instance::over(application, stage, Arc::new(ReferenceStore::new())).await;
        assert_eq!(forgetful.n(cookie).await, None, "{}", service.called);
    }
}

pub async fn c4_nothing_from_before_a_login_is_planted_while_the_session_moves(
    application: &impl Application,
) {
    let (before, service) =
        (Instance::at(application, Stage::Prepare).await, Instance::at(application, Stage::Move).await);
    let visitor = Visitor::new(application, &number(1)).await;
    let handle = before.request(&visitor.cookie);
    handle.open().await.unwrap().set("planted", 1).unwrap();
    visitor.php_writes(&basket(7, 1));
    assert_eq!(service.n(&visitor.cookie).await, Some(1), "{}", service.called);
    let closed = before.sessions.close(&handle, StatusCode::OK, &mut HeaderMap::new()).await;
    let Outcome::Failed(refused) = closed else { panic!("{}: it was let through", service.called) };
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", service.called);
    let planted =
        service.serve(&visitor.cookie, async |session| session.get::<i64>("planted")).await.unwrap().0;
    assert_eq!(planted, None, "{}", service.called);
}
