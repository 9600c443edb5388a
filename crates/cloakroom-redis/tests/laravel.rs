//! The layout of Laravel, beside a Redis in which this test plays Laravel.
#![cfg(feature = "laravel")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::Duration;

use cloakroom::{ErrorKind, Mode, SessionHandle, SessionManager};
use cloakroom_redis::php::{AppKey, Cipher, Encrypter, LaravelApp, Layout, PhpServer, PhpStore};
use http::{HeaderMap, Request, StatusCode};
use support::{Kind, Server};

const ID: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123";
const COOKIE: &str = "laravel_session";

fn encrypter(cipher: Cipher, key: u8) -> Encrypter {
    let key = data_encoding::BASE64.encode(&[key; 32]);
    Encrypter::new(cipher, format!("base64:{key}").parse::<AppKey>().unwrap(), [])
}

/// A service of ours on Laravel's sessions.
struct Service {
    server: Server,
    sessions: SessionManager,
    encrypter: Encrypter,
}

impl Service {
    fn on(layout: impl FnOnce(LaravelApp) -> Layout, mode: Mode) -> Self {
        let server = Server::start(Kind::Redis);
        let encrypter = encrypter(Cipher::Cbc, 7);
        let layout = layout(LaravelApp::new(encrypter.clone()));
        let config = layout.session_config().mode(mode);
        let store = PhpStore::new(PhpServer::new(server.builder()).unwrap(), layout);
        let sessions = SessionManager::new(store, config).unwrap();
        Service { server, sessions, encrypter }
    }

    fn new() -> Self {
        Self::on(Layout::laravel, Mode::Merge)
    }

    fn presenting(&self, value: &str) -> SessionHandle {
        let request = Request::builder().header("cookie", format!("a=b; {COOKIE}={value}"));
        self.sessions.open(&request.body(()).unwrap(), None)
    }

