//! What is left of PHP once it is gone: ids and values, until none is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::Loaded;
use cloakroom::{Candidate, ErrorKind, Session, SessionConfig, SessionId, SessionManager};
use cloakroom_php::layout::Stage;
use cloakroom_testing::fault::{Fault, FaultStore};

use super::{Application, Instance, Visitor, basket};

/// A service that knows nothing of PHP, on the place that sessions moved to, with the cookie of before.
async fn native(application: &impl Application) -> Instance {
    let config = SessionConfig::new().cookie(application.layout().cookie_config());
    let sessions = SessionManager::over(application.place().await, config).unwrap();
    Instance { called: application.layout().name(), sessions }
}

fn id_in(cookie: &str) -> &str {
    cookie.split_once('=').unwrap().1
}

/// The stored bytes of a value.
async fn stored(application: &impl Application, cookie: &str, key: &str) -> Vec<u8> {
    let store_key = Candidate::parse(id_in(cookie).as_bytes()).unwrap().store_key();
    let Loaded::Live(snapshot) = application.place().await.load(store_key).await.unwrap() else {
        panic!("there is no session")
    };
    snapshot.record.payload.get(key).unwrap().to_vec()
}

async fn look(session: &Session) -> Result<(Vec<String>, Option<i64>), cloakroom::SessionError> {
    Ok((session.get("basket")?.unwrap(), session.get("n")?))
}

fn basket_and(n: i64) -> (Vec<String>, Option<i64>) {
    (vec!["A1".to_owned()], Some(n))
}

pub async fn a_session_keeps_phps_id_until_it_is_renewed_and_then_nothing_of_it_is_phps(
    application: &impl Application,
) {
    let (service, after) =
        (Instance::at(application, Stage::Move).await, Instance::at(application, Stage::Done).await);
    let called = service.called;
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    let cookie = visitor.cookie.as_str();
    assert_eq!(service.add(cookie).await.unwrap(), 2, "{called}");
    // Both read what either wrote.
    assert_eq!(after.add(cookie).await.unwrap(), 3, "{called}");
    assert_eq!(service.add(cookie).await.unwrap(), 4, "{called}");
    assert_eq!(after.serve(cookie, look).await.unwrap().0, basket_and(4), "{called}");
    assert_eq!(native(application).await.n(cookie).await, None, "{called}");
    // A new id of an instance that is a stage behind is still PHP's.
    let (_, told) = service.serve(cookie, async |session| session.regenerate().await).await.unwrap();
    let told = told.unwrap();
    assert!(Candidate::parse(id_in(&told).as_bytes()).is_err(), "{called}");
    let (_, own) = after.serve(&told, async |session| session.login("7").await).await.unwrap();
    let own = own.unwrap();
    assert_eq!(stored(application, &own, "n").await, [4], "{called}: MessagePack");
    assert_eq!(stored(application, &own, "basket").await, *b"\x91\xa2A1", "{called}");
    for instance in [&service, &after, &native(application).await] {
        assert_eq!(instance.serve(&own, look).await.unwrap().0, basket_and(4), "{called}");
        assert_eq!(instance.n(&told).await, None, "{called}");
    }
    // And a new one from there on as well, also where the instance makes PHP's by itself.
    let (_, next) = after.serve(&own, async |session| session.regenerate().await).await.unwrap();
    assert_eq!(native(application).await.add(&next.unwrap()).await.unwrap(), 5, "{called}");
}

