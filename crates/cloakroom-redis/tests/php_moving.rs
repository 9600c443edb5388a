//! Live sessions on their way from PHP's layout to the store's own, beside a Redis in which this test plays PHP.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{ErrorKind, Session, SessionError, SessionHandle, SessionManager};
use cloakroom_redis::php::{Layout, MovingStore, PhpServer, PhpStore, Stage};
use cloakroom_testing::fault::{Fault, FaultStore, Gate};
use cloakroom_testing::{ManualClock, Op, ReferenceStore};
use http::{HeaderMap, Request, StatusCode};
use support::{Kind, Server};

const ID: &str = "0123456789abcdefghijklmnop";
const BASKET: &str = r#"user_id|i:7;n|i:1;basket|a:1:{i:0;s:2:"A1";}"#;

/// An instance of the service, at some stage of the move.
struct Instance {
    server: Arc<Server>,
    sessions: SessionManager,
}

impl Instance {
    fn over(server: &Arc<Server>, stage: Stage, new: Arc<dyn Store>) -> Self {
        let layout = Layout::phpredis().user_variable("user_id");
        let config = layout.session_config();
        let php = PhpStore::new(PhpServer::new(server.builder()).unwrap(), layout);
        let sessions = SessionManager::new(MovingStore::new(php, new, stage), config).unwrap();
        Instance { server: server.clone(), sessions }
    }

    fn at(server: &Arc<Server>, stage: Stage) -> Self {
        Self::over(server, stage, Arc::new(server.builder().build().unwrap()))
    }

    fn request(&self, id: &str) -> SessionHandle {
        let request = Request::builder().header("cookie", format!("PHPSESSID={id}"));
        self.sessions.open(&request.body(()).unwrap(), None)
    }

    /// A whole request; answers with what the handler says and the id that the response tells.
    async fn serve<T>(
        &self,
        id: &str,
        handler: impl AsyncFnOnce(&Session) -> Result<T, SessionError>,
    ) -> Result<(T, Option<String>), SessionError> {
        let handle = self.request(id);
        let said = handler(&handle.open().await?).await?;
        let mut headers = HeaderMap::new();
        if let cloakroom::Outcome::Failed(error) =
            self.sessions.close(&handle, StatusCode::OK, &mut headers).await
        {
            return Err(error);
        }
        let told = headers.get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
        let told = told.map(|cookie| cookie.split(['=', ';']).nth(1).unwrap().to_owned());
        Ok((said, told))
    }

    async fn n(&self, id: &str) -> Option<i64> {
        self.serve(id, async |session| session.get("n")).await.unwrap().0
    }

    async fn add(&self, id: &str) -> Result<i64, SessionError> {
        let add = async |session: &Session| session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await;
        self.serve(id, add).await.map(|(n, _)| n)
    }

    fn php_writes(&self, value: &str) {
        let value = value.replace('"', "\\\"");
        let answer = self.server.raw(&format!("SETEX PHPREDIS_SESSION:{ID} 1440 \"{value}\""));
        assert!(answer.starts_with("+OK"), "{answer}");
    }

    fn php_ends(&self) {
        self.server.raw(&format!("DEL PHPREDIS_SESSION:{ID}"));
    }

    fn php_has(&self) -> bool {
        self.server.raw(&format!("EXISTS PHPREDIS_SESSION:{ID}")).starts_with(":1")
    }
}

fn redis() -> Arc<Server> {
    Arc::new(Server::start(Kind::Redis))
}