    /// A request with this id in its cookie.
    fn request(&self, id: &str) -> SessionHandle {
        let sealed = self.encrypter.seal_cookie(COOKIE, id).unwrap();
        self.presenting(&sealed.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F"))
    }

    /// Ends a request; answers with the cookie that the response sets, if any.
    async fn close(&self, handle: &SessionHandle) -> Option<String> {
        let mut headers = HeaderMap::new();
        let outcome = self.sessions.close(handle, StatusCode::OK, &mut headers).await;
        assert!(!matches!(outcome, cloakroom::Outcome::Failed(_)), "{outcome:?}");
        headers.get("set-cookie").map(|value| value.to_str().unwrap().to_owned())
    }

    /// The id that a cookie is about.
    fn id_in(&self, cookie: &str) -> String {
        let value = cookie.strip_prefix("laravel_session=").unwrap().split(';').next().unwrap();
        let value = value.replace("%3D", "=").replace("%2B", "+").replace("%2F", "/");
        String::from_utf8(self.encrypter.open_cookie(COOKIE, value.as_bytes()).unwrap()).unwrap()
    }

    fn laravel_writes(&self, id: &str, text: &str) {
        let value = format!("s:{}:\"{text}\";", text.len()).replace('"', "\\\"");
        let key = format!("laravel_database_laravel_cache_{id}");
        let answer = self.server.raw(&format!("SETEX {key} 7200 \"{value}\""));
        assert!(answer.starts_with("+OK"), "{answer}");
    }

    fn value(&self, id: &str) -> String {
        let answer = self.server.raw(&format!("GET laravel_database_laravel_cache_{id}"));
        answer.split_once("\r\n").unwrap().1.strip_suffix("\r\n+OK\r\n").unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn what_laravel_wrote_is_read_and_laravel_reads_what_is_written() {
    let service = Service::new();
    service.laravel_writes(ID, r#"a:3:{s:6:"_token";s:1:"t";s:1:"n";i:1;s:6:"_flash";a:2:{s:3:"new";a:1:{i:0;s:1:"m";}s:3:"old";a:0:{}}}"#);
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    let n: i64 = session.get("n").unwrap().unwrap();
    session.set("n", n + 1).unwrap();
    let cookie = service.close(&handle).await;
    assert!(cookie.is_none_or(|cookie| service.id_in(&cookie) == ID));
    // Flash data is not aged: it is not Laravel's request.
    let text = r#"a:3:{s:6:"_token";s:1:"t";s:1:"n";i:2;s:6:"_flash";a:2:{s:3:"new";a:1:{i:0;s:1:"m";}s:3:"old";a:0:{}}}"#;
    assert_eq!(service.value(ID), format!("s:{}:\"{text}\";", text.len()));
}

#[tokio::test]
async fn a_new_sessions_cookie_is_as_laravel_sends_it_and_shows_no_id() {
    let service = Service::new();
    let handle = service.sessions.open(&Request::builder().body(()).unwrap(), None);
    let session = handle.open().await.unwrap();
    session.set("n", 1).unwrap();
    session.login("7").await.unwrap();
    let cookie = service.close(&handle).await.unwrap();
    let id = service.id_in(&cookie);
    assert!(id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert!(!cookie.contains(&id), "{cookie}");
    let value = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
    assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'%'), "{value}");
    assert!(cookie.contains("; Path=/;") && cookie.contains("; HttpOnly") && cookie.contains("SameSite=Lax"));
    assert!(cookie.contains("; Max-Age=7200;"), "{cookie}");
    let user = "login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d";
    let text = format!("a:2:{{s:1:\"n\";i:1;s:{}:\"{user}\";i:7;}}", user.len());
    assert_eq!(service.value(&id), format!("s:{}:\"{text}\";", text.len()));
}

/// Nothing is looked up, nothing is an error, and nothing is told apart.
#[tokio::test]
async fn s09_a_cookie_that_does_not_open_is_no_session_and_nothing_is_looked_up() {
    let service = Service::new();
    service.laravel_writes(ID, r#"a:1:{s:1:"n";i:1;}"#);
    let good = service.encrypter.seal_cookie(COOKIE, ID).unwrap();
    let mut wrong = vec![
        ID.to_owned(),
        String::new(),
        "eyJpdiI6".to_owned(),
        "%".to_owned(),
        // Another cookie's value under this name, another key's, another cipher's, an id that is none.
        service.encrypter.seal_cookie("XSRF-TOKEN", ID).unwrap(),
        encrypter(Cipher::Cbc, 8).seal_cookie(COOKIE, ID).unwrap(),
        encrypter(Cipher::Gcm, 7).seal_cookie(COOKIE, ID).unwrap(),
        service.encrypter.seal_cookie(COOKIE, &ID[1..]).unwrap(),
        service.encrypter.seal_cookie(COOKIE, "../../../../../../../etc/passwd\0").unwrap(),
        format!("{good}{}", "A".repeat(5000)),
    ];
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        wrong.push(String::from_utf8(bytes).unwrap());
    }
    service.server.forget_calls();
    for value in &wrong {
        let handle = service.presenting(value);
        let session = handle.open().await.unwrap();
        assert!(session.is_empty(), "{value}");
        assert_eq!(service.close(&handle).await, None, "{value}");
    }
    assert_eq!(service.server.calls("evalsha") + service.server.calls("eval"), 0, "nothing is looked up");
    assert_eq!(service.sessions.metrics().malformed_ids, wrong.len() as u64);
    // The very same, unharmed.
    let handle = service.presenting(&good);
    assert_eq!(handle.open().await.unwrap().get("n").unwrap(), Some(1));
}

#[tokio::test]
async fn c3_an_id_that_laravel_does_not_have_is_not_adopted_though_its_cookie_opens() {
    let service = Service::new();
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    session.set("n", 1).unwrap();
    let cookie = service.close(&handle).await.unwrap();
    assert_ne!(service.id_in(&cookie), ID);
    assert_eq!(service.value(ID), "");
}

#[tokio::test]
async fn c5_a_write_waits_for_laravels_lock_and_our_lock_is_the_same_one() {
    let service = Service::new();
    let lock = format!("laravel_database_laravel_cache_session:{ID}");
    service.laravel_writes(ID, r#"a:1:{s:1:"n";i:1;}"#);
    let began = std::time::Instant::now();
    let taken = service.server.raw(&format!("SET {lock} abcdefgh12345678 PX 400 NX"));
    assert!(taken.starts_with("+OK"), "{taken}");
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    assert_eq!(session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap(), 2);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());

    let mut guard = session.lock().await.unwrap();
    let refused = service.server.raw(&format!("SET {lock} abcdefgh12345678 EX 10 NX"));
    assert!(!refused.starts_with("+OK"), "{refused}");
    let left = service.server.raw(&format!("PTTL {lock}"));
    let left: i64 = left.strip_prefix(':').unwrap().lines().next().unwrap().parse().unwrap();
    assert!((1..=10_000).contains(&left), "{left}");
    guard.set("n", 5).unwrap();
    guard.commit().await.unwrap();
    service.close(&handle).await;
    assert!(service.value(ID).contains("i:5;"));
    assert!(service.server.raw(&format!("EXISTS {lock}")).starts_with(":0"));
}

#[tokio::test]
async fn c9_a_session_that_no_key_opens_is_an_error_and_is_left_as_it_is() {
    let service = Service::on(|app| Layout::laravel(app.encrypt()), Mode::Merge);
    service.laravel_writes(ID, r#"a:1:{s:1:"n";i:1;}"#);
    let before = service.value(ID);
    let handle = service.request(ID);
    assert_eq!(handle.open().await.unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(service.value(ID), before);
}

#[tokio::test]
async fn a_cookie_that_laravel_does_not_encrypt_has_the_id_itself() {
    let service = Service::on(|app| Layout::laravel(app.plain_cookie().expire_on_close()), Mode::Merge);
    service.laravel_writes(ID, r#"a:1:{s:1:"n";i:1;}"#);
    let handle = service.presenting(ID);
    let session = handle.open().await.unwrap();
    assert_eq!(session.get("n").unwrap(), Some(1));
    session.regenerate().await.unwrap();
    let cookie = service.close(&handle).await.unwrap();
    let id = cookie.strip_prefix("laravel_session=").unwrap().split(';').next().unwrap();
    assert!(service.value(id).contains("i:1;") && !cookie.contains("Max-Age"), "{cookie}");
}