pub async fn what_only_php_can_read_stays_as_it_is(application: &impl Application) {
    let (service, after) =
        (Instance::at(application, Stage::Move).await, Instance::at(application, Stage::Done).await);
    let called = service.called;
    let object = r#"O:4:"Note":1:{s:4:"text";s:2:"hi";}"#;
    let visitor = Visitor::new(application, &format!(r#"a:2:{{s:1:"n";i:1;s:4:"note";{object}}}"#)).await;
    assert_eq!(service.add(&visitor.cookie).await.unwrap(), 2, "{called}");
    let (_, own) = after.serve(&visitor.cookie, async |session| session.regenerate().await).await.unwrap();
    let own = own.unwrap();
    assert_eq!(stored(application, &own, "note").await, object.as_bytes(), "{called}");
    let note = async |session: &Session| {
        session.get::<BTreeMap<String, String>>("note").map(|note| note.unwrap().len())
    };
    assert_eq!(after.serve(&own, note).await.unwrap().0, 1, "{called}");
    // Where nothing is known of PHP, that value alone cannot be read.
    let native = native(application).await;
    assert_eq!(native.add(&own).await.unwrap(), 3, "{called}");
    assert_eq!(native.serve(&own, note).await.unwrap_err().kind(), ErrorKind::Decode, "{called}");
    native.serve(&own, async |session| session.remove("note")).await.unwrap();
}

/// An array of PHP's is a list or a map by the type that it is read as; what this library writes is one of both.
pub async fn an_array_that_is_list_and_map_is_readable_as_either_under_every_id(
    application: &impl Application,
) {
    let (service, after) =
        (Instance::at(application, Stage::Move).await, Instance::at(application, Stage::Done).await);
    let called = service.called;
    let gaps = r#"a:2:{i:3;s:1:"a";i:7;s:1:"b";}"#;
    let variables =
        format!(r#"a:3:{{s:5:"empty";a:0:{{}}s:4:"gaps";{gaps}s:6:"nested";a:1:{{s:1:"k";a:0:{{}}}}}}"#);
    let visitor = Visitor::new(application, &variables).await;
    let maps = async |session: &Session| {
        Ok((
            session.get::<HashMap<String, i64>>("empty")?,
            session.get::<BTreeMap<u32, String>>("gaps")?,
            session.get::<BTreeMap<String, String>>("gaps")?,
            session.get::<HashMap<String, HashMap<String, i64>>>("nested")?,
        ))
    };
    let lists = async |session: &Session| {
        Ok((
            session.get::<Vec<i64>>("empty")?,
            session.get::<Vec<String>>("gaps")?,
            session.get::<HashMap<String, Vec<i64>>>("nested")?,
        ))
    };
    let before = (
        service.serve(&visitor.cookie, maps).await.unwrap().0,
        service.serve(&visitor.cookie, lists).await.unwrap().0,
    );
    assert_eq!(before.0.1.as_ref().unwrap()[&7], "b", "{called}");
    assert_eq!(before.1.1.as_ref().unwrap(), &["a", "b"], "{called}");
    let (_, own) = after.serve(&visitor.cookie, async |session| session.regenerate().await).await.unwrap();
    let own = own.unwrap();
    assert_eq!(stored(application, &own, "gaps").await, gaps.as_bytes(), "{called}");
    for instance in [&service, &after] {
        assert_eq!(instance.serve(&own, maps).await.unwrap().0, before.0, "{called}");
        assert_eq!(instance.serve(&own, lists).await.unwrap().0, before.1, "{called}");
    }
}

pub async fn a_session_that_begins_when_php_is_gone_is_none_of_phps(application: &impl Application) {
    let (service, after) =
        (Instance::at(application, Stage::Move).await, Instance::at(application, Stage::Done).await);
    let called = service.called;
    let begin = async |session: &Session| {
        session.set("n", 1)?;
        session.flash("Welcome.")?;
        session.login("7").await
    };
    let (_, own) = after.serve("other=1", begin).await.unwrap();
    let own = own.unwrap();
    let native = native(application).await;
    for instance in [&native, &service, &after] {
        assert_eq!(instance.n(&own).await, Some(1), "{called}");
    }
    let seen = async |session: &Session| Ok((session.flashes::<String>()?, session.keys()));
    let seen = native.serve(&own, seen).await.unwrap().0;
    assert_eq!(seen, (vec!["Welcome.".to_owned()], vec!["n".to_owned()]), "{called}");
    // Locked, ended and unknown ids are the same to an instance that is a stage behind.
    let lock = async |session: &Session| {
        let mut guard = session.lock().await?;
        guard.set("n", 2)?;
        guard.commit().await
    };
    service.serve(&own, lock).await.unwrap();
    service.serve(&own, async |session| session.destroy().await).await.unwrap();
    let name = own.split('=').next().unwrap();
    let unknown = std::iter::repeat_with(SessionId::generate).find(|id| id.expose().contains('_')).unwrap();
    for cookie in [own.clone(), format!("{name}={}", unknown.expose())] {
        for instance in [&Instance::at(application, Stage::Prepare).await, &service, &after, &native] {
            assert_eq!(instance.n(&cookie).await, None, "{called}");
        }
    }
}

/// Whoever presents the old id in its grace is told the new one.
pub async fn c4_an_automatic_renewal_leads_from_phps_id_to_one_of_ours(application: &impl Application) {
    let service = Instance::renewing(application, Stage::Move, Duration::from_millis(50)).await;
    let after = Instance::renewing(application, Stage::Done, Duration::from_secs(3600)).await;
    let (_, old) = service.serve("other=1", async |session| session.set("n", 1)).await.unwrap();
    let old = old.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let (n, own) = after.serve(&old, async |session| session.get::<i64>("n")).await.unwrap();
    assert_eq!(n, Some(1), "{}", after.called);
    let own = own.unwrap();
    assert!(Candidate::parse(id_in(&own).as_bytes()).is_ok(), "{}", after.called);
    let (n, told) = after.serve(&old, async |session| session.get::<i64>("n")).await.unwrap();
    assert_eq!((n, told.is_some()), (Some(1), true), "{}: in its grace", after.called);
    assert_eq!(native(application).await.n(&own).await, Some(1), "{}", after.called);
}

/// An instance that is a stage behind makes an id by PHP's rules of one of ours.
pub async fn c4_an_automatic_renewal_leads_from_an_id_of_ours_back_to_phps(application: &impl Application) {
    let after = Instance::renewing(application, Stage::Done, Duration::from_millis(50)).await;
    let service = Instance::renewing(application, Stage::Move, Duration::from_secs(3600)).await;
    let (_, own) = after.serve("other=1", async |session| session.set("n", 1)).await.unwrap();
    let own = own.unwrap();
    assert!(Candidate::parse(id_in(&own).as_bytes()).is_ok(), "{}", after.called);
    tokio::time::sleep(Duration::from_millis(60)).await;
    let (_, told) = service.serve(&own, async |session| session.get::<i64>("n")).await.unwrap();
    let told = told.unwrap();
    assert_eq!(service.n(&told).await, Some(1), "{}", service.called);
    for instance in [&service, &Instance::at(application, Stage::Done).await] {
        let (n, again) = instance.serve(&own, async |session| session.get::<i64>("n")).await.unwrap();
        assert_eq!((n, again.is_some()), (Some(1), true), "{}: in its grace", instance.called);
    }
    // And what is written under the old id is in the session.
    assert_eq!(service.add(&own).await.unwrap(), 2, "{}", service.called);
    assert_eq!(service.n(&told).await, Some(2), "{}", service.called);
}

/// Whether it was reached that the session had moved, a mark in PHP's place tells, and that is not looked at any more.
pub async fn a_move_that_broke_off_is_gone_on_with_while_there_is_phps_place_to_look_at(
    application: &impl Application,
) {
    let visitor = Visitor::new(application, &basket(7, 1)).await;
    let faulty = FaultStore::new(application.place().await);
    // It is looked for, copied, taken out of PHP's place, and then not released.
    faulty.at(3, Fault::Unavailable);
    let broken = Instance::over(application, Stage::Move, Arc::new(faulty)).await;
    broken.request(&visitor.cookie).open().await.unwrap_err();
    let is_there = matches!(visitor.moved().await, Loaded::Live(_));
    assert!(is_there && !visitor.php_has(), "{}", broken.called);
    for (stage, n) in
        [(Stage::Done, None), (Stage::Prepare, Some(1)), (Stage::Move, Some(1)), (Stage::Done, Some(1))]
    {
        let service = Instance::at(application, stage).await;
        assert_eq!(service.n(&visitor.cookie).await, n, "{}: {stage:?}", service.called);
    }
}