#[tokio::test]
async fn a_session_moves_with_the_request_that_asks_for_it_and_the_visitor_notices_nothing() {
    let server = redis();
    let (before, service) = (Instance::at(&server, Stage::Prepare), Instance::at(&server, Stage::Move));
    service.php_writes(BASKET);
    assert_eq!(before.n(ID).await, Some(1));
    assert!(before.php_has(), "nothing moves while PHP has routes");
    let look = async |session: &Session| {
        let basket: Vec<String> = session.get("basket")?.unwrap();
        Ok((basket, session.user().map(|user| user.as_str().to_owned()), session.get::<i64>("n")?))
    };
    let (seen, told) = service.serve(ID, look).await.unwrap();
    assert_eq!(seen, (vec!["A1".to_owned()], Some("7".to_owned()), Some(1)));
    assert_eq!(told, None, "the cookie stays");
    assert!(!service.php_has());
    // What either instance does from now on, both see.
    assert_eq!(before.add(ID).await.unwrap(), 2);
    assert_eq!(service.add(ID).await.unwrap(), 3);
    let lock = async |session: &Session| {
        let mut guard = session.lock().await?;
        let n: i64 = guard.get("n")?.unwrap();
        guard.set("n", n + 1)?;
        guard.commit().await
    };
    before.serve(ID, lock).await.unwrap();
    service.serve(ID, lock).await.unwrap();
    let (_, id) = before.serve(ID, async |session| session.regenerate().await).await.unwrap();
    let id = id.unwrap();
    assert_eq!((service.n(&id).await, service.n(ID).await), (Some(5), None));
    // PHP is gone, and its layout with it.
    let after = Instance::at(&server, Stage::Done);
    assert_eq!(after.serve(&id, look).await.unwrap().0.2, Some(5));
    after.serve(&id, async |session| session.destroy().await).await.unwrap();
    assert_eq!((before.n(&id).await, service.n(&id).await), (None, None));
}

#[tokio::test]
async fn while_php_holds_its_lock_a_session_stays_where_it_is_and_is_served_from_there() {
    let server = redis();
    let service = Instance::at(&server, Stage::Move);
    service.php_writes(BASKET);
    server.raw(&format!("SET PHPREDIS_SESSION:{ID}_LOCK web-1|4711 NX PX 60000"));
    assert_eq!(service.n(ID).await, Some(1));
    assert!(service.php_has());
    // What PHP's request then writes is what moves.
    service.php_writes(&BASKET.replace("n|i:1", "n|i:5"));
    server.raw(&format!("DEL PHPREDIS_SESSION:{ID}_LOCK"));
    assert_eq!(service.add(ID).await.unwrap(), 6);
    assert!(!service.php_has());
}

#[tokio::test]
async fn a_variable_that_another_one_refers_to_keeps_its_session_where_it_is() {
    let server = redis();
    let service = Instance::at(&server, Stage::Move);
    service.php_writes("n|i:1;a|a:1:{i:0;i:5;}b|R:2;");
    assert_eq!(service.add(ID).await.unwrap(), 2);
    assert!(service.php_has());
}

#[tokio::test]
async fn c2_what_php_writes_after_the_move_is_never_loaded() {
    let server = redis();
    let service = Instance::at(&server, Stage::Move);
    service.php_writes(BASKET);
    assert_eq!(service.add(ID).await.unwrap(), 2);
    // A request without a lock that had begun before.
    service.php_writes(BASKET);
    assert_eq!(service.n(ID).await, Some(2));
    service.serve(ID, async |session| session.destroy().await).await.unwrap();
    service.php_writes(BASKET);
    assert_eq!(service.n(ID).await, None);
    // Also once nobody remembers how it ended.
    let forget =
        "for _,k in ipairs(redis.call('KEYS','cloakroom:{*')) do redis.call('DEL',k) end return 'gone'";
    assert!(server.raw(&format!("EVAL \"{forget}\" 0")).contains("gone"));
    assert_eq!(service.n(ID).await, None);
    assert_eq!(Instance::at(&server, Stage::Prepare).n(ID).await, None);
}

#[tokio::test]
async fn c1_c2_a_move_that_breaks_off_anywhere_is_gone_on_with_and_loses_and_doubles_nothing() {
    let server = redis();
    for fault in [Fault::Unavailable, Fault::LoseRequest, Fault::LoseAnswer] {
        for meanwhile in ["nothing", "php writes", "php logs out", "php logs in"] {
            for call in 1..=6 {
                server.raw("FLUSHALL");
                let faulty = FaultStore::new(Arc::new(server.builder().build().unwrap()));
                faulty.at(call, fault.clone());
                let broken = Instance::over(&server, Stage::Move, Arc::new(faulty));
                let at = format!("{fault:?}, call {call}, {meanwhile}");
                broken.php_writes(BASKET);
                let handle = broken.request(ID);
                let _ = handle.open().await;
                let had = broken.php_has();
                let service = Instance::at(&server, Stage::Move);
                let expected = match meanwhile {
                    "php writes" if had => {
                        service.php_writes(&BASKET.replace("n|i:1", "n|i:40"));
                        Some(41)
                    }
                    "php logs in" if had => {
                        service.php_writes(&BASKET.replace("i:7", "i:9").replace("n|i:1", "n|i:60"));
                        Some(61)
                    }
                    "php logs out" if had => {
                        service.php_ends();
                        None
                    }
                    _ => Some(2),
                };
                match expected {
                    None => assert_eq!(service.n(ID).await, None, "{at}"),
                    Some(n) => {
                        assert_eq!(service.add(ID).await.unwrap(), n, "{at}");
                        assert!(!service.php_has(), "{at}");
                        let user = async |session: &Session| {
                            assert!(session.get::<bool>("\0moving").unwrap_or_default().is_none(), "{at}");
                            Ok(session.user().map(|user| user.as_str().to_owned()))
                        };
                        let user = service.serve(ID, user).await.unwrap().0;
                        assert_eq!(user.as_deref(), Some(if n == 61 { "9" } else { "7" }), "{at}");
                    }
                }
            }
        }
    }
}

/// A move that broke off when its copy was made.
async fn broken_off(server: &Arc<Server>) {
    let faulty = FaultStore::new(Arc::new(server.builder().build().unwrap()));
    faulty.at(2, Fault::LoseAnswer);
    let broken = Instance::over(server, Stage::Move, Arc::new(faulty));
    let _ = broken.request(ID).open().await;
    assert!(!server.raw("KEYS cloakroom:{*").starts_with("*0"), "there is a copy");
    assert!(broken.php_has());
}

#[tokio::test]
async fn c1_c4_what_is_decided_on_phps_session_is_not_done_to_a_copy_of_it() {
    let server = redis();
    let (before, service) = (Instance::at(&server, Stage::Prepare), Instance::at(&server, Stage::Move));
    for changes_id in [false, true] {
        server.raw("FLUSHALL");
        before.php_writes("n|i:1;");
        broken_off(&server).await;
        if changes_id {
            let (_, id) = before.serve(ID, async |session| session.regenerate().await).await.unwrap();
            assert!(!before.php_has());
            assert_eq!((service.n(ID).await, service.n(&id.unwrap()).await), (None, Some(1)));
        } else {
            assert_eq!(before.add(ID).await.unwrap(), 2);
            assert!(before.php_has(), "it was written to where it is");
            assert_eq!(service.n(ID).await, Some(2));
            assert!(!before.php_has());
            assert_eq!(before.add(ID).await.unwrap(), 3);
        }
    }
}

/// Two processes find a copy of another user's and take it away. The one that is late by whatever time finds that the session has moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_a_copy_that_is_taken_away_late_is_not_the_session_that_has_moved_since() {
    let server = redis();
    let (late, gate) = (FaultStore::new(Arc::new(server.builder().build().unwrap())), Gate::new());
    for op in [Op::End, Op::Rename] {
        late.at_op(op, 1, Fault::Hold(gate.clone()));
    }
    let (late, service) =
        (Arc::new(Instance::over(&server, Stage::Move, Arc::new(late))), Instance::at(&server, Stage::Move));
    service.php_writes(BASKET);
    broken_off(&server).await;
    service.php_writes(&BASKET.replace("i:7", "i:9"));
    let adds = late.clone();
    let adding = tokio::spawn(async move { adds.add(ID).await });
    gate.arrived().await;
    assert_eq!(service.add(ID).await.unwrap(), 2);
    assert!(!service.php_has());
    gate.open();
    assert_eq!(adding.await.unwrap().unwrap(), 3);
    assert_eq!(service.n(ID).await, Some(3));
}

/// Nor is anybody logged out while it is remembered that there was one.
#[tokio::test]
async fn c2_a_copy_that_was_taken_away_is_no_end_of_the_session() {
    let server = redis();
    let clock = ManualClock::new();
    let new: Arc<dyn Store> = Arc::new(ReferenceStore::with_clock(clock.clone()));
    let service = Instance::over(&server, Stage::Move, new.clone());
    service.php_writes(BASKET);
    let faulty = FaultStore::new(new.clone());
    faulty.at(2, Fault::LoseAnswer);
    let _ = Instance::over(&server, Stage::Move, Arc::new(faulty)).request(ID).open().await;
    service.php_writes(&BASKET.replace("i:7", "i:9"));
    // It moves once the key is free: by this store's clock that is not yet.
    assert_eq!(service.n(ID).await, Some(1));
    assert_eq!(service.add(ID).await.unwrap(), 2);
    assert!(service.php_has());
    clock.advance(Duration::from_secs(1));
    new.purge(100).await.unwrap();
    assert_eq!(service.add(ID).await.unwrap(), 3);
    assert!(!service.php_has());
}

#[tokio::test]
async fn c4_a_logout_follows_an_id_that_was_changed_in_phps_place_and_has_moved_since() {
    let server = redis();
    let (before, service) = (Instance::at(&server, Stage::Prepare), Instance::at(&server, Stage::Move));
    before.php_writes(BASKET);
    let handle = before.request(ID);
    let session = handle.open().await.unwrap();
    let (_, id) = before.serve(ID, async |session| session.regenerate().await).await.unwrap();
    let id = id.unwrap();
    assert_eq!(service.n(&id).await, Some(1));
    session.destroy().await.unwrap();
    assert_eq!((before.n(&id).await, service.n(&id).await), (None, None));
}

#[tokio::test]
async fn c4_nothing_from_before_a_login_is_planted_while_the_session_moves() {
    let server = redis();
    let (before, service) = (Instance::at(&server, Stage::Prepare), Instance::at(&server, Stage::Move));
    before.php_writes("n|i:1;");
    let handle = before.request(ID);
    handle.open().await.unwrap().set("planted", 1).unwrap();
    before.php_writes(BASKET);
    assert_eq!(service.n(ID).await, Some(1));
    let closed = before.sessions.close(&handle, StatusCode::OK, &mut HeaderMap::new()).await;
    let cloakroom::Outcome::Failed(refused) = closed else { panic!("it was let through") };
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let planted = service.serve(ID, async |session| session.get::<i64>("planted")).await.unwrap().0;
    assert_eq!(planted, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_what_php_writes_while_the_copy_is_made_is_what_moves() {
    let server = redis();
    let (slow, gate) = (FaultStore::new(Arc::new(server.builder().build().unwrap())), Gate::new());
    // Looked for, then copied.
    slow.at(2, Fault::HoldAnswer(gate.clone()));
    let service = Arc::new(Instance::over(&server, Stage::Move, Arc::new(slow)));
    service.php_writes(BASKET);
    let adds = service.clone();
    let adding = tokio::spawn(async move { adds.add(ID).await });
    let began = std::time::Instant::now();
    while server.raw("KEYS cloakroom:{*").starts_with("*0") {
        assert!(began.elapsed() < Duration::from_secs(20), "there is no copy");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    service.php_writes(&BASKET.replace("n|i:1", "n|i:40"));
    gate.open();
    assert_eq!(adding.await.unwrap().unwrap(), 41);
    assert!(!service.php_has());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_two_hundred_increments_while_the_session_moves_are_two_hundred() {
    let server = redis();
    let instances =
        Arc::new([Stage::Prepare, Stage::Prepare, Stage::Move].map(|stage| Instance::at(&server, stage)));
    instances[0].php_writes(&BASKET.replace("n|i:1", "n|i:0"));
    let mut tasks = Vec::new();
    for task in 0..20_usize {
        let instances = instances.clone();
        tasks.push(tokio::spawn(async move {
            for round in 0..10_usize {
                // Half of the way only those that move nothing; then the third one as well.
                let which = if round < 5 { task % 2 } else { task % 3 };
                loop {
                    match instances[which].add(ID).await {
                        Ok(_) => break,
                        // Not done, and said so.
                        Err(error) if error.kind() == ErrorKind::LockTimeout => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(instances[2].n(ID).await, Some(200));
    assert_eq!(instances[0].n(ID).await, Some(200));
    assert!(!instances[0].php_has());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_a_logout_while_the_session_moves_is_one_on_both_sides() {
    let server = redis();
    let (before, service) = (Instance::at(&server, Stage::Prepare), Instance::at(&server, Stage::Move));
    for round in 0..40 {
        server.raw("FLUSHALL");
        before.php_writes(BASKET);
        let logout = async |session: &Session| session.destroy().await;
        let (out, _, _) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_micros(150 * (round % 20))).await;
                before.serve(ID, logout).await
            },
            service.n(ID),
            service.serve(ID, async |session| session.put("x", 1).await),
        );
        out.unwrap();
        assert_eq!((before.n(ID).await, service.n(ID).await), (None, None), "round {round}");
        assert!(!service.php_has());
    }
}
